//! Carries sagas on: does what a log plans, and puts on record what came of it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use folio_core::saga::{Heard, Plan, Saga, SagaCommand, SagaEnd, SagaLog, SagaRefusal, StepId};
use folio_core::{
    Actor, Aggregate, Cause, CommandContext, CommandId, CorrelationId, EventStore, Position,
    ReadError, RecordedEvent, Timestamp, Version,
};
use thiserror::Error;

use crate::error::ExecuteError;
use crate::executor::Executor;
use crate::reply::Verdict;

/// Those whom a saga asks.
///
/// # What is asked of them
///
/// Each knows a step by its [`StepId`]: it does it once, answers the same again, and once it is undone does not do
/// it any more, also where it is undone before it was asked. What it has refused is asked by another one, until it is
/// done. What is not known to be done or refused is [`Heard::Unknown`]; that it may be done is what the saga counts on.
pub trait Participants<S: Saga>: Send + Sync + 'static {
    /// Asks for a step.
    fn ask(&self, call: StepCall<'_, S>) -> impl Future<Output = Said<S::Answer>> + Send;

    /// Has a step undone, whether it was done or not.
    fn undo(&self, call: StepCall<'_, S>) -> impl Future<Output = Said<S::Answer>> + Send;
}

/// What a participant has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<A> {
    /// What.
    pub heard: Heard<A>,
    /// The event in its own store by which it did what was asked, where it tells.
    pub by: Option<Cause>,
}

impl<A> From<Heard<A>> for Said<A> {
    fn from(heard: Heard<A>) -> Self {
        Self { heard, by: None }
    }
}

/// Tells a saga what time it is.
pub trait SagaClock: Send + Sync + 'static {
    /// What time it is.
    fn now(&self) -> impl Future<Output = Result<Timestamp, ReadError>> + Send;
}

/// A step that is asked for, or undone.
pub struct StepCall<'a, S: Saga> {
    /// The step.
    pub step: &'static str,
    /// By what the participant knows it, or its undo.
    pub id: StepId<'a>,
    /// The saga: what was ordered, and what the steps before it came to.
    pub saga: &'a SagaLog<S>,
    /// The event of its log after which this is called: the cause of what the participant puts on record.
    pub cause: Cause,
    /// What all that the saga causes has in common.
    pub correlation_id: CorrelationId,
}

/// Carries the sagas of one kind on. Clones are the same one.
///
/// Any number of drivers, of any number of processes, may drive one saga: what each hears is put on record once, and
/// participants know a step again. All that a driver keeps is in the log, so one that is dropped is as one that was
/// never there.
///
/// A saga of one's own:
///
/// ```
/// use std::sync::LazyLock;
/// use std::time::Duration;
///
/// use folio_core::saga::{Heard, Saga, SagaDefinition, SagaEnd, Step};
/// use folio_core::{Actor, InMemoryStore, ReadError, Timestamp};
/// use folio_runtime::{
///     Driven, Executor, Participants, Said, SagaClock, SagaDriver, SagaError, StepCall,
/// };
///
/// /// A journey: a seat and a room, or neither.
/// #[derive(Debug, Clone, PartialEq)]
/// struct Journey;
///
/// // A journey can be taken back until it is charged, or this would be none.
/// static STEPS: LazyLock<Option<SagaDefinition>> = LazyLock::new(|| {
///     SagaDefinition::new(1, Duration::from_secs(600), vec![
///         Step::compensatable("reserve seat", "give seat back"),
///         Step::compensatable("reserve room", "give room back"),
///         Step::pivot("charge"),
///         Step::retriable("send tickets"),
///     ])
///     .ok()
/// });
///
/// impl Saga for Journey {
///     const CATEGORY: &'static str = "journey";
///     const NEWEST: u32 = 1;
///     type Order = String; // where to
///     type Answer = u32; // what was reserved
///     fn definition(version: u32) -> Option<&'static SagaDefinition> {
///         STEPS.as_ref().filter(|_| version == 1)
///     }
/// }
///
/// struct Agency;
/// impl Participants<Journey> for Agency {
///     async fn ask(&self, call: StepCall<'_, Journey>) -> Said<u32> {
///         // Here one would send a request under `call.id.command()`, by which it is known again.
///         match (call.step, call.saga.order.as_str()) {
///             ("reserve room", "Atlantis") => Heard::Refused { code: "no_rooms".to_owned() },
///             _ => Heard::Done(7),
///         }
///         .into()
///     }
///     async fn undo(&self, _: StepCall<'_, Journey>) -> Said<u32> {
///         Heard::Undone.into()
///     }
/// }
///
/// struct Midnight;
/// impl SagaClock for Midnight {
///     async fn now(&self) -> Result<Timestamp, ReadError> {
///         Ok(Timestamp::from_micros(0))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), SagaError> {
/// let executor = Executor::new(InMemoryStore::default()); // or a store on PostgreSQL
/// let journeys = SagaDriver::<Journey, _, _, _>::new(executor, Agency, Midnight, Actor::anonymous());
/// journeys.begin("to Paris", "Paris".to_owned()).await?;
/// assert_eq!(journeys.drive("to Paris").await?, Driven::Ended(SagaEnd::Completed));
///
/// journeys.begin("to Atlantis", "Atlantis".to_owned()).await?;
/// assert_eq!(journeys.drive("to Atlantis").await?, Driven::Ended(SagaEnd::Undone));
/// # Ok(())
/// # }
/// ```
pub struct SagaDriver<S: Saga, E, P, C> {
    executor: Executor<E>,
    participants: Arc<P>,
    clock: Arc<C>,
    actor: Actor,
    saga: PhantomData<fn() -> S>,
}

/// Where a saga is that was driven on as far as it goes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driven {
    /// It has ended.
    Ended(SagaEnd),
    /// There is nothing to do until then.
    Waits(Timestamp),
    /// This program does not have the definition that it goes by.
    Foreign,
}

/// Why a saga was not carried on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SagaError {
    /// It does not do that.
    #[error(transparent)]
    Refused(#[from] SagaRefusal),
    /// Its log was not written to, or it is not known whether it was. It can be driven on.
    #[error("the saga's log was not written to")]
    Log(#[from] ExecuteError),
    /// The time is not known.
    #[error("the saga's clock does not tell the time")]
    Clock(#[source] ReadError),
}

impl<S, E, P, C> SagaDriver<S, E, P, C>
where
    S: Saga,
    E: EventStore,
    P: Participants<S>,
    C: SagaClock,
{
    /// A driver that writes logs by `executor`, in the name of `actor`.
    pub fn new(executor: Executor<E>, participants: P, clock: C, actor: Actor) -> Self {
        Self {
            executor,
            participants: Arc::new(participants),
            clock: Arc::new(clock),
            actor,
            saga: PhantomData,
        }
    }

    /// Begins the saga `id`. One that was begun with the same order is left as it is.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether it was begun; beginning it again tells.
    pub async fn begin(&self, id: &str, order: S::Order) -> Result<(), SagaError> {
        self.begin_for(id, order, correlated::<S>(id)).await
    }

    /// The same for a request: its correlation id is that of all that the saga causes, whoever drives it.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_for(
        &self,
        id: &str,
        order: S::Order,
        correlation_id: CorrelationId,
    ) -> Result<(), SagaError> {
        let now = self.now().await?;
        let begin = SagaCommand::Begin { order, now };
        let none = OnRecord::<S> {
            saga: None,
            version: Version::NONE,
            position: Position::START,
            correlation_id,
        };
        self.note(id, &none, now, begin, None).await.map(|_| ())
    }

    /// Has a saga turn back, before its pivot is asked. It has to be driven on to do so.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    pub async fn cancel(&self, id: &str, by: &Actor, reason: &str) -> Result<(), SagaError> {
        let (actor, reason) = (by.to_string(), reason.to_owned());
        self.told(id, SagaCommand::Cancel { actor, reason }).await
    }

    /// Has a saga that waits to try again do so at once. It has to be driven on to do so.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    pub async fn retry(&self, id: &str, by: &Actor, reason: &str) -> Result<(), SagaError> {
        let (actor, reason) = (by.to_string(), reason.to_owned());
        self.told(id, SagaCommand::Retry { actor, reason }).await
    }

    /// A saga as it is on record.
    ///
    /// # Errors
    ///
    /// [`SagaError`].
    pub async fn look(&self, id: &str) -> Result<Option<SagaLog<S>>, SagaError> {
        Ok(self.on_record(id).await?.saga)
    }

    /// Drives a saga on until it has ended or has to wait.
    ///
    /// # Errors
    ///
    /// [`SagaError`]; it can be driven on later.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what was asked is on record, and is asked again.
    pub async fn drive(&self, id: &str) -> Result<Driven, SagaError> {
        let mut log = self.on_record(id).await?;
        loop {
            let now = self.now().await?;
            let saga = log.saga.as_ref().ok_or(SagaRefusal::NotBegun)?;
            let refusals = saga.refusals();
            let (step, said) = match (saga.plan(now), saga.end) {
                (_, Some(end)) => return Ok(Driven::Ended(end)),
                (Plan::Wait(until), None) => return Ok(Driven::Waits(until)),
                (Plan::Foreign, None) => return Ok(Driven::Foreign),
                (Plan::Advance | Plan::Ended, None) => {
                    log = self
                        .go_on(id, &log, now, SagaCommand::Advance { now }, None)
                        .await?;
                    continue;
                }
                (Plan::Ask(step), None) => {
                    let call = self.call(saga, &log, id, step, step);
                    (step, self.participants.ask(call).await)
                }
                (Plan::Undo { step, undo }, None) => {
                    let call = self.call(saga, &log, id, step, undo);
                    (step, self.participants.undo(call).await)
                }
            };
            let Said { heard, by } = said;
            tracing::debug!(
                category = S::CATEGORY,
                saga = id,
                step,
                ?heard,
                "a saga has heard"
            );
            let (now, step) = (self.now().await?, step.to_owned());
            let hear = SagaCommand::Hear {
                step,
                heard,
                refusals,
                now,
            };
            log = self.go_on(id, &log, now, hear, by).await?;
        }
    }

    async fn now(&self) -> Result<Timestamp, SagaError> {
        self.clock.now().await.map_err(SagaError::Clock)
    }

    /// What is committed, and not what is on its way: what a participant is asked has to be on record.
    async fn on_record(&self, id: &str) -> Result<OnRecord<S>, SagaError> {
        let last = AtomicI64::new(Position::START.number());
        let correlation_id = OnceLock::new();
        let everything = |event: &RecordedEvent| {
            last.store(event.position.number(), Ordering::Relaxed);
            if event.version == Version::NONE.plus(1) {
                // One that cannot be read leaves the saga with an id of its own.
                let metadata = event.decode_metadata().ok();
                metadata.map(|metadata| correlation_id.set(metadata.correlation_id));
            }
            true
        };
        let replayed = self.executor.replay_until::<SagaLog<S>>(id, everything);
        let (saga, version) = replayed.await?;
        Ok(OnRecord {
            saga,
            version,
            position: Position::new(last.into_inner()).unwrap_or(Position::START),
            correlation_id: correlation_id
                .into_inner()
                .unwrap_or_else(|| correlated::<S>(id)),
        })
    }

    async fn told(
        &self,
        id: &str,
        command: SagaCommand<S::Order, S::Answer>,
    ) -> Result<(), SagaError> {
        let now = self.now().await?;
        let log = self.on_record(id).await?;
        self.note(id, &log, now, command, None).await.map(|_| ())
    }

    /// Puts something on record, and answers what is there then.
    async fn go_on(
        &self,
        id: &str,
        log: &OnRecord<S>,
        now: Timestamp,
        command: SagaCommand<S::Order, S::Answer>,
        cause: Option<Cause>,
    ) -> Result<OnRecord<S>, SagaError> {
        match self.note(id, log, now, command, cause).await? {
            Some(log) => Ok(log),
            // Somebody else has put it there.
            None => self.on_record(id).await,
        }
    }

    /// Puts something on record; none where there was nothing to put.
    async fn note(
        &self,
        id: &str,
        log: &OnRecord<S>,
        now: Timestamp,
        command: SagaCommand<S::Order, S::Answer>,
        cause: Option<Cause>,
    ) -> Result<Option<OnRecord<S>>, SagaError> {
        // Another name each time, and the same where the same is noted twice.
        let (version, now) = (log.version.to_string(), now.micros().to_string());
        let what = serde_json::to_string(&command).unwrap_or_default();
        let name = ["saga log", S::CATEGORY, id, &version, &now, &what];
        let context = CommandContext {
            correlation_id: log.correlation_id,
            cause,
            ..CommandContext::new(CommandId::derived(&name), self.actor.clone())
        };
        let noted = self.executor.execute::<SagaLog<S>>(id, command, context);
        match noted.await?.verdict {
            Verdict::Accepted { events, .. } if events.is_empty() => Ok(None),
            Verdict::Accepted {
                state,
                version,
                position,
                ..
            } => Ok(Some(OnRecord {
                saga: state,
                version,
                position,
                correlation_id: log.correlation_id,
            })),
            Verdict::Refused(refusal) => Err(refusal.into()),
        }
    }

    fn call<'a>(
        &self,
        saga: &'a SagaLog<S>,
        log: &OnRecord<S>,
        id: &'a str,
        step: &'static str,
        name: &'a str,
    ) -> StepCall<'a, S> {
        StepCall {
            step,
            id: StepId {
                category: <SagaLog<S> as Aggregate>::CATEGORY,
                saga: id,
                step: name,
                refusals: saga.refusals(),
            },
            saga,
            cause: Cause {
                store_id: self.executor.store().store_id(),
                position: log.position,
            },
            correlation_id: log.correlation_id,
        }
    }
}

/// A saga, as it is on record.
struct OnRecord<S: Saga> {
    saga: Option<SagaLog<S>>,
    version: Version,
    /// Where its last event is.
    position: Position,
    correlation_id: CorrelationId,
}

/// What a saga has in common with all that it causes, where it was begun for no request.
fn correlated<S: Saga>(id: &str) -> CorrelationId {
    let saga = CommandId::derived(&["saga", S::CATEGORY, id]);
    CorrelationId::from_uuid(saga.as_uuid())
}

impl<S: Saga, E: Clone, P, C> Clone for SagaDriver<S, E, P, C> {
    fn clone(&self) -> Self {
        Self {
            executor: self.executor.clone(),
            participants: Arc::clone(&self.participants),
            clock: Arc::clone(&self.clock),
            actor: self.actor.clone(),
            saga: PhantomData,
        }
    }
}

impl<S: Saga, E, P, C> fmt::Debug for SagaDriver<S, E, P, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaDriver")
            .field("category", &S::CATEGORY)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

impl<S: Saga> fmt::Debug for StepCall<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepCall")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
