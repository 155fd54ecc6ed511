//! What is on record of a saga, and the state that it leads to.

use serde::{Deserialize, Serialize};

use super::Saga;
use super::definition::{SagaDefinition, Step};
use crate::Event;
use crate::time::Timestamp;

/// What has happened in a saga.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SagaEvent<O, A> {
    /// It was ordered.
    SagaBegun {
        /// The version of the definition that it goes by, to its end.
        version: u32,
        /// What was ordered.
        order: O,
        /// By when it must have come to its pivot.
        deadline: Timestamp,
    },
    /// From here on a step may have had its effect.
    StepAsked {
        /// Which.
        step: String,
    },
    /// A step was done.
    StepDone {
        /// Which.
        step: String,
        /// What it came to.
        answer: A,
    },
    /// A step was refused: it has no effect, and never will.
    StepRefused {
        /// Which.
        step: String,
        /// Why, as the participant says.
        code: String,
    },
    /// A step, or its undo, was tried, and nobody knows what has become of it; or an undo, or a step after the pivot,
    /// was refused, which must not be.
    TryFailed {
        /// The step.
        step: String,
        /// How often by now.
        tries: u32,
        /// What was seen.
        failure: String,
        /// When it is tried again.
        retry_at: Timestamp,
        /// How often it was refused by now, if it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<Refusals>,
    },
    /// A step, or its undo, was not tried, since its participant is known to give no answer. That is no try.
    Parked {
        /// The step.
        step: String,
        /// What is known.
        failure: String,
        /// When it is looked again.
        until: Timestamp,
    },
    /// It turned back: from here on what was asked is undone.
    UndoingBegun {
        /// Why.
        turned: Turned,
    },
    /// What a step has done, if it has, is taken back, and will not be done any more.
    StepUndone {
        /// Which.
        step: String,
    },
    /// Something has been tried so often that somebody should look at it. It is tried further.
    AttentionNeeded {
        /// What: a step, or the step whose undo it is.
        step: String,
        /// What was seen last.
        failure: String,
    },
    /// Somebody has had something tried again at once.
    OperatorActed {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// It is carried out.
    SagaCompleted,
    /// It is as if it had not been.
    SagaUndone,
}

/// How often something was refused that is tried until it is not.
///
/// A participant has its refusals on record, and answers the same again to whoever asks by the same id. So what was
/// refused is asked by another id the next time, and only then: of what is not known it would be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// How often.
    pub times: u32,
    /// When that was heard last.
    pub last: Timestamp,
}

/// Why a saga turned back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Turned {
    /// A step was refused.
    Refused {
        /// Which.
        step: String,
        /// Why.
        code: String,
    },
    /// It did not come to its pivot in time.
    Late,
    /// Somebody wanted it to.
    Cancelled {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
}

impl<O, A> Event for SagaEvent<O, A>
where
    O: Clone
        + std::fmt::Debug
        + PartialEq
        + Serialize
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
    A: Clone
        + std::fmt::Debug
        + PartialEq
        + Serialize
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
}

/// A saga, as its log leaves it.
#[derive(Debug, Clone, PartialEq)]
pub struct SagaLog<S: Saga> {
    pub(super) version: u32,
    /// What was ordered.
    pub order: S::Order,
    /// By when it must have come to its pivot.
    pub deadline: Timestamp,
    /// The steps that were asked, in the order of the definition.
    pub(super) steps: Vec<(String, StepProgress<S::Answer>)>,
    /// Why it turned back, if it has.
    pub turned: Option<Turned>,
    /// What is being tried: how often, what was seen last, and when it is tried again.
    pub(super) trying: Option<Trying>,
    /// How it ended.
    pub end: Option<SagaEnd>,
}

/// How far a step is that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepProgress<A> {
    /// It may have had its effect.
    Asked,
    /// It has, and came to this.
    Done(A),
    /// It has none.
    Refused,
    /// It has none any more.
    Undone,
}

/// What is tried again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trying {
    pub(super) tries: u32,
    pub(super) failure: String,
    pub(super) retry_at: Timestamp,
    pub(super) needs_attention: bool,
    pub(super) refused: Option<Refusals>,
}

/// How a saga ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SagaEnd {
    /// It is carried out.
    Completed,
    /// It is as if it had not been.
    Undone,
}

impl<S: Saga> SagaLog<S> {
    /// The definition that it goes by; none where the program does not have it any more.
    #[must_use]
    pub fn definition(&self) -> Option<&'static SagaDefinition> {
        S::definition(self.version)
    }

    /// How far a step is; none while it was not asked.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&StepProgress<S::Answer>> {
        let found = self.steps.iter().find(|(step, _)| step == name);
        found.map(|(_, progress)| progress)
    }

    /// What a step came to.
    #[must_use]
    pub fn answer(&self, name: &str) -> Option<&S::Answer> {
        match self.step(name)? {
            StepProgress::Done(answer) => Some(answer),
            StepProgress::Asked | StepProgress::Refused | StepProgress::Undone => None,
        }
    }

    /// Whether the pivot was asked: from there on it turns back for the pivot's own refusal alone.
    #[must_use]
    pub fn is_past_return(&self) -> bool {
        let steps = self.definition().map_or(&[][..], SagaDefinition::steps);
        let pivot = steps
            .iter()
            .find(|step| step.kind() == super::StepKind::Pivot);
        pivot.is_some_and(|pivot| self.step(pivot.name()).is_some())
    }

    /// What it tries that has failed so often that somebody should look: how often, and what was seen last.
    #[must_use]
    pub fn attention(&self) -> Option<(u32, &str)> {
        let trying = self
            .trying
            .as_ref()
            .filter(|trying| trying.needs_attention)?;
        Some((trying.tries, &trying.failure))
    }

    /// How often what it tries was refused by now, if it was.
    #[must_use]
    pub fn refused(&self) -> Option<Refusals> {
        self.trying.as_ref().and_then(|trying| trying.refused)
    }

    /// How many ids of what it tries were used up by refusals: what is asked next has the one of this number.
    #[must_use]
    pub fn refusals(&self) -> u32 {
        self.refused().map_or(0, |refused| refused.times)
    }

    /// The step that is to be done next, or undone.
    pub(super) fn current(&self) -> Option<&'static Step> {
        let steps = self.definition()?.steps();
        let is_open = |step: &&Step| match (self.step(step.name()), &self.turned) {
            (None | Some(StepProgress::Asked), None) => true,
            (Some(StepProgress::Asked | StepProgress::Done(_)), Some(_)) => step.undo().is_some(),
            _ => false,
        };
        match self.turned {
            None => steps.iter().find(is_open),
            Some(_) => steps.iter().rev().find(is_open),
        }
    }

    pub(super) fn evolved(
        state: Option<Self>,
        event: &SagaEvent<S::Order, S::Answer>,
    ) -> Option<Self> {
        if let SagaEvent::SagaBegun {
            version,
            order,
            deadline,
        } = event
        {
            return Some(Self {
                version: *version,
                order: order.clone(),
                deadline: *deadline,
                steps: Vec::new(),
                turned: None,
                trying: None,
                end: None,
            });
        }
        let mut saga = state?;
        match event {
            SagaEvent::SagaBegun { .. } => {}
            SagaEvent::StepAsked { step } => saga.set(step, StepProgress::Asked),
            SagaEvent::StepDone { step, answer } => {
                saga.set(step, StepProgress::Done(answer.clone()));
            }
            SagaEvent::StepRefused { step, .. } => saga.set(step, StepProgress::Refused),
            SagaEvent::StepUndone { step } => saga.set(step, StepProgress::Undone),
            SagaEvent::TryFailed {
                tries,
                failure,
                retry_at,
                refused,
                ..
            } => saga.try_again(*tries, failure, *retry_at, *refused),
            SagaEvent::Parked { failure, until, .. } => {
                let tries = saga.trying.as_ref().map_or(0, |trying| trying.tries);
                saga.try_again(tries, failure, *until, saga.refused());
            }
            SagaEvent::UndoingBegun { turned } => {
                saga.turned = Some(turned.clone());
                saga.trying = None;
            }
            SagaEvent::AttentionNeeded { .. } => {
                if let Some(trying) = &mut saga.trying {
                    trying.needs_attention = true;
                }
            }
            // What was tried counts on: that somebody has had it tried again mends nothing by itself.
            SagaEvent::OperatorActed { .. } => {
                if let Some(trying) = &mut saga.trying {
                    trying.retry_at = Timestamp::from_micros(0);
                }
            }
            SagaEvent::SagaCompleted => saga.end = Some(SagaEnd::Completed),
            SagaEvent::SagaUndone => saga.end = Some(SagaEnd::Undone),
        }
        Some(saga)
    }

    fn set(&mut self, step: &str, progress: StepProgress<S::Answer>) {
        self.trying = None;
        match self.steps.iter_mut().find(|(name, _)| name == step) {
            Some((_, was)) => *was = progress,
            None => self.steps.push((step.to_owned(), progress)),
        }
    }

    fn try_again(
        &mut self,
        tries: u32,
        failure: &str,
        retry_at: Timestamp,
        refused: Option<Refusals>,
    ) {
        let needs_attention = self
            .trying
            .as_ref()
            .is_some_and(|trying| trying.needs_attention);
        self.trying = Some(Trying {
            tries,
            failure: failure.to_owned(),
            retry_at,
            needs_attention,
            refused,
        });
    }
}
