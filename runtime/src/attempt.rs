//! One try of a command: load, decide, append.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use folio_core::joint::{Caused, Part, Participant, States};
use folio_core::store::{
    Append, AppendError, AppendStatus, Appended, EventStore, Outcome, StreamWrite,
};
use folio_core::{CommandContext, ExpectedVersion, Fingerprint, Reuse};

use crate::cache::{Current, Held, Key};
use crate::error::ExecuteError;
use crate::executor::Executor;

/// What a command causes, or its refusal as it will be recorded.
pub(crate) type Decision = Result<Vec<Caused>, Vec<u8>>;

/// A recorded outcome, with the participants right after it where this call recorded it.
pub(crate) struct Done {
    pub(crate) appended: Appended,
    pub(crate) after: Vec<Current>,
}

/// What is taken to be so of an aggregate that a command [creates](Part::Create) and that is not in
/// memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assume {
    /// There is none.
    New,
    /// Nothing: it was wrong once.
    Nothing,
}

/// One try: load, decide, append.
///
/// What was decided is in the cache before it is recorded, for the next command to be decided on. If
/// it is not recorded, or that is not known, or nobody waits to know it, it is taken out again.
pub(crate) struct Attempt<'a, S: EventStore> {
    executor: &'a Executor<S>,
    participants: &'a [Participant],
    keys: &'a [Key],
    /// For each participant the loading that its state goes back to; none where it is as it should be.
    generations: Vec<Option<u64>>,
}

type Appending<'a> = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send + 'a>>;

/// A decision on its way to the store.
struct Decided<'a> {
    append: tokio::task::Unconstrained<Appending<'a>>,
    /// What the first poll of the append gave.
    first: Poll<Result<Appended, AppendError>>,
    after: Vec<Current>,
}

impl<'a, S: EventStore> Attempt<'a, S> {
    pub(crate) fn new(
        executor: &'a Executor<S>,
        participants: &'a [Participant],
        keys: &'a [Key],
    ) -> Self {
        Self {
            executor,
            participants,
            keys,
            generations: vec![None; keys.len()],
        }
    }

    pub(crate) async fn run(
        mut self,
        context: &CommandContext,
        fingerprint: Fingerprint,
        assume: Assume,
        decide: &(impl Fn(&States<'_>) -> Result<Decision, ExecuteError> + Sync),
    ) -> Result<Done, ExecuteError> {
        let executor = self.executor;
        // Mostly all are in memory, and then each is looked up once.
        let mut loaded: Vec<Option<Current>> = Vec::new();
        let Decided {
            append,
            first,
            after,
        } = loop {
            let decided = poll_fn(|task| {
                Poll::Ready(self.decide(&loaded, assume, context, fingerprint, decide, task))
            });
            if let Some(decided) = decided.await? {
                break decided;
            }
            for (participant, key) in self.participants.iter().zip(self.keys) {
                loaded.push(match must_be_loaded(participant, assume) {
                    true => Some(executor.load(participant, key).await?),
                    false => None,
                });
            }
        };
        let appended = match first {
            Poll::Ready(appended) => appended?,
            Poll::Pending => append.await?,
        };
        if appended.status == AppendStatus::Executed {
            self.generations.fill(None);
            self.let_go(&after);
            if let Outcome::Committed(events) = &appended.outcome {
                executor
                    .keep_snapshots(self.participants, self.keys, &after, events)
                    .await;
            }
        }
        Ok(Done { appended, after })
    }

    /// Decides and hands the append over, in one go under the cache's lock: what is decided later is
    /// handed over later, so that it arrives after what it builds on. None where a state has to be loaded first.
    fn decide(
        &mut self,
        loaded: &[Option<Current>],
        assume: Assume,
        context: &CommandContext,
        fingerprint: Fingerprint,
        decide: &impl Fn(&States<'_>) -> Result<Decision, ExecuteError>,
        task: &mut std::task::Context<'_>,
    ) -> Result<Option<Decided<'a>>, ExecuteError> {
        let executor = self.executor;
        let mut held = executor.cache().lock();
        let Some(before) = self.before(&mut held, loaded, assume) else {
            return Ok(None);
        };
        let states = before.iter().map(|current| current.state.clone()).collect();
        let states = States::new(self.participants, states);
        let decision = decide(&states)?;
        states.check()?;

        let mut after = before.clone();
        let mut writes = self.conditions(&before)?;
        let refusal = match decision {
            Ok(caused) => {
                self.apply(caused, &mut after, &mut writes)?;
                None
            }
            Err(refusal) => Some(refusal),
        };
        let events: Vec<_> = writes.iter().map(|write| write.events.len()).collect();
        // An aggregate that is only written to, and was not, is no condition.
        let parts = self.participants.iter().map(Participant::part);
        let writes = parts
            .zip(writes)
            .filter(|(part, write)| part.is_read() || !write.events.is_empty())
            .map(|(_, write)| write)
            .collect();
        let request = Append {
            context: context.clone(),
            fingerprint,
            writes,
            refusal,
        };
        // Ids of events count in the order in which they are written, stream by stream.
        let event_ids = request.event_ids();
        let mut next = 0_usize;
        for (current, events) in after.iter_mut().zip(events) {
            next = next.saturating_add(events);
            if events > 0 {
                current.last_event = Some(event_ids.nth(next.saturating_sub(1)));
            }
        }

        // Without this a task that has done much already would be told to wait before its append
        // is handed over.
        let mut append = tokio::task::unconstrained(executor.store().append(request));
        let first = Pin::new(&mut append).poll(task);
        let advanced = self
            .participants
            .iter()
            .zip(self.keys)
            .zip(&before)
            .zip(&after);
        for ((((participant, key), before), after), generation) in
            advanced.zip(&mut self.generations)
        {
            match participant.part() {
                Part::AppendOnly => held.remove(key),
                Part::Read | Part::Create => {
                    *generation = Some(before.generation);
                    if before.version != after.version {
                        let (key, kind) = (key.clone(), participant.kind());
                        executor
                            .cache()
                            .advance(&mut held, key, kind, after.clone());
                    }
                }
            }
        }
        Ok(Some(Decided {
            append,
            first,
            after,
        }))
    }

    /// Takes out the states that nobody is likely to ask for again, now that they are in the store.
    fn let_go(&self, after: &[Current]) {
        let participants = self.participants.iter().zip(self.keys).zip(after);
        let mut seldom = participants
            .filter(|((participant, _), _)| participant.kind().reuse == Reuse::Unlikely)
            .peekable();
        if seldom.peek().is_none() {
            return;
        }
        let mut held = self.executor.cache().lock();
        for ((_, key), current) in seldom {
            held.drop_version(key, current);
        }
    }

    /// What is decided on, unless something of it is neither in memory nor was loaded.
    fn before(
        &self,
        held: &mut Held,
        loaded: &[Option<Current>],
        assume: Assume,
    ) -> Option<Vec<Current>> {
        let mut loaded = loaded.iter();
        let participants = self.participants.iter().zip(self.keys);
        participants
            .map(|(participant, key)| {
                let loaded = loaded.next().and_then(Option::as_ref);
                // Others may have been decided since the state was loaded, or it was pushed out already.
                let found = held.get(key).or(loaded).cloned();
                if found.is_some() || must_be_loaded(participant, assume) {
                    return found;
                }
                Some(match participant.part() {
                    Part::Read | Part::Create => held.assume_new(),
                    Part::AppendOnly => Current::default(),
                })
            })
            .collect()
    }

    /// For each participant what the store must find, and no events yet.
    fn conditions(&self, before: &[Current]) -> Result<Vec<StreamWrite>, ExecuteError> {
        let participants = self.participants.iter().zip(self.keys).zip(before);
        Ok(participants
            .map(|((participant, key), current)| StreamWrite {
                stream: key.stream.clone(),
                expected: match participant.part() {
                    Part::Read | Part::Create => current.expected(),
                    Part::AppendOnly => ExpectedVersion::Any,
                },
                events: Vec::new(),
            })
            .collect())
    }

    /// Folds what was caused into the states, and puts it down to be written.
    fn apply(
        &self,
        caused: Vec<Caused>,
        after: &mut [Current],
        writes: &mut [StreamWrite],
    ) -> Result<(), ExecuteError> {
        for caused in caused {
            let index = caused.participant(self.participants)?;
            if let (Some(current), Some(write)) = (after.get_mut(index), writes.get_mut(index)) {
                current.state = caused.evolve(std::mem::take(&mut current.state));
                current.version = current.version.plus(1);
                write.events.push(caused.into_event()?);
            }
        }
        Ok(())
    }
}

/// Whether nothing can be decided without its state.
fn must_be_loaded(participant: &Participant, assume: Assume) -> bool {
    match participant.part() {
        Part::Read => true,
        Part::Create => assume == Assume::Nothing,
        Part::AppendOnly => false,
    }
}

impl<S: EventStore> Drop for Attempt<'_, S> {
    fn drop(&mut self) {
        if self.generations.iter().all(Option::is_none) {
            return;
        }
        let mut held = self.executor.cache().lock();
        for (key, generation) in self.keys.iter().zip(&self.generations) {
            if let Some(generation) = generation {
                held.drop_generation(key, *generation);
            }
        }
    }
}
