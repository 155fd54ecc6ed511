//! A runner that dies, sleeps or loses its connection between what it writes and its commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use folio_core::{BatchSize, InMemoryStore, RecordedEvent};
use folio_postgres::{Pool, PostgresStore, Role};
use folio_projections::{
    ModelTransaction, Projection, ProjectionName, Projector, ProjectorError, Settings, Status,
    StoreSource,
};
use folio_tests::{postgres, scale};
use tokio::sync::Notify;

use super::kit::{Models, Positions, Running, SETTINGS, append, at, one_to, wait_until};

/// Writes, and then waits where it has written and nothing is committed.
#[derive(Clone)]
struct Gated {
    has_written: Arc<Notify>,
    may_go_on: Arc<Notify>,
    /// Where it writes: in the transaction of its batch, or on a connection of its own.
    apart: Option<Pool>,
    is_open: Arc<AtomicBool>,
}

impl Gated {
    fn new(apart: Option<Pool>) -> Self {
        Self {
            has_written: Arc::default(),
            may_go_on: Arc::default(),
            apart,
            is_open: Arc::default(),
        }
    }
}

#[async_trait]
impl Projector for Gated {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("positions", 1)
    }

    // No key: what comes twice shall be counted, not refused.
    fn tables(&self) -> &str {
        "CREATE TABLE positions (position bigint)"
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let positions: Vec<i64> = events.iter().map(|e| e.position.number()).collect();
        let write = "INSERT INTO positions_1.positions SELECT unnest($1::bigint[])";
        match &self.apart {
            None => model.execute(write, &[&positions]).await?,
            Some(pool) => {
                let mut client = pool.get().await.unwrap();
                let written = client.execute(write, &[&positions]).await?;
                client.finished();
                written
            }
        };
        if !self.is_open.load(Ordering::SeqCst) {
            self.has_written.notify_one();
            self.may_go_on.notified().await;
        }
        Ok(())
    }
}

/// A term that is over when the next one starts.
fn short() -> Settings {
    Settings {
        batch: BatchSize::ONE,
        lease: Duration::from_millis(2),
        poll: Duration::from_millis(1),
        ..SETTINGS
    }
}

/// Killed 1,000 times after it has written and before that is committed. Every third time it gets one
/// event further first.
#[tokio::test]
async fn a_runner_killed_between_model_and_checkpoint_1000_times_writes_each_event_once() {
    let kills = 1_000 * scale();
    let written = killed(kills, |_| None).await;
    assert_eq!(written.len(), kills / 3 + 10);
    assert!(written.iter().all(|(_, times)| *times == 1), "{written:?}");
}

/// The control: a model that is written apart from its checkpoint has events twice.
#[tokio::test]
async fn without_one_transaction_for_model_and_checkpoint_events_come_twice() {
    let apart = |models: &Models| Some(models.database().pool(Role::Projector, 2).unwrap());
    let written = killed(30, apart).await;
    let twice = written.iter().filter(|(_, times)| *times > 1).count();
    assert!(twice >= 5, "{written:?}");
}

/// Every position with how often it was written.
async fn killed(kills: usize, apart: impl Fn(&Models) -> Option<Pool>) -> Vec<(i64, i64)> {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let events = kills / 3 + 10;
    append(&store, events).await;
    let gated = Gated::new(apart(&models));
    let source = StoreSource::new(Arc::clone(&store));
    let projection = Projection::open(gated.clone(), source, models.database(), short())
        .await
        .unwrap();
    for kill in 0..kills {
        let running = Running::run(projection.clone());
        gated.has_written.notified().await;
        if kill % 3 == 2 {
            gated.may_go_on.notify_one();
            gated.has_written.notified().await;
        }
        running.kill().await;
    }
    gated.is_open.store(true, Ordering::SeqCst);
    let running = Running::run(projection);
    running.reaches(i64::try_from(events).unwrap()).await;
    running.stop().await;
    let client = postgres::superuser(models.database()).await;
    let counted = "SELECT position, count(*) FROM positions_1.positions GROUP BY 1 ORDER BY 1";
    let rows = client.query(counted, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// It has written a batch when it falls asleep, for longer than its lease and than any transaction may
/// last. Another one takes over and writes the same events; what the first one holds is void.
#[tokio::test]
async fn a_runner_that_sleeps_in_the_midst_of_a_batch_cannot_commit_it() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 7).await;
    let settings = Settings {
        handle_timeout: Duration::from_millis(500),
        ..SETTINGS
    };
    // The sleeper is bounded by nothing of its own, as a stopped process would be.
    let patient = Settings {
        handle_timeout: Duration::from_secs(3_600),
        ..SETTINGS
    };
    let gated = Gated::new(None);
    let sleeper = Running::start_with(gated.clone(), Arc::clone(&store), &models, patient).await;
    gated.has_written.notified().await;
    // What the server bounds every transaction with; the sleeper's own setting says an hour.
    models
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND state = 'idle in transaction'",
        )
        .await;
    let open = gated.clone();
    let open = Gated {
        is_open: Arc::new(AtomicBool::new(true)),
        ..open
    };
    let awake = Running::start_with(open, Arc::clone(&store), &models, settings).await;
    awake.reaches(7).await;
    gated.is_open.store(true, Ordering::SeqCst);
    gated.may_go_on.notify_one();
    wait_until(|| !matches!(sleeper.progress.status(), Status::Running)).await;
    append(&store, 7).await;
    awake.reaches(14).await;
    assert_eq!(models.positions().await, one_to(14));
    sleeper.stop().await;
    awake.stop().await;
}

/// The server bounds every transaction that a projection begins: that of a process which was stopped
/// in the midst of one keeps its checkpoint locked no longer.
#[tokio::test]
async fn a_transaction_whose_process_sleeps_is_ended_by_the_server() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 7).await;
    let bounded = Settings {
        handle_timeout: Duration::from_millis(700),
        ..SETTINGS
    };
    let gated = Gated::new(None);
    let sleeper = Running::start_with(gated.clone(), Arc::clone(&store), &models, bounded).await;
    gated.has_written.notified().await;
    let idle = "SELECT count(*) FROM pg_stat_activity \
                WHERE datname = current_database() AND state = 'idle in transaction'";
    assert_eq!(models.ask(idle).await, [1]);
    let limit = "SELECT count(*) FROM pg_stat_activity a, pg_locks l \
                 WHERE a.pid = l.pid AND datname = current_database() \
                   AND a.state = 'idle in transaction' AND now() - a.xact_start > interval '3 s'";
    assert_eq!(models.ask(limit).await, [0]);
    let ended = async {
        while models.ask(idle).await != [0] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .unwrap();
    sleeper.kill().await;
}

/// The leader's sessions are ended by the server while another process stands by; whoever leads then,
/// each event is there once.
#[tokio::test]
async fn a_leader_whose_sessions_are_ended_again_and_again_doubles_nothing() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let start = async || Running::start(Positions::default(), Arc::clone(&store), &models).await;
    let (one, two) = (start().await, start().await);
    for round in 1..=40 {
        append(&store, 25).await;
        postgres::end_all_sessions(models.database()).await;
        one.progress
            .wait_for(at(round * 25), super::kit::PATIENCE)
            .await
            .unwrap();
    }
    two.reaches(1_000).await;
    assert_eq!(models.positions().await, one_to(1_000));
    one.stop().await;
    two.stop().await;
}

/// The sessions that listen are ended again and again, at whatever they are doing, while another process
/// appends. What is not heard is found by the next look.
#[tokio::test]
async fn a_model_lags_no_longer_than_a_look_when_every_wake_up_is_lost() {
    let (database, models) = (postgres::store_database().await, Models::new().await);
    let open = async || PostgresStore::open(&database, 2).await.unwrap();
    let theirs = open().await;
    let running = Running::start(Positions::default(), open().await, &models).await;
    let superuser = postgres::superuser(&database).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'folio listener'";
    let (mut position, mut ended) = (0, 0);
    for round in 0..60_u64 {
        ended += superuser.execute(end, &[]).await.unwrap();
        // Before, in the midst of and after coming back.
        tokio::time::sleep(Duration::from_millis(round * 13 % 600)).await;
        append(&theirs, 1).await;
        position += 1;
        let limit = Duration::from_secs(1) + SETTINGS.poll;
        let reached = running.progress.wait_for(at(position), limit).await;
        assert!(reached.is_ok(), "round {round}: {reached:?}");
    }
    assert!(ended >= 20, "{ended} listeners were ended");
    assert_eq!(models.positions().await, one_to(position));
    running.stop().await;
}
