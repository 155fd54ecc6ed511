//! What the store on PostgreSQL promises beyond the contract.

use folio_core::store::{Append, AppendError, EventStore, ReadError, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, ExpectedVersion, Filter, Fingerprint, NewEvent,
    Position, StreamId, Version,
};
use folio_postgres::migrate::store_migrations;
use folio_postgres::{Database, PostgresStore, Role, migrate, provision};
use folio_tests::postgres;
use tokio_postgres::error::SqlState;

#[tokio::test]
async fn nobody_changes_or_removes_what_was_appended() {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    store.append(one_event("a", "1")).await.unwrap();
    store.append(refusal("2")).await.unwrap();
    let before = snapshot(&database).await;

    let statements = [
        "UPDATE store.events SET payload = 'x'",
        "DELETE FROM store.events",
        "TRUNCATE store.events",
        "TRUNCATE store.events CASCADE",
        "UPDATE store.outcomes SET refusal = NULL",
        "DELETE FROM store.outcomes",
        "TRUNCATE store.outcomes",
        "UPDATE store.identity SET store_id = gen_random_uuid()",
        "DELETE FROM store.identity",
        "INSERT INTO store.events (position, version, recorded_at, event_id, command_id, \
         schema_version, category, stream_id, event_type, payload, metadata) VALUES \
         (9, 9, 0, gen_random_uuid(), gen_random_uuid(), 1, 'a', 'a', 'a', '', '')",
        "ALTER TABLE store.events DISABLE TRIGGER append_only",
        "DROP TABLE store.events",
        "DROP FUNCTION store.refuse_change CASCADE",
        "CREATE TABLE store.mine ()",
        "SET session_replication_role = replica",
        "DO $$ BEGIN LOCK TABLE store.events IN EXCLUSIVE MODE; END $$",
        "COPY store.events FROM STDIN",
    ];
    for role in [Role::Appender, Role::Reader] {
        let client = database.connect(role).await.unwrap();
        for statement in statements {
            let error = client.batch_execute(statement).await.unwrap_err();
            assert_eq!(
                error.code(),
                Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                "{role:?}: {statement}: {error:?}"
            );
        }
    }
    assert_eq!(snapshot(&database).await, before);
}

#[tokio::test]
async fn the_owner_changes_nothing_either_not_even_as_a_replica() {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    store.append(one_event("a", "1")).await.unwrap();
    store.append(refusal("2")).await.unwrap();
    let before = snapshot(&database).await;

    let owner = database.connect(Role::Owner).await.unwrap();
    // The database's own superuser, for whom ordinary triggers do not fire in this mode.
    let superuser = postgres::superuser(&database).await;
    superuser
        .batch_execute("SET session_replication_role = replica")
        .await
        .unwrap();
    for client in [&owner, &superuser] {
        for table in ["events", "outcomes", "identity"] {
            for statement in [
                format!("DELETE FROM store.{table}"),
                format!("TRUNCATE store.{table}"),
                match table {
                    "identity" => "UPDATE store.identity SET created_at = now()".to_owned(),
                    _ => format!("UPDATE store.{table} SET metadata = 'x'"),
                },
            ] {
                let error = client.batch_execute(&statement).await.unwrap_err();
                assert_eq!(
                    error.code(),
                    Some(&SqlState::RESTRICT_VIOLATION),
                    "{statement}: {error:?}"
                );
            }
        }
    }
    assert_eq!(snapshot(&database).await, before);

    // The negative control: without the trigger, the same statement goes through.
    superuser
        .batch_execute(
            "ALTER TABLE store.events DISABLE TRIGGER append_only; \
             UPDATE store.events SET payload = 'x'",
        )
        .await
        .unwrap();
    assert_ne!(snapshot(&database).await, before);
}

/// The server refuses a statement for one request in it. The others must not suffer.
#[tokio::test]
async fn a_request_that_the_server_refuses_fails_alone() {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    let requests = (0..100).map(|number| {
        let mut request = one_event(&format!("s{}", number % 5), &format!("poison {number}"));
        if number % 40 == 17 {
            // No shape has this version, and the table says so.
            request.writes[0].events[0].schema_version = 0;
        }
        store.append(request)
    });
    let results = futures_util::future::join_all(requests).await;
    for (number, result) in results.iter().enumerate() {
        if number % 40 == 17 {
            assert!(matches!(result, Err(AppendError::Failed(_))), "{result:?}");
        } else {
            assert!(result.is_ok(), "{number}: {result:?}");
        }
    }
    assert_eq!(store.head().await.unwrap().number(), 97);
}

/// Versions and positions have 63 bits, and a conflict is the same typed error beyond 16 and 32.
#[tokio::test]
async fn conflicts_are_the_same_beyond_sixteen_and_thirty_two_bits() {
    let database = postgres::store_database().await;
    let superuser = postgres::superuser(&database).await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    for (position, version) in [(1, 65_535_i64), (2, (1 << 31) + 1)] {
        superuser
            .execute(
                "INSERT INTO store.events (position, version, recorded_at, event_id, command_id, \
                 schema_version, category, stream_id, event_type, payload, metadata) VALUES \
                 ($1::int, $2, 0, gen_random_uuid(), gen_random_uuid(), 1, 'test', $3, 'T', \
                 '{}', '{}')",
                &[&position, &version, &version.to_string()],
            )
            .await
            .unwrap();
        let mut request = one_event(&version.to_string(), &format!("at {version}"));
        let expected = ExpectedVersion::Exact(folio_core::Version::new(version - 1).unwrap());
        request.writes[0].expected = expected;
        let error = store.append(request).await.unwrap_err();
        assert!(
            matches!(&error, AppendError::VersionConflict { actual, .. } if actual.number() == version),
            "{error:?}"
        );
    }
}

/// A transaction with one snapshot for all its statements would read versions from before it
/// waited for the lock, and two writers could both win.
#[tokio::test]
async fn appending_in_a_transaction_with_one_snapshot_is_refused() {
    let database = postgres::store_database().await;
    let mut client = database.connect(Role::Appender).await.unwrap();
    for level in [
        tokio_postgres::IsolationLevel::RepeatableRead,
        tokio_postgres::IsolationLevel::Serializable,
    ] {
        let transaction = client
            .build_transaction()
            .isolation_level(level)
            .start()
            .await
            .unwrap();
        let error = transaction
            .batch_execute(&postgres::append_by_sql("t", "slow", b"{}"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INVALID_TRANSACTION_STATE));
    }
}

/// An append that has its numbers and is not committed holds up the next one, so that a reader
/// cannot see the later position first; if it is rolled back, no gap is left.
#[tokio::test]
async fn a_position_is_not_given_while_an_earlier_one_is_open() {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    let mut other = database.connect(Role::Appender).await.unwrap();
    for (round, end) in ["rollback", "commit"].into_iter().enumerate() {
        let transaction = other.transaction().await.unwrap();
        let first: i64 = transaction
            .query_one(&postgres::append_by_sql("t", "slow", b"{}"), &[])
            .await
            .unwrap()
            .get(0);
        let append = store.append(one_event("quick", &format!("quick-{round}")));
        tokio::pin!(append);
        // It waits for the lock; while it does, nothing new is there to be read.
        let blocked = waits_for_a_lock(&database);
        tokio::select! {
            result = &mut append => panic!("appended past an open append: {result:?}"),
            () = blocked => {}
        }
        let head = store.head().await.unwrap();
        assert_eq!(head.number(), first - 1);
        match end {
            "commit" => {
                #[expect(clippy::disallowed_methods, reason = "the other writer is not ours")]
                transaction.commit().await.unwrap();
            }
            _ => transaction.rollback().await.unwrap(),
        }
        append.await.unwrap();
        let expected = if end == "commit" { first + 1 } else { first };
        assert_eq!(store.head().await.unwrap().number(), expected);
    }
    let all = store
        .read_all(Position::START, BatchSize::default())
        .await
        .unwrap();
    let positions: Vec<i64> = all.iter().map(|event| event.position.number()).collect();
    assert_eq!(positions, [1, 2, 3]);
}

#[tokio::test]
async fn two_processes_on_one_store_stay_dense() {
    let database = postgres::store_database().await;
    let one = PostgresStore::open(&database, 4).await.unwrap();
    let two = PostgresStore::open(&database, 4).await.unwrap();
    assert_eq!(one.store_id(), two.store_id());
    let run = |store: PostgresStore, name: &'static str| async move {
        for number in 0..200 {
            let request = one_event(name, &format!("{name}-{number}"));
            store.append(request).await.unwrap();
        }
    };
    let (left, right) = (tokio::spawn(run(one, "one")), tokio::spawn(run(two, "two")));
    left.await.unwrap();
    right.await.unwrap();
    let reopened = PostgresStore::open(&database, 1).await.unwrap();
    let all = reopened
        .read_all(Position::START, BatchSize::default())
        .await
        .unwrap();
    let positions: Vec<i64> = all.iter().map(|event| event.position.number()).collect();
    assert_eq!(positions, (1..=400).collect::<Vec<_>>());
}

/// Positions have no gaps, so a hole is a lost event. A reader says so and does not read over it.
#[tokio::test]
async fn a_hole_in_the_log_is_named_and_not_read_over() {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    for number in 0..5 {
        store
            .append(one_event("a", &number.to_string()))
            .await
            .unwrap();
    }
    postgres::superuser(&database)
        .await
        .batch_execute(
            "ALTER TABLE store.events DISABLE TRIGGER append_only; \
             DELETE FROM store.events WHERE position = 3",
        )
        .await
        .unwrap();
    let error = store
        .read_all(Position::START, BatchSize::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ReadError::Corrupt { position, .. } if position.number() == 3),
        "{error:?}"
    );
}

#[tokio::test]
async fn provisioning_and_migrating_can_be_repeated_and_raced() {
    let server = postgres::server().await;
    let name = postgres::unique("raced");
    let prepare = || async {
        let roles = [Role::Appender, Role::Reader];
        let database = provision(&server, &name, &roles).await.unwrap();
        migrate(&database, store_migrations()).await.unwrap();
        PostgresStore::open(&database, 1).await.unwrap().store_id()
    };
    let (a, b, c) = tokio::join!(prepare(), prepare(), prepare());
    assert_eq!(a, b);
    assert_eq!(b, c);
    assert_eq!(prepare().await, a);
}

#[tokio::test]
async fn a_database_that_is_ahead_of_the_program_is_refused() {
    let database = postgres::store_database().await;
    postgres::superuser(&database)
        .await
        .batch_execute(
            "INSERT INTO migrations_store (version, name, applied_on, checksum) \
             VALUES (99, 'from_the_future', '2030-01-01T00:00:00Z', '0')",
        )
        .await
        .unwrap();
    let error = migrate(&database, store_migrations()).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("99") || cause.contains("missing"), "{cause}");
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable_and_nothing_is_recorded() {
    let mut nowhere = tokio_postgres::Config::new();
    nowhere.host("127.0.0.1").port(1).user("nobody");
    let database = Database::new(nowhere.clone(), "nothing");
    assert!(PostgresStore::open(&database, 1).await.is_err());
    let error = provision(&nowhere, "nothing", &[]).await.unwrap_err();
    assert!(error.to_string().contains("DATABASE_URL"), "{error}");
}

/// A connection whose server process was ended while idle fails once at most; the pool opens
/// another, and the command id keeps the repeat from having two effects.
#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 1).await.unwrap();
    store.append(one_event("a", "1")).await.unwrap();
    postgres::end_all_sessions(&database).await;
    let request = one_event("a", "2");
    let mut tries = 0;
    loop {
        tries += 1;
        match store.append(request.clone()).await {
            Ok(_) => break,
            Err(AppendError::OutcomeUnknown { .. } | AppendError::Unavailable(_)) if tries < 5 => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(store.head().await.unwrap().number(), 2);
}

/// Versions that are one digit, two digits, and too many for 16 or 32 bits.
#[tokio::test]
async fn a_conflict_is_the_same_at_any_version() {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    let superuser = postgres::superuser(&database).await;
    for last in [9, 10, 99, 65_535, (1_i64 << 31) + 1] {
        let name = format!("long {last}");
        // Nobody appends two thousand million events to see this.
        superuser
            .execute(
                "INSERT INTO store.events SELECT coalesce(max(position), 0) + 1, $1, 0, \
                 gen_random_uuid(), gen_random_uuid(), NULL, 1, 'test', $2, 'Happened', NULL, \
                 '{}', '{}' FROM store.events",
                &[&last, &name],
            )
            .await
            .unwrap();
        let at = |version| {
            let mut request = one_event(&name, &format!("{name} {version}"));
            request.writes[0].expected = ExpectedVersion::Exact(Version::new(version).unwrap());
            request
        };
        for wrong in [last - 1, last + 1] {
            let result = store.append(at(wrong)).await;
            assert!(
                matches!(
                    &result,
                    Err(AppendError::VersionConflict { actual, .. }) if actual.number() == last
                ),
                "{result:?}"
            );
        }
        store.append(at(last)).await.unwrap();
        let stream = StreamId::new("test", &*name).unwrap();
        let events = store
            .read_stream_backwards(&stream, Version::MAX, BatchSize::ONE)
            .await
            .unwrap();
        assert_eq!(events[0].version.number(), last + 1);
    }
}

/// A page of the events of one category was once found by gathering the whole category from the index of
/// streams, and sorting: at 600,000 events 73 ms a page of 1,000. The planner did so until the table's
/// statistics were made for the first time.
#[tokio::test]
async fn a_filtered_read_walks_the_store_by_position() {
    let database = postgres::store_database().await;
    let superuser = postgres::superuser(&database).await;
    let fill = "INSERT INTO store.events \
                SELECT n, 1, 0, gen_random_uuid(), gen_random_uuid(), NULL, 1, 'test', \
                       'stream ' || n, 'Happened', NULL, '{}', '{}' \
                FROM generate_series($1::bigint, $2) AS n";
    superuser
        .batch_execute("ALTER TABLE store.events SET (autovacuum_enabled = false)")
        .await
        .unwrap();
    superuser
        .execute(fill, &[&1_i64, &300_000_i64])
        .await
        .unwrap();

    let plan = async |query: &str| {
        let (category, stream, member) = (Some("test"), None::<&str>, Some(0_i64));
        let rows = superuser
            .query(
                &format!("EXPLAIN {query}"),
                &[
                    &10_000_i64,
                    &10_000_i64,
                    &20_000_i64,
                    &category,
                    &stream,
                    &member,
                    &2_i64,
                    &1_000_i64,
                ],
            )
            .await
            .unwrap();
        let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        lines.join("\n")
    };
    let walks =
        |plan: &str| plan.contains("Index Scan using events_pkey") && !plan.contains("Sort");
    let asked = plan(include_str!(
        "../../store-postgres/src/sql/read_filtered.sql"
    ))
    .await;
    assert!(walks(&asked), "{asked}");
    // Without statistics, all conditions in one place lead elsewhere.
    let in_one_place = "SELECT payload FROM store.events \
                        WHERE position > $1 AND position <= least($1 + $2, $3) \
                          AND category = $4::text \
                          AND ($5::text IS NULL OR stream_id = $5) \
                          AND ($6::bigint IS NULL OR length(stream_id) % $7::bigint = $6) \
                        ORDER BY position LIMIT $8";
    let elsewhere = plan(in_one_place).await;
    assert!(!walks(&elsewhere), "{elsewhere}");
}

/// A page leaves out what is not wanted. Of what is lost it must not look the same, and what is behind that must not come
/// twice.
#[tokio::test]
async fn a_filtered_read_does_not_pass_over_a_lost_event() {
    let database = postgres::store_database().await;
    let superuser = postgres::superuser(&database).await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    for number in 0..20 {
        let stream = ["a", "b"][number % 2];
        let request = one_event(stream, &format!("lost {number}"));
        store.append(request).await.unwrap();
    }
    let lose = async |positions: &str| {
        let lose = format!(
            "ALTER TABLE store.events DISABLE TRIGGER ALL; \
             DELETE FROM store.events WHERE position IN ({positions})"
        );
        superuser.batch_execute(&lose).await.unwrap();
    };
    let a = Filter::stream(StreamId::new("test", "a").unwrap());
    let read = async |after, limit| {
        let (after, limit) = (
            Position::new(after).unwrap(),
            BatchSize::new(limit).unwrap(),
        );
        match store.read_filtered(&a, after, limit).await {
            Ok(page) => Ok((page.events.len(), page.through.number())),
            Err(ReadError::Corrupt { position, .. }) => Err(position.number()),
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(read(0, 100).await, Ok((10, 20)));
    // One that the filter does not want, and then one besides that it does.
    lose("8").await;
    assert_eq!(read(0, 100).await, Err(8));
    lose("11").await;
    assert_eq!(read(8, 100).await, Err(11));
    // What is before is read, and what is behind.
    assert_eq!(read(0, 4).await, Ok((4, 7)));
    assert_eq!(read(11, 100).await, Ok((4, 20)));
}

fn context(name: &str) -> CommandContext {
    CommandContext::new(CommandId::derived(&["store", name]), Actor::anonymous())
}

fn one_event(stream: &str, command: &str) -> Append {
    let write = StreamWrite {
        stream: StreamId::new("test", stream).unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![NewEvent {
            event_type: "Happened".to_owned(),
            schema_version: 1,
            payload: b"{}".to_vec(),
        }],
    };
    Append::events(context(command), Fingerprint::of(&[]), vec![write])
}

fn refusal(command: &str) -> Append {
    Append::refusal(
        context(command),
        Fingerprint::of(&[]),
        Vec::new(),
        b"\"no\"".to_vec(),
    )
}

async fn snapshot(database: &Database) -> String {
    let rows = postgres::superuser(database)
        .await
        .query_one(
            "SELECT (SELECT string_agg(e::text, E'\\n' ORDER BY position) FROM store.events e) \
             || (SELECT string_agg(o::text, E'\\n' ORDER BY command_id) FROM store.outcomes o) \
             || (SELECT i::text FROM store.identity i)",
            &[],
        )
        .await
        .unwrap();
    rows.get(0)
}

/// Returns once some session of the database waits for a lock.
async fn waits_for_a_lock(database: &Database) {
    let client = postgres::superuser(database).await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let waiting: bool = client
            .query_one(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock')",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        if waiting {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
