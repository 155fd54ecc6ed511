//! A streaming replica: read while the primary is written to, and promoted without its last commits.

use std::time::Duration;

use folio_core::store::EventStore;
use folio_core::{
    AppendError, BatchSize, Checkpoint, Filter, HistoryError, Position, RecordedEvent,
};
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{
    Database, PostgresStore, Subscription, SubscriptionError, SubscriptionSettings,
};
use folio_projections::Settings;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::beside::Beside;
use super::{PATIENCE, follow, follower, positions, superuser, until};
use crate::faults::{events_by_command, read_all, request, store_database};
use crate::projections::kit::{Models, Positions, Running, SETTINGS, one_to};

const WRITERS: usize = 4;
const APPENDS: usize = 150;
const EVENTS_AT_ONCE: usize = 3;
const POLL: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn g16_a_replica_never_contradicts_the_primary() {
    let cluster = ThrowawayCluster::start(Durability::UnsafeForTests)
        .await
        .unwrap();
    let server = cluster.connection_config();
    let database = store_database(&server).await;
    let beside = Beside::copy(&cluster, &["--write-recovery-conf"]).await;
    let replica = beside.start(5433).await;
    let there = Database::new(replica.clone(), database.name());
    let on_replica = superuser(&replica, database.name()).await;
    until(&on_replica, "SELECT pg_is_in_recovery()").await;

    let primary = std::sync::Arc::new(PostgresStore::open(&database, 4).await.unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let primary = std::sync::Arc::clone(&primary);
        writers.spawn(async move {
            for _ in 0..APPENDS {
                let request = request(&writer.to_string(), EVENTS_AT_ONCE);
                primary.append(request).await.unwrap();
            }
        });
    }
    let last = i64::try_from(WRITERS * APPENDS * EVENTS_AT_ONCE).unwrap();
    // A subscription hears nothing there, as no server in recovery can be listened to, and polls.
    let mut subscription = follower(&there, POLL).await;
    let followed = tokio::spawn(async move { positions(&mut subscription, last).await });
    let (models, reader) = (Models::new().await, PostgresStore::open(&there, 2).await);
    let running = Running::start(Positions::default(), reader.unwrap(), &models).await;
    let replicated = page_through(&there, &primary, last).await;
    writers.join_all().await;

    assert_eq!(replicated, read_all(&*primary).await);
    assert_eq!(
        events_by_command(&replicated).len(),
        WRITERS * APPENDS,
        "each append as a whole"
    );
    assert_eq!(followed.await.unwrap(), one_to(last));
    running.reaches(last).await;
    running.stop().await;
    assert_eq!(models.positions().await, one_to(last));

    // Nobody appends there, and nobody takes the refusal for a conflict.
    let store = PostgresStore::open(&there, 2).await.unwrap();
    let error = store.append(request("0", 1)).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    assert_eq!(store.head().await.unwrap().number(), last);
    cluster.remove().await.unwrap();
}

/// Reads the replica page by page up to `last`. Whatever it shows, the primary has in that place.
async fn page_through(
    replica: &Database,
    primary: &PostgresStore,
    last: i64,
) -> Vec<RecordedEvent> {
    let store = PostgresStore::open(replica, 2).await.unwrap();
    let batch = BatchSize::new(37).unwrap();
    let (mut seen, mut head): (Vec<RecordedEvent>, _) = (Vec::new(), Position::START);
    let deadline = Instant::now() + PATIENCE;
    while i64::try_from(seen.len()).unwrap() < last {
        assert!(Instant::now() < deadline, "{}", seen.len());
        let now = store.head().await.unwrap();
        assert!(
            head <= now,
            "the replica's head went back from {head} to {now}"
        );
        head = now;
        let after = seen.last().map_or(Position::START, |last| last.position);
        let page = store.read_all(after, batch).await.unwrap();
        // The replica may show a commit a moment before the primary does: there, its record is
        // sent off before its session tells the others.
        let mut original = Vec::new();
        while original.len() < page.len() {
            assert!(Instant::now() < deadline, "the primary has less");
            original = primary.read_all(after, batch).await.unwrap();
        }
        original.truncate(page.len());
        assert!(page == original, "after {after}: {page:?}, {original:?}");
        seen.extend(page);
    }
    seen
}

/// What the replica had not received when it was promoted is lost, though it was acknowledged and
/// read. Whoever has read it finds out, before and after the positions are given again.
#[tokio::test]
async fn g16_a_replica_promoted_without_the_last_commits_is_noticed() {
    let cluster = ThrowawayCluster::start(Durability::UnsafeForTests)
        .await
        .unwrap();
    let database = store_database(&cluster.connection_config()).await;
    let primary = PostgresStore::open(&database, 2).await.unwrap();
    primary.append(request("a", 10)).await.unwrap();
    let beside = Beside::copy(&cluster, &["--write-recovery-conf"]).await;
    let replica = beside.start(5433).await;
    let there = Database::new(replica.clone(), database.name());
    let on_replica = superuser(&replica, database.name()).await;
    let has_ten = "SELECT count(*) = 10 FROM store.events";
    until(&on_replica, has_ten).await;
    let models = [Models::new().await, Models::new().await];
    let behind = Checkpoint::start(primary.store_id()).after(&last(&primary).await);
    run(&database, &models[0], 10).await;

    // From here on it receives nothing.
    let cut = "ALTER SYSTEM SET primary_conninfo = ''";
    on_replica.batch_execute(cut).await.unwrap();
    let reload = "SELECT pg_reload_conf()";
    on_replica.batch_execute(reload).await.unwrap();
    let cut_off = "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)";
    until(&on_replica, cut_off).await;
    primary.append(request("a", 5)).await.unwrap();
    let ahead = behind.after(&last(&primary).await);
    run(&database, &models[1], 15).await;
    cluster.kill_all().await.unwrap();
    let promote = "SELECT pg_promote()";
    on_replica.batch_execute(promote).await.unwrap();

    let promoted = PostgresStore::open(&there, 2).await.unwrap();
    assert_eq!(promoted.head().await.unwrap().number(), 10);
    let error = refused(&there, ahead).await;
    assert!(
        matches!(&error, HistoryError::WentBack { checkpoint, head }
            if checkpoint.position.number() == 15 && head.number() == 10),
        "{error:?}"
    );
    let told = "the store went back: the reader is at position 15, the store ends at 10";
    assert!(stopped(&there, &models[1]).await.contains(told));

    promoted.append(request("b", 7)).await.unwrap();
    let error = refused(&there, ahead).await;
    assert!(
        matches!(&error, HistoryError::Forked { checkpoint }
            if checkpoint.position.number() == 15),
        "{error:?}"
    );
    let told = "the store was forked: at position 15";
    assert!(stopped(&there, &models[1]).await.contains(told));
    assert_eq!(models[1].positions().await, one_to(15));

    // Who had read no more than was replicated goes on.
    let store = PostgresStore::open(&there, 2).await.unwrap();
    let mut subscription = follow(store, behind, POLL);
    let rest = positions(&mut subscription, 17).await;
    assert_eq!(rest, (11..=17).collect::<Vec<_>>());
    run(&there, &models[0], 17).await;
    assert_eq!(models[0].positions().await, one_to(17));
    cluster.remove().await.unwrap();
}

/// The address is given to another server while nobody asks. A connection that ended in the meantime
/// is replaced without an error, and the reader must not take the other server's events for the
/// next of its own. Only the listener wakes them here, when it has connected again.
#[tokio::test]
async fn g16_readers_that_wait_find_out_that_the_server_was_exchanged() {
    let cluster = ThrowawayCluster::start(Durability::UnsafeForTests)
        .await
        .unwrap();
    let database = store_database(&cluster.connection_config()).await;
    let primary = PostgresStore::open(&database, 2).await.unwrap();
    primary.append(request("a", 10)).await.unwrap();
    let beside = Beside::copy(&cluster, &[]).await;
    // The copy goes on from 10 with other events.
    let there = Database::new(beside.start(5433).await, database.name());
    let other = PostgresStore::open(&there, 2).await.unwrap();
    other.append(request("b", 9)).await.unwrap();
    drop(other);
    beside.stop().await;
    primary.append(request("a", 5)).await.unwrap();
    drop(primary);

    let open = async || PostgresStore::open(&database, 1).await.unwrap();
    let hour = Duration::from_secs(3_600);
    let mut all = follower(&database, hour).await;
    assert_eq!(positions(&mut all, 15).await, one_to(15));
    // What it has read last is none of what it wants.
    let nothing = SubscriptionSettings {
        filter: Filter::category("none"),
        poll: hour,
        ..SubscriptionSettings::default()
    };
    let store = open().await;
    let start = Checkpoint::start(store.store_id());
    let mut filtered = Subscription::new(store, start, nothing);
    assert_eq!(positions(&mut filtered, 15).await, [0; 0]);
    let models = Models::new().await;
    // The lease is renewed three times in its term, and the store is looked at then.
    let settings = Settings {
        poll: hour,
        lease: 3 * hour,
        ..SETTINGS
    };
    let running = Running::start_with(Positions::default(), open().await, &models, settings).await;
    running.reaches(15).await;

    let client = superuser(&cluster.connection_config(), "postgres").await;
    // Three listeners, and three that have read and are in their pools.
    let idle = "SELECT count(*) >= 6 FROM pg_stat_activity \
                WHERE state = 'idle' AND application_name IN ('folio reader', 'folio listener')";
    until(&client, idle).await;
    cluster.kill_all().await.unwrap();
    // To PostgreSQL a dead process that nobody has collected yet looks alive.
    let lock = cluster.address().socket_folder.join(".s.PGSQL.5432.lock");
    std::fs::remove_file(lock).unwrap();
    beside.start(5432).await;
    for subscription in [&mut all, &mut filtered] {
        let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
        let error = next.expect("it is woken").unwrap_err();
        assert!(
            matches!(&error, SubscriptionError::History(HistoryError::Forked { checkpoint })
                if checkpoint.position.number() == 15),
            "{error:?}"
        );
    }
    let error = running.fails().await;
    assert!(
        error.contains("the store was forked: at position 15"),
        "{error}"
    );
    assert_eq!(models.positions().await, one_to(15));
    cluster.remove().await.unwrap();
}

async fn last(store: &PostgresStore) -> RecordedEvent {
    read_all(store).await.pop().unwrap()
}

/// Brings a model up to `position`.
async fn run(database: &Database, models: &Models, position: i64) {
    let store = PostgresStore::open(database, 2).await.unwrap();
    let running = Running::start(Positions::default(), store, models).await;
    running.reaches(position).await;
    running.stop().await;
}

/// Why a runner stops.
async fn stopped(database: &Database, models: &Models) -> String {
    let store = PostgresStore::open(database, 2).await.unwrap();
    let running = Running::start(Positions::default(), store, models).await;
    let error = running.fails().await;
    running.stop().await;
    error
}

/// Why a subscription does not go on.
async fn refused(database: &Database, from: Checkpoint) -> HistoryError {
    let store = PostgresStore::open(database, 2).await.unwrap();
    let error = follow(store, from, POLL).next().await.unwrap_err();
    let SubscriptionError::History(error) = error else {
        panic!("{error:?}")
    };
    error
}
