//! The accounts service: one book, with its event store, its read model and what serves them.

use std::sync::Arc;
use std::time::Duration;

use folio_core::{EventStore, ReadError};
use folio_postgres::{
    Database, MigrateError, OpenError, PoolError, PostgresStore, ProvisionError, Role, migrate,
    provision,
};
use folio_projections::feed::ServedFeed;
use folio_projections::{
    Detector, DetectorSettings, OpenProjectionError, Poison, Progress, Projection, Settings,
    StoreSource,
};
use folio_runtime::Executor;
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Config;

use crate::clock::StoreClock;
use crate::expirer::Expirer;
use crate::monitor::{InvariantsProjector, InvariantsQueries, Sentry};
use crate::read_model::{self, BalancesProjector, BalancesQueries};

/// The two databases of a book. They are two so that the read model can move to another service:
/// nothing reads across.
#[derive(Debug, Clone)]
pub struct AccountsDatabases {
    /// Holds the event store.
    pub events: Database,
    /// Holds the read model.
    pub models: Database,
}

impl AccountsDatabases {
    /// The databases of the book `name`, which were made before.
    #[must_use]
    pub fn existing(server: &Config, name: &str) -> Self {
        Self {
            events: Database::new(server.clone(), events_name(name)),
            models: Database::new(server.clone(), models_name(name)),
        }
    }

    /// Makes the databases and roles of the book `name` on a server, and migrates them. What is
    /// there already is kept.
    ///
    /// # Errors
    ///
    /// [`PrepareError`].
    pub async fn prepare(server: &Config, name: &str) -> Result<Self, PrepareError> {
        let events = provision(server, &events_name(name), &[Role::Appender, Role::Reader]).await?;
        let models =
            provision(server, &models_name(name), &[Role::Projector, Role::Reader]).await?;
        migrate(&events, folio_postgres::migrate::store_migrations()).await?;
        migrate(&models, folio_projections::migrations()).await?;
        migrate(&models, read_model::migrations()).await?;
        Ok(Self { events, models })
    }
}

fn events_name(book: &str) -> String {
    format!("folio_{book}")
}

fn models_name(book: &str) -> String {
    format!("folio_{book}_models")
}

/// Sizes of a service's connection pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// For appends, and again as many for reads of the event store.
    pub store: usize,
    /// For queries of the read model.
    pub queries: usize,
}

impl Connections {
    /// All connections that a service with these pools may open, its projections' included.
    #[must_use]
    pub const fn total(self) -> usize {
        self.store
            .saturating_mul(2)
            .saturating_add(self.queries)
            .saturating_add(PROJECTION_CONNECTIONS)
            .saturating_add(INVARIANTS_CONNECTIONS)
            .saturating_add(DETECTORS_CONNECTIONS)
            .saturating_add(EXPIRER_CONNECTIONS)
            .saturating_add(SENTRY_CONNECTIONS)
    }
}

impl Default for Connections {
    /// 8 and 8: more appenders only queue for the same lock, and more readers for the same cores.
    fn default() -> Self {
        Self {
            store: 8,
            queries: 8,
        }
    }
}

const PROJECTION_CONNECTIONS: usize = 4;
/// Its runner's, and one to look after it.
const INVARIANTS_CONNECTIONS: usize = 2;
const DETECTORS_CONNECTIONS: usize = 2;
const EXPIRER_CONNECTIONS: usize = 1;
/// Its own, and one for whoever asks.
const SENTRY_CONNECTIONS: usize = 2;

/// A running accounts service, apart from its listener.
#[derive(Debug)]
pub struct AccountsService {
    ledger: Arc<Ledger>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

/// What the handlers work with.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) executor: Executor<Arc<PostgresStore>>,
    pub(crate) clock: Arc<StoreClock>,
    pub(crate) queries: BalancesQueries,
    pub(crate) projection: Projection,
    pub(crate) detector: Detector,
    pub(crate) invariants: InvariantsQueries,
    pub(crate) invariants_detector: Detector,
    pub(crate) feed: ServedFeed,
    pub(crate) metrics: Option<PrometheusHandle>,
}

impl Ledger {
    /// Waits until the read model has every event that the store has by now, for at most
    /// `patience`. Answers whether it has.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the store cannot be asked for its last position.
    pub async fn caught_up(&self, patience: Duration) -> Result<bool, ReadError> {
        let head = self.store().head().await?;
        Ok(self.progress().wait_for(head, patience).await.is_ok())
    }

    /// How far the projection of balances has come.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        self.projection.progress()
    }

    pub(crate) fn store(&self) -> &Arc<PostgresStore> {
        self.executor.store()
    }
}

impl AccountsService {
    /// Opens the store and starts the projections: of balances, and of invariants.
    ///
    /// `metrics` is what `/metrics` answers from, when there is a recorder.
    ///
    /// # Errors
    ///
    /// [`StartError`] when a database cannot be reached or was not prepared.
    pub async fn start(
        databases: &AccountsDatabases,
        connections: Connections,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, StartError> {
        let store = Arc::new(PostgresStore::open(&databases.events, connections.store).await?);
        tracing::info!(store_id = %store.store_id(), database = databases.events.name(), "event store opened");
        let models = &databases.models;
        let projection = open_balances(&store, models, PROJECTION_CONNECTIONS).await?;
        let watching = open_invariants(&store, models, INVARIANTS_CONNECTIONS).await?;
        let detector = |projection: &Projection| {
            let source = Arc::clone(projection.source());
            let settings = DetectorSettings::default();
            Detector::start(projection.name().name, source, models, settings)
        };
        let (detector, invariants_detector) = (detector(&projection)?, detector(&watching)?);
        let invariants = InvariantsQueries::new(watching.reader(SENTRY_CONNECTIONS)?);
        let (stop, stopped) = watch::channel(false);
        let executor = Executor::new(Arc::clone(&store));
        let clock = Arc::new(StoreClock::new(Arc::clone(&store)));
        let expirer = Expirer {
            executor: executor.clone(),
            queries: BalancesQueries::new(projection.reader(EXPIRER_CONNECTIONS)?),
            clock: Arc::clone(&clock),
        };
        let sentry = Sentry {
            store,
            queries: invariants.clone(),
        };
        let running = tokio::spawn({
            let projection = projection.clone();
            async move {
                tokio::join!(
                    projection.run(stopped.clone()),
                    watching.run(stopped.clone()),
                    expirer.run(stopped.clone()),
                    sentry.run(stopped),
                );
            }
        });
        let ledger = Ledger {
            executor,
            clock,
            feed: ServedFeed::new(Arc::clone(projection.source())),
            queries: BalancesQueries::new(projection.reader(connections.queries)?),
            projection,
            detector,
            invariants,
            invariants_detector,
            metrics,
        };
        Ok(Self {
            ledger: Arc::new(ledger),
            stop,
            running,
        })
    }

    /// What an HTTP router needs.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// How far the projection of balances has come.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        self.ledger.progress()
    }

    /// Stops the projections. What they have not projected they will, when they are started again.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the projections ended badly");
        }
    }
}

/// The projection of a book's balances, to be run or operated on.
///
/// # Errors
///
/// [`OpenProjectionError`].
pub async fn open_balances(
    store: &Arc<PostgresStore>,
    models: &Database,
    connections: usize,
) -> Result<Projection, OpenProjectionError> {
    // Whoever asks for a parked account is told so; all others are answered.
    let settings = Settings {
        poison: Poison::Park,
        ..Settings::default()
    };
    let source = StoreSource::new(Arc::clone(store));
    Projection::open_with(BalancesProjector, source, models, settings, connections).await
}

/// The projection that watches over a book's invariants, to be run or operated on.
///
/// # Errors
///
/// [`OpenProjectionError`].
pub async fn open_invariants(
    store: &Arc<PostgresStore>,
    models: &Database,
    connections: usize,
) -> Result<Projection, OpenProjectionError> {
    let source = StoreSource::new(Arc::clone(store));
    let settings = Settings::default();
    Projection::open_with(InvariantsProjector, source, models, settings, connections).await
}

/// Why a book's databases could not be made ready.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// Not made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// Not migrated.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

/// Why a service could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The event store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A pool cannot be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A projection cannot be made ready.
    #[error(transparent)]
    Projection(#[from] OpenProjectionError),
}
