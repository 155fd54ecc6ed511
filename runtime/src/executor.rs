//! Carries out commands: decides on the states in memory, appends, and on a conflict loads and decides
//! again, within a budget.
//!
//! A state in memory is what the store has and what is on its way there. So many commands on one
//! aggregate are decided one after another without waiting for each other's commit, and their
//! appends travel together. What makes that right is the condition on every append: the stream's
//! last event must be the one that was decided on, by its id. Where it is not, nothing is recorded.

use std::sync::Arc;

use folio_core::joint::{Caused, JointCommand, Participant, States};
use folio_core::store::{AppendError, AppendStatus, Appended, EventStore, Outcome};
use folio_core::stream::InvalidStreamId;
use folio_core::{
    Aggregate, BatchSize, CommandContext, EventHash, Fingerprint, Position, RecordedEvent,
    Snapshot, StreamId, Version,
};
use futures_util::future::join;
use futures_util::stream::FuturesOrdered;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;

use crate::attempt::{Assume, Attempt, Decision, Done};
use crate::cache::{Current, Key, StateCache};
use crate::error::ExecuteError;
use crate::reply::{JointReply, JointVerdict, Reply, StatesAfter, Verdict};

/// The size of a page of a stream that does not end on the first one: large enough for the round trip
/// not to count, small enough that little is left to be folded when the last one is there.
const LONG_PAGE: BatchSize = match BatchSize::new(2_000) {
    Some(size) => size,
    None => BatchSize::ONE,
};

/// Pages of a long stream on their way: one that the server works on, and one that is taken in.
const AHEAD: usize = 2;

/// How often a command is decided again after a conflict before its caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries(pub u32);

impl Default for Retries {
    /// 32: on a stream where 32 others won in turn, one more try would not be the last.
    fn default() -> Self {
        Self(32)
    }
}

/// How much memory the states of aggregates may take, in bytes, by what the aggregates tell of their
/// [weight](Aggregate::weight). With 0 every command loads what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheBytes(pub usize);

impl Default for CacheBytes {
    /// 256 MiB: about half a million small accounts.
    fn default() -> Self {
        Self(256 << 20)
    }
}

/// Carries out commands against a store. Its clones share one cache of states.
#[derive(Debug, Clone)]
pub struct Executor<S> {
    store: S,
    retries: Retries,
    cache: Arc<StateCache>,
}

impl<S: EventStore> Executor<S> {
    /// An executor on `store`.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self {
            store,
            retries: Retries::default(),
            cache: Arc::new(StateCache::new(CacheBytes::default().0)),
        }
    }

    /// With another budget of retries.
    #[must_use]
    pub fn with_retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }

    /// With another bound on the states in memory, and none in it yet.
    #[must_use]
    pub fn with_cache(self, bytes: CacheBytes) -> Self {
        Self {
            cache: Arc::new(StateCache::new(bytes.0)),
            ..self
        }
    }

    /// The store it writes to.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// How many bytes the states in memory take now, by what the aggregates tell.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Carries out `command` on the aggregate `A` named `id`.
    ///
    /// A command whose id is on record is answered from the record, refusals included. A refusal,
    /// and a decision of no events, is recorded under the condition that the stream is still as it
    /// was decided on: what is answered was true of the latest state, not of a stale one. A repeat is
    /// answered with the state right after its events, and one that caused none with the state that is
    /// recorded now.
    ///
    /// # Errors
    ///
    /// [`ExecuteError`]. A refusal is no error but a [`Verdict`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the command was carried out. Send it again with the
    /// same id.
    pub async fn execute<A: Aggregate>(
        &self,
        id: &str,
        command: A::Command,
        context: CommandContext,
    ) -> Result<Reply<A>, ExecuteError> {
        let participants = [Participant::read::<A>(id)];
        let asked = serde_json::to_vec(&command).map_err(ExecuteError::Command)?;
        let fingerprint =
            Fingerprint::of(&[A::CATEGORY.as_bytes(), id.as_bytes(), asked.as_slice()]);
        let decide = |states: &States<'_>| match A::decide(states.of::<A>(id), command.clone()) {
            Ok(events) => Ok(Ok(events
                .into_iter()
                .map(|event| Caused::on::<A>(id, event))
                .collect())),
            Err(refusal) => serde_json::to_vec(&refusal)
                .map(Err)
                .map_err(ExecuteError::Refusal),
        };
        let done = self
            .carry_out(&participants, &context, fingerprint, decide)
            .await?;
        let status = done.appended.status;
        let (events, position) = match self.accepted(done.appended.outcome).await? {
            Ok(accepted) => accepted,
            Err(refusal) => {
                let verdict = Verdict::Refused(read_refusal(&refusal)?);
                return Ok(Reply { status, verdict });
            }
        };
        let (state, version) = match (status, events.last(), done.after.first()) {
            // The stream may have moved on; the answer is the state as it was then.
            (AppendStatus::AlreadyApplied, Some(last), _) => {
                let until = last.version;
                self.replay_until::<A>(id, |event| event.version <= until)
                    .await?
            }
            // What it was decided on is not on record, and what is decided now may come to nothing.
            (AppendStatus::AlreadyApplied, None, _) => self.replay_until::<A>(id, |_| true).await?,
            (_, _, Some(current)) => (current.state.of::<A>().cloned(), current.version),
            (_, _, None) => (None, Version::NONE),
        };
        let verdict = Verdict::Accepted {
            events,
            state,
            version,
            position,
        };
        Ok(Reply { status, verdict })
    }

    /// Carries out a command that is decided on several aggregates: all of its events are recorded
    /// or none, and only if none of the aggregates that it read has moved on.
    ///
    /// # Errors
    ///
    /// [`ExecuteError`]. A refusal is no error but a [`JointVerdict`].
    ///
    /// # Cancel safety
    ///
    /// As [`execute`](Self::execute).
    pub async fn execute_jointly<C: JointCommand>(
        &self,
        command: &C,
        context: CommandContext,
    ) -> Result<JointReply<C::Refusal>, ExecuteError> {
        let participants = command.participants();
        let done = self
            .decide_jointly(command, &participants, &context)
            .await?;
        let after = done.after;
        let mut reply = self.joint_reply(done.appended).await?;
        let JointVerdict::Accepted { events, states, .. } = &mut reply.verdict else {
            return Ok(reply);
        };
        for (index, participant) in participants.into_iter().enumerate() {
            let stream = participant.stream()?;
            let last = events.iter().rfind(|event| event.stream == stream);
            let Some(last) = last.filter(|_| participant.part().is_read()) else {
                continue;
            };
            let current = match (reply.status, after.get(index)) {
                (AppendStatus::Executed, Some(current)) => current.clone(),
                // The stream may have moved on; the answer is the state as it was then.
                _ => {
                    let until = |event: &RecordedEvent| event.version <= last.version;
                    self.replay(&participant, &stream, Current::default(), until)
                        .await?
                }
            };
            states.put(participant, current);
        }
        Ok(reply)
    }

    /// As [`execute_jointly`](Self::execute_jointly), for a caller that needs no states: a repeated
    /// command is answered from its record alone, however long the streams are that it wrote to.
    ///
    /// # Errors
    ///
    /// As `execute_jointly`.
    ///
    /// # Cancel safety
    ///
    /// As `execute_jointly`.
    pub async fn record_jointly<C: JointCommand>(
        &self,
        command: &C,
        context: CommandContext,
    ) -> Result<JointReply<C::Refusal>, ExecuteError> {
        let participants = command.participants();
        let done = self
            .decide_jointly(command, &participants, &context)
            .await?;
        self.joint_reply(done.appended).await
    }

    /// The state of the aggregate `A` named `id`, and its version, by replay of its events up to
    /// and including the last one that `until` admits.
    ///
    /// # Errors
    ///
    /// [`ExecuteError`].
    pub async fn replay_until<A: Aggregate>(
        &self,
        id: &str,
        until: impl Fn(&RecordedEvent) -> bool,
    ) -> Result<(Option<A>, Version), ExecuteError> {
        let participant = Participant::read::<A>(id);
        let stream = participant.stream()?;
        let current = self
            .replay(&participant, &stream, Current::default(), until)
            .await?;
        Ok((current.state.of::<A>().cloned(), current.version))
    }

    /// The state of the aggregate `A` named `id` that a command would be decided on now, and its version:
    /// what is recorded, and what is decided and on its way there.
    ///
    /// It is for what a command is made of. What is on its way may come to nothing, so nobody is told
    /// of it; the command that is made of it is recorded after it or not at all.
    ///
    /// # Errors
    ///
    /// [`ExecuteError`].
    pub async fn latest<A: Aggregate>(
        &self,
        id: &str,
    ) -> Result<(Option<A>, Version), ExecuteError> {
        let participant = Participant::read::<A>(id);
        let key = Key::new(participant.kind(), participant.stream()?);
        let current = self.load(&participant, &key).await?;
        Ok((current.state.of::<A>().cloned(), current.version))
    }

    async fn decide_jointly<C: JointCommand>(
        &self,
        command: &C,
        participants: &[Participant],
        context: &CommandContext,
    ) -> Result<Done, ExecuteError> {
        let fingerprint = command.fingerprint().map_err(ExecuteError::Command)?;
        let decide = |states: &States<'_>| match command.decide(states) {
            Ok(caused) => Ok(Ok(caused)),
            Err(refusal) => serde_json::to_vec(&refusal)
                .map(Err)
                .map_err(ExecuteError::Refusal),
        };
        self.carry_out(participants, context, fingerprint, decide)
            .await
    }

    /// What was recorded, without states.
    async fn joint_reply<R: DeserializeOwned>(
        &self,
        appended: Appended,
    ) -> Result<JointReply<R>, ExecuteError> {
        let status = appended.status;
        let verdict = match self.accepted(appended.outcome).await? {
            Ok((events, position)) => JointVerdict::Accepted {
                events,
                states: StatesAfter::default(),
                position,
            },
            Err(refusal) => JointVerdict::Refused(read_refusal(&refusal)?),
        };
        Ok(JointReply { status, verdict })
    }

    pub(crate) fn cache(&self) -> &StateCache {
        &self.cache
    }

    /// Decides and appends until there is an outcome.
    #[tracing::instrument(level = "debug", name = "command", skip_all, fields(
        command = %context.id,
        correlation = %context.correlation_id,
        aggregate = participants.first().map(|first| first.kind().category),
    ))]
    async fn carry_out(
        &self,
        participants: &[Participant],
        context: &CommandContext,
        fingerprint: Fingerprint,
        decide: impl Fn(&States<'_>) -> Result<Decision, ExecuteError> + Sync,
    ) -> Result<Done, ExecuteError> {
        let keys = participants
            .iter()
            .map(|participant| Ok(Key::new(participant.kind(), participant.stream()?)))
            .collect::<Result<Vec<_>, InvalidStreamId>>()?;
        let mut retries_left = self.retries.0;
        let mut assume = Assume::New;
        loop {
            let attempt = Attempt::new(self, participants, &keys);
            match attempt.run(context, fingerprint, assume, &decide).await {
                Err(ExecuteError::Append(AppendError::VersionConflict {
                    stream,
                    expected,
                    actual,
                })) => {
                    let category = stream.category().to_owned();
                    metrics::counter!("folio_command_conflicts_total", "category" => category)
                        .increment(1);
                    tracing::debug!(%stream, %expected, %actual, "decided on an old state");
                    if retries_left == 0 {
                        return Err(ExecuteError::Contended {
                            stream,
                            retries: self.retries.0,
                            version: actual,
                        });
                    }
                    retries_left = retries_left.saturating_sub(1);
                    assume = Assume::Nothing;
                }
                done => return done,
            }
        }
    }

    /// The events of an outcome with the position up to which it is decided, or the refusal.
    async fn accepted(
        &self,
        outcome: Outcome,
    ) -> Result<Result<(Vec<RecordedEvent>, Position), Vec<u8>>, ExecuteError> {
        Ok(match outcome {
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Empty => Ok((Vec::new(), self.store.head().await?)),
            Outcome::Committed(events) => {
                let position = events.last().map_or(Position::START, |last| last.position);
                Ok((events, position))
            }
        })
    }

    /// The state of a participant, out of the cache or, if it is not there, loaded into it.
    pub(crate) async fn load(
        &self,
        participant: &Participant,
        key: &Key,
    ) -> Result<Current, ExecuteError> {
        if let Some(current) = self.cache.lock().get(key) {
            return Ok(current.clone());
        }
        let loading = self.cache.loading(key);
        let _turn = loading.turn().await;
        if let Some(current) = self.cache.lock().get(key) {
            return Ok(current.clone());
        }
        let loaded = self.load_from_store(participant, &key.stream).await?;
        Ok(self
            .cache
            .put_loaded(key.clone(), participant.kind(), loaded))
    }

    async fn load_from_store(
        &self,
        participant: &Participant,
        stream: &StreamId,
    ) -> Result<Current, ExecuteError> {
        let from = self.snapshot(participant, stream).await?;
        self.replay(participant, stream, from.unwrap_or_default(), |_| true)
            .await
    }

    /// The state that a snapshot keeps, if there is one and the stream has the event that it was
    /// taken after. One that is corrupt, ahead of the stream or of another history is passed over.
    async fn snapshot(
        &self,
        participant: &Participant,
        stream: &StreamId,
    ) -> Result<Option<Current>, ExecuteError> {
        let Some(snapshots) = participant.kind().snapshots else {
            return Ok(None);
        };
        let kept = self.store.snapshot(stream, snapshots.state_version).await;
        let Ok(Some(kept)) = kept else {
            return Ok(None);
        };
        let Some(state) = (snapshots.restore)(&kept.state) else {
            tracing::warn!(%stream, version = %kept.version, "a snapshot cannot be read and is passed over");
            return Ok(None);
        };
        let before = Version::NONE.plus(kept.version.number().saturating_sub(1));
        let events = self
            .store
            .read_stream(stream, before, BatchSize::ONE)
            .await?;
        match events.first() {
            Some(event) if EventHash::of(event) == kept.event => Ok(Some(Current {
                state,
                version: event.version,
                last_event: Some(event.event_id),
                generation: 0,
            })),
            _ => {
                tracing::warn!(%stream, version = %kept.version, "a snapshot does not belong to its stream and is passed over");
                Ok(None)
            }
        }
    }

    async fn replay(
        &self,
        participant: &Participant,
        stream: &StreamId,
        mut current: Current,
        until: impl Fn(&RecordedEvent) -> bool,
    ) -> Result<Current, ExecuteError> {
        let first = BatchSize::default();
        let mut events = self
            .store
            .read_stream(stream, current.version, first)
            .await?;
        let mut asked = events.last().map_or(current.version, |last| last.version);
        let is_full = i64::try_from(events.len()).is_ok_and(|count| count == first.events());
        // Most streams end on the first page. How far one goes that does not is asked, so that no
        // page is on its way that is not there.
        let end = if is_full {
            self.end(stream).await?
        } else {
            asked
        };
        let mut pages = FuturesOrdered::new();
        loop {
            // Versions have no gaps, so where a page begins is known before the one before it is
            // there. The next ones are on their way while this one is folded.
            while pages.len() < AHEAD && asked < end {
                pages.push_back(self.store.read_stream(stream, asked, LONG_PAGE));
                asked = asked.plus(LONG_PAGE.events());
            }
            let folded = async { fold(participant, &mut current, &events, &until) };
            let (next, folded) = join(pages.try_next(), folded).await;
            if folded? == Folded::Until {
                // A read that is dropped would cost its connection.
                while pages.next().await.is_some() {}
                return Ok(current);
            }
            let Some(next) = next? else {
                break;
            };
            events = next;
        }
        if current.version < end {
            return Err(ExecuteError::Gap {
                stream: stream.clone(),
                expected: current.version.plus(1),
                found: end,
            });
        }
        Ok(current)
    }

    /// The version of a stream's last event.
    async fn end(&self, stream: &StreamId) -> Result<Version, ExecuteError> {
        let last = self
            .store
            .read_stream_backwards(stream, Version::MAX, BatchSize::ONE)
            .await?;
        Ok(last.first().map_or(Version::NONE, |last| last.version))
    }

    /// Keeps the states that a command has brought past a multiple of the snapshots' interval.
    /// Whatever goes wrong with that, the command was carried out.
    pub(crate) async fn keep_snapshots(
        &self,
        participants: &[Participant],
        keys: &[Key],
        after: &[Current],
        events: &[RecordedEvent],
    ) {
        for ((participant, key), current) in participants.iter().zip(keys).zip(after) {
            let Some(snapshots) = participant.kind().snapshots else {
                continue;
            };
            let mut own = events.iter().filter(|event| event.stream == key.stream);
            let (Some(first), every) = (own.next(), i64::from(snapshots.every.max(1))) else {
                continue;
            };
            let last = own.next_back().unwrap_or(first);
            let before = first.version.number().saturating_sub(1);
            if before.div_euclid(every) == last.version.number().div_euclid(every)
                || last.version != current.version
            {
                continue;
            }
            let Some(state) = (snapshots.save)(&current.state) else {
                continue;
            };
            let snapshot = Snapshot {
                state_version: snapshots.state_version,
                version: last.version,
                event: EventHash::of(last),
                state,
            };
            if let Err(error) = self.store.keep_snapshot(&key.stream, snapshot).await {
                tracing::warn!(stream = %key.stream, %error, "a snapshot was not kept");
            }
        }
    }
}

/// How far a page was folded.
#[derive(PartialEq, Eq)]
enum Folded {
    All,
    /// Up to the first event that was not wanted.
    Until,
}

fn fold(
    participant: &Participant,
    current: &mut Current,
    events: &[RecordedEvent],
    until: impl Fn(&RecordedEvent) -> bool,
) -> Result<Folded, ExecuteError> {
    let wanted = events.iter().take_while(|event| until(event)).count();
    let (wanted, unwanted) = events.split_at(wanted);
    let mut version = current.version;
    for event in wanted {
        version = version.plus(1);
        if event.version != version {
            return Err(ExecuteError::Gap {
                stream: event.stream.clone(),
                expected: version,
                found: event.version,
            });
        }
    }
    if let Some(last) = wanted.last() {
        // Taken out, because folding takes the state and may fail; then nobody asks for it again.
        let state = std::mem::take(&mut current.state);
        current.state = (participant.kind().fold)(state, wanted)?;
        current.version = version;
        current.last_event = Some(last.event_id);
    }
    Ok(if unwanted.is_empty() {
        Folded::All
    } else {
        Folded::Until
    })
}

fn read_refusal<R: DeserializeOwned>(refusal: &[u8]) -> Result<R, ExecuteError> {
    serde_json::from_slice(refusal).map_err(ExecuteError::Refusal)
}
