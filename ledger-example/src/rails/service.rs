//! The rails service: its store, and what decides on it.

use std::sync::Arc;

use folio_postgres::{
    Database, OpenError, PostgresStore, Role, migrate, provision, provision_login,
};
use folio_runtime::Executor;
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio_postgres::Config;

use crate::clock::StoreClock;
use crate::rails::Faults;
use crate::service::PrepareError;

const ROLES: &[Role] = &[Role::Appender, Role::Reader];

/// What the handlers work with.
#[derive(Debug)]
pub struct Rails {
    pub(crate) executor: Executor<Arc<PostgresStore>>,
    pub(crate) clock: StoreClock,
    pub(crate) faults: Faults,
    pub(crate) metrics: Option<PrometheusHandle>,
}

/// A running rails service, apart from its listener.
#[derive(Debug)]
pub struct RailsService {
    rails: Arc<Rails>,
}

/// Makes the service's database and roles on a server, and migrates it. What is there already is kept.
///
/// # Errors
///
/// [`PrepareError`].
pub async fn prepare_rails(server: &Config, name: &str) -> Result<Database, PrepareError> {
    let database = provision(server, name, ROLES).await?;
    migrate(&database, folio_postgres::migrate::store_migrations()).await?;
    Ok(database)
}

/// Makes the service's database and roles on a server, and its login, which can connect to no other one.
/// Answers how the service connects.
///
/// # Errors
///
/// [`PrepareError`].
pub async fn provision_rails(server: &Config, name: &str) -> Result<Config, PrepareError> {
    let database = provision(server, name, ROLES).await?;
    let roles = [&[Role::Owner], ROLES].concat();
    let login = format!("{name}_service");
    Ok(provision_login(server, &login, &[(&database, &roles)]).await?)
}

impl RailsService {
    /// Connections that it opens at most.
    pub const CONNECTIONS: usize = 8;

    /// Opens the store.
    ///
    /// `metrics` is what `/metrics` answers from, when there is a recorder.
    ///
    /// # Errors
    ///
    /// [`StartRailsError`] when the database cannot be reached or was not prepared.
    pub async fn start(
        database: &Database,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, StartRailsError> {
        let store = Arc::new(PostgresStore::open(database, Self::CONNECTIONS / 2).await?);
        let rails = Rails {
            executor: Executor::new(Arc::clone(&store)),
            clock: StoreClock::new(store),
            faults: Faults::default(),
            metrics,
        };
        Ok(Self {
            rails: Arc::new(rails),
        })
    }

    /// What an HTTP router needs.
    #[must_use]
    pub fn rails(&self) -> Arc<Rails> {
        Arc::clone(&self.rails)
    }
}

/// Why the service could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartRailsError {
    /// The event store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}
