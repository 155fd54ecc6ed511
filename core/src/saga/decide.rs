//! What is put on record when something is heard, or the time has come.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::definition::{SagaDefinition, Step, StepKind};
use super::log::{Refusals, SagaEvent, SagaLog, Turned};
use super::{Saga, StepProgress};
use crate::Aggregate;
use crate::time::Timestamp;

/// What can be asked of a saga's log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum SagaCommand<O, A> {
    /// To begin.
    Begin {
        /// What is ordered.
        order: O,
        /// What time it is.
        now: Timestamp,
    },
    /// To go on by itself: to ask the next step, to turn back for lack of time, to end.
    Advance {
        /// What time it is.
        now: Timestamp,
    },
    /// To take note of what a participant has answered.
    Hear {
        /// About which step, or the undo of which.
        step: String,
        /// What.
        heard: Heard<A>,
        /// How often it had been refused when this was asked.
        refusals: u32,
        /// What time it is.
        now: Timestamp,
    },
    /// To turn back.
    Cancel {
        /// Who wants it.
        actor: String,
        /// Why.
        reason: String,
    },
    /// To try again at once what is waited for.
    Retry {
        /// Who wants it.
        actor: String,
        /// Why.
        reason: String,
    },
}

/// What came of a call to a participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Heard<A> {
    /// The step is done, now or before.
    Done(A),
    /// The step is undone, and will not be done any more.
    Undone,
    /// The participant refuses: what was asked by this id it will not do.
    Refused {
        /// Why.
        code: String,
    },
    /// Nobody knows.
    Unknown {
        /// What was seen.
        failure: String,
    },
    /// Nobody was asked.
    NotAsked {
        /// What is known of the participant.
        failure: String,
        /// When asking may help.
        after: Duration,
    },
}

/// Why a saga does not do what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[non_exhaustive]
pub enum SagaRefusal {
    /// There is none of this id.
    #[error("there is no such saga")]
    NotBegun,
    /// There is one already, with another order.
    #[error("a saga of this id was begun with another order")]
    OtherOrder,
    /// It has ended.
    #[error("the saga has ended")]
    Ended,
    /// Its pivot was asked, so there is no way back.
    #[error("the saga is past its pivot; what it has done can be reversed by another one")]
    PastPivot,
    /// The program does not know the definition by which it began.
    #[error(
        "the saga goes by version {version} of its definition, which this program does not have"
    )]
    UnknownVersion {
        /// The version.
        version: u32,
    },
}

type Events<S> = Vec<SagaEvent<<S as Saga>::Order, <S as Saga>::Answer>>;

impl<S: Saga> Aggregate for SagaLog<S> {
    const CATEGORY: &'static str = S::CATEGORY;
    type Command = SagaCommand<S::Order, S::Answer>;
    type Event = SagaEvent<S::Order, S::Answer>;
    type Refusal = SagaRefusal;

    fn decide(state: Option<&Self>, command: Self::Command) -> Result<Events<S>, SagaRefusal> {
        let (saga, command) = match (state, command) {
            (None, SagaCommand::Begin { order, now }) => return begun::<S>(order, now),
            (Some(saga), SagaCommand::Begin { order, .. }) if saga.order == order => {
                return Ok(Vec::new());
            }
            (Some(_), SagaCommand::Begin { .. }) => return Err(SagaRefusal::OtherOrder),
            (None, _) => return Err(SagaRefusal::NotBegun),
            (Some(saga), command) => (saga, command),
        };
        let definition = saga.definition().ok_or(SagaRefusal::UnknownVersion {
            version: saga.version,
        })?;
        match command {
            SagaCommand::Begin { .. } => Ok(Vec::new()),
            SagaCommand::Advance { now } => Ok(saga.advanced(now)),
            SagaCommand::Hear {
                step,
                heard,
                refusals,
                now,
            } => {
                let is_refused = matches!(heard, Heard::Refused { .. });
                // One that was counted already, which another driver has heard as well. What is asked now has another id.
                if is_refused && refusals != saga.refusals() {
                    return Ok(Vec::new());
                }
                Ok(saga.heard(definition, &step, heard, now))
            }
            SagaCommand::Cancel { actor, reason } => saga.cancelled(actor, reason),
            SagaCommand::Retry { .. } if saga.end.is_some() => Err(SagaRefusal::Ended),
            SagaCommand::Retry { actor, reason } => Ok(match saga.trying {
                Some(_) => vec![SagaEvent::OperatorActed { actor, reason }],
                None => Vec::new(),
            }),
        }
    }

    fn evolve(state: Option<Self>, event: &Self::Event) -> Option<Self> {
        Self::evolved(state, event)
    }
}

fn begun<S: Saga>(order: S::Order, now: Timestamp) -> Result<Events<S>, SagaRefusal> {
    let version = S::NEWEST;
    let definition = S::definition(version).ok_or(SagaRefusal::UnknownVersion { version })?;
    Ok(vec![SagaEvent::SagaBegun {
        version,
        order,
        deadline: later(now, definition.within()),
    }])
}

impl<S: Saga> SagaLog<S> {
    fn advanced(&self, now: Timestamp) -> Events<S> {
        if self.end.is_some() {
            return Vec::new();
        }
        if self.turned.is_none() && now >= self.deadline && !self.is_past_return() {
            let turned = Turned::Late;
            return vec![SagaEvent::UndoingBegun { turned }];
        }
        match (self.current(), &self.turned) {
            (None, None) => vec![SagaEvent::SagaCompleted],
            (None, Some(_)) => vec![SagaEvent::SagaUndone],
            (Some(step), None) if self.step(step.name()).is_none() => self.asked(step, now),
            (Some(_), _) => Vec::new(),
        }
    }

    fn asked(&self, step: &Step, now: Timestamp) -> Events<S> {
        let objection = match step.kind() {
            StepKind::Question | StepKind::Compensatable { .. } | StepKind::Pivot => {
                S::objection(self, step.name(), now)
            }
            StepKind::Retriable => None,
        };
        let step = step.name().to_owned();
        match objection {
            Some(code) => {
                let turned = Turned::Refused { step, code };
                vec![SagaEvent::UndoingBegun { turned }]
            }
            None => vec![SagaEvent::StepAsked { step }],
        }
    }

    fn heard(
        &self,
        definition: &SagaDefinition,
        about: &str,
        heard: Heard<S::Answer>,
        now: Timestamp,
    ) -> Events<S> {
        // What comes late is of a step that is not asked any more: it is undone, or was answered before.
        let Some(step) = self.current().filter(|step| step.name() == about) else {
            return Vec::new();
        };
        let is_asked = matches!(self.step(about), Some(StepProgress::Asked));
        if self.end.is_some() || self.turned.is_none() && !is_asked {
            return Vec::new();
        }
        let name = about.to_owned();
        match (&self.turned, heard) {
            (None, Heard::Done(answer)) => vec![SagaEvent::StepDone { step: name, answer }],
            (None, Heard::Refused { code }) => self.heard_refused(definition, step, code, now),
            (Some(_), Heard::Undone) => vec![SagaEvent::StepUndone { step: name }],
            // The answer to the step itself, after it was begun to undo it.
            (Some(_), Heard::Done(_)) | (None, Heard::Undone) => Vec::new(),
            // An undo is not refused: it is tried until it is not.
            (Some(_), Heard::Refused { code }) => {
                self.failed(definition, name, code, self.refused_again(now), now)
            }
            (_, Heard::Unknown { failure }) => {
                self.failed(definition, name, failure, self.refused(), now)
            }
            (_, Heard::NotAsked { failure, after }) => vec![SagaEvent::Parked {
                step: name,
                failure,
                until: later(now, after),
            }],
        }
    }

    fn refused_again(&self, now: Timestamp) -> Option<Refusals> {
        Some(Refusals {
            times: self.refusals().saturating_add(1),
            last: now,
        })
    }

    fn heard_refused(
        &self,
        definition: &SagaDefinition,
        step: &Step,
        code: String,
        now: Timestamp,
    ) -> Events<S> {
        let name = step.name().to_owned();
        match step.kind() {
            StepKind::Retriable => {
                self.failed(definition, name, code, self.refused_again(now), now)
            }
            StepKind::Question | StepKind::Compensatable { .. } | StepKind::Pivot => {
                let turned = Turned::Refused {
                    step: name.clone(),
                    code: code.clone(),
                };
                vec![
                    SagaEvent::StepRefused { step: name, code },
                    SagaEvent::UndoingBegun { turned },
                ]
            }
        }
    }

    fn failed(
        &self,
        definition: &SagaDefinition,
        step: String,
        failure: String,
        refused: Option<Refusals>,
        now: Timestamp,
    ) -> Events<S> {
        let trying = self.trying.as_ref();
        let tries = trying.map_or(0, |trying| trying.tries).saturating_add(1);
        let wait = definition.wait_after(tries, chance(now, tries));
        let mut events = vec![SagaEvent::TryFailed {
            step: step.clone(),
            tries,
            failure: failure.clone(),
            retry_at: later(now, wait),
            refused,
        }];
        let is_known = trying.is_some_and(|trying| trying.needs_attention);
        if tries >= definition.tries && !is_known {
            events.push(SagaEvent::AttentionNeeded { step, failure });
        }
        events
    }

    fn cancelled(&self, actor: String, reason: String) -> Result<Events<S>, SagaRefusal> {
        if self.end.is_some() {
            return Err(SagaRefusal::Ended);
        }
        if self.turned.is_some() {
            return Ok(Vec::new());
        }
        if self.is_past_return() {
            return Err(SagaRefusal::PastPivot);
        }
        let turned = Turned::Cancelled { actor, reason };
        Ok(vec![SagaEvent::UndoingBegun { turned }])
    }
}

fn later(now: Timestamp, time: Duration) -> Timestamp {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.micros().saturating_add(micros))
}

/// A number below 1,000 that looks like chance, and is the same for the same moment: decisions draw nothing.
fn chance(now: Timestamp, tries: u32) -> u32 {
    let mixed = now
        .micros()
        .unsigned_abs()
        .wrapping_add(u64::from(tries))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed.wrapping_shr(33) % 1_000).unwrap_or(0)
}
