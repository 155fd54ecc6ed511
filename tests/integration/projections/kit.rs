//! What the tests of projections share: a model whose key finds doubled events, and a running projection.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use folio_core::store::{Append, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, EventStore, ExpectedVersion, Fingerprint,
    NewEvent, Position, RecordedEvent, StreamId,
};
use folio_postgres::{Database, Role};
use folio_projections::{
    ModelTransaction, Poison, Progress, Projection, ProjectionName, Projector, ProjectorError,
    Reader, Settings, Source, Status, StoreSource, Upgrade,
};
use folio_tests::postgres;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Writes every position it is given into a table whose key is the position: a doubled event is
/// refused by the key, a lost one is missing from the count.
#[derive(Clone)]
pub(crate) struct Positions {
    /// Fails after it has written, as long as this is set.
    pub(crate) failing: Arc<AtomicBool>,
    /// Never takes in this position; 0 is none.
    pub(crate) poison: Arc<AtomicI64>,
    /// How it fails there.
    pub(crate) how: How,
    pub(crate) revision: i32,
    /// Every batch that it was given, as first and last position.
    pub(crate) batches: Arc<Mutex<BTreeSet<(i64, i64)>>>,
}

/// How a projector fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Error,
    Panic,
    Hangs,
    HangsInTheServer,
}

impl Default for Positions {
    fn default() -> Self {
        Self {
            failing: Arc::default(),
            poison: Arc::default(),
            how: How::Error,
            revision: 1,
            batches: Arc::default(),
        }
    }
}

impl Positions {
    pub(crate) fn of_revision(revision: i32) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }

    pub(crate) fn poisoned(position: i64, how: How) -> Self {
        let poisoned = Self {
            how,
            ..Self::default()
        };
        poisoned.poison.store(position, Ordering::SeqCst);
        poisoned
    }
}

pub(crate) const NAME: ProjectionName = ProjectionName::new("positions", 1);

#[async_trait]
impl Projector for Positions {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("positions", self.revision)
    }

    fn tables(&self) -> &str {
        "CREATE TABLE positions (position bigint PRIMARY KEY)"
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let positions: Vec<i64> = events.iter().map(|e| e.position.number()).collect();
        if let (Some(first), Some(last)) = (positions.first(), positions.last()) {
            self.batches.lock().unwrap().insert((*first, *last));
        }
        model
            .insert("positions")
            .key("position", &positions)
            .execute()
            .await?;
        let poison = self.poison.load(Ordering::SeqCst);
        if positions.contains(&poison) {
            match self.how {
                How::Error => {
                    let what = format!("position {poison} is poison");
                    return Err(ProjectorError::Contradiction(what));
                }
                How::Panic => panic!("position {poison} is poison"),
                How::Hangs => std::future::pending().await,
                How::HangsInTheServer => {
                    model.batch_execute("SELECT pg_sleep(3600)").await?;
                }
            }
        }
        if self.failing.load(Ordering::SeqCst) {
            // A deadlock, as the server would report it: to be tried again.
            model
                .batch_execute("DO $$ BEGIN RAISE deadlock_detected; END $$")
                .await?;
        }
        Ok(())
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
    handle_timeout: Duration::from_secs(20),
    poison: Poison::Stop,
    upgrade: Upgrade::WhenFilled,
};

pub(crate) struct Running {
    pub(crate) projection: Projection,
    pub(crate) progress: Progress,
    stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(
        projector: impl Projector,
        store: impl EventStore,
        models: &Models,
    ) -> Self {
        Self::start_with(projector, store, models, SETTINGS).await
    }

    pub(crate) async fn start_with(
        projector: impl Projector,
        store: impl EventStore,
        models: &Models,
        settings: Settings,
    ) -> Self {
        Self::from(projector, StoreSource::new(store), models, settings).await
    }

    pub(crate) async fn from(
        projector: impl Projector,
        source: Arc<dyn Source>,
        models: &Models,
        settings: Settings,
    ) -> Self {
        let projection = Projection::open(projector, source, &models.database, settings)
            .await
            .unwrap();
        Self::run(projection)
    }

    pub(crate) fn run(projection: Projection) -> Self {
        let (stop, stopped) = watch::channel(false);
        let running = projection.clone();
        Self {
            progress: projection.progress().clone(),
            projection,
            stop,
            task: tokio::spawn(async move { running.run(stopped).await }),
        }
    }

    pub(crate) async fn reaches(&self, position: i64) {
        let position = at(position);
        self.progress.wait_for(position, PATIENCE).await.unwrap();
    }

    /// Waits until it has stopped for an error, and tells which.
    pub(crate) async fn fails(&self) -> String {
        wait_until(|| matches!(self.progress.status(), Status::Stopped { .. })).await;
        let Status::Stopped { error: Some(error) } = self.progress.status() else {
            panic!("{:?}", self.progress.status());
        };
        error
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }

    /// Ends it wherever it happens to be.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// A database for models.
pub(crate) struct Models {
    database: Database,
}

impl Models {
    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) async fn new() -> Self {
        Self {
            database: postgres::models_database().await,
        }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.database.pool(Role::Reader, 1).unwrap(), NAME)
    }

    pub(crate) async fn positions(&self) -> Vec<i64> {
        self.positions_and_checkpoint().await.0
    }

    pub(crate) async fn checkpoint(&self) -> i64 {
        self.positions_and_checkpoint().await.1
    }

    /// Of the live build, both as of one moment: a transaction that its client has left may still be
    /// committing.
    pub(crate) async fn positions_and_checkpoint(&self) -> (Vec<i64>, i64) {
        self.positions_of(&self.reader()).await
    }

    pub(crate) async fn positions_of(&self, reader: &Reader) -> (Vec<i64>, i64) {
        let reading = reader.read().await.unwrap();
        let all = "SELECT ARRAY(SELECT position FROM positions ORDER BY position)";
        let positions = reading.query_one(all, &[]).await.unwrap().get(0);
        let position = reading.position().number();
        reading.close().await.unwrap();
        (positions, position)
    }

    /// What a statement answers in one column of numbers, asked by somebody with all rights.
    pub(crate) async fn ask(&self, statement: &str) -> Vec<i64> {
        let client = postgres::superuser(&self.database).await;
        let rows = client.query(statement, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn execute(&self, statements: &str) {
        let client = postgres::superuser(&self.database).await;
        client.batch_execute(statements).await.unwrap();
    }
}

pub(crate) fn at(position: i64) -> Position {
    Position::new(position).unwrap()
}

pub(crate) fn operator() -> Actor {
    Actor::new("operator").unwrap()
}

pub(crate) async fn append(store: &impl EventStore, events: usize) {
    append_as(store, events, &postgres::unique("command")).await;
}

/// The same history each time: events by one command of this name.
pub(crate) async fn append_as(store: &impl EventStore, events: usize, name: &str) {
    append_to(store, "stream", events, name).await;
}

/// Events on as many streams, in turn.
pub(crate) async fn append_over(store: &impl EventStore, streams: usize, events: usize) {
    for number in 0..events {
        let stream = (number % streams).to_string();
        append_to(store, &stream, 1, &postgres::unique("command")).await;
    }
}

pub(crate) async fn append_to(store: &impl EventStore, id: &str, events: usize, name: &str) {
    let event = NewEvent {
        event_type: "Happened".to_owned(),
        schema_version: 1,
        payload: b"{}".to_vec(),
    };
    append_events(store, id, vec![event; events], name).await;
}

pub(crate) async fn append_events(
    store: &impl EventStore,
    id: &str,
    events: Vec<NewEvent>,
    name: &str,
) {
    let context = CommandContext::new(CommandId::derived(&[name]), Actor::anonymous());
    let write = StreamWrite {
        stream: StreamId::new("test", id).unwrap(),
        expected: ExpectedVersion::Any,
        events,
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
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("the condition holds in time");
}
