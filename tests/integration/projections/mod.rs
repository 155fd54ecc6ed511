//! What a projection promises: each event once, whatever stops, races or fails.

mod builds;
mod complete;
mod dead_letters;
mod kills;
pub(crate) mod kit;
mod leases;
mod partitions;
mod poison;
mod reading;
mod reconnects;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use folio_core::{InMemoryStore, StoreId, Timestamp};
use folio_postgres::{PostgresStore, Role};
use folio_projections::{Measurement, Status, StoreSource};
use folio_tests::postgres;
use uuid::Uuid;

use kit::{How, Models, Positions, Running, append, append_as, at, one_to, operator, wait_until};

#[tokio::test]
async fn it_catches_up_then_goes_on_live() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 100).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    running.reaches(100).await;
    for _ in 0..20 {
        append(&store, 1).await;
    }
    running.reaches(120).await;
    assert_eq!(models.positions().await, one_to(120));
    assert_eq!(running.progress.status(), Status::Running);
    running.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_the_model_is() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    for round in 1..=5 {
        append(&store, 33).await;
        let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
        running.reaches(33 * round).await;
        running.stop().await;
    }
    assert_eq!(models.positions().await, one_to(165));
    assert_eq!(models.checkpoint().await, 165);
}

#[tokio::test]
async fn g14_two_runners_of_one_projection_write_each_event_once() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 500).await;
    let one = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    let two = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    one.reaches(500).await;
    two.reaches(500).await;
    append(&store, 100).await;
    one.reaches(600).await;
    two.reaches(600).await;
    assert_eq!(models.positions().await, one_to(600));
    one.stop().await;
    two.stop().await;
}

/// What was written before the failure is rolled back with the checkpoint, and written once when
/// it works again. The primary key of the model is the control: a second write would be refused.
#[tokio::test]
async fn a_failure_that_passes_is_tried_again() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let projector = Positions::default();
    projector.failing.store(true, Ordering::SeqCst);
    append(&store, 50).await;
    let running = Running::start(projector.clone(), Arc::clone(&store), &models).await;
    wait_until(|| matches!(running.progress.status(), Status::Retrying { .. })).await;
    assert_eq!(models.positions().await, one_to(0));
    assert_eq!(models.checkpoint().await, 0);
    projector.failing.store(false, Ordering::SeqCst);
    running.reaches(50).await;
    assert_eq!(models.positions().await, one_to(50));
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_projected_stops_the_runner_before_it() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 30).await;
    let projector = Positions::poisoned(16, How::Error);
    let poison = Arc::clone(&projector.poison);
    let running = Running::start(projector, Arc::clone(&store), &models).await;
    let error = running.fails().await;
    assert!(error.contains("position 16"), "{error}");
    // Batches of 7: the one that holds 16 starts at 15.
    assert_eq!(models.positions().await, one_to(14));
    assert_eq!(models.checkpoint().await, 14);
    // A reader that waits for it is told, and that nothing is taken in any more shows as lag.
    let waited = running.progress.wait_for(at(30), Duration::from_millis(10));
    assert_eq!(waited.await.unwrap_err().reached.number(), 14);
    let pool = models.database().pool(Role::Reader, 1).unwrap();
    let source = StoreSource::new(Arc::clone(&store));
    let measured = Measurement::take("positions", &*source, &pool)
        .await
        .unwrap();
    let live = measured.live().unwrap();
    assert_eq!((live.events, measured.head), (16, at(30)));
    assert!(live.age > Duration::from_secs(3_600), "{:?}", live.age);

    // Mended and resumed, it goes on in the same process.
    poison.store(0, Ordering::SeqCst);
    running.projection.resume(&operator()).await.unwrap();
    running.reaches(30).await;
    assert_eq!(models.positions().await, one_to(30));
    running.stop().await;
}

#[tokio::test]
async fn a_model_of_another_store_is_not_written_to() {
    let models = Models::new().await;
    let first = Arc::new(InMemoryStore::default());
    append(&first, 10).await;
    let running = Running::start(Positions::default(), Arc::clone(&first), &models).await;
    running.reaches(10).await;
    running.stop().await;

    let other = InMemoryStore::new(StoreId::from_uuid(Uuid::from_u128(7)), || {
        Timestamp::from_micros(0)
    });
    let other = Arc::new(other);
    append(&other, 20).await;
    let running = Running::start(Positions::default(), other, &models).await;
    let error = running.fails().await;
    assert!(error.contains("has read store"), "{error}");
    running.stop().await;
    assert_eq!(models.positions().await, one_to(10));
}

/// A store that was restored to an earlier moment, or lost commits in a failover, is shorter than
/// what was read of it, or gives the same positions to other events. Its id is still the same.
#[tokio::test]
async fn g13_a_store_that_went_back_or_was_forked_stops_the_runner() {
    for (events, history, expected) in [
        (
            4,
            "old",
            "the store went back: the reader is at position 10, the store ends at 4",
        ),
        (10, "new", "the store was forked: at position 10"),
        (15, "new", "the store was forked: at position 10"),
        // The control: the same history, restored whole, is gone on with.
        (10, "old", ""),
    ] {
        let models = Models::new().await;
        let before = Arc::new(InMemoryStore::default());
        append_as(&before, 10, "old").await;
        let running = Running::start(Positions::default(), before, &models).await;
        running.reaches(10).await;
        running.stop().await;

        let restored = Arc::new(InMemoryStore::default());
        append_as(&restored, events, history).await;
        let running = Running::start(Positions::default(), restored, &models).await;
        if expected.is_empty() {
            running.reaches(10).await;
            running.stop().await;
        } else {
            let error = running.fails().await;
            assert!(error.contains(expected), "{error}");
            running.stop().await;
        }
        assert_eq!(models.positions().await, one_to(10));
    }
}

#[tokio::test]
async fn a_lost_database_connection_is_survived() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 10).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    running.reaches(10).await;
    for round in 2..=5 {
        postgres::end_all_sessions(models.database()).await;
        append(&store, 10).await;
        running.reaches(10 * round).await;
    }
    assert_eq!(models.positions().await, one_to(50));
    running.stop().await;
}

/// Appends of another process do not wake the runner; it finds them when it asks again.
#[tokio::test]
async fn appends_of_another_process_are_seen() {
    let (database, models) = (postgres::store_database().await, Models::new().await);
    let ours = PostgresStore::open(&database, 2).await.unwrap();
    let theirs = PostgresStore::open(&database, 2).await.unwrap();
    let running = Running::start(Positions::default(), ours, &models).await;
    append(&theirs, 25).await;
    running.reaches(25).await;
    assert_eq!(models.positions().await, one_to(25));
    running.stop().await;
}
