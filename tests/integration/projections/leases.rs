//! Several runners of one projection: one writes, the others are ready to take over.

use std::sync::Arc;
use std::time::Duration;

use folio_core::InMemoryStore;
use folio_projections::{Settings, Status};
use folio_tests::postgres;

use super::kit::{Models, Positions, Running, SETTINGS, append, one_to, wait_until};

const AN_HOUR: Duration = Duration::from_secs(3_600);

fn leading(runners: &[Running]) -> usize {
    let is_leading = |running: &&Running| running.progress.status() == Status::Running;
    runners.iter().filter(is_leading).count()
}

#[tokio::test]
async fn one_of_several_runners_writes_and_another_takes_over_after_a_crash() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let mut runners = Vec::new();
    for _ in 0..3 {
        runners.push(Running::start(Positions::default(), Arc::clone(&store), &models).await);
    }
    for round in 1..=3 {
        append(&store, 30).await;
        // Those who stand by tell how far the model is, too.
        for running in &runners {
            running.reaches(round * 30).await;
        }
        assert_eq!(leading(&runners), 1);
        let leader = runners
            .iter()
            .position(|running| running.progress.status() == Status::Running);
        let killed = runners.remove(leader.unwrap());
        killed.kill().await;
        if round < 3 {
            wait_until(|| leading(&runners) == 1).await;
        }
    }
    assert_eq!(models.positions().await, one_to(90));
}

#[tokio::test]
async fn a_runner_that_is_stopped_gives_its_lease_back() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let settings = Settings {
        lease: AN_HOUR,
        ..SETTINGS
    };
    let start = || Running::start_with(Positions::default(), Arc::clone(&store), &models, settings);
    for round in 1..=3 {
        append(&store, 10).await;
        let running = start().await;
        running.reaches(round * 10).await;
        assert_eq!(running.progress.status(), Status::Running);
        running.stop().await;
    }
    // One that dies does not.
    let running = start().await;
    wait_until(|| running.progress.status() == Status::Running).await;
    running.kill().await;
    let next = start().await;
    wait_until(|| next.progress.status() == Status::Standby).await;
    append(&store, 10).await;
    let (positions, standby) = (models.positions().await, next.progress.position());
    assert_eq!(positions, one_to(30));
    assert_eq!(standby.map(|at| at.number()), Some(30));
}

/// It is stopped while it asks for the lease, and gets it only then: whoever comes next would have to
/// wait for the end of a lease that nobody knows of.
#[tokio::test]
async fn a_runner_that_is_stopped_while_it_asks_for_the_lease_gives_it_back() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let settings = Settings {
        lease: AN_HOUR,
        ..SETTINGS
    };
    let start = || Running::start_with(Positions::default(), Arc::clone(&store), &models, settings);
    append(&store, 10).await;
    let first = start().await;
    first.reaches(10).await;
    first.stop().await;

    let holder = postgres::superuser(models.database()).await;
    let hold = "BEGIN; SELECT * FROM projections.checkpoints FOR UPDATE";
    holder.batch_execute(hold).await.unwrap();
    let stopped = start().await;
    let asks = "SELECT count(*) > 0 FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let watcher = postgres::superuser(models.database()).await;
    while !watcher
        .query_one(asks, &[])
        .await
        .unwrap()
        .get::<_, bool>(0)
    {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(stopped.stop());
    // All that it does on being told to stop, it has done before it gets its answer.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    stopping.await.unwrap();

    append(&store, 10).await;
    let next = start().await;
    next.reaches(20).await;
    assert_eq!(models.positions().await, one_to(20));
    next.stop().await;
}

/// Its batch is written and not committed when its lease is taken over by force, as after its end. The
/// statement that moves the checkpoint comes first and compares the epoch, so the next batch of the one
/// that has lost it writes nothing.
#[tokio::test]
async fn a_runner_that_slept_through_its_lease_cannot_write() {
    assert_eq!(written_after_waking_up("epoch + 1").await, [0_i64; 0]);
    // The control: had nobody taken it over, it could.
    assert_eq!(written_after_waking_up("epoch").await, one_to(5));
}

async fn written_after_waking_up(epoch: &str) -> Vec<i64> {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let settings = Settings {
        lease: AN_HOUR,
        poll: AN_HOUR,
        ..SETTINGS
    };
    let running =
        Running::start_with(Positions::default(), Arc::clone(&store), &models, settings).await;
    wait_until(|| running.progress.status() == Status::Running).await;
    // It sleeps, and knows nothing of this.
    models
        .execute(&format!(
            "UPDATE projections.checkpoints SET epoch = {epoch}, owner = 'another', \
             held_until = now() + interval '1 hour'"
        ))
        .await;
    // It wakes up.
    append(&store, 5).await;
    if epoch == "epoch" {
        running.reaches(5).await;
    } else {
        wait_until(|| running.progress.status() == Status::Standby).await;
    }
    let positions = models.positions().await;
    running.kill().await;
    positions
}
