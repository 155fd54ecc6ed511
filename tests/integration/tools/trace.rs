//! A request is traced over the stores that it reached, by the program itself.

use std::fs;

use folio_core::{
    Actor, Append, Cause, CommandContext, CommandId, CorrelationId, EventStore, ExpectedVersion,
    Fingerprint, NewEvent, Outcome, Position, StreamId, StreamWrite,
};
use folio_postgres::PostgresStore;
use folio_tests::postgres;
use folio_tests::process::{command, run};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::up::{program, text};

/// Records a command with two events; answers where the last one is.
async fn record(
    store: &PostgresStore,
    name: &str,
    correlation: u128,
    cause: Option<Cause>,
) -> Cause {
    let context = CommandContext {
        correlation_id: CorrelationId::from_uuid(Uuid::from_u128(correlation)),
        cause,
        ..CommandContext::new(CommandId::derived(&[name]), Actor::new("ann").unwrap())
    };
    let event = NewEvent {
        event_type: "Posted".to_owned(),
        schema_version: 1,
        payload: b"{}".to_vec(),
    };
    let write = StreamWrite {
        stream: StreamId::new("account", name).unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event.clone(), event],
    };
    let append = Append::events(context, Fingerprint::of(&[b"traced"]), vec![write]);
    let Outcome::Committed(events) = store.append(append).await.unwrap().outcome else {
        panic!("{name} caused nothing");
    };
    Cause {
        store_id: store.store_id(),
        position: events.last().unwrap().position,
    }
}

#[tokio::test]
async fn a_request_is_traced_from_book_to_book_and_nothing_else_is() {
    let (one, other) = (postgres::book().await, postgres::book().await);
    let a = PostgresStore::open(&one.accounts.events, 2).await.unwrap();
    let b = PostgresStore::open(&other.accounts.events, 2)
        .await
        .unwrap();
    let id = Uuid::now_v7().as_u128();
    record(&a, "before", id + 1, None).await;
    let begun = record(&a, "begun", id, None).await;
    record(&b, "another", id + 1, Some(begun)).await;
    let asked = record(&b, "asked", id, Some(begun)).await;
    record(&a, "heard", id, Some(asked)).await;
    let lost = Cause {
        position: Position::START.plus(77),
        ..asked
    };
    record(&b, "lost", id, Some(lost)).await;

    let folder = TempDir::new().unwrap();
    let log = folder.path().join("gateway.log");
    let uuid = Uuid::from_u128(id);
    let record = json!({"time": "2026-11-29T17:05:00Z", "correlation_id": uuid, "method": "POST", "route": "/v1/x",
        "status": 201, "peer": "192.0.2.7", "instances": [], "elapsed_us": 7});
    fs::write(&log, format!("{record}\n")).unwrap();
    let url = postgres::url().await;
    let books = [&one, &other].map(|databases| databases.book.as_str());
    let traced = async |correlation: &str, format: &str| {
        let words = [
            "trace",
            correlation,
            "--database-url",
            &url,
            "--book",
            books[0],
            "--book",
            books[1],
            "--access-log",
            text(&log),
            "--format",
            format,
        ];
        run(command(program(), &words)).await
    };
    let ended = traced(&uuid.simple().to_string(), "json").await;
    assert!(ended.status.success(), "{ended:?}");
    let trace: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(trace["correlation_id"], uuid.to_string());
    assert_eq!(
        trace["requests"][0]["fields"],
        json!({"method": "POST", "route": "/v1/x", "status": "201", "peer": "192.0.2.7", "instances": "", "elapsed_us": "7"})
    );
    let nodes = trace["nodes"].as_array().unwrap();
    let events = nodes.iter().filter(|node| node["kind"] == "event");
    let mut found: Vec<(&Value, &Value)> = events
        .map(|node| (&node["service"], &node["position"]))
        .collect();
    let [a, b] = books.map(Value::from);
    let positions = |numbers: [i64; 4]| numbers.map(Value::from);
    let (of_a, of_b) = (positions([3, 4, 5, 6]), positions([3, 4, 5, 6]));
    let begun = [(&a, &of_a[0]), (&a, &of_a[1])];
    let asked = [(&b, &of_b[0]), (&b, &of_b[1])];
    let heard = [(&a, &of_a[2]), (&a, &of_a[3])];
    let lost = [(&b, &of_b[2]), (&b, &of_b[3])];
    assert_eq!(found.len(), 8, "{trace:#}");
    assert_eq!(found.split_off(6), lost);
    assert_eq!(found.split_off(4), heard);
    assert_eq!(found.split_off(2), asked);
    assert_eq!(found, begun);
    let notes = nodes.iter().filter_map(|node| node["note"].as_str());
    let notes: Vec<&str> = notes.collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("its cause, position 77"), "{notes:?}");

    let ended = traced(&uuid.to_string(), "text").await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        ended.stdout.contains("method=POST route=/v1/x status=201"),
        "{ended:?}"
    );
    assert_eq!(ended.stdout.matches("Posted").count(), 8, "{ended:?}");

    // Of a request that nobody knows there is nothing, and that is told.
    let ended = traced(&Uuid::from_u128(id + 2).to_string(), "text").await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("no event of this request"),
        "{ended:?}"
    );
    let ended = traced("rent-2026", "text").await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("CORRELATION"), "{ended:?}");
}
