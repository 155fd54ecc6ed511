//! What an appender knows of the ends of streams is not looked up, and is never taken for more than it is.

use std::sync::Arc;

use folio_core::store::{Append, AppendError, AppendStatus, EventStore, Outcome, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, ExpectedVersion, Fingerprint, NewEvent, Position,
    RecordedEvent, StreamId, Version,
};
use folio_postgres::{Database, PostgresStore, Role};
use folio_tests::postgres;
use futures_util::future::join_all;
use uuid::Uuid;

/// One event on each of `streams` with what its writer expects.
fn request(streams: &[(&str, ExpectedVersion)]) -> Append {
    let writes = streams.iter().map(|(name, expected)| StreamWrite {
        stream: stream(name),
        expected: *expected,
        events: vec![NewEvent {
            event_type: "Happened".to_owned(),
            schema_version: 1,
            payload: b"{}".to_vec(),
        }],
    });
    let context = CommandContext::new(CommandId::from_uuid(Uuid::now_v7()), Actor::anonymous());
    Append::events(context, Fingerprint::of(&[]), writes.collect())
}

async fn append(
    store: &PostgresStore,
    streams: &[(&str, ExpectedVersion)],
) -> Result<Vec<RecordedEvent>, AppendError> {
    record(store, request(streams)).await
}

async fn record(store: &PostgresStore, request: Append) -> Result<Vec<RecordedEvent>, AppendError> {
    let appended = store.append(request).await?;
    let Outcome::Committed(events) = appended.outcome else {
        panic!("{appended:?}");
    };
    Ok(events)
}

fn stream(name: &str) -> StreamId {
    StreamId::new("test", name).unwrap()
}

fn on(events: &[RecordedEvent]) -> ExpectedVersion {
    let last = events.last().unwrap();
    ExpectedVersion::LastEvent {
        version: last.version,
        event_id: last.event_id,
    }
}

/// A store that knows where the stream `a` ends: at version 2.
async fn knowing(database: &Database) -> (PostgresStore, Vec<RecordedEvent>) {
    let store = PostgresStore::open(database, 2).await.unwrap();
    let first = append(&store, &[("a", ExpectedVersion::NoStream)]).await;
    let second = append(&store, &[("a", on(&first.unwrap()))]).await.unwrap();
    (store, second)
}

/// A store after whose appends nobody else has written for long, so that it takes the next position for free.
async fn settled(database: &Database) -> (PostgresStore, Vec<RecordedEvent>) {
    let (store, mut last) = knowing(database).await;
    while last[0].version < Version::new(20).unwrap() {
        last = append(&store, &[("a", on(&last))]).await.unwrap();
    }
    (store, last)
}

/// A write to `a` that is decided on another stream too, and does not write to that one.
fn decided_on(a: &[RecordedEvent], seen: &str, expected: ExpectedVersion) -> Append {
    let mut request = request(&[("a", on(a))]);
    request.writes.push(StreamWrite {
        stream: stream(seen),
        expected,
        events: Vec::new(),
    });
    request
}

fn conflict_at(refused: Result<impl std::fmt::Debug, AppendError>) -> i64 {
    match refused {
        Err(AppendError::VersionConflict { actual, .. }) => actual.number(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_process_that_has_written_since_is_noticed() {
    let database = postgres::store_database().await;
    let (here, known) = knowing(&database).await;
    let there = PostgresStore::open(&database, 1).await.unwrap();
    let elsewhere = append(&there, &[("a", on(&known))]).await.unwrap();
    // Alone, and with others in a call.
    assert_eq!(conflict_at(append(&here, &[("a", on(&known))]).await), 3);
    let b = append(&here, &[("b", ExpectedVersion::NoStream)]).await;
    let both = [("b", on(&b.unwrap())), ("a", on(&known))];
    assert_eq!(conflict_at(append(&here, &both).await), 3);
    // What comes next is not refused.
    let next = append(&here, &[("a", on(&elsewhere))]).await.unwrap();
    assert_eq!(next[0].version.number(), 4);
    assert_eq!(next[0].position.number(), 5);
}

/// Of many in one call only the one that is not up to date is refused.
#[tokio::test]
async fn the_others_in_the_call_are_recorded() {
    let database = postgres::store_database().await;
    let (here, known) = knowing(&database).await;
    let there = PostgresStore::open(&database, 1).await.unwrap();
    append(&there, &[("a", on(&known))]).await.unwrap();
    let names: Vec<_> = (0..50).map(|number| format!("new-{number}")).collect();
    let stale = [("a", on(&known))];
    let (refused, recorded) = tokio::join!(
        append(&here, &stale),
        join_all(names.iter().map(|name| async {
            let new = [(name.as_str(), ExpectedVersion::NoStream)];
            append(&here, &new).await
        }))
    );
    assert_eq!(conflict_at(refused), 3);
    assert!(recorded.iter().all(Result::is_ok), "{recorded:?}");
    assert_eq!(here.head().await.unwrap(), Position::START.plus(53));
}

/// A refusal writes to no stream, so no index would tell that what it was decided on is out of date.
#[tokio::test]
async fn a_refusal_is_compared_with_the_store_whatever_is_known() {
    let database = postgres::store_database().await;
    let (here, known) = knowing(&database).await;
    let refusal = || {
        let context = CommandContext::new(CommandId::from_uuid(Uuid::now_v7()), Actor::anonymous());
        let mut refusal = Append::events(context, Fingerprint::of(&[]), Vec::new());
        refusal.writes.push(StreamWrite {
            stream: stream("a"),
            expected: on(&known),
            events: Vec::new(),
        });
        refusal.refusal = Some(b"no".to_vec());
        refusal
    };
    let confirmed = here.append(refusal()).await.unwrap();
    assert_eq!(confirmed.status, AppendStatus::Executed);
    let there = PostgresStore::open(&database, 1).await.unwrap();
    append(&there, &[("a", on(&known))]).await.unwrap();
    assert_eq!(conflict_at(here.append(refusal()).await), 3);
}

/// A server that has lost a commit has ended the session that knew of it. A successor that believed it
/// would leave a hole.
#[tokio::test]
async fn what_a_session_knew_goes_with_it() {
    let database = postgres::store_database().await;
    let (store, known) = settled(&database).await;
    postgres::end_all_sessions(&database).await;
    let owner = postgres::superuser(&database).await;
    let lost = "ALTER TABLE store.events DISABLE TRIGGER ALL; \
                DELETE FROM store.events WHERE position = 20; \
                ALTER TABLE store.events ENABLE ALWAYS TRIGGER append_only";
    owner.batch_execute(lost).await.unwrap();
    assert_eq!(conflict_at(append(&store, &[("a", on(&known))]).await), 19);
    let many = [("new", ExpectedVersion::NoStream), ("a", on(&known))];
    assert_eq!(conflict_at(append(&store, &many).await), 19);
    let new = append(&store, &[("new", ExpectedVersion::NoStream)]).await;
    assert_eq!(new.unwrap()[0].position.number(), 20);
}

/// It has a statement of its own, and everything that is promised of the others.
#[tokio::test]
async fn a_command_on_streams_whose_ends_are_known_is_recorded_like_any_other() {
    let database = postgres::store_database().await;
    let (store, a) = knowing(&database).await;
    let b = append(&store, &[("b", ExpectedVersion::NoStream)]).await;
    let b = append(&store, &[("b", on(&b.unwrap()))]).await.unwrap();
    // Nothing else will do.
    let owner = postgres::superuser(&database).await;
    let others = format!(
        "REVOKE EXECUTE ON FUNCTION store.append_many, store.append_alone, store.append_known FROM {}",
        Role::Appender.name(database.name())
    );
    owner.batch_execute(&others).await.unwrap();
    let streams = [
        ("new", ExpectedVersion::NoStream),
        ("b", on(&b)),
        ("a", on(&a)),
    ];
    let recorded = append(&store, &streams).await.unwrap();
    let read = store.read_all(Position::START.plus(4), BatchSize::default());
    assert_eq!(read.await.unwrap(), recorded);
    let numbers = recorded.iter().map(|event| {
        (
            event.position.number(),
            event.stream.id(),
            event.version.number(),
        )
    });
    let expected = [(5, "new", 1), (6, "b", 3), (7, "a", 3)];
    assert_eq!(numbers.collect::<Vec<_>>(), expected);
    let next = [("b", on(&recorded[1..2])), ("a", on(&recorded[2..]))];
    assert_eq!(append(&store, &next).await.unwrap()[1].version.number(), 4);
}

/// What it was decided on and does not write to is looked up, whatever is known of the rest.
#[tokio::test]
async fn a_stream_that_is_not_written_to_is_a_condition_all_the_same() {
    let database = postgres::store_database().await;
    let (store, a) = knowing(&database).await;
    let decided = |seen: &str, expected| {
        let mut request = request(&[("a", on(&a)), ("new", ExpectedVersion::NoStream)]);
        request.writes.push(StreamWrite {
            stream: stream(seen),
            expected,
            events: Vec::new(),
        });
        request
    };
    let there = PostgresStore::open(&database, 1).await.unwrap();
    let rule = append(&there, &[("rule", ExpectedVersion::NoStream)]).await;
    let before = on(&rule.unwrap());
    let rule = append(&there, &[("rule", before)]).await.unwrap();
    let refused = [
        ("rule", before),
        ("rule", ExpectedVersion::NoStream),
        ("none", before),
        ("none", ExpectedVersion::StreamExists),
    ];
    for (seen, expected) in refused {
        let conflict = store.append(decided(seen, expected)).await;
        let actual = if seen == "rule" { 2 } else { 0 };
        assert_eq!(conflict_at(conflict), actual, "{seen} {expected}");
    }
    let recorded = store.append(decided("rule", on(&rule))).await.unwrap();
    assert_eq!(recorded.status, AppendStatus::Executed);
    assert_eq!(store.head().await.unwrap(), Position::START.plus(6));
}

/// Neither the store's end nor what was seen before: the functions that look something up refuse to.
#[tokio::test]
async fn where_nobody_else_writes_nothing_is_looked_up() {
    let database = postgres::store_database().await;
    let (store, a) = settled(&database).await;
    let none = ExpectedVersion::NoStream;
    let a = record(&store, decided_on(&a, "rule", none)).await.unwrap();
    let owner = postgres::superuser(&database).await;
    let row = owner
        .query_one(
            "SELECT pg_get_functiondef('store.append_next'::regproc)",
            &[],
        )
        .await
        .unwrap();
    let lock = "PERFORM FROM store.append_lock FOR UPDATE;";
    let no_look_up = "IF p_head IS NULL OR p_seen_expected IS NOT NULL THEN RETURN NULL; END IF;";
    let definition: String = row.get(0);
    let without = definition.replacen(lock, &format!("{no_look_up} {lock}"), 1);
    owner.batch_execute(&without).await.unwrap();
    let role = Role::Appender.name(database.name());
    let others =
        format!("REVOKE EXECUTE ON FUNCTION store.append_many, store.append_alone FROM {role}");
    owner.batch_execute(&others).await.unwrap();
    let a = record(&store, decided_on(&a, "rule", none)).await.unwrap();
    assert_eq!(a[0].position.number(), 22);
    // What it has not seen cannot be had without.
    let unseen = store.append(decided_on(&a, "other", none)).await;
    assert!(matches!(unseen, Err(AppendError::Failed(_))), "{unseen:?}");
}

/// The store goes on from where it is, and what was seen is looked up again.
#[tokio::test]
async fn what_was_seen_is_believed_while_nobody_else_writes() {
    let database = postgres::store_database().await;
    let (here, a) = settled(&database).await;
    let none = ExpectedVersion::NoStream;
    let a = record(&here, decided_on(&a, "rule", none)).await.unwrap();
    let there = PostgresStore::open(&database, 1).await.unwrap();
    append(&there, &[("rule", none)]).await.unwrap();
    assert_eq!(
        conflict_at(here.append(decided_on(&a, "rule", none)).await),
        1
    );
    let next = append(&here, &[("a", on(&a))]).await.unwrap();
    assert_eq!(next[0].position, Position::START.plus(23));
    // Its own events are no less.
    let (here, a) = settled(&postgres::store_database().await).await;
    let a = record(&here, decided_on(&a, "rule", none)).await.unwrap();
    append(&here, &[("rule", none)]).await.unwrap();
    assert_eq!(
        conflict_at(here.append(decided_on(&a, "rule", none)).await),
        1
    );
}

/// Several processes, and more writers than streams: each is decided on what is there.
#[tokio::test]
async fn many_processes_on_the_same_streams_leave_neither_holes_nor_doubles() {
    const WRITES: usize = 60;
    let database = postgres::store_database().await;
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(PostgresStore::open(&database, 4).await.unwrap()));
    }
    let writers = (0..12).map(|writer| {
        let store = Arc::clone(&stores[writer % 3]);
        tokio::spawn(async move {
            let mut written = 0;
            while written < WRITES {
                let names = ["x", "y", "z"].map(|name| (name, (writer + written) % 5));
                let mut writes = Vec::new();
                for (name, turn) in names.into_iter().take(1 + written % 3) {
                    let (of, end) = (stream(name), Version::new(i64::MAX).unwrap());
                    let page = store.read_stream_backwards(&of, end, BatchSize::ONE);
                    let last = page.await.unwrap().pop();
                    writes.push((
                        name,
                        match last {
                            _ if turn == 0 => ExpectedVersion::Any,
                            Some(last) => on(&[last]),
                            None => ExpectedVersion::NoStream,
                        },
                    ));
                }
                match append(&store, &writes).await {
                    Ok(_) => written += 1,
                    Err(AppendError::VersionConflict { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    let owner = postgres::superuser(&database).await;
    let row = owner
        .query_one(
            "SELECT (SELECT max(position) = count(*) FROM store.events), \
                    (SELECT bool_and(last = events) FROM (SELECT max(version) AS last, count(*) AS events \
                       FROM store.events GROUP BY category, stream_id) s), \
                    (SELECT count(DISTINCT command_id) FROM store.events)",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get(0), row.get(1), row.get(2)),
        (true, true, 12 * i64::try_from(WRITES).unwrap())
    );
}
