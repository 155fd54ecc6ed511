//! What the cases are written with.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::command::{Actor, CommandContext, Fingerprint};
use crate::event::{NewEvent, RecordedEvent};
use crate::id::CommandId;
use crate::store::{Append, AppendError, AppendStatus, Appended, EventStore, Outcome, StreamWrite};
use crate::stream::{BatchSize, ExpectedVersion, Position, StreamId, Version};

/// Appends `events` numbered events to stream `name` under a command of its own.
pub(super) async fn append(
    store: &impl EventStore,
    name: &str,
    expected: ExpectedVersion,
    events: i64,
) -> Result<Appended, AppendError> {
    store
        .append(request(vec![write(name, expected, events)]))
        .await
}

pub(super) fn stream(name: &str) -> StreamId {
    StreamId::new("contract", name).unwrap()
}

pub(super) fn version(number: i64) -> Version {
    Version::new(number).unwrap()
}

pub(super) fn position(number: i64) -> Position {
    Position::new(number).unwrap()
}

pub(super) fn write(name: &str, expected: ExpectedVersion, events: i64) -> StreamWrite {
    let event = |number: i64| NewEvent {
        event_type: "Counted".to_owned(),
        schema_version: 1,
        payload: format!("{{\"number\":{number}}}").into_bytes(),
    };
    StreamWrite {
        stream: stream(name),
        expected,
        events: (1..=events).map(event).collect(),
    }
}

/// A context whose command id no other call of this process has.
pub(super) fn context() -> CommandContext {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    CommandContext::new(
        CommandId::derived(&["contract", &number]),
        Actor::anonymous(),
    )
}

pub(super) fn request(writes: Vec<StreamWrite>) -> Append {
    Append::events(context(), Fingerprint::of(&[b"contract"]), writes)
}

pub(super) fn refusal(conditions: Vec<(StreamId, ExpectedVersion)>, refusal: &[u8]) -> Append {
    Append::refusal(
        context(),
        Fingerprint::of(&[b"contract"]),
        conditions,
        refusal.to_vec(),
    )
}

#[track_caller]
pub(super) fn committed(result: Result<Appended, AppendError>) -> Vec<RecordedEvent> {
    match result.unwrap() {
        Appended {
            status: AppendStatus::Executed,
            outcome: Outcome::Committed(events),
        } => events,
        other => panic!("expected new events, got {other:?}"),
    }
}

#[track_caller]
pub(super) fn assert_conflict(
    result: Result<Appended, AppendError>,
    name: &str,
    wanted: ExpectedVersion,
    found: i64,
) {
    match result {
        Err(AppendError::VersionConflict {
            stream,
            expected,
            actual,
        }) => {
            assert_eq!(stream.id(), name);
            assert_eq!(expected, wanted);
            assert_eq!(actual.number(), found);
        }
        other => panic!("expected a version conflict, got {other:?}"),
    }
}

#[track_caller]
pub(super) fn assert_reused(result: &Result<Appended, AppendError>, id: CommandId) {
    assert!(
        matches!(result, Err(AppendError::CommandReused { command }) if *command == id),
        "{result:?}"
    );
}

pub(super) async fn read_stream(store: &impl EventStore, name: &str) -> Vec<RecordedEvent> {
    store
        .read_stream(&stream(name), Version::NONE, BatchSize::default())
        .await
        .unwrap()
}

pub(super) async fn read_all(store: &impl EventStore) -> Vec<RecordedEvent> {
    store
        .read_all(Position::START, BatchSize::default())
        .await
        .unwrap()
}

pub(super) async fn read_all_in_pages(
    store: &impl EventStore,
    page: BatchSize,
) -> Vec<RecordedEvent> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    loop {
        let after = events.last().map_or(Position::START, |last| last.position);
        let batch = store.read_all(after, page).await.unwrap();
        if batch.is_empty() {
            return events;
        }
        events.extend(batch);
    }
}

pub(super) fn places(events: &[RecordedEvent]) -> Vec<(i64, i64)> {
    events
        .iter()
        .map(|event| (event.position.number(), event.version.number()))
        .collect()
}

pub(super) fn positions(events: &[RecordedEvent]) -> Vec<i64> {
    events.iter().map(|event| event.position.number()).collect()
}

pub(super) fn versions(events: &[RecordedEvent]) -> Vec<i64> {
    events.iter().map(|event| event.version.number()).collect()
}

pub(super) fn one_to(last: usize) -> Vec<i64> {
    (1..=i64::try_from(last).unwrap()).collect()
}
