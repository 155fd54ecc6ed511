//! What every event store promises, on PostgreSQL; and what a store on PostgreSQL must withstand of
//! the server around it: other writers, prepared transactions, ended backends, restores, replicas,
//! poolers, other languages and other settings.

pub(crate) mod beside;
mod bystanders;
mod contract;
pub(crate) mod dumps;
mod errors;
mod poolers;
mod replicas;
mod restores;
pub(crate) mod schedules;
mod settings;

use std::time::Duration;

use folio_core::{BatchSize, Checkpoint, EventStore, Filter};
use folio_postgres::{Database, PostgresStore, Subscription, SubscriptionSettings};
use folio_tests::postgres;
use tokio::time::Instant;
use tokio_postgres::{Client, Config, NoTls};

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session as the user who owns the server, in one of its databases.
pub(crate) async fn superuser(server: &Config, database: &str) -> Client {
    let mut config = server.clone();
    config.dbname(database);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Returns once the server answers `true` to `condition`.
pub(crate) async fn until(client: &Client, condition: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !client
        .query_one(condition, &[])
        .await
        .unwrap()
        .get::<_, bool>(0)
    {
        assert!(Instant::now() < deadline, "it did not happen: {condition}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns once somebody in the database waits for a lock.
async fn until_somebody_waits(superuser: &Client) {
    let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock')";
    until(superuser, waiting).await;
}

/// What follows a store in a process of its own, and has appended nothing there.
async fn follower(database: &Database, poll: Duration) -> Subscription<PostgresStore> {
    let store = PostgresStore::open(database, 2).await.unwrap();
    let from = Checkpoint::start(store.store_id());
    follow(store, from, poll)
}

fn follow<S: EventStore>(store: S, from: Checkpoint, poll: Duration) -> Subscription<S> {
    let settings = SubscriptionSettings {
        name: "conformance",
        filter: Filter::all(),
        batch: BatchSize::new(50).unwrap(),
        poll,
    };
    Subscription::new(store, from, settings)
}

/// The positions that are handed over, up to `last`.
async fn positions<S: EventStore>(subscription: &mut Subscription<S>, last: i64) -> Vec<i64> {
    let mut seen = Vec::new();
    while subscription.position().number() < last {
        let page = tokio::time::timeout(PATIENCE, subscription.next())
            .await
            .expect("it goes on")
            .unwrap();
        seen.extend(page.events.iter().map(|event| event.position.number()));
    }
    seen
}

/// A store with its database on the server that all tests share.
async fn shared_store() -> (Database, PostgresStore) {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    (database, store)
}
