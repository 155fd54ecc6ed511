//! What a walk finds.

use folio_proofs::Hash;
use folio_proofs::leaf::{EventLeaf, OutcomeLeaf};
use serde::Serialize;
use uuid::Uuid;

/// Something in the database that is not as it was sealed, or not as a store writes it. Numbers are those in the rows, which
/// may be any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// A row is another one than was sealed.
    Altered {
        /// The row as it is now.
        row: RowAt,
        /// By what that is known.
        evidence: Evidence,
    },
    /// A row is what was sealed at another position.
    Moved {
        /// The row as it is now.
        row: RowAt,
        /// Where it was sealed.
        sealed_at: i64,
    },
    /// A row was put among those that were sealed.
    Inserted {
        /// The row.
        row: RowAt,
    },
    /// A row cannot be read as one.
    Unreadable {
        /// Its position, or its number among the outcomes.
        position: i64,
        /// What is wrong with it.
        why: String,
    },
    /// There are no events at these positions, and there are later ones.
    Missing {
        /// The first.
        first: i64,
        /// The last.
        last: i64,
    },
    /// Outcomes were sealed that are not there.
    MissingOutcomes {
        /// Which leaf of the log the first of them is, from 0.
        first_leaf: u64,
        /// Which the last is.
        last_leaf: u64,
        /// The number of the outcome before them, 0 where there is none.
        after: i64,
    },
    /// The events end before what was sealed.
    Truncated {
        /// The last position that there is.
        last: i64,
        /// The last that was sealed.
        sealed: i64,
    },
    /// Rows were changed together with their tiles: both come to another root than was signed.
    Rewritten {
        /// The leaves of the log at the checkpoint.
        size: u64,
        /// The first leaf that may be another one, from 0.
        first_leaf: u64,
        /// The last.
        last_leaf: u64,
        /// The positions of the events among these leaves.
        positions: Option<Range>,
        /// The numbers between which the outcomes among these leaves are.
        outcomes: Option<Range>,
        /// What the rows come to.
        found: Hash,
        /// What was signed.
        signed: Hash,
    },
    /// A row does not follow from the rows before it as a store writes them.
    Structure {
        /// The row.
        row: RowAt,
        /// What does not fit.
        fault: StructureFault,
    },
    /// A tile of the log has other hashes than the leaves come to. The rows are as they were signed.
    Tile {
        /// Which tile.
        tile: String,
        /// The first leaf below the wrong hash, from 0.
        first_leaf: u64,
        /// The last.
        last_leaf: u64,
    },
    /// A bucket of the map has other streams than there are, or other ends of them. The events are as they were signed.
    Bucket {
        /// Which bucket.
        number: u16,
    },
    /// The ends of all streams are not those that were signed.
    Map {
        /// The leaves of the log at the checkpoint.
        size: u64,
        /// What the events come to.
        found: Hash,
        /// What was signed.
        signed: Hash,
    },
    /// A checkpoint is not to be believed.
    Forged {
        /// The leaves that it says it has.
        size: i64,
        /// What is wrong with it.
        why: String,
    },
    /// The columns beside a checkpoint are other ones than it was signed with.
    Columns {
        /// The leaves that were signed.
        size: u64,
    },
    /// Two checkpoints of one size were signed that say different things.
    Forked {
        /// The leaves that both have.
        size: u64,
        /// The root in the one, which is in the database.
        root: Hash,
        /// The root in the other.
        other: Hash,
        /// The last position up to which an anchor and the database say the same.
        agreed: i64,
        /// Up to which position the other goes.
        position: i64,
    },
    /// A checkpoint cannot be of the same log as the one before it.
    OutOfLine {
        /// Its leaves.
        size: u64,
        /// The leaves of the one before.
        after: u64,
    },
    /// A checkpoint was anchored that the database does not have.
    NotInLog {
        /// Its leaves.
        size: u64,
        /// Its root.
        root: Hash,
        /// The last position up to which an anchor and the database say the same.
        agreed: i64,
        /// Up to which position it goes.
        position: i64,
        /// The leaves of the last checkpoint in the database.
        last: u64,
    },
    /// An anchor has no checkpoint of this log, and the database has had some for more than a minute.
    AnchorEmpty {
        /// Which anchor.
        anchor: String,
        /// The leaves of the last checkpoint in the database.
        last: u64,
    },
    /// An anchor does not have what was sealed more than a minute ago.
    AnchorBehind {
        /// Which anchor.
        anchor: String,
        /// The leaves of the largest checkpoint that it has.
        size: u64,
        /// The leaves of the last checkpoint in the database.
        last: u64,
    },
    /// Something in an anchor is no checkpoint of this log.
    Anchor {
        /// What is wrong with it.
        why: String,
    },
}

/// Which row, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "row", rename_all = "snake_case")]
pub enum RowAt {
    /// A row of `store.events`.
    Event {
        /// Its position.
        position: i64,
        /// The category of its stream.
        category: String,
        /// Its stream within the category.
        stream_id: String,
        /// Its version in the stream.
        version: i64,
    },
    /// A row of `store.outcomes`.
    Outcome {
        /// Its number.
        number: i64,
        /// Its command.
        command: Uuid,
    },
}

/// The first and the last of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The first.
    pub first: i64,
    /// The last.
    pub last: i64,
}

/// By what it is known that a row was altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Its tile says what was sealed, and comes to the root that was signed.
    Signed,
    /// Its tile says something else, and neither comes to a root that was signed. One of them was altered, or both.
    TileAlone,
}

/// What does not fit to the rows before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum StructureFault {
    /// Versions count 1, 2, 3 … in a stream.
    Version {
        /// The next of the stream.
        expected: i64,
    },
    /// It was recorded before the event before it.
    RecordedEarlier {
        /// When it was, in microseconds since 1970.
        micros: i64,
        /// When the one before was.
        before_micros: i64,
    },
    /// It is no command's first event, and those of the command before it are complete.
    NoCommand,
    /// It is of another command than the one before it, which has more events.
    CommandCutOff {
        /// How many of its events are not there.
        missing: i32,
    },
    /// It is the last event, and its command has more.
    LastCutOff {
        /// How many of its events are not there.
        missing: i32,
    },
    /// Only one of what a command's first event has stands in it.
    HalfFirst,
}

impl RowAt {
    pub(crate) fn event(leaf: &EventLeaf<'_>) -> Self {
        Self::Event {
            position: leaf.position,
            category: leaf.category.to_owned(),
            stream_id: leaf.stream_id.to_owned(),
            version: leaf.version,
        }
    }

    pub(crate) const fn outcome(leaf: &OutcomeLeaf<'_>) -> Self {
        Self::Outcome {
            number: leaf.number,
            command: Uuid::from_bytes(leaf.command_id),
        }
    }
}
