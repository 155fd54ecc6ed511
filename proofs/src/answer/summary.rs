//! What is proven, for programs.

use serde::Serialize;

use super::shown::Shown;
use crate::Hash;
use crate::bundle::{Stream, Verified, uuid_text};
use crate::checkpoint::Checkpoint;
use crate::leaf::Leaf;
use crate::receipt::{VerifiedGrowth, VerifiedRow};

/// The JSON about what was verified.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    verified: bool,
    checkpoint: Sealed<'a>,
    signers: Vec<String>,
    stream: &'a Stream,
    events: u64,
    first_position: Option<i64>,
    last_position: Option<i64>,
    grown_since_kept: Option<Sealed<'a>>,
    grown_since_earlier: Option<Sealed<'a>>,
}

/// The JSON about a row that was verified.
#[derive(Debug, Serialize)]
pub(super) struct RowSummary<'a> {
    verified: bool,
    checkpoint: Sealed<'a>,
    signers: Vec<String>,
    /// Which leaf of the log it is.
    index: u64,
    #[serde(flatten)]
    row: Row<'a>,
    grown_since_kept: Option<Sealed<'a>>,
}

/// The JSON about growth that was verified.
#[derive(Debug, Serialize)]
pub(super) struct GrowthSummary<'a> {
    verified: bool,
    checkpoint: Sealed<'a>,
    signers: Vec<String>,
    grown_since_kept: Option<Sealed<'a>>,
    grown_since_earlier: Sealed<'a>,
}

/// What is stored, by its kind. JSON is shown as the text that is stored; what is no text as `{"base64": …}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Row<'a> {
    Event {
        position: i64,
        version: i64,
        category: &'a str,
        stream_id: &'a str,
        event_type: &'a str,
        recorded_at_micros: i64,
        command_id: String,
        payload: Shown<'a>,
        metadata: Shown<'a>,
    },
    Outcome {
        number: i64,
        recorded_at_micros: i64,
        command_id: String,
        /// None where the command was accepted and changed nothing.
        refusal: Option<Shown<'a>>,
        metadata: Shown<'a>,
    },
}

/// The JSON about what was not.
#[derive(Debug, Serialize)]
pub(super) struct Refusal<'a> {
    pub(super) verified: bool,
    /// What is wrong, and behind it why, from the outside in.
    pub(super) reasons: &'a [String],
}

#[derive(Debug, Serialize)]
struct Sealed<'a> {
    origin: &'a str,
    size: u64,
    root: Hash,
    map_root: Option<Hash>,
    through_position: Option<i64>,
    through_outcome: Option<i64>,
    sealed_at_micros: Option<i64>,
}

impl<'a> Summary<'a> {
    pub(super) fn of(verified: &'a Verified) -> Self {
        Self {
            verified: true,
            checkpoint: Sealed::of(&verified.checkpoint),
            signers: verified.signers.iter().map(ToString::to_string).collect(),
            stream: &verified.stream,
            events: verified.events,
            first_position: verified.first_position,
            last_position: verified.last_position,
            grown_since_kept: verified.kept.as_ref().map(Sealed::of),
            grown_since_earlier: verified.earlier.as_ref().map(Sealed::of),
        }
    }
}

impl<'a> RowSummary<'a> {
    pub(super) fn of(verified: &'a VerifiedRow<'a>) -> Self {
        Self {
            verified: true,
            checkpoint: Sealed::of(&verified.checkpoint),
            signers: verified.signers.iter().map(ToString::to_string).collect(),
            index: verified.index,
            row: Row::of(&verified.row),
            grown_since_kept: verified.kept.as_ref().map(Sealed::of),
        }
    }
}

impl<'a> GrowthSummary<'a> {
    pub(super) fn of(verified: &'a VerifiedGrowth) -> Self {
        Self {
            verified: true,
            checkpoint: Sealed::of(&verified.checkpoint),
            signers: verified.signers.iter().map(ToString::to_string).collect(),
            grown_since_kept: verified.kept.as_ref().map(Sealed::of),
            grown_since_earlier: Sealed::of(&verified.earlier),
        }
    }
}

impl<'a> Row<'a> {
    fn of(leaf: &Leaf<'a>) -> Self {
        match leaf {
            Leaf::Event(event) => Self::Event {
                position: event.position,
                version: event.version,
                category: event.category,
                stream_id: event.stream_id,
                event_type: event.event_type,
                recorded_at_micros: event.recorded_at_micros,
                command_id: uuid_text::write(event.command_id),
                payload: Shown(event.payload),
                metadata: Shown(event.metadata),
            },
            Leaf::Outcome(outcome) => Self::Outcome {
                number: outcome.number,
                recorded_at_micros: outcome.recorded_at_micros,
                command_id: uuid_text::write(outcome.command_id),
                refusal: outcome.refusal.map(Shown),
                metadata: Shown(outcome.metadata),
            },
        }
    }
}

impl<'a> Sealed<'a> {
    fn of(checkpoint: &'a Checkpoint) -> Self {
        Self {
            origin: checkpoint.origin.as_str(),
            size: checkpoint.size,
            root: checkpoint.root,
            map_root: checkpoint.map_root,
            through_position: checkpoint.through.map(|through| through.position()),
            through_outcome: checkpoint.through.map(|through| through.outcome()),
            sealed_at_micros: checkpoint.sealed_at_micros,
        }
    }
}
