//! Negative controls: each takes one protection out of the append function, and sees the promise
//! break that it is there for. A suite that stayed green without the protection would show nothing.

use folio_core::store::{Append, AppendError, AppendStatus, Appended, EventStore, StreamWrite};
use folio_core::testing::contract::schedules;
use folio_core::{
    Actor, CommandContext, CommandId, EventId, ExpectedVersion, Fingerprint, NewEvent, StreamId,
    Version,
};
use folio_postgres::{Database, PostgresStore};
use folio_tests::postgres;

use crate::conformance::schedules::Stage;

const MANY: &str = "store.append_many";
const ONE: &str = "store.append_one";
const ALONE: &str = "store.append_alone";
const NEXT: &str = "store.append_next";
const LOCK: &str = "PERFORM FROM store.append_lock FOR UPDATE;";
/// Makes commands that come alone go through `store.append_many` as well.
const NEVER_ALONE: (&str, &str, &str) = (ALONE, LOCK, "RETURN;");
const NEVER_NEXT: (&str, &str, &str) = (NEXT, LOCK, "RETURN NULL;");
/// Makes every command go through `store.append_one`.
const ONE_BY_ONE: (&str, &str, &str) = (MANY, "holds := p_first IS NOT NULL", "holds := false");

/// With the lock, appends on streams of their own never fail.
#[tokio::test]
async fn without_the_lock_two_appends_take_the_same_position() {
    assert_eq!(
        race_on_streams_of_their_own(&database_with(&[]).await).await,
        0
    );
    let without = [NEVER_ALONE, (MANY, LOCK, "")];
    assert!(race_on_streams_of_their_own(&database_with(&without).await).await > 0);
}

/// What a table with a sequence does: the reader that looks after every step of a schedule meets the
/// later position first.
#[tokio::test]
async fn with_positions_from_a_sequence_a_reader_meets_the_later_one_first() {
    let schedule = |changes: &'static [(&str, &str, &str)]| async move {
        let stage = || async { Stage::over(database_with(changes).await).await };
        schedules::g1_a_later_append_that_is_committed_first_hides_no_earlier_one(stage).await;
    };
    schedule(&[]).await;
    let naive = &[
        (MANY, LOCK, ""),
        (
            MANY,
            "head := coalesce(head, 0);",
            "head := nextval('public.naive') - 1;",
        ),
    ];
    let seen = tokio::spawn(schedule(naive)).await;
    let what = seen.unwrap_err().into_panic();
    let what = what.downcast_ref::<String>().unwrap();
    // The store counts along, and calls it a hole.
    assert!(what.contains("Corrupt { position: Position(1)"), "{what}");
}

/// In every form: alone, all of a call at once, and one by one.
#[tokio::test]
async fn without_the_version_check_a_hole_is_left() {
    let alone = (
        ALONE,
        "ELSE p_expected = coalesce(last.version, 0)",
        "ELSE true",
    );
    let together = (
        MANY,
        "ELSE s.expected = versions[s.first] + s.before END",
        "ELSE true END",
    );
    let conflict = (ONE, "IF stream IS NOT NULL THEN", "IF false THEN");
    assert!(!appends_on_what_is_not_there(&[]).await);
    assert!(appends_on_what_is_not_there(&[alone]).await);
    assert!(!appends_on_what_is_not_there(&[NEVER_ALONE]).await);
    assert!(appends_on_what_is_not_there(&[NEVER_ALONE, together]).await);
    assert!(!appends_on_what_is_not_there(&[NEVER_ALONE, ONE_BY_ONE]).await);
    assert!(appends_on_what_is_not_there(&[NEVER_ALONE, ONE_BY_ONE, conflict]).await);
}

/// What a session knows of the end of a stream is not looked up: the index alone tells that another
/// one has written.
#[tokio::test]
async fn without_the_index_of_versions_both_writers_win() {
    // Alone with one event, with several, and in a call.
    for (form, streams) in [
        (&[][..], &["a"][..]),
        (&[], &["a", "b"]),
        (&[NEVER_ALONE, NEVER_NEXT], &["a"]),
    ] {
        let database = database_with(form).await;
        assert_eq!(writers_at_the_same_version(&database, streams).await, 1);
        let database = database_with(form).await;
        let owner = postgres::superuser(&database).await;
        owner
            .batch_execute("ALTER TABLE store.events DROP CONSTRAINT events_stream_version")
            .await
            .unwrap();
        assert_eq!(writers_at_the_same_version(&database, streams).await, 2);
    }
}

/// Who was alone for long takes the next position for free. The primary key alone tells that another one has written.
#[tokio::test]
async fn without_the_key_of_positions_one_is_given_twice() {
    let next_to_another_s = |drop: &'static str| async move {
        let database = database_with(&[]).await;
        let here = PostgresStore::open(&database, 1).await.unwrap();
        for turn in 0..20 {
            here.append(event("a", &turn.to_string(), ""))
                .await
                .unwrap();
        }
        let owner = postgres::superuser(&database).await;
        owner.batch_execute(drop).await.unwrap();
        let there = PostgresStore::open(&database, 1).await.unwrap();
        there.append(event("b", "there", "")).await.unwrap();
        let mut request = event("a", "here", "");
        request.writes[0].expected = ExpectedVersion::Exact(Version::new(20).unwrap());
        here.append(request).await.unwrap();
        let positions = "SELECT count(*) - count(DISTINCT position) FROM store.events";
        let row = owner.query_one(positions, &[]).await.unwrap();
        row.get::<_, i64>(0)
    };
    assert_eq!(next_to_another_s("").await, 0);
    let without = "ALTER TABLE store.events DROP CONSTRAINT events_pkey";
    assert_eq!(next_to_another_s(without).await, 1);
}

/// The number is right and the history is not: another writer's event has taken the version that an
/// event of ours was to have.
#[tokio::test]
async fn without_the_event_check_a_decision_on_events_that_never_were_is_recorded() {
    let decided_on_nothing = |changes: &'static [(&str, &str, &str)]| async move {
        let store = store_with(changes).await;
        store.append(event("a", "another's", "")).await.unwrap();
        let mut request = event("a", "mine", "");
        request.writes[0].expected = ExpectedVersion::LastEvent {
            version: Version::new(1).unwrap(),
            event_id: EventId::of_command(CommandId::derived(&["never recorded"]), 0),
        };
        store.append(request).await.is_ok()
    };
    assert!(!decided_on_nothing(&[]).await);
    assert!(
        decided_on_nothing(&[(
            ALONE,
            "coalesce(p_expected_event = last.event_id, true)",
            "true"
        )])
        .await
    );
    assert!(!decided_on_nothing(&[NEVER_ALONE]).await);
    assert!(
        decided_on_nothing(&[
            NEVER_ALONE,
            (
                MANY,
                "OR s.expected_event = last_events[s.first]",
                "OR true"
            )
        ])
        .await
    );
    assert!(!decided_on_nothing(&[NEVER_ALONE, ONE_BY_ONE]).await);
    assert!(
        decided_on_nothing(&[
            NEVER_ALONE,
            ONE_BY_ONE,
            (
                ONE,
                "coalesce(s.expected_event = last.event_id, true)",
                "true"
            )
        ])
        .await
    );
}

/// The unique index is the second line: a repeat has no second effect even then, but the caller is
/// told of a failure and not of its first result.
#[tokio::test]
async fn without_the_look_up_a_repeat_is_a_failure() {
    let again = repeat(&store_with(&[]).await).await.unwrap();
    assert_eq!(again.status, AppendStatus::AlreadyApplied);
    let look_up = "WHERE e.command_id = p_command_id AND e.command_events IS NOT NULL;";
    let without = store_with(&[(ONE, look_up, "WHERE false;")]).await;
    let again = repeat(&without).await;
    assert!(matches!(again, Err(AppendError::Failed(_))), "{again:?}");
    assert_eq!(without.head().await.unwrap().number(), 1);
    // A repeat that has no events any more runs into no index of the events.
    let refused = |store: PostgresStore| async move {
        store.append(event("a", "same", "")).await.unwrap();
        let mut request = event("a", "same", "");
        request.writes[0].events.clear();
        store.append(request).await.unwrap().status
    };
    let whole = store_with(&[]).await;
    assert_eq!(refused(whole).await, AppendStatus::AlreadyApplied);
    let look_up = "WHERE e.command_id = c.command_id AND";
    let without = store_with(&[(MANY, look_up, "WHERE false AND")]).await;
    assert_eq!(refused(without).await, AppendStatus::Executed);
}

/// A refusal is in no index of the events: only looking for it keeps its command from being carried
/// out later.
#[tokio::test]
async fn without_the_look_up_a_refused_command_is_carried_out_after_all() {
    let after_its_refusal = |changes: &'static [(&str, &str, &str)]| async move {
        let store = store_with(changes).await;
        let request = || {
            let streams = if changes == NEXT_UNSEEN {
                &["a", "b"][..]
            } else {
                &["a"]
            };
            let mut request = on_each(streams, event("any", "same", ""));
            for write in &mut request.writes {
                write.expected = ExpectedVersion::NoStream;
            }
            request
        };
        let mut refused = request();
        for write in &mut refused.writes {
            write.events.clear();
        }
        refused.refusal = Some(b"no".to_vec());
        store.append(refused).await.unwrap();
        store.append(request()).await.unwrap().status
    };
    const ALONE_UNSEEN: &[(&str, &str, &str)] = &[(
        ALONE,
        "AND NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = p_command_id)",
        "",
    )];
    const TOGETHER_UNSEEN: &[(&str, &str, &str)] = &[
        NEVER_ALONE,
        (
            MANY,
            "NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = ANY (p_command_ids))",
            "true",
        ),
    ];
    const NEXT_UNSEEN: &[(&str, &str, &str)] = &[(
        NEXT,
        "WHERE NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = p_command_id)",
        "WHERE true",
    )];
    for whole in [&[][..], &[NEVER_ALONE]] {
        assert_eq!(after_its_refusal(whole).await, AppendStatus::AlreadyApplied);
    }
    for without in [ALONE_UNSEEN, TOGETHER_UNSEEN, NEXT_UNSEEN] {
        assert_eq!(after_its_refusal(without).await, AppendStatus::Executed);
    }
}

#[tokio::test]
async fn without_the_fingerprint_another_request_gets_a_stranger_s_result() {
    let whole = store_with(&[]).await;
    whole.append(event("a", "same", "one")).await.unwrap();
    let other = whole.append(event("a", "same", "other")).await;
    assert!(
        matches!(other, Err(AppendError::CommandReused { .. })),
        "{other:?}"
    );
    let without = store_with(&[(ONE, "known_fingerprint = p_fingerprint", "true")]).await;
    without.append(event("a", "same", "one")).await.unwrap();
    let other = without.append(event("a", "same", "other")).await.unwrap();
    assert_eq!(other.status, AppendStatus::AlreadyApplied);
}

async fn store_with(changes: &[(&str, &str, &str)]) -> PostgresStore {
    let database = database_with(changes).await;
    PostgresStore::open(&database, 8).await.unwrap()
}

/// A database with a store in whose functions fragments are replaced: (function, fragment,
/// replacement).
async fn database_with(changes: &[(&str, &str, &str)]) -> Database {
    let database = postgres::store_database().await;
    let client = postgres::superuser(&database).await;
    client
        .batch_execute(
            "CREATE SEQUENCE public.naive; GRANT USAGE ON SEQUENCE public.naive TO PUBLIC",
        )
        .await
        .unwrap();
    for (function, fragment, replacement) in changes {
        let definition: String = client
            .query_one("SELECT pg_get_functiondef($1::text::regproc)", &[function])
            .await
            .unwrap()
            .get(0);
        assert!(definition.contains(fragment), "{definition}");
        client
            .batch_execute(&definition.replacen(fragment, replacement, 1))
            .await
            .unwrap();
    }
    database
}

/// How many of many appends fail.
async fn race_on_streams_of_their_own(database: &Database) -> usize {
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(PostgresStore::open(database, 1).await.unwrap());
    }
    let writers = (0..8).zip(stores).map(|(writer, store)| {
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

/// Whether an append is recorded that expects a version which its stream has not reached.
async fn appends_on_what_is_not_there(changes: &[(&str, &str, &str)]) -> bool {
    let store = store_with(changes).await;
    store.append(event("a", "first", "")).await.unwrap();
    let mut request = event("a", "second", "");
    request.writes[0].expected = ExpectedVersion::Exact(Version::new(5).unwrap());
    store.append(request).await.is_ok()
}

/// How many of two processes that expect the same version succeed, one after the other. The second
/// has written to the stream before.
async fn writers_at_the_same_version(database: &Database, streams: &[&str]) -> usize {
    let here = PostgresStore::open(database, 1).await.unwrap();
    let there = PostgresStore::open(database, 1).await.unwrap();
    for name in ["first", "second"] {
        here.append(on_each(streams, event("any", name, "")))
            .await
            .unwrap();
    }
    let mut won = 0;
    for (store, name) in [(&there, "there"), (&here, "here")] {
        let mut request = on_each(streams, event("any", name, ""));
        for write in &mut request.writes {
            write.expected = ExpectedVersion::Exact(Version::new(2).unwrap());
        }
        won += usize::from(store.append(request).await.is_ok());
    }
    won
}

/// The same on each of several streams.
fn on_each(streams: &[&str], request: Append) -> Append {
    let write = |name: &&str| StreamWrite {
        stream: StreamId::new("test", *name).unwrap(),
        ..request.writes[0].clone()
    };
    Append {
        writes: streams.iter().map(write).collect(),
        ..request
    }
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
