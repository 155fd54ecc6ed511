//! What is proven, for programs.

use serde::Serialize;

use crate::Hash;
use crate::bundle::{Stream, Verified};
use crate::checkpoint::Checkpoint;

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
