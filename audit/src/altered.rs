//! What shows that seals, or what they hold, are not as they were made.

use folio_core::Position;
use folio_proofs::Hash;
use folio_proofs::checkpoint::OpenCheckpointError;
use folio_proofs::map::{BucketError, StaleBucket};
use folio_proofs::merkle::{InvalidTile, Size, TileError};
use thiserror::Error;

/// Something in the database was changed since it was sealed. Find out what and by whom, and restore a copy from before.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Altered {
    /// A checkpoint is not signed as it stands.
    #[error("the checkpoint of {size} leaves is not to be believed")]
    Checkpoint {
        /// The leaves that it says it has.
        size: i64,
        /// What is wrong with it.
        source: Box<OpenCheckpointError>,
    },
    /// The columns beside a checkpoint are other ones than it was signed with.
    #[error("the checkpoint of {size} leaves does not say what stands in the columns beside it")]
    Columns {
        /// The leaves in the column.
        size: i64,
    },
    /// An event is gone.
    #[error("the event at position {position} was sealed and is gone")]
    MissingEvent {
        /// Where it was.
        position: Position,
    },
    /// A tile is none.
    #[error(transparent)]
    DamagedTile(#[from] InvalidTile),
    /// A tile is missing or short.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The end of the log is not the one that was signed.
    #[error("the tiles come to the root {found}, the checkpoint of {size} leaves has {signed}")]
    Log {
        /// The leaves of the log.
        size: Size,
        /// What the tiles come to.
        found: Hash,
        /// What was signed.
        signed: Hash,
    },
    /// The events up to a checkpoint are not those of its map.
    #[error(
        "the streams of the book come to the root {found} at the checkpoint of {size} leaves, which has {signed}"
    )]
    Ends {
        /// The leaves of the log.
        size: Size,
        /// What the events come to.
        found: Hash,
        /// What was signed.
        signed: Hash,
    },
    /// The map is not the one that was signed.
    #[error(
        "the buckets of the map come to the root {found}, the checkpoint of {size} leaves has {signed}"
    )]
    Map {
        /// The leaves of the log.
        size: Size,
        /// What the buckets come to.
        found: Hash,
        /// What was signed.
        signed: Hash,
    },
    /// A bucket is none, or a stream cannot have gone on from what is in it.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A bucket was changed while the map was known.
    #[error("a bucket of the map was changed behind its seal")]
    StaleBucket(#[from] StaleBucket),
    /// The store ends before what was sealed of it.
    #[error(
        "the store ends at position {found}, and it was sealed up to {sealed}: events are lost"
    )]
    LostEvents {
        /// The store's last position.
        found: i64,
        /// The last one in the log.
        sealed: i64,
    },
    /// The outcomes end before what was sealed of them.
    #[error("the last outcome of the store is {found}, and {sealed} was sealed: refusals are lost")]
    LostOutcomes {
        /// The number of the last outcome.
        found: i64,
        /// The last one in the log.
        sealed: i64,
    },
    /// Leaves and columns count to different sizes.
    #[error(
        "leaf {leaf} is outside of the log of {size} leaves, by the columns beside its checkpoints"
    )]
    OutsideLog {
        /// Where it should be.
        leaf: i64,
        /// The leaves of the log.
        size: Size,
    },
}
