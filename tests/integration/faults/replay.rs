//! Long reads whose connections are cut. A read ends in an error or has everything, and is never taken
//! for finished when it was cut short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use folio_core::store::{EventStore, ReadError};
use folio_core::{BatchSize, Position};
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{Database, PostgresStore, Replay};
use folio_tests::scale;
use tokio_postgres::Config;

use super::proxy::Proxy;
use super::{request, store_database, superuser};

const EVENTS: i64 = 200_000;
const EVENTS_AT_ONCE: usize = 5_000;
const CUTS: usize = 30;
/// Small enough that a read of all has many pages, large enough that a page is many messages.
const PAGE: u16 = 5_000;

/// The server ends the reader's sessions, whatever they are doing.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_sessions_are_ended_is_never_short() {
    let (cluster, database) = filled().await;
    let store = Arc::new(PostgresStore::open(&database, 2).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let server = cluster.connection_config();
    let killer = tokio::spawn(end_readers(server, database.clone(), Arc::clone(&stop)));
    let (replays, pages) = (replay_until_cut(&store).await, page_through(&store).await);
    stop.store(true, Ordering::Relaxed);
    killer.await.unwrap();
    assert!(replays >= CUTS * scale() && pages >= CUTS * scale());
    // Nobody cuts any more.
    assert_eq!(replay(&store, EVENTS).await.unwrap(), EVENTS);
    cluster.remove().await.unwrap();
}

/// The connection is cut in the midst of a reply: within a row, and between two rows, where what has
/// arrived looks whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_cut_within_a_reply_is_never_short() {
    let (cluster, database) = filled().await;
    let proxy = Proxy::cutting_replies(&cluster.connection_config());
    let through = Database::new(proxy.config(), database.name());
    let store = Arc::new(PostgresStore::open(&through, 2).await.unwrap());
    let (replays, pages) = (replay_until_cut(&store).await, page_through(&store).await);
    assert!(replays >= CUTS * scale() && pages >= CUTS * scale());
    assert!(proxy.cuts() >= replays + pages);
    cluster.remove().await.unwrap();
}

/// The control: a replay of more than there is does not end well.
#[tokio::test]
async fn a_replay_up_to_what_is_not_there_is_an_error() {
    let store = Arc::new(folio_tests::postgres::store().await);
    store.append(request("short", 10)).await.unwrap();
    assert_eq!(replay(&store, 10).await.unwrap(), 10);
    let error = replay(&store, 11).await.unwrap_err();
    assert!(matches!(error, ReadError::Corrupt { .. }), "{error:?}");
}

/// A cluster of its own, with a store of many events.
async fn filled() -> (ThrowawayCluster, Database) {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let database = store_database(&cluster.connection_config()).await;
    let store = PostgresStore::open(&database, 1).await.unwrap();
    while store.head().await.unwrap().number() < EVENTS {
        let append = request("long", EVENTS_AT_ONCE);
        store.append(append).await.unwrap();
    }
    (cluster, database)
}

/// Ends the sessions that read, one after another and each in the midst of a statement if it can.
async fn end_readers(server: Config, database: Database, stop: Arc<AtomicBool>) {
    let client = superuser(&server, &database).await;
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        client
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() \
                   AND state = 'active' AND query LIKE '%position > $1%'",
                &[],
            )
            .await
            .unwrap();
        // So that some pages pass between two kills, and not always as many.
        turn += 1;
        let pause = std::time::Duration::from_millis(turn * 7 % 40);
        tokio::time::sleep(pause).await;
    }
}

/// Replays again and again until it was cut often. Answers how often.
async fn replay_until_cut(store: &Arc<PostgresStore>) -> usize {
    let mut cuts = 0;
    while cuts < CUTS * scale() {
        match replay(store, EVENTS).await {
            Ok(events) => assert_eq!(events, EVENTS, "cut short"),
            Err(error) => {
                assert!(is_cut(&error), "{error:?}");
                cuts += 1;
            }
        }
    }
    cuts
}

/// Replays, and answers how many events it was given before its end.
async fn replay(store: &Arc<PostgresStore>, until: i64) -> Result<i64, ReadError> {
    let page = BatchSize::new(PAGE).unwrap();
    let until = Position::new(until).unwrap();
    let mut replay = Replay::new(Arc::clone(store), Position::START, until, page);
    let mut last = 0;
    while let Some(events) = replay.next().await? {
        for event in events {
            last += 1;
            assert_eq!(event.position.number(), last);
        }
    }
    Ok(last)
}

/// Pages through the store, again and again and each time on from the last page that was had, until
/// it was cut often. Answers how often.
async fn page_through(store: &PostgresStore) -> usize {
    let mut cuts = 0;
    let mut after = Position::START;
    while cuts < CUTS * scale() {
        match store.read_all(after, BatchSize::new(PAGE).unwrap()).await {
            Ok(page) => {
                for event in &page {
                    assert_eq!(event.position, after.plus(1));
                    after = event.position;
                }
                if page.len() < usize::from(PAGE) {
                    assert_eq!(after.number(), EVENTS, "cut short");
                    after = Position::START;
                }
            }
            Err(error) => {
                assert!(is_cut(&error), "{error:?}");
                cuts += 1;
            }
        }
    }
    cuts
}

/// Whether a read says that it could not be carried out, and not that the store has a hole.
fn is_cut(error: &ReadError) -> bool {
    matches!(error, ReadError::Unavailable(_) | ReadError::Failed(_))
}
