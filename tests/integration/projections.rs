//! What a projection promises: each event once, whatever stops, races or fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use folio_core::store::{Append, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, EventStore, ExpectedVersion, Fingerprint,
    InMemoryStore, NewEvent, Position, RecordedEvent, StoreId, StreamId, Timestamp, error_chain,
};
use folio_postgres::Pool;
use folio_postgres::{Database, Role};
use folio_projections::{
    Lag, Poison, Progress, ProjectionName, Projector, ProjectorError, Runner, RunnerError,
    Settings, Status,
};
use folio_tests::postgres;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

/// Writes every position it is given into a table whose key is the position: a doubled event is
/// refused by the key, a lost one is missing from the count.
#[derive(Clone, Default)]
pub(crate) struct Positions {
    /// Fails after it has written, as long as this is set.
    failing: Arc<AtomicBool>,
    /// Never reads past this position.
    poison: Option<i64>,
}

const NAME: ProjectionName = ProjectionName {
    name: "positions",
    version: 1,
};

#[async_trait]
impl Projector for Positions {
    fn name(&self) -> ProjectionName {
        NAME
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &Transaction<'_>,
    ) -> Result<(), ProjectorError> {
        for event in events {
            if Some(event.position.number()) == self.poison {
                let what = format!("position {} is poison", event.position);
                return Err(ProjectorError::Contradiction(what));
            }
        }
        let positions: Vec<i64> = events.iter().map(|e| e.position.number()).collect();
        transaction
            .execute(
                "INSERT INTO public.positions SELECT unnest($1::bigint[])",
                &[&positions],
            )
            .await?;
        if self.failing.load(Ordering::SeqCst) {
            // A deadlock, as the server would report it: to be tried again.
            transaction
                .batch_execute("DO $$ BEGIN RAISE deadlock_detected; END $$")
                .await?;
        }
        Ok(())
    }

    async fn reset(&self, transaction: &Transaction<'_>) -> Result<(), ProjectorError> {
        Ok(transaction
            .batch_execute("DELETE FROM public.positions")
            .await?)
    }
}

/// Small batches, and little patience: runners are killed here again and again.
pub(crate) const SETTINGS: Settings = Settings {
    batch: match BatchSize::new(7) {
        Some(seven) => seven,
        None => BatchSize::ONE,
    },
    poll: Duration::from_millis(20),
    backoff: Duration::from_millis(5),
    lease: Duration::from_millis(100),
    poison: Poison::Stop,
};

pub(crate) struct Running {
    pub(crate) progress: Progress,
    stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<Result<(), RunnerError>>,
}

impl Running {
    pub(crate) fn start(projector: Positions, store: impl EventStore, models: Pool) -> Self {
        Self::start_with(projector, store, models, SETTINGS)
    }

    pub(crate) fn start_with(
        projector: Positions,
        store: impl EventStore,
        models: Pool,
        settings: Settings,
    ) -> Self {
        let (runner, progress) = Runner::new(projector, store, models, settings);
        let (stop, stopped) = watch::channel(false);
        Self {
            progress,
            stop,
            task: tokio::spawn(runner.run(stopped)),
        }
    }

    pub(crate) async fn reaches(&self, position: i64) {
        let position = Position::new(position).unwrap();
        self.progress.wait_for(position, PATIENCE).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn it_catches_up_then_goes_on_live() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 100).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), models.pool());
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
        let running = Running::start(Positions::default(), Arc::clone(&store), models.pool());
        running.reaches(33 * round).await;
        running.stop().await;
    }
    assert_eq!(models.positions().await, one_to(165));
    assert_eq!(models.checkpoint().await, 165);
}

/// The task is dropped wherever it happens to be: before, within or after its transaction.
#[tokio::test]
async fn g9_a_runner_that_dies_at_any_point_loses_and_doubles_nothing() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 700).await;
    let mut deaths = 0;
    for round in 0_u64.. {
        let running = Running::start(Positions::default(), Arc::clone(&store), models.pool());
        let reached = running.progress.wait_for(
            Position::new(700).unwrap(),
            Duration::from_micros(500 + 137 * round),
        );
        let is_done = reached.await.is_ok();
        running.task.abort();
        let _ = running.task.await;
        let (positions, checkpoint) = models.positions_and_checkpoint().await;
        assert_eq!(positions, one_to(checkpoint), "round {round}");
        if is_done {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 3, "it was killed {deaths} times only");
    assert_eq!(models.positions().await, one_to(700));
}

#[tokio::test]
async fn g14_two_runners_of_one_projection_write_each_event_once() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 500).await;
    let one = Running::start(Positions::default(), Arc::clone(&store), models.pool());
    let two = Running::start(Positions::default(), Arc::clone(&store), models.pool());
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
    let running = Running::start(projector.clone(), Arc::clone(&store), models.pool());
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
    let projector = Positions {
        poison: Some(16),
        ..Positions::default()
    };
    let running = Running::start(projector, Arc::clone(&store), models.pool());
    let progress = running.progress.clone();
    let error = running.task.await.unwrap().unwrap_err();
    assert!(matches!(error, RunnerError::Projector(_)), "{error:?}");
    let Status::Stopped { error: Some(error) } = progress.status() else {
        panic!("{:?}", progress.status());
    };
    assert!(error.contains("position 16"), "{error}");
    // Batches of 7: the one that holds 16 starts at 15.
    assert_eq!(models.positions().await, one_to(14));
    assert_eq!(models.checkpoint().await, 14);
    // A reader that waits for it is told, and a dead runner shows as lag.
    let wanted = Position::new(30).unwrap();
    let waited = progress.wait_for(wanted, Duration::from_millis(10)).await;
    assert_eq!(waited.unwrap_err().reached.number(), 14);
    let lag = Lag::measure(&progress, &store, Timestamp::from_micros(5_000_000))
        .await
        .unwrap();
    assert_eq!((lag.events, lag.age), (16, Duration::from_secs(5)));
}

#[tokio::test]
async fn a_model_of_another_store_is_not_written_to() {
    let models = Models::new().await;
    let first = Arc::new(InMemoryStore::default());
    append(&first, 10).await;
    let running = Running::start(Positions::default(), Arc::clone(&first), models.pool());
    running.reaches(10).await;
    running.stop().await;

    let other = InMemoryStore::new(StoreId::from_uuid(Uuid::from_u128(7)), || {
        Timestamp::from_micros(0)
    });
    let other = Arc::new(other);
    append(&other, 20).await;
    let running = Running::start(Positions::default(), other, models.pool());
    let error = running.task.await.unwrap().unwrap_err();
    let error = error_chain(&error);
    assert!(error.contains("has read store"), "{error}");
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
        let running = Running::start(Positions::default(), before, models.pool());
        running.reaches(10).await;
        running.stop().await;

        let restored = Arc::new(InMemoryStore::default());
        append_as(&restored, events, history).await;
        let running = Running::start(Positions::default(), restored, models.pool());
        if expected.is_empty() {
            running.reaches(10).await;
            running.stop().await;
        } else {
            let error = error_chain(&running.task.await.unwrap().unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(models.positions().await, one_to(10));
    }
}

#[tokio::test]
async fn a_lost_database_connection_is_survived() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 10).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), models.pool());
    running.reaches(10).await;
    for round in 2..=5 {
        postgres::end_all_sessions(&models.database).await;
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
    let ours = folio_postgres::PostgresStore::open(&database, 2)
        .await
        .unwrap();
    let theirs = folio_postgres::PostgresStore::open(&database, 2)
        .await
        .unwrap();
    let running = Running::start(Positions::default(), ours, models.pool());
    append(&theirs, 25).await;
    running.reaches(25).await;
    assert_eq!(models.positions().await, one_to(25));
    running.stop().await;
}

/// A database with a table of positions.
pub(crate) struct Models {
    database: Database,
}

impl Models {
    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) async fn new() -> Self {
        let database = postgres::models_database().await;
        let owner = database.connect(Role::Owner).await.unwrap();
        owner
            .batch_execute(&format!(
                "CREATE TABLE public.positions (position bigint PRIMARY KEY); \
                 GRANT ALL ON public.positions TO {}",
                Role::Projector.name(database.name())
            ))
            .await
            .unwrap();
        Self { database }
    }

    pub(crate) fn pool(&self) -> Pool {
        self.database.pool(Role::Projector, 2).unwrap()
    }

    pub(crate) async fn positions(&self) -> Vec<i64> {
        self.positions_and_checkpoint().await.0
    }

    async fn checkpoint(&self) -> i64 {
        self.positions_and_checkpoint().await.1
    }

    /// Both as of one moment: a transaction that its client has left may still be committing.
    async fn positions_and_checkpoint(&self) -> (Vec<i64>, i64) {
        let client = self.database.connect(Role::Projector).await.unwrap();
        let row = client
            .query_one(
                "SELECT ARRAY(SELECT position FROM public.positions ORDER BY position), \
                 coalesce((SELECT position FROM projections.checkpoints), 0)",
                &[],
            )
            .await
            .unwrap();
        (row.get(0), row.get(1))
    }
}

pub(crate) async fn append(store: &impl EventStore, events: usize) {
    append_as(store, events, &postgres::unique("command")).await;
}

/// The same history each time: events by one command of this name.
async fn append_as(store: &impl EventStore, events: usize, name: &str) {
    let event = NewEvent {
        event_type: "Happened".to_owned(),
        schema_version: 1,
        payload: b"{}".to_vec(),
    };
    let context = CommandContext::new(CommandId::derived(&[name]), Actor::anonymous());
    let write = StreamWrite {
        stream: StreamId::new("test", "stream").unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event; events],
    };
    store
        .append(Append::events(context, Fingerprint::of(&[]), vec![write]))
        .await
        .unwrap();
}

pub(crate) fn one_to(last: i64) -> Vec<i64> {
    (1..=last).collect()
}

pub(crate) async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "it did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
