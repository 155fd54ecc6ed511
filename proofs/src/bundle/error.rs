//! What is wrong with a bundle.

use thiserror::Error;

use crate::checkpoint::{OpenCheckpointError, Origin};
use crate::map::{Last, MapProofError};
use crate::merkle::{ConsistencyError, InclusionError};

/// Why a bundle proves nothing: the first thing that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The checkpoint is not to be believed.
    #[error("the checkpoint of the bundle is not to be believed")]
    Checkpoint(#[source] OpenCheckpointError),
    /// The checkpoint does not say where streams end.
    #[error(
        "the checkpoint of {size} entries has no map of streams, so that nothing shows whether all events are here; ask for a bundle under one that has"
    )]
    NoMap {
        /// The size of its log.
        size: u64,
    },
    /// The checkpoint does not say up to where the store is in it.
    #[error(
        "the checkpoint of {size} entries does not say up to which position the store is in it; ask for a bundle under one that does"
    )]
    NoThrough {
        /// The size of its log.
        size: u64,
    },
    /// The older checkpoint in the bundle is not to be believed.
    #[error("the older checkpoint in the bundle is not to be believed")]
    Since(#[source] OpenCheckpointError),
    /// The log does not begin with what it had at an older checkpoint.
    #[error(
        "nothing shows that the log still begins with the {size} entries of the older checkpoint: its history was changed, or forked"
    )]
    Forked {
        /// The size of the older log.
        size: u64,
        /// What does not fit.
        source: ConsistencyError,
    },
    /// Two checkpoints of one size say two things.
    #[error(
        "of the same {size} entries, the two checkpoints have two maps of streams or two ends of the store: whoever signs shows two histories"
    )]
    TwoStates {
        /// The size of both.
        size: u64,
    },
    /// The store has got shorter.
    #[error(
        "the store had more events or outcomes at the older checkpoint of {size} entries: its history was cut off"
    )]
    GoesBack {
        /// The size of the older log.
        size: u64,
    },
    /// The checkpoint that was kept is of another log.
    #[error("the checkpoint that you keep is of the log {kept}, the bundle of {origin}")]
    KeptOther {
        /// The log of the checkpoint that was kept.
        kept: Origin,
        /// The log of the bundle.
        origin: Origin,
    },
    /// The checkpoint that was kept is newer than that of the bundle.
    #[error(
        "the checkpoint that you keep has {kept} entries and that of the bundle only {size}; ask for a newer bundle"
    )]
    KeptNewer {
        /// The size of the log that was kept.
        kept: u64,
        /// The size of the log of the bundle.
        size: u64,
    },
    /// It does not prove anything about the checkpoint that was kept.
    #[error(
        "the bundle does not show how the log grew from the {kept} entries of the checkpoint that you keep to {size}; ask for one that does"
    )]
    NoGrowth {
        /// The size of the log that was kept.
        kept: u64,
        /// The size of the log of the bundle.
        size: u64,
    },
    /// An event is not in the log as it is in the bundle.
    #[error(
        "the event of version {version}, position {position} is not in the log like this: it was altered, or its proof was"
    )]
    Altered {
        /// The version that it gives.
        version: i64,
        /// The position that it gives.
        position: i64,
        /// What does not fit.
        source: InclusionError,
    },
    /// An event is another stream's.
    #[error(
        "an event of another stream was inserted: version {version} of {category}/{id}, position {position}"
    )]
    Inserted {
        /// Its version.
        version: i64,
        /// Its position.
        position: i64,
        /// The category of its stream.
        category: String,
        /// Its stream.
        id: String,
    },
    /// An event is there twice.
    #[error(
        "the event of version {version}, position {position} stands where version {due} should: it was inserted a second time"
    )]
    Repeated {
        /// Its version.
        version: i64,
        /// Its position.
        position: i64,
        /// The version that should be there.
        due: i64,
    },
    /// Events are not in their order.
    #[error(
        "the event of version {version}, position {position} stands where version {due} should, which comes later: events were swapped"
    )]
    Swapped {
        /// Its version.
        version: i64,
        /// Its position.
        position: i64,
        /// The version that should be there.
        due: i64,
    },
    /// An event is not there.
    #[error(
        "the event of version {due} is missing: in its place stands version {version}, position {position}"
    )]
    Missing {
        /// The version that should be there.
        due: i64,
        /// That of the event in its place.
        version: i64,
        /// The position of the event in its place.
        position: i64,
    },
    /// A later version is not further on in the store and in the log.
    #[error(
        "the event of version {version} is at position {position}, leaf {index}, which is not behind the version before it: the log is not in the order of the store"
    )]
    Backwards {
        /// Its version.
        version: i64,
        /// Its position.
        position: i64,
        /// Where it is in the log.
        index: u64,
    },
    /// An event is behind what the checkpoint covers.
    #[error(
        "the event of version {version} is at position {position}, and the checkpoint ends at position {through}: it contradicts itself"
    )]
    Beyond {
        /// Its version.
        version: i64,
        /// Its position.
        position: i64,
        /// The last position that the checkpoint covers.
        through: i64,
    },
    /// Where the stream ends is not proved.
    #[error("nothing shows where the stream ends, so that events may be missing")]
    Map(#[source] MapProofError),
    /// Events are missing at the end.
    #[error(
        "the bundle was truncated: it ends with version {shown}, and the stream has events up to version {version}, position {position}"
    )]
    Truncated {
        /// The last version that is there, 0 when there is none.
        shown: i64,
        /// The last version of the stream.
        version: i64,
        /// The position of the stream's last event.
        position: i64,
    },
    /// The log has an event that the map knows nothing of.
    #[error(
        "the checkpoint contradicts itself: its log has version {version} of the stream at position {position}, and by its map the stream {}",
        end(*map)
    )]
    Contradiction {
        /// The last version that is there.
        version: i64,
        /// Its position.
        position: i64,
        /// Where the stream ends by the map.
        map: Option<Last>,
    },
}

fn end(map: Option<Last>) -> String {
    map.map_or_else(
        || "has no events".to_owned(),
        |Last { version, position }| format!("ends with version {version} at position {position}"),
    )
}
