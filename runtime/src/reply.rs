//! What a command's sender is answered.

use folio_core::store::AppendStatus;
use folio_core::{Aggregate, Position, RecordedEvent, Version};

/// A command's outcome, with what it left behind.
#[derive(Debug, Clone)]
pub struct Reply<A: Aggregate> {
    /// Whether this call carried it out, or it was on record already.
    pub status: AppendStatus,
    /// Accepted or refused.
    pub verdict: Verdict<A>,
}

/// What became of a command.
#[derive(Debug, Clone)]
pub enum Verdict<A: Aggregate> {
    /// It was accepted.
    Accepted {
        /// The events it caused, maybe none.
        events: Vec<RecordedEvent>,
        /// The aggregate's state right after them, whatever has happened since.
        state: Option<A>,
        /// The stream's version right after them.
        version: Version,
        /// The position of its last event. With no event, a position up to which all is decided.
        position: Position,
    },
    /// It was refused.
    Refused(A::Refusal),
}

/// The outcome of a command on several aggregates.
#[derive(Debug, Clone)]
pub struct JointReply<R> {
    /// Whether this call carried it out, or it was on record already.
    pub status: AppendStatus,
    /// Accepted or refused.
    pub verdict: JointVerdict<R>,
}

/// What became of a command on several aggregates.
#[derive(Debug, Clone)]
pub enum JointVerdict<R> {
    /// It was accepted.
    Accepted {
        /// The events it caused, on all of its participants, maybe none.
        events: Vec<RecordedEvent>,
        /// The position of its last event. With no event, a position up to which all is decided.
        position: Position,
    },
    /// It was refused.
    Refused(R),
}
