//! What a command's sender is answered.

use std::any::TypeId;

use folio_core::joint::{AnyState, Participant};
use folio_core::store::AppendStatus;
use folio_core::{Aggregate, Position, RecordedEvent, Version};

use crate::cache::Current;

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
        /// What they left behind, where that was asked for.
        states: StatesAfter,
        /// The position of its last event. With no event, a position up to which all is decided.
        position: Position,
    },
    /// It was refused.
    Refused(R),
}

/// The states right after a command, whatever has happened since, of the aggregates that it both read
/// and wrote to. Of one that it only read there is none: that is no sign that there is no such aggregate.
#[derive(Debug, Clone, Default)]
pub struct StatesAfter(Vec<StateAfter>);

#[derive(Debug, Clone)]
struct StateAfter {
    participant: Participant,
    state: AnyState,
    version: Version,
}

impl StatesAfter {
    /// The state of the aggregate `A` named `id`, and its version.
    #[must_use]
    pub fn of<A: Aggregate>(&self, id: &str) -> Option<(&A, Version)> {
        let is_it = |after: &&StateAfter| {
            after.participant.id() == id && after.participant.kind().type_id == TypeId::of::<A>()
        };
        let after = self.0.iter().find(is_it)?;
        Some((after.state.of::<A>()?, after.version))
    }

    pub(crate) fn put(&mut self, participant: Participant, current: Current) {
        self.0.push(StateAfter {
            participant,
            state: current.state,
            version: current.version,
        });
    }
}
