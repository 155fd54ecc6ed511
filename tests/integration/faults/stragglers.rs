//! Writers that take their time between their number and their commit, or roll back. Subscribers see
//! every event once, in order, while it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use folio_core::store::EventStore;
use folio_core::{BatchSize, Checkpoint, Filter, Member, RecordedEvent};
use folio_postgres::{Database, PostgresStore, Role, Subscription, SubscriptionSettings};
use folio_tests::{postgres, scale};
use tokio::task::JoinSet;

use super::request;

const EVENTS: i64 = 200_000;
const WRITERS: usize = 16;
const EVENTS_AT_ONCE: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn stragglers_and_rollbacks_make_no_subscriber_skip_or_reorder() {
    let database = postgres::store_database().await;
    let goal = EVENTS * i64::try_from(scale()).unwrap();
    let subscribers = subscribe(&database, goal).await;

    // Two processes, as far as a store can tell: each with an appender of its own.
    let one = Arc::new(PostgresStore::open(&database, 1).await.unwrap());
    let two = Arc::new(PostgresStore::open(&database, 1).await.unwrap());
    let appended = Arc::new(AtomicI64::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(if writer % 2 == 0 { &one } else { &two });
        let appended = Arc::clone(&appended);
        writers.spawn(async move {
            while appended.load(Ordering::Relaxed) < goal {
                let request = request(&writer.to_string(), EVENTS_AT_ONCE);
                store.append(request).await.unwrap();
                appended.fetch_add(50, Ordering::Relaxed);
            }
        });
    }
    let mut stragglers = JoinSet::new();
    for number in 0..2_u64 {
        let (database, appended) = (database.clone(), Arc::clone(&appended));
        stragglers.spawn(async move {
            let mut client = database.connect(Role::Appender).await.unwrap();
            let (mut rolled_back, mut turn) = (0, 0_u64);
            while appended.load(Ordering::Relaxed) < goal {
                turn += 1;
                let transaction = client.transaction().await.unwrap();
                transaction
                    .query_one(&postgres::append_by_sql("t", "slow", b"{}"), &[])
                    .await
                    .unwrap();
                // Its position is given, and nobody may see a later one before its end.
                tokio::time::sleep(Duration::from_millis((turn * 7 + number) % 10)).await;
                if turn % 5 == 0 {
                    transaction.rollback().await.unwrap();
                    rolled_back += 1;
                } else {
                    #[expect(clippy::disallowed_methods, reason = "this writer is not ours")]
                    transaction.commit().await.unwrap();
                }
            }
            rolled_back
        });
    }
    writers.join_all().await;
    let rolled_back: i32 = stragglers.join_all().await.into_iter().sum();
    assert!(rolled_back > 0);

    let head = one.head().await.unwrap().number();
    assert!(head >= goal);
    let mut seen_by_members = 0;
    for (name, subscriber) in subscribers {
        let seen = subscriber.await.unwrap();
        if name == "all" {
            assert!(seen >= goal, "{seen} of {head}");
        } else {
            seen_by_members += seen;
        }
    }
    assert!(seen_by_members >= goal, "{seen_by_members} of {head}");
}

/// One subscriber to everything and three members of a group. Each follows until the goal is passed,
/// and answers how many events it has seen up to there.
async fn subscribe(
    database: &Database,
    goal: i64,
) -> Vec<(&'static str, tokio::task::JoinHandle<i64>)> {
    let mut subscribers = Vec::new();
    let filters = [
        ("all", Filter::all()),
        (
            "first of three",
            Filter::all().for_member(Member::new(0, 3).unwrap()),
        ),
        (
            "second of three",
            Filter::all().for_member(Member::new(1, 3).unwrap()),
        ),
        (
            "third of three",
            Filter::all().for_member(Member::new(2, 3).unwrap()),
        ),
    ];
    for (name, filter) in filters {
        // A process that appends nothing: it hears of appends, or asks.
        let store = PostgresStore::open(database, 1).await.unwrap();
        let checkpoint = Checkpoint::start(store.store_id());
        let settings = SubscriptionSettings {
            name,
            filter: filter.clone(),
            batch: BatchSize::new(500).unwrap(),
            ..SubscriptionSettings::default()
        };
        let mut subscription = Subscription::new(store, checkpoint, settings);
        let subscriber = tokio::spawn(async move {
            let mut last: Option<RecordedEvent> = None;
            let mut seen = 0;
            let mut versions = std::collections::HashMap::new();
            while subscription.position().number() < goal {
                let page = subscription.next().await.unwrap();
                for event in page.events {
                    assert!(filter.admits(&event));
                    if let Some(last) = &last {
                        assert!(last.position < event.position, "out of order");
                    }
                    // Every version of the streams that it sees: one skipped shows here.
                    let version = versions.entry(event.stream.clone()).or_insert(0);
                    *version += 1;
                    assert_eq!(event.version.number(), *version, "one was skipped");
                    seen += 1;
                    last = Some(event);
                }
            }
            seen
        });
        subscribers.push((name, subscriber));
    }
    subscribers
}
