//! The event store that keeps everything in memory: for tests, examples and small tools.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use crate::command::Fingerprint;
use crate::event::RecordedEvent;
use crate::filter::{Filter, Page};
use crate::id::{CommandId, StoreId};
use crate::snapshot::Snapshot;
use crate::store::{Append, AppendError, AppendStatus, Appended, EventStore, Outcome, ReadError};
use crate::stream::{BatchSize, Position, StreamId, Version};
use crate::time::Timestamp;

/// An [`EventStore`] in memory. It fulfils the whole contract but outliving the process.
pub struct InMemoryStore {
    store_id: StoreId,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    // The std mutex, not tokio's: it is never held across an await, and an append is short.
    records: Mutex<Records>,
    appended: watch::Sender<Position>,
}

#[derive(Default)]
struct Records {
    /// The event at position n stands at index n - 1.
    events: Vec<RecordedEvent>,
    /// For each stream the indices of its events; version n stands at n - 1.
    streams: BTreeMap<StreamId, Vec<usize>>,
    commands: BTreeMap<CommandId, (Fingerprint, Outcome)>,
    snapshots: BTreeMap<(StreamId, u16), Snapshot>,
}

impl InMemoryStore {
    /// An empty store that records events with the times that `clock` tells.
    #[must_use]
    pub fn new(store_id: StoreId, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            store_id,
            clock: Box::new(clock),
            records: Mutex::default(),
            appended: watch::Sender::new(Position::START),
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        // Nothing in a locked section can panic half-way through a change: every change is prepared
        // first and then pushed. So a poisoned lock still guards whole records.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for InMemoryStore {
    /// An empty store whose clock stands still at the epoch.
    fn default() -> Self {
        Self::new(StoreId::from_uuid(Uuid::nil()), || {
            Timestamp::from_micros(0)
        })
    }
}

impl fmt::Debug for InMemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryStore")
            .field("store_id", &self.store_id)
            .field("events", &self.records().events.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for InMemoryStore {
    fn store_id(&self) -> StoreId {
        self.store_id
    }

    async fn append(&self, request: Append) -> Result<Appended, AppendError> {
        request.check()?;
        let mut records = self.records();
        let command = request.context.id;
        if let Some((fingerprint, outcome)) = records.commands.get(&command) {
            if *fingerprint != request.fingerprint {
                return Err(AppendError::CommandReused { command });
            }
            return Ok(Appended {
                status: AppendStatus::AlreadyApplied,
                outcome: outcome.clone(),
            });
        }
        for write in &request.writes {
            let last = records.last(&write.stream);
            let actual = last.map_or(Version::NONE, |event| event.version);
            if !write
                .expected
                .admits(actual, last.map(|event| event.event_id))
            {
                return Err(AppendError::VersionConflict {
                    stream: write.stream.clone(),
                    expected: write.expected,
                    actual,
                });
            }
        }
        let fingerprint = request.fingerprint;
        let outcome = match request.refusal.clone() {
            Some(refusal) => Outcome::Refused(refusal),
            None => {
                let now = records.not_before_last((self.clock)());
                let events = records.number(request, now)?;
                records.push(&events);
                if events.is_empty() {
                    Outcome::Empty
                } else {
                    Outcome::Committed(events)
                }
            }
        };
        records
            .commands
            .insert(command, (fingerprint, outcome.clone()));
        let head = records.head();
        drop(records);
        self.appended.send_replace(head);
        Ok(Appended {
            status: AppendStatus::Executed,
            outcome,
        })
    }

    async fn outcome(&self, command: CommandId) -> Result<Option<Outcome>, ReadError> {
        let records = self.records();
        Ok(records
            .commands
            .get(&command)
            .map(|(_, outcome)| outcome.clone()))
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let records = self.records();
        let indices = records.streams.get(stream).map_or(&[][..], Vec::as_slice);
        Ok(indices
            .iter()
            .skip(count(after.number()))
            .take(count(limit.events()))
            .filter_map(|index| records.events.get(*index).cloned())
            .collect())
    }

    async fn read_stream_backwards(
        &self,
        stream: &StreamId,
        before: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let records = self.records();
        let indices = records.streams.get(stream).map_or(&[][..], Vec::as_slice);
        Ok(indices
            .iter()
            .take(count(before.number()).saturating_sub(1))
            .rev()
            .take(count(limit.events()))
            .filter_map(|index| records.events.get(*index).cloned())
            .collect())
    }

    async fn read_all(
        &self,
        after: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let records = self.records();
        Ok(records
            .events
            .iter()
            .skip(count(after.number()))
            .take(count(limit.events()))
            .cloned()
            .collect())
    }

    async fn read_all_backwards(
        &self,
        before: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let records = self.records();
        Ok(records
            .events
            .iter()
            .take(count(before.number()).saturating_sub(1))
            .rev()
            .take(count(limit.events()))
            .cloned()
            .collect())
    }

    async fn read_filtered(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        let records = self.records();
        let events: Vec<_> = records
            .events
            .iter()
            .skip(count(after.number()))
            .filter(|event| filter.admits(event))
            .take(count(limit.events()))
            .cloned()
            .collect();
        let is_full = count(limit.events()) == events.len();
        let through = match events.last() {
            Some(last) if is_full => last.position,
            _ => records.head().max(after),
        };
        Ok(Page { events, through })
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.records().head())
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        state_version: u16,
    ) -> Result<Option<Snapshot>, ReadError> {
        let key = (stream.clone(), state_version);
        Ok(self.records().snapshots.get(&key).cloned())
    }

    async fn keep_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), ReadError> {
        let key = (stream.clone(), snapshot.state_version);
        self.records().snapshots.insert(key, snapshot);
        Ok(())
    }

    fn appended(&self) -> watch::Receiver<Position> {
        self.appended.subscribe()
    }
}

impl Records {
    fn head(&self) -> Position {
        self.events
            .last()
            .map_or(Position::START, |event| event.position)
    }

    fn last(&self, stream: &StreamId) -> Option<&RecordedEvent> {
        let index = self.streams.get(stream)?.last()?;
        self.events.get(*index)
    }

    /// Recorded time never runs backwards, even when the clock does.
    fn not_before_last(&self, now: Timestamp) -> Timestamp {
        self.events
            .last()
            .map_or(now, |event| event.recorded_at.max(now))
    }

    fn number(&self, request: Append, now: Timestamp) -> Result<Vec<RecordedEvent>, AppendError> {
        let metadata = serde_json::to_vec(&request.context.metadata())
            .map_err(|error| AppendError::Failed(Box::new(error)))?;
        let metadata = Bytes::from(metadata);
        let ids = request.event_ids();
        let mut position = self.head();
        let mut events = Vec::new();
        for write in request.writes {
            let last = self.last(&write.stream);
            let mut version = last.map_or(Version::NONE, |event| event.version);
            for event in write.events {
                position = position.plus(1);
                version = version.plus(1);
                events.push(RecordedEvent {
                    position,
                    stream: write.stream.clone(),
                    version,
                    event_id: ids.nth(events.len()),
                    event_type: event.event_type.into(),
                    schema_version: event.schema_version,
                    command_id: request.context.id,
                    recorded_at: now,
                    payload: event.payload.into(),
                    metadata: metadata.clone(),
                });
            }
        }
        Ok(events)
    }

    fn push(&mut self, events: &[RecordedEvent]) {
        for event in events {
            let index = self.events.len();
            self.streams
                .entry(event.stream.clone())
                .or_default()
                .push(index);
            self.events.push(event.clone());
        }
    }
}

/// A count of stored things, which is never negative and always fits memory.
fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    crate::event_store_contract!(async { Arc::new(InMemoryStore::default()) });
}
