//! What is to be done next.

use std::fmt;

use super::log::SagaLog;
use super::{Saga, StepProgress};
use crate::id::CommandId;
use crate::time::Timestamp;

/// What is to be done next for a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Something is to be put on record first, by [`SagaCommand::Advance`](super::SagaCommand::Advance).
    Advance,
    /// A step is to be asked: it is on record that it is.
    Ask(&'static str),
    /// A step is to be undone.
    Undo {
        /// The step.
        step: &'static str,
        /// Its undo.
        undo: &'static str,
    },
    /// Nothing, until then.
    Wait(Timestamp),
    /// Nothing any more.
    Ended,
    /// Nothing by this program: it does not have the definition that the saga goes by.
    Foreign,
}

/// By what a participant knows a step of a saga, or its undo, however often it is asked. After a refusal it is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepId<'a> {
    /// The category of the saga.
    pub category: &'a str,
    /// The saga.
    pub saga: &'a str,
    /// The step, or the undo.
    pub step: &'a str,
    /// How often it was refused under other ids.
    pub refusals: u32,
}

impl StepId<'_> {
    /// The id of the command at the participant.
    #[must_use]
    pub fn command(self) -> CommandId {
        let step = ["saga", self.category, self.saga, self.step];
        match self.refusals {
            0 => CommandId::derived(&step),
            times => CommandId::derived(&[&step[..], &[&times.to_string()]].concat()),
        }
    }
}

impl fmt::Display for StepId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.category, self.saga, self.step)
    }
}

impl<S: Saga> SagaLog<S> {
    /// What is to be done next, by what is on record. The same again is planned until something is put on record.
    #[must_use]
    pub fn plan(&self, now: Timestamp) -> Plan {
        if self.end.is_some() {
            return Plan::Ended;
        }
        if self.definition().is_none() {
            return Plan::Foreign;
        }
        let may_turn = self.turned.is_none() && !self.is_past_return();
        if may_turn && now >= self.deadline {
            return Plan::Advance;
        }
        let Some(step) = self.current() else {
            return Plan::Advance;
        };
        if let Some(trying) = self.trying.as_ref().filter(|trying| trying.retry_at > now) {
            // Also while it waits its time may run out.
            let until = if may_turn {
                trying.retry_at.min(self.deadline)
            } else {
                trying.retry_at
            };
            return Plan::Wait(until);
        }
        match (&self.turned, self.step(step.name()), step.undo()) {
            (None, Some(StepProgress::Asked), _) => Plan::Ask(step.name()),
            (Some(_), _, Some(undo)) => Plan::Undo {
                step: step.name(),
                undo,
            },
            _ => Plan::Advance,
        }
    }
}
