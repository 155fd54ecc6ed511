//! The contract of an event store. Whatever fulfils it passes the suite in
//! [`testing::contract`](crate::testing::contract).

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::sync::watch;

use crate::command::{CommandContext, Fingerprint};
use crate::event::{NewEvent, RecordedEvent};
use crate::filter::{Filter, Page};
use crate::id::{CommandId, EventIds, StoreId};
use crate::snapshot::Snapshot;
use crate::stream::{BatchSize, ExpectedVersion, Position, StreamId, Version};

/// A boxed error of whatever lies beneath a store.
pub type StoreSource = Box<dyn std::error::Error + Send + Sync + 'static>;

/// An append-only store of events in streams.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// The identity of this store. Positions of two stores cannot be compared.
    fn store_id(&self) -> StoreId;

    /// Records the outcome of one command: its events on one or several streams, or its refusal.
    ///
    /// All of it is recorded or none. A command id that was recorded before changes nothing: the
    /// first outcome is returned as [`AppendStatus::AlreadyApplied`], however the streams have
    /// moved on since. That check comes first, so a repeat never turns into a conflict.
    ///
    /// # Ordering
    ///
    /// The events take the next positions, in the order of the request. No reader can see a
    /// position before all smaller ones are there to be read.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; only [`AppendError::OutcomeUnknown`] leaves open whether it was recorded.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the outcome unknown. Ask [`outcome`](Self::outcome), or send the
    /// same command again.
    async fn append(&self, request: Append) -> Result<Appended, AppendError>;

    /// What was recorded for a command, if anything was.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    async fn outcome(&self, command: CommandId) -> Result<Option<Outcome>, ReadError>;

    /// The events of one stream with versions above `after`, ascending, at most `limit` of them.
    ///
    /// A stream that was never written is empty, not an error.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError>;

    /// The events of one stream with versions below `before`, the latest first, at most `limit`.
    ///
    /// [`Version::MAX`] starts at the end.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    async fn read_stream_backwards(
        &self,
        stream: &StreamId,
        before: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError>;

    /// The events of the whole store with positions above `after`, ascending, at most `limit`.
    ///
    /// Fewer than `limit` means that the end was reached.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    async fn read_all(
        &self,
        after: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError>;

    /// The events of the whole store with positions below `before`, the latest first, at most
    /// `limit`.
    ///
    /// [`Position::MAX`] starts at the end.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    async fn read_all_backwards(
        &self,
        before: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError>;

    /// The events with positions above `after` that `filter` admits, ascending, at most `limit`.
    ///
    /// [`Page::through`] says how far was looked, so that a reader moves on past what it does not
    /// want. A page without events that was looked through no further than `after` is the end.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    async fn read_filtered(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError>;

    /// The position of the last event, [`Position::START`] when there is none.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    async fn head(&self) -> Result<Position, ReadError>;

    /// The latest snapshot of a stream with this version of the state's shape.
    ///
    /// A store may keep none.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; loading without a snapshot is always possible.
    async fn snapshot(
        &self,
        stream: &StreamId,
        state_version: u16,
    ) -> Result<Option<Snapshot>, ReadError> {
        let _ = (stream, state_version);
        Ok(None)
    }

    /// Keeps a snapshot in place of an older one of the same shape, or does not.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; it is safe to ignore.
    async fn keep_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), ReadError> {
        let _ = (stream, snapshot);
        Ok(())
    }

    /// A hint of the latest position that this process has appended, to wake readers with.
    ///
    /// Other processes append too, so a reader that waits on it polls with a deadline as well.
    fn appended(&self) -> watch::Receiver<Position>;

    /// How many connections were opened to read it.
    ///
    /// Behind a new connection may be another server, which was restored or promoted, and nothing
    /// else need tell of it: the connection before it may have ended while nobody used it. A reader
    /// that goes on compares its checkpoint whenever this has changed. It never does where there are
    /// no connections.
    fn connections_opened(&self) -> u64 {
        0
    }
}

#[async_trait]
impl<S: EventStore + ?Sized> EventStore for std::sync::Arc<S> {
    fn store_id(&self) -> StoreId {
        (**self).store_id()
    }

    async fn append(&self, request: Append) -> Result<Appended, AppendError> {
        (**self).append(request).await
    }

    async fn outcome(&self, command: CommandId) -> Result<Option<Outcome>, ReadError> {
        (**self).outcome(command).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        (**self).read_stream(stream, after, limit).await
    }

    async fn read_stream_backwards(
        &self,
        stream: &StreamId,
        before: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        (**self).read_stream_backwards(stream, before, limit).await
    }

    async fn read_all(
        &self,
        after: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        (**self).read_all(after, limit).await
    }

    async fn read_all_backwards(
        &self,
        before: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        (**self).read_all_backwards(before, limit).await
    }

    async fn read_filtered(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        (**self).read_filtered(filter, after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        (**self).head().await
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        state_version: u16,
    ) -> Result<Option<Snapshot>, ReadError> {
        (**self).snapshot(stream, state_version).await
    }

    async fn keep_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), ReadError> {
        (**self).keep_snapshot(stream, snapshot).await
    }

    fn appended(&self) -> watch::Receiver<Position> {
        (**self).appended()
    }

    fn connections_opened(&self) -> u64 {
        (**self).connections_opened()
    }
}

/// One command's request to a store.
#[derive(Debug, Clone)]
pub struct Append {
    /// Whose outcome this is.
    pub context: CommandContext,
    /// What the command asked for, as a fingerprint.
    pub fingerprint: Fingerprint,
    /// The streams that take part, each at most once.
    ///
    /// A stream without events is a condition: its version is checked, nothing is written to it.
    pub writes: Vec<StreamWrite>,
    /// The refusal to record in place of events; then no stream may have events.
    pub refusal: Option<Vec<u8>>,
}

impl Append {
    /// The request to record the events in `writes`.
    #[must_use]
    pub const fn events(
        context: CommandContext,
        fingerprint: Fingerprint,
        writes: Vec<StreamWrite>,
    ) -> Self {
        Self {
            context,
            fingerprint,
            writes,
            refusal: None,
        }
    }

    /// The request to record that the command was refused, provided `conditions` still hold.
    #[must_use]
    pub fn refusal(
        context: CommandContext,
        fingerprint: Fingerprint,
        conditions: Vec<(StreamId, ExpectedVersion)>,
        refusal: Vec<u8>,
    ) -> Self {
        Self {
            context,
            fingerprint,
            writes: conditions
                .into_iter()
                .map(|(stream, expected)| StreamWrite {
                    stream,
                    expected,
                    events: Vec::new(),
                })
                .collect(),
            refusal: Some(refusal),
        }
    }

    /// The ids that its events are recorded by. They come of everything that the events and the states after them come
    /// of: what was asked, what each stream ended with, and the events. So through the event that each stream ended with
    /// an id names the whole history before it.
    #[must_use]
    pub fn event_ids(&self) -> EventIds {
        let mut hash = Sha256::new_with_prefix(self.fingerprint.as_bytes());
        let mut text = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        for write in &self.writes {
            text(write.stream.category().as_bytes());
            text(write.stream.id().as_bytes());
            text(&write.expected.to_bytes());
            text(&(write.events.len() as u64).to_be_bytes());
            for event in &write.events {
                text(event.event_type.as_bytes());
                text(&event.schema_version.to_be_bytes());
                text(&event.payload);
            }
        }
        EventIds::new(self.context.id, hash.finalize().into())
    }

    /// Checks what every store asks of a request, whatever it holds.
    ///
    /// # Errors
    ///
    /// [`InvalidAppend`] when a stream stands in it twice, an event's type contains NUL, or a
    /// refusal comes with events.
    pub fn check(&self) -> Result<(), InvalidAppend> {
        let mut streams: Vec<&StreamId> = self.writes.iter().map(|write| &write.stream).collect();
        streams.sort_unstable();
        let twice = streams
            .iter()
            .zip(streams.iter().skip(1))
            .find(|(a, b)| a == b);
        if let Some((stream, _)) = twice {
            return Err(InvalidAppend::StreamTwice {
                stream: (*stream).clone(),
            });
        }
        let mut events = self.writes.iter().flat_map(|write| &write.events);
        if let Some(event) = events.find(|event| event.event_type.contains('\0')) {
            return Err(InvalidAppend::EventType {
                event_type: event.event_type.clone(),
            });
        }
        if self.refusal.is_some() && self.writes.iter().any(|write| !write.events.is_empty()) {
            return Err(InvalidAppend::RefusalWithEvents);
        }
        Ok(())
    }
}

/// What one command does to one stream.
#[derive(Debug, Clone)]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamId,
    /// What the writer believes about it.
    pub expected: ExpectedVersion,
    /// The events to add, in order.
    pub events: Vec<NewEvent>,
}

/// The recorded outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Whether this call recorded it, or an earlier one had.
    pub status: AppendStatus,
    /// What is on record.
    pub outcome: Outcome,
}

/// Whether a call recorded an outcome or found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendStatus {
    /// This call recorded it.
    Executed,
    /// It was on record already; this call changed nothing.
    AlreadyApplied,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It caused these events, at least one, in position order.
    Committed(Vec<RecordedEvent>),
    /// It was accepted and caused no event.
    Empty,
    /// It was refused, and this is the refusal as it was recorded.
    Refused(Vec<u8>),
}

/// Why nothing was recorded, or, in one case, why that is not known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A stream was not as the writer believed. Load it again, decide again.
    #[error("stream {stream} is at version {actual}, expected {expected}")]
    VersionConflict {
        /// The stream.
        stream: StreamId,
        /// What the writer believed.
        expected: ExpectedVersion,
        /// Its last version; [`Version::NONE`] when it has no event.
        actual: Version,
    },
    /// The command id was used before, for something else.
    #[error("command {command} was used before for a different request")]
    CommandReused {
        /// The command id.
        command: CommandId,
    },
    /// The request contradicts itself.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),
    /// The store could not be reached, or asks to try again; nothing was recorded.
    #[error("the event store cannot append now, try again")]
    Unavailable(#[source] StoreSource),
    /// The store answered with a failure; nothing was recorded.
    #[error("the event store refused the append")]
    Failed(#[source] StoreSource),
    /// The connection broke after the request was sent. Ask [`EventStore::outcome`] for `command`.
    #[error("the connection broke before the outcome of command {command} was known")]
    OutcomeUnknown {
        /// The command id.
        command: CommandId,
        /// How the connection broke.
        source: StoreSource,
    },
}

/// How a request contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidAppend {
    /// One stream is named twice.
    #[error("stream {stream} stands in the request twice")]
    StreamTwice {
        /// The stream.
        stream: StreamId,
    },
    /// An event's type cannot be stored as text.
    #[error("the event type {event_type:?} contains a NUL character")]
    EventType {
        /// The refused type.
        event_type: String,
    },
    /// It refuses and writes at once.
    #[error("a refusal cannot come with events")]
    RefusalWithEvents,
}

/// Why a read gave no answer. It never ends a read early as if that were the end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store could not be reached.
    #[error("the event store cannot be reached")]
    Unavailable(#[source] StoreSource),
    /// The store answered with a failure.
    #[error("the event store failed to read")]
    Failed(#[source] StoreSource),
    /// What is stored cannot be right.
    #[error("the event at position {position} is corrupt: {what}")]
    Corrupt {
        /// Where.
        position: Position,
        /// What is wrong with it.
        what: String,
    },
}
