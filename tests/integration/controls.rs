//! Negative controls: each takes one protection out of the append function, and sees the promise
//! break that it is there for. A suite that stayed green without the protection would show nothing.

use std::sync::Arc;

use folio_core::store::{Append, AppendError, AppendStatus, Appended, EventStore, StreamWrite};
use folio_core::{
    Actor, CommandContext, CommandId, ExpectedVersion, Fingerprint, NewEvent, StreamId, Version,
};
use folio_postgres::PostgresStore;
use folio_tests::postgres;

/// With the lock, appends on streams of their own never fail.
#[tokio::test]
async fn without_the_lock_two_appends_take_the_same_position() {
    let lock = "PERFORM FROM store.append_lock FOR UPDATE;";
    let whole = store_with(lock, lock).await;
    assert_eq!(race_on_streams_of_their_own(&whole).await, 0);
    let without = store_with(lock, "").await;
    assert!(race_on_streams_of_their_own(&without).await > 0);
}

#[tokio::test]
async fn without_the_version_check_both_writers_win() {
    let check = "status := 'conflict';\n        RETURN;";
    let whole = store_with(check, check).await;
    assert_eq!(writers_at_the_same_version(&whole).await, 1);
    let without = store_with(check, "NULL;").await;
    assert_eq!(writers_at_the_same_version(&without).await, 2);
}

/// The unique index is the second line: a repeat has no second effect even then, but the caller is
/// told of a failure and not of its first result.
#[tokio::test]
async fn without_the_look_up_a_repeat_is_a_failure() {
    let look_up = "WHERE e.command_id = p_command_id AND e.command_events IS NOT NULL;";
    let whole = store_with(look_up, look_up).await;
    let again = repeat(&whole).await.unwrap();
    assert_eq!(again.status, AppendStatus::AlreadyApplied);
    let without = store_with(look_up, "WHERE false;").await;
    let again = repeat(&without).await;
    assert!(matches!(again, Err(AppendError::Failed(_))), "{again:?}");
    assert_eq!(without.head().await.unwrap().number(), 1);
}

#[tokio::test]
async fn without_the_fingerprint_another_request_gets_a_stranger_s_result() {
    let fingerprint = "known_fingerprint = p_fingerprint";
    let whole = store_with(fingerprint, fingerprint).await;
    whole.append(event("a", "same", "one")).await.unwrap();
    let other = whole.append(event("a", "same", "other")).await;
    assert!(
        matches!(other, Err(AppendError::CommandReused { .. })),
        "{other:?}"
    );
    let without = store_with(fingerprint, "true").await;
    without.append(event("a", "same", "one")).await.unwrap();
    let other = without.append(event("a", "same", "other")).await.unwrap();
    assert_eq!(other.status, AppendStatus::AlreadyApplied);
}

/// A store whose append function has `fragment` replaced.
async fn store_with(fragment: &str, replacement: &str) -> Arc<PostgresStore> {
    let database = postgres::store_database().await;
    let client = postgres::superuser(&database).await;
    let definition: String = client
        .query_one("SELECT pg_get_functiondef('store.append'::regproc)", &[])
        .await
        .unwrap()
        .get(0);
    assert!(definition.contains(fragment), "{definition}");
    client
        .batch_execute(&definition.replacen(fragment, replacement, 1))
        .await
        .unwrap();
    Arc::new(PostgresStore::open(&database, 8).await.unwrap())
}

/// How many of many appends fail.
async fn race_on_streams_of_their_own(store: &Arc<PostgresStore>) -> usize {
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut failed = 0;
            for turn in 0..50 {
                let name = format!("{writer}-{turn}");
                failed += usize::from(store.append(event(&name, &name, "")).await.is_err());
            }
            failed
        })
    });
    let mut failed = 0;
    for writer in writers.collect::<Vec<_>>() {
        failed += writer.await.unwrap();
    }
    failed
}

/// How many of two writers that expect the same version succeed, one after the other.
async fn writers_at_the_same_version(store: &PostgresStore) -> usize {
    let mut won = 0;
    for writer in ["one", "two"] {
        let mut request = event("a", writer, "");
        request.writes[0].expected = ExpectedVersion::Exact(Version::NONE);
        won += usize::from(store.append(request).await.is_ok());
    }
    won
}

async fn repeat(store: &PostgresStore) -> Result<Appended, AppendError> {
    store.append(event("a", "same", "")).await.unwrap();
    store.append(event("a", "same", "")).await
}

fn event(stream: &str, command: &str, asked: &str) -> Append {
    let write = StreamWrite {
        stream: StreamId::new("test", stream).unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![NewEvent {
            event_type: "Happened".to_owned(),
            schema_version: 1,
            payload: b"{}".to_vec(),
        }],
    };
    let context = CommandContext::new(
        CommandId::derived(&["control", command]),
        Actor::anonymous(),
    );
    Append::events(context, Fingerprint::of(&[asked.as_bytes()]), vec![write])
}
