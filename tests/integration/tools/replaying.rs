//! What the tests of replays share: a store as the command reads it, and what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use folio_core::store::{Append, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, EventStore, ExpectedVersion, Fingerprint,
    InMemoryStore, NewEvent, Position, RecordedEvent, StreamId,
};
use folio_operator::{Desk, Finding, OperatorError, ReplayArgs, Style, replay};
use folio_postgres::{Database, PostgresStore};
use folio_projections::Projection;
use folio_tests::api::Api;
use folio_tests::postgres::{self, BookDatabases};
use ledger::aggregates::aggregates;
use serde_json::Value;
use tokio::sync::watch;

pub(super) async fn store_of(databases: &BookDatabases) -> Arc<PostgresStore> {
    Arc::new(
        PostgresStore::open(&databases.accounts.events, 2)
            .await
            .unwrap(),
    )
}

pub(super) async fn events_of(store: &impl EventStore) -> Vec<RecordedEvent> {
    store
        .read_all(Position::START, BatchSize::default())
        .await
        .unwrap()
}

/// The positions at which an append ends.
pub(super) fn ends(events: &[RecordedEvent]) -> Vec<Position> {
    let next = events.iter().skip(1).map(|event| Some(event.command_id));
    let pairs = events.iter().zip(next.chain([None]));
    let last = pairs.filter(|(event, next)| *next != Some(event.command_id));
    last.map(|(event, _)| event.position).collect()
}

pub(super) fn is_of(event: &RecordedEvent, stream: &str) -> bool {
    event.stream.to_string() == stream
}

pub(super) fn time(event: &RecordedEvent) -> String {
    let at = chrono::DateTime::from_timestamp_micros(event.recorded_at.micros()).unwrap();
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

pub(super) async fn get(api: &Api, path: &str) -> Value {
    let answer = api.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

pub(super) fn same(replayed: &Value, answered: &Value, field: &str, query: &str) {
    assert_eq!(
        replayed["state"][field], answered[field],
        "{field} of {query}"
    );
}

pub(super) fn nothing() -> ReplayArgs {
    ReplayArgs {
        stream: None,
        projection: None,
        at_version: None,
        at_position: None,
        at_time: None,
        effective: None,
        known_at: None,
        steps: false,
        format: Style::Json,
    }
}

pub(super) fn at_version(version: i64) -> ReplayArgs {
    ReplayArgs {
        at_version: Some(version),
        ..nothing()
    }
}

pub(super) fn at_time(event: &RecordedEvent) -> ReplayArgs {
    ReplayArgs {
        at_time: Some(event.recorded_at),
        ..nothing()
    }
}

pub(super) async fn state(store: &impl EventStore, stream: &str, arguments: ReplayArgs) -> Value {
    let text = replay_in(store, &[], stream, arguments).await.unwrap();
    serde_json::from_str(&text).unwrap()
}

pub(super) async fn replay_in(
    store: &dyn EventStore,
    projections: &[Projection],
    stream: &str,
    arguments: ReplayArgs,
) -> Result<String, OperatorError> {
    let (category, id) = stream.split_once('/').unwrap();
    let stream = Some(StreamId::new(category, id).unwrap());
    let arguments = ReplayArgs {
        stream,
        ..arguments
    };
    let (finding, text) = replayed(store, projections, arguments).await?;
    assert_eq!(finding, Finding::Clean);
    Ok(text)
}

/// `ledger replay`, and what it says.
pub(super) async fn replayed(
    store: &dyn EventStore,
    projections: &[Projection],
    arguments: ReplayArgs,
) -> Result<(Finding, String), OperatorError> {
    let (_stop, stop) = watch::channel(false);
    let mut out = Vec::new();
    let mut desk = Desk {
        projections,
        by: Actor::anonymous(),
        stop,
        out: &mut out,
    };
    let finding = Box::pin(replay::run(arguments, store, &aggregates(), &mut desk)).await?;
    Ok((finding, String::from_utf8(out).unwrap()))
}

/// Replays every stream of a store to its end, and answers the categories that there are.
pub(super) async fn replays_whole(store: &impl EventStore) -> BTreeSet<String> {
    let events = events_of(store).await;
    let mut categories = BTreeSet::new();
    for last in &events {
        let stream = last.stream.to_string();
        if events
            .iter()
            .any(|event| event.stream == last.stream && event.version > last.version)
        {
            continue;
        }
        let replayed = state(store, &stream, nothing()).await;
        assert_eq!(replayed["version"], last.version.number(), "{stream}");
        assert_eq!(replayed["position"], last.position.number(), "{stream}");
        let shown = &replayed["state"];
        assert!(
            shown.is_object() && shown.get("cannot_be_shown").is_none(),
            "{replayed}"
        );
        categories.insert(last.stream.category().to_owned());
    }
    categories
}

pub(super) async fn append(
    store: &InMemoryStore,
    category: &str,
    event_type: &str,
    payload: String,
) {
    let context = CommandContext::new(
        CommandId::derived(&[&postgres::unique("recorded")]),
        Actor::anonymous(),
    );
    let event = NewEvent {
        event_type: event_type.to_owned(),
        schema_version: 1,
        payload: payload.into_bytes(),
    };
    let write = StreamWrite {
        stream: StreamId::new(category, "1").unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event],
    };
    let request = Append::events(context, Fingerprint::of(&[]), vec![write]);
    store.append(request).await.unwrap();
}

/// How many schemas of shadows there are.
pub(super) async fn shadows(models: &Database) -> i64 {
    let client = postgres::superuser(models).await;
    let count = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%shadow'";
    client.query_one(count, &[]).await.unwrap().get(0)
}
