//! The accounts service: one book, with its event store, and what carries commands out on it.

use std::sync::Arc;

use folio_audit::{Prover, Sealer};
use folio_core::EventStore;
use folio_erasure::{PrepareVaultError, Vault};
use folio_postgres::{
    Database, MigrateError, OpenError, PoolError, PostgresStore, ProvisionError, Role,
    database_exists, migrate, provision, provision_login,
};
use folio_projections::feed::ServedFeed;
use folio_projections::{
    Detector, DetectorSettings, OpenProjectionError, Projection, Settings, StoreSource,
};
use folio_runtime::Executor;
use futures_util::future::OptionFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Config;

use crate::balances::BookName;
use crate::clock::StoreClock;
use crate::expirer::{DueHoldsProjector, Expirer};
use crate::monitor::{InvariantsProjector, InvariantsQueries, Sentry};
use crate::read_model;
use crate::seals::Seals;

/// The three databases of a book. They are apart because nothing reads across: what is projected can be thrown
/// away, what it is projected from cannot, and of keys backups are kept for less long.
#[derive(Debug, Clone)]
pub struct AccountsDatabases {
    /// Holds the event store.
    pub events: Database,
    /// Holds what the service itself projects: what it watches over, and which holds are open.
    pub models: Database,
    /// Holds the keys under which what tells who somebody is is sealed.
    pub vault: Database,
}

impl AccountsDatabases {
    /// The databases of a book, which were made before.
    #[must_use]
    pub fn existing(server: &Config, book: &BookName) -> Self {
        Self {
            events: Database::new(server.clone(), events_name(book)),
            models: Database::new(server.clone(), models_name(book)),
            vault: Database::new(server.clone(), vault_name(book)),
        }
    }

    /// Makes the databases and roles of a book on a server, and migrates them. What is there already is
    /// kept, and whoever may act in the roles can do it again.
    ///
    /// # Errors
    ///
    /// [`PrepareError`].
    pub async fn prepare(server: &Config, book: &BookName) -> Result<Self, PrepareError> {
        let events = provision(server, &events_name(book), &sealed_store_roles()).await?;
        let models = provision(server, &models_name(book), MODELS_ROLES).await?;
        migrate(&events, folio_postgres::migrate::store_migrations()).await?;
        migrate(&events, folio_audit::migrations()).await?;
        migrate(&models, folio_projections::migrations()).await?;
        migrate(&models, read_model::migrations()).await?;
        let vault = folio_erasure::prepare(server, &vault_name(book)).await?;
        Ok(Self {
            events,
            models,
            vault,
        })
    }

    /// Whether a book's databases were made on a server.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked.
    pub async fn exist(server: &Config, book: &BookName) -> Result<bool, ProvisionError> {
        database_exists(server, &events_name(book)).await
    }

    /// Makes the databases and roles of a book on a server, and the login of its service, which can connect to
    /// no others. Answers how the service connects.
    ///
    /// # Errors
    ///
    /// [`PrepareError`].
    pub async fn provision(server: &Config, book: &BookName) -> Result<Config, PrepareError> {
        let events = provision(server, &events_name(book), &sealed_store_roles()).await?;
        let models = provision(server, &models_name(book), MODELS_ROLES).await?;
        let vault = provision(server, &vault_name(book), folio_erasure::ROLES).await?;
        let may_act = [
            (
                &events,
                [&[Role::Owner], sealed_store_roles().as_slice()].concat(),
            ),
            (&models, [&[Role::Owner], MODELS_ROLES].concat()),
            (&vault, [&[Role::Owner], folio_erasure::ROLES].concat()),
        ];
        let may_act = may_act
            .each_ref()
            .map(|(database, roles)| (*database, roles.as_slice()));
        let login = format!("{}_service", events_name(book));
        Ok(provision_login(server, &login, &may_act).await?)
    }
}

const STORE_ROLES: &[Role] = &[Role::Appender, Role::Reader];
const MODELS_ROLES: &[Role] = &[Role::Projector, Role::Reader];

/// Of a store, and of the log beside it.
pub(crate) fn sealed_store_roles() -> Vec<Role> {
    let of_log = folio_audit::ROLES
        .iter()
        .filter(|role| !STORE_ROLES.contains(role));
    STORE_ROLES.iter().chain(of_log).copied().collect()
}

fn events_name(book: &BookName) -> String {
    format!("folio_{book}")
}

fn models_name(book: &BookName) -> String {
    format!("folio_{book}_models")
}

fn vault_name(book: &BookName) -> String {
    format!("folio_{book}_vault")
}

/// Sizes of a service's connection pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// For appends, and again as many for reads of the event store.
    pub store: usize,
}

impl Connections {
    /// All connections that a service with these pools may open, its projections' included.
    #[must_use]
    pub const fn total(self) -> usize {
        self.store
            .saturating_mul(2)
            .saturating_add(DUE_HOLDS_CONNECTIONS)
            .saturating_add(INVARIANTS_CONNECTIONS)
            .saturating_add(DETECTORS_CONNECTIONS)
            .saturating_add(EXPIRER_CONNECTIONS)
            .saturating_add(SENTRY_CONNECTIONS)
            .saturating_add(Sealer::CONNECTIONS)
            .saturating_add(PROVER_CONNECTIONS)
            .saturating_add(Vault::CONNECTIONS)
    }
}

impl Default for Connections {
    /// 8: more appenders only queue for the same lock, and more readers for the same cores.
    fn default() -> Self {
        Self { store: 8 }
    }
}

/// Its runner's, and one to look after it.
const DUE_HOLDS_CONNECTIONS: usize = 2;
/// The same.
const INVARIANTS_CONNECTIONS: usize = 2;
const DETECTORS_CONNECTIONS: usize = 2;
const EXPIRER_CONNECTIONS: usize = 1;
/// Its own, and one for whoever asks.
const SENTRY_CONNECTIONS: usize = 2;
const PROVER_CONNECTIONS: usize = 2;

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
    pub(crate) invariants: InvariantsQueries,
    pub(crate) detectors: Vec<Detector>,
    pub(crate) feed: ServedFeed,
    /// Where the book is sealed.
    pub(crate) prover: Option<Prover>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) metrics: Option<PrometheusHandle>,
}

impl Ledger {
    pub(crate) fn store(&self) -> &Arc<PostgresStore> {
        self.executor.store()
    }
}

impl AccountsService {
    /// Opens the store and starts the projections: of holds and when they are due, and of invariants.
    ///
    /// `metrics` is what `/metrics` answers from, when there is a recorder. Without `seals` nothing is sealed, and nothing
    /// proven.
    ///
    /// # Errors
    ///
    /// [`StartError`] when a database cannot be reached or was not prepared.
    pub async fn start(
        databases: &AccountsDatabases,
        connections: Connections,
        metrics: Option<PrometheusHandle>,
        seals: Option<Seals>,
    ) -> Result<Self, StartError> {
        let store = Arc::new(PostgresStore::open(&databases.events, connections.store).await?);
        tracing::info!(store_id = %store.store_id(), database = databases.events.name(), "event store opened");
        let models = &databases.models;
        let due_holds = open_due_holds(&store, models, DUE_HOLDS_CONNECTIONS).await?;
        let watching = open_invariants(&store, models, INVARIANTS_CONNECTIONS).await?;
        let detector = |projection: &Projection| {
            let source = Arc::clone(projection.source());
            let settings = DetectorSettings::default();
            Detector::start(projection.name().name, source, models, settings)
        };
        let detectors = vec![detector(&watching)?, detector(&due_holds)?];
        let invariants = InvariantsQueries::new(watching.reader(SENTRY_CONNECTIONS)?);
        let vault = Arc::new(Vault::new(&databases.vault)?);
        let (stop, stopped) = watch::channel(false);
        let executor = Executor::new(Arc::clone(&store));
        let clock = Arc::new(StoreClock::new(Arc::clone(&store)));
        let due = due_holds.reader(EXPIRER_CONNECTIONS)?;
        let expirer = Expirer::new(executor.clone(), due, Arc::clone(&clock));
        let sentry = Sentry {
            store,
            queries: invariants.clone(),
        };
        let feed = ServedFeed::new(Arc::clone(watching.source()));
        let events = &databases.events;
        let prover = seals
            .as_ref()
            .map(|seals| Prover::open(events, seals.keys.log.clone(), PROVER_CONNECTIONS))
            .transpose()?;
        let sealing = seals.map(|seals| seals.sealing(executor.store(), events));
        let running = tokio::spawn(async move {
            tokio::join!(
                due_holds.run(stopped.clone()),
                watching.run(stopped.clone()),
                expirer.run(stopped.clone()),
                sentry.run(stopped.clone()),
                OptionFuture::from(sealing.map(|sealing| sealing.run(stopped))),
            );
        });
        let ledger = Ledger {
            executor,
            clock,
            invariants,
            detectors,
            feed,
            prover,
            vault,
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

    /// Stops the projections. What they have not projected they will, when they are started again.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the projections ended badly");
        }
    }
}

/// The projection of a book's holds and when they are due, to be run or operated on.
///
/// # Errors
///
/// [`OpenProjectionError`].
pub async fn open_due_holds(
    store: &Arc<PostgresStore>,
    models: &Database,
    connections: usize,
) -> Result<Projection, OpenProjectionError> {
    let source = StoreSource::new(Arc::clone(store));
    let settings = Settings::default();
    Projection::open_with(DueHoldsProjector, source, models, settings, connections).await
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
    /// No vault.
    #[error(transparent)]
    Vault(#[from] PrepareVaultError),
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
