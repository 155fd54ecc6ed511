//! Load, decide, append; on a conflict load again and decide again, within a budget.

use std::fmt::Debug;

use folio_core::event::{DecodeError, EncodeError};
use folio_core::store::{
    Append, AppendError, AppendStatus, EventStore, Outcome, ReadError, StreamWrite,
};
use folio_core::stream::InvalidStreamId;
use folio_core::{
    Aggregate, BatchSize, CommandContext, CommandId, ExpectedVersion, Fingerprint, NewEvent,
    Position, RecordedEvent, StreamId, Version, replay,
};
use thiserror::Error;

/// How often a command is decided again after a conflict before its caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries(pub u32);

impl Default for Retries {
    /// 32: on a stream where 32 others won in turn, one more try would not be the last.
    fn default() -> Self {
        Self(32)
    }
}

/// Carries out commands against a store.
#[derive(Debug, Clone)]
pub struct Executor<S> {
    store: S,
    retries: Retries,
}

/// A command's outcome, with what it left behind.
#[derive(Debug, Clone)]
pub struct Reply<A: Aggregate> {
    /// Whether this call carried it out or an earlier one had.
    pub executed: Executed,
    /// Accepted or refused.
    pub verdict: Verdict<A>,
}

/// Whether a call carried a command out, or found that it had been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executed {
    /// This call did.
    Now,
    /// An earlier one had; this call changed nothing and answers what that one was answered.
    Before,
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

impl<S: EventStore> Executor<S> {
    /// An executor on `store`.
    #[must_use]
    pub const fn new(store: S, retries: Retries) -> Self {
        Self { store, retries }
    }

    /// The store it writes to.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Carries out `command` on the aggregate `A` named `id`.
    ///
    /// A command whose id is on record is answered from the record, refusals included. A refusal,
    /// and a decision of no events, is recorded under the condition that the stream is still as it
    /// was read: what is answered was true of the latest state, not of a stale one.
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
        let stream = StreamId::new(A::CATEGORY, id)?;
        let fingerprint = fingerprint::<A>(id, &command)?;
        let mut conflict = None;
        for _ in 0..=self.retries.0 {
            let loaded = self.load::<A>(&stream).await?;
            let request = decide(
                &stream,
                &loaded,
                command.clone(),
                context.clone(),
                fingerprint,
            )?;
            match self.store.append(request).await {
                Ok(appended) => {
                    let executed = match appended.status {
                        AppendStatus::Executed => Executed::Now,
                        AppendStatus::AlreadyApplied => Executed::Before,
                    };
                    let verdict = self
                        .verdict(executed, &stream, loaded, appended.outcome)
                        .await?;
                    return Ok(Reply { executed, verdict });
                }
                Err(AppendError::VersionConflict { actual, .. }) => {
                    metrics::counter!("folio_command_conflicts_total", "category" => A::CATEGORY)
                        .increment(1);
                    tracing::debug!(%stream, %actual, "decided on an old version, deciding again");
                    conflict = Some(actual);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ExecuteError::Contended {
            stream,
            retries: self.retries.0,
            version: conflict.unwrap_or(Version::NONE),
        })
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
        let stream = StreamId::new(A::CATEGORY, id)?;
        self.replay_stream::<A>(&stream, until)
            .await
            .map(|loaded| (loaded.state, loaded.version))
    }

    async fn load<A: Aggregate>(&self, stream: &StreamId) -> Result<Loaded<A>, ExecuteError> {
        self.replay_stream(stream, |_| true).await
    }

    async fn replay_stream<A: Aggregate>(
        &self,
        stream: &StreamId,
        until: impl Fn(&RecordedEvent) -> bool,
    ) -> Result<Loaded<A>, ExecuteError> {
        let page = BatchSize::default();
        let mut loaded = Loaded {
            state: None,
            version: Version::NONE,
        };
        loop {
            let events = self.store.read_stream(stream, loaded.version, page).await?;
            let full = i64::try_from(events.len()).is_ok_and(|count| count == page.events());
            for event in &events {
                if !until(event) {
                    return Ok(loaded);
                }
                loaded.apply(event)?;
            }
            if !full {
                return Ok(loaded);
            }
        }
    }

    async fn verdict<A: Aggregate>(
        &self,
        executed: Executed,
        stream: &StreamId,
        mut loaded: Loaded<A>,
        outcome: Outcome,
    ) -> Result<Verdict<A>, ExecuteError> {
        match outcome {
            Outcome::Refused(refusal) => serde_json::from_slice(&refusal)
                .map(Verdict::Refused)
                .map_err(ExecuteError::Refusal),
            Outcome::Empty => Ok(Verdict::Accepted {
                events: Vec::new(),
                state: loaded.state,
                version: loaded.version,
                position: self.store.head().await?,
            }),
            Outcome::Committed(events) => {
                let (version, position) = events
                    .last()
                    .map_or((loaded.version, Position::START), |last| {
                        (last.version, last.position)
                    });
                match executed {
                    Executed::Now => {
                        for event in &events {
                            loaded.apply(event)?;
                        }
                    }
                    // The stream may have moved on; the answer is the state as it was then.
                    Executed::Before => {
                        loaded = self
                            .replay_stream(stream, |event| event.version <= version)
                            .await?;
                    }
                }
                Ok(Verdict::Accepted {
                    events,
                    state: loaded.state,
                    version,
                    position,
                })
            }
        }
    }
}

/// An aggregate as it was read.
struct Loaded<A> {
    state: Option<A>,
    version: Version,
}

impl<A: Aggregate> Loaded<A> {
    fn apply(&mut self, event: &RecordedEvent) -> Result<(), ExecuteError> {
        let expected = self.version.plus(1);
        if event.version != expected {
            return Err(ExecuteError::Gap {
                stream: event.stream.clone(),
                expected,
                found: event.version,
            });
        }
        self.state = replay(self.state.take(), [event])?;
        self.version = event.version;
        Ok(())
    }
}

fn decide<A: Aggregate>(
    stream: &StreamId,
    loaded: &Loaded<A>,
    command: A::Command,
    context: CommandContext,
    fingerprint: Fingerprint,
) -> Result<Append, ExecuteError> {
    let expected = ExpectedVersion::Exact(loaded.version);
    match A::decide(loaded.state.as_ref(), command) {
        Ok(events) => {
            let events = events
                .iter()
                .map(NewEvent::encode)
                .collect::<Result<_, _>>()?;
            let write = StreamWrite {
                stream: stream.clone(),
                expected,
                events,
            };
            Ok(Append::events(context, fingerprint, vec![write]))
        }
        Err(refusal) => {
            let refusal = serde_json::to_vec(&refusal).map_err(ExecuteError::Refusal)?;
            let condition = (stream.clone(), expected);
            Ok(Append::refusal(
                context,
                fingerprint,
                vec![condition],
                refusal,
            ))
        }
    }
}

/// What makes two commands the same: the aggregate, and what is asked of it.
fn fingerprint<A: Aggregate>(id: &str, command: &A::Command) -> Result<Fingerprint, ExecuteError> {
    let command = serde_json::to_vec(command).map_err(ExecuteError::Command)?;
    Ok(Fingerprint::of(&[
        A::CATEGORY.as_bytes(),
        id.as_bytes(),
        &command,
    ]))
}

/// Why a command has no verdict.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The id cannot name a stream.
    #[error(transparent)]
    InvalidStream(#[from] InvalidStreamId),
    /// The command's id was used before, for something else.
    #[error("command {command} was used before for a different request")]
    CommandReused {
        /// The command id.
        command: CommandId,
    },
    /// Others were faster, every time. Nothing was recorded.
    #[error(
        "stream {stream} changed {retries} times while the command was decided; it is at version {version}"
    )]
    Contended {
        /// The stream.
        stream: StreamId,
        /// How often the command was decided again.
        retries: u32,
        /// The version that the last try met.
        version: Version,
    },
    /// The store did not record an outcome, or it is not known whether it did.
    #[error("the outcome was not recorded")]
    Append(#[source] AppendError),
    /// The store could not be read.
    #[error("the aggregate cannot be loaded")]
    Read(#[from] ReadError),
    /// A stored event cannot be read.
    #[error("the aggregate cannot be replayed")]
    Decode(#[from] DecodeError),
    /// A stream has a hole.
    #[error("stream {stream} has version {found} where {expected} belongs")]
    Gap {
        /// The stream.
        stream: StreamId,
        /// The version that is missing.
        expected: Version,
        /// What stands in its place.
        found: Version,
    },
    /// A decided event cannot be stored.
    #[error("a decided event cannot be stored")]
    Encode(#[from] EncodeError),
    /// A command cannot be serialised, so it has no fingerprint.
    #[error("the command cannot be serialised")]
    Command(#[source] serde_json::Error),
    /// A refusal cannot be stored or read back.
    #[error("the refusal cannot be stored or read back")]
    Refusal(#[source] serde_json::Error),
}

impl From<AppendError> for ExecuteError {
    fn from(error: AppendError) -> Self {
        if let AppendError::CommandReused { command } = error {
            Self::CommandReused { command }
        } else {
            Self::Append(error)
        }
    }
}
