//! A registry in a PostgreSQL database of its own.
//!
//! An instance holds a lease that it makes longer by heartbeats; what ends one is the database's clock and nobody else's.
//! A heartbeat changes one column of one row, tells nobody and counts no revision up. Whoever watches is woken by NOTIFY
//! when somebody comes or goes. That is a hint: what holds is what is read, at each hint and once a second.
//!
//! What is written is consistent, and waits while the database is down. What is read is available: the last
//! [`Snapshot`](crate::discovery::Snapshot) stays, gets older, and is replaced by what the database says when it is back.
//!
//! **Nobody is taken off in a crowd.** Many instances that vanish at once are more likely still there than gone, so of a
//! service one in three goes at a time, and one at least: within a term in the database, where leases have ended, and
//! at each look of a watcher, where rows are missing that nobody has taken off. Whoever said that it goes is gone at
//! once. The price: when half of the instances really die, some of them stay listed for a few terms, and callers find out.
//!
//! It trusts whoever may write to it: any service can register under any name.
//!
//! * `settings.rs`: how long leases last, and how often it is looked.
//! * `keeper.rs`: keeps an instance listed.
//! * `answer.rs`: what the database says of services.
//! * `watching.rs`: shows it, as `caution.rs` allows.
//! * `listener.rs`: hears that there is something to see.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use folio_postgres::migrate::Migrations;
use folio_postgres::{
    Database, MigrateError, Pool, PoolError, ProvisionError, Role, migrate, provision,
    provision_login,
};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Config;

use super::Discovery;
use super::instance::NewInstance;
use super::name::ServiceName;
use super::registration::{RegisterError, Registration};
use super::static_list::StaticList;
use super::watch::Watch;
use watching::Watching;

mod answer;
mod caution;
mod keeper;
mod listener;
mod settings;
mod watching;

pub use settings::{RegistrySettings, UnfitSettings};

/// Why the database did not answer; whoever asked is told.
type Failure = Box<dyn Error + Send + Sync>;

/// For heartbeats, so that one that hangs does not hold up the others.
const REGISTERING_CONNECTIONS: usize = 2;
const WATCHING_CONNECTIONS: usize = 1;
const LISTENING_CONNECTIONS: usize = 1;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Services and their instances, in a database.
///
/// It watches until it is dropped; what was seen by then stays. Registrations last for as long as they are kept.
///
/// Its metrics are `folio_registry_age_seconds`, how long ago the database last said who is there;
/// `folio_registry_revision` and `folio_registry_instances` of each service that is watched;
/// `folio_registry_lost_total`, instances of this process whose id another one took, and
/// `folio_registry_registered_again_total`, those that came back after their lease had ended.
#[derive(Debug)]
pub struct Registry {
    registering: Pool,
    settings: RegistrySettings,
    watching: Arc<Watching>,
    task: JoinHandle<()>,
}

impl Registry {
    /// Connections that it opens at most.
    pub const CONNECTIONS: usize =
        REGISTERING_CONNECTIONS + WATCHING_CONNECTIONS + LISTENING_CONNECTIONS;

    /// The roles that the login of a service needs in the registry's database.
    pub const ROLES: &[Role] = &[Role::Projector, Role::Reader];

    /// Makes the database and its roles on a server, and migrates it. What is there already is kept.
    ///
    /// # Errors
    ///
    /// [`PrepareRegistryError`].
    pub async fn prepare(server: &Config, name: &str) -> Result<Database, PrepareRegistryError> {
        let database = provision(server, name, Self::ROLES).await?;
        let migrations = Migrations::new("registry", embedded::migrations::runner());
        migrate(&database, migrations).await?;
        Ok(database)
    }

    /// Makes the database and its roles on a server, and a login that can connect to no other one. Answers how it connects.
    ///
    /// # Errors
    ///
    /// [`PrepareRegistryError`].
    pub async fn provision(server: &Config, name: &str) -> Result<Config, PrepareRegistryError> {
        let database = provision(server, name, Self::ROLES).await?;
        let roles = [&[Role::Owner], Self::ROLES].concat();
        let login = format!("{name}_service");
        Ok(provision_login(server, &login, &[(&database, &roles)]).await?)
    }

    /// Opens the registry in a database that was prepared.
    ///
    /// # Errors
    ///
    /// [`OpenRegistryError`], also when the database does not answer.
    pub async fn open(
        database: &Database,
        settings: RegistrySettings,
    ) -> Result<Self, OpenRegistryError> {
        let registry = Self::open_with_seeds(database, settings, StaticList::default())?;
        within(settings.answer, answer::ask(&registry.registering, &[]))
            .await
            .map_err(|source| OpenRegistryError::Unreachable {
                database: database.name().to_owned(),
                source,
            })?;
        Ok(registry)
    }

    /// Opens it whether the database answers or not. Until that says otherwise, the seeds are who is there.
    ///
    /// # Errors
    ///
    /// [`OpenRegistryError`].
    pub fn open_with_seeds(
        database: &Database,
        settings: RegistrySettings,
        seeds: StaticList,
    ) -> Result<Self, OpenRegistryError> {
        settings.check()?;
        let registering = database.pool(Role::Projector, REGISTERING_CONNECTIONS)?;
        let pool = database.pool(Role::Projector, WATCHING_CONNECTIONS)?;
        let watching = Arc::new(Watching::new(seeds));
        let (shown, database) = (Arc::clone(&watching), database.clone());
        let task = tokio::spawn(async move {
            tokio::join!(
                shown.follow(&pool, settings),
                listener::listen(&database, shown.hint()),
            );
        });
        Ok(Self {
            registering,
            settings,
            watching,
            task,
        })
    }

    /// Stops watching, and waits until that has ended.
    pub async fn stop(mut self) {
        self.task.abort();
        // It was aborted; that is all it can say.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl Discovery for Registry {
    async fn register(&self, instance: NewInstance) -> Result<Registration, RegisterError> {
        keeper::register(self.registering.clone(), self.settings, instance).await
    }

    fn watch(&self, service: &ServiceName) -> Watch {
        self.watching.watch(service)
    }
}

/// What the database answers, if it does so in time.
async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, asked).await.map_err(Failure::from)?
}

/// Why a registry's database could not be prepared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrepareRegistryError {
    /// It could not be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// It could not be brought to its level.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

/// Why a registry could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenRegistryError {
    /// Its settings do not fit each other.
    #[error(transparent)]
    Settings(#[from] UnfitSettings),
    /// There is no pool of connections.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database does not answer, or is not a registry's.
    #[error(
        "database {database} does not answer as a registry; see that it is up and was prepared, or name seeds to start without"
    )]
    Unreachable {
        /// The database.
        database: String,
        /// What went wrong.
        source: Failure,
    },
}
