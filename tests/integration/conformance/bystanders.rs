//! Other sessions of the server: idle writers, prepared transactions, ended backends. They hold up
//! what they must and nothing else, and nobody skips an event because of them.

use std::time::Duration;

use folio_core::store::EventStore;
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{PostgresStore, Role, Subscription};
use folio_tests::postgres;
use tokio_postgres::Client;

use super::{PATIENCE, follower, positions, shared_store, superuser, until, until_somebody_waits};
use crate::faults::{request, store_database};
use crate::projections::kit::{Models, Positions, Running, one_to};

/// Readers of a store that orders by transaction ids would wait for both of these writers to end.
#[tokio::test]
async fn g6_an_idle_writer_in_another_database_holds_nothing_up() {
    let (database, store) = shared_store().await;
    let (other, _) = shared_store().await;
    let mut idle = Vec::new();
    for database in [&database, &other] {
        let client = postgres::superuser(database).await;
        client
            .batch_execute(
                "CREATE TABLE public.unrelated (n int); \
                 BEGIN; INSERT INTO public.unrelated VALUES (1)",
            )
            .await
            .unwrap();
        idle.push(client);
    }
    let idle_transaction: i64 = idle[1]
        .query_one("SELECT txid_current()", &[])
        .await
        .unwrap()
        .get(0);

    let mut subscription = follower(&database, Duration::from_millis(20)).await;
    let models = Models::new().await;
    let reader = PostgresStore::open(&database, 2).await.unwrap();
    let running = Running::start(Positions::default(), reader, &models).await;
    for round in 1..=10 {
        store.append(request("a", 3)).await.unwrap();
        let last = round * 3;
        assert_eq!(
            positions(&mut subscription, last).await,
            (last - 2..=last).collect::<Vec<_>>()
        );
        running.reaches(last).await;
    }
    assert_eq!(models.positions().await, one_to(30));
    running.stop().await;

    // All that time they were open, and the server's horizon stood at the one elsewhere.
    let horizon = "SELECT txid_snapshot_xmin(txid_current_snapshot())";
    let watcher = postgres::superuser(&database).await;
    let horizon: i64 = watcher.query_one(horizon, &[]).await.unwrap().get(0);
    assert!(horizon <= idle_transaction, "{horizon}: they had ended");
    for client in &idle {
        client.batch_execute("COMMIT").await.unwrap();
    }
}

/// A prepared transaction has no session, outlives restarts, and holds the store's lock like any
/// other. Whichever way it ends, what waited goes on.
#[tokio::test]
async fn g7_a_prepared_append_holds_delivery_until_it_ends() {
    let cluster = ThrowawayCluster::start(Durability::UnsafeForTests)
        .await
        .unwrap();
    let server = cluster.connection_config();
    superuser(&server, "postgres")
        .await
        .batch_execute("ALTER SYSTEM SET max_prepared_transactions = 4")
        .await
        .unwrap();
    cluster.restart().await.unwrap();
    let database = store_database(&server).await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    let watcher = superuser(&server, database.name()).await;
    let mut subscription = follower(&database, Duration::from_millis(20)).await;

    let mut head = 0;
    for end in [
        "ROLLBACK PREPARED 'straggler'",
        "COMMIT PREPARED 'straggler'",
    ] {
        store.append(request("quick", 1)).await.unwrap();
        head += 1;
        assert_eq!(positions(&mut subscription, head).await, [head]);

        let straggler = database.connect(Role::Appender).await.unwrap();
        straggler.batch_execute("BEGIN").await.unwrap();
        let prepared: i64 = straggler
            .query_one(&postgres::append_by_sql("t", "slow", b"{}"), &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(prepared, head + 1);
        straggler
            .batch_execute("PREPARE TRANSACTION 'straggler'")
            .await
            .unwrap();
        drop(straggler);

        let append = store.append(request("quick", 1));
        tokio::pin!(append);
        tokio::select! {
            result = &mut append => panic!("appended past a prepared append: {result:?}"),
            page = subscription.next() => panic!("delivered past it: {page:?}"),
            () = until_somebody_waits(&watcher) => {}
        }
        assert_eq!(store.head().await.unwrap().number(), head);

        watcher.batch_execute(end).await.unwrap();
        append.await.unwrap();
        let first = head + 1;
        head += if end.starts_with("COMMIT") { 2 } else { 1 };
        assert_eq!(store.head().await.unwrap().number(), head, "{end}");
        let seen = positions(&mut subscription, head).await;
        assert_eq!(seen, (first..=head).collect::<Vec<_>>(), "{end}");
    }
    cluster.remove().await.unwrap();
}

/// The numbers that it had are given again, and those who waited for it go on.
#[tokio::test]
async fn g8_an_appender_killed_between_insert_and_commit_stalls_nothing() {
    let (database, store) = shared_store().await;
    let watcher = postgres::superuser(&database).await;
    let mut subscription = follower(&database, Duration::from_millis(20)).await;
    for head in 0..5 {
        let killed = database.connect(Role::Appender).await.unwrap();
        killed.batch_execute("BEGIN").await.unwrap();
        let taken: i64 = killed
            .query_one(&postgres::append_by_sql("t", "slow", b"{}"), &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(taken, head + 1);
        let backend: i32 = killed
            .query_one("SELECT pg_backend_pid()", &[])
            .await
            .unwrap()
            .get(0);

        let append = store.append(request("quick", 1));
        tokio::pin!(append);
        tokio::select! {
            result = &mut append => panic!("appended past an open append: {result:?}"),
            page = subscription.next() => panic!("delivered past it: {page:?}"),
            () = until_somebody_waits(&watcher) => {}
        }
        watcher
            .execute("SELECT pg_terminate_backend($1)", &[&backend])
            .await
            .unwrap();
        append.await.unwrap();
        assert_eq!(positions(&mut subscription, head + 1).await, [head + 1]);
    }
    assert_eq!(store.head().await.unwrap().number(), 5);
}

const LISTENERS: &str = "FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = 'folio listener'";

/// A listener that was ended comes back after half a second. With none there, it can only be the poll
/// that finds an event. That listening is never possible, on a server that refuses it, is shown
/// with a replica.
#[tokio::test]
async fn g10_a_dead_listener_delays_delivery_by_a_poll_at_most() {
    const ROUNDS: i64 = 10;
    let (database, store) = shared_store().await;
    let watcher = postgres::superuser(&database).await;
    let mut polling = follower(&database, Duration::from_millis(20)).await;
    let mut polled = 0;
    for round in 1..=ROUNDS {
        // On a busy machine a listener may be back before a poll.
        if listeners_at_delivery(&watcher, &store, &mut polling, round).await == 0 {
            polled += 1;
        }
    }
    assert!(polled > 0, "every event waited for a listener");

    // The control: without a poll it is the next listener that wakes it.
    drop(polling);
    let mut patient = follower(&database, PATIENCE * 10).await;
    assert_eq!(positions(&mut patient, ROUNDS).await, one_to(ROUNDS));
    assert!(listeners_at_delivery(&watcher, &store, &mut patient, ROUNDS + 1).await > 0);
}

/// Appends the event at `position` when neither process has a listener, to a subscription that waits
/// for it. Answers how many listeners there are again when it was delivered.
async fn listeners_at_delivery(
    watcher: &Client,
    store: &PostgresStore,
    subscription: &mut Subscription<PostgresStore>,
    position: i64,
) -> i64 {
    until(watcher, &format!("SELECT count(*) = 2 {LISTENERS}")).await;
    let end = format!("SELECT pg_terminate_backend(pid) {LISTENERS}");
    let append = async {
        watcher.execute(&end, &[]).await.unwrap();
        until(watcher, &format!("SELECT count(*) = 0 {LISTENERS}")).await;
        store.append(request("a", 1)).await.unwrap();
    };
    let (seen, ()) = tokio::join!(positions(subscription, position), append);
    assert_eq!(seen, [position]);
    let count = format!("SELECT count(*) {LISTENERS}");
    watcher.query_one(&count, &[]).await.unwrap().get(0)
}
