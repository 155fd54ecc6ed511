//! One database of one service: how to reach it, and as whom.

use std::fmt;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use thiserror::Error;
use tokio_postgres::{Client, Config, NoTls};

use crate::pool::{Connections, Pool};

/// A role within one database. Its name on the server is the database's name and a suffix, because
/// roles belong to the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Owns the tables; migrations run as it, nothing else does.
    Owner,
    /// Appends to an event store, through its functions alone, and reads it.
    Appender,
    /// Writes read models and their checkpoints.
    Projector,
    /// Seals an event store: reads it, and writes the log beside it.
    Sealer,
    /// Keeps the keys of a vault: makes them, reads them, and destroys them.
    Keeper,
    /// Reads.
    Reader,
    /// Reads all of an event store's history and the log beside it, and nothing else.
    Auditor,
}

impl Role {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Appender => "appender",
            Self::Projector => "projector",
            Self::Sealer => "sealer",
            Self::Keeper => "keeper",
            Self::Reader => "reader",
            Self::Auditor => "auditor",
        }
    }

    /// The role's name on a server, for a database of this name.
    #[must_use]
    pub fn name(self, database: &str) -> String {
        format!("{database}_{}", self.suffix())
    }
}

/// A database on a server. Sessions log in as the configured user and at once take on one of the
/// database's [roles](Role), so what a session may do does not depend on who logged in.
#[derive(Clone)]
pub struct Database {
    config: Config,
    name: String,
}

impl Database {
    /// The database `name` on the server that `server` connects to.
    #[must_use]
    pub fn new(mut server: Config, name: impl Into<String>) -> Self {
        let name = name.into();
        server.dbname(&name);
        Self {
            config: server,
            name,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How a session that will be in `role` connects.
    #[must_use]
    pub fn config(&self, role: Role) -> Config {
        let mut config = self.config.clone();
        config.application_name(format!("folio {}", role.suffix()));
        config
    }

    /// What a session says before anything else: who it is, and what it relies on.
    ///
    /// It is said as statements, because what a connection asks for at its start (`options`) does not
    /// reach the server through a pooler: the session would keep all rights of its login. It is said
    /// outside of any transaction or function, where it would be undone before the commit it is
    /// meant for.
    pub(crate) fn opening(&self, role: Role) -> String {
        format!(
            "SET role = '{}'; SET synchronous_commit = on; \
             SET default_transaction_isolation = 'read committed'; SET timezone = 'UTC'",
            role.name(&self.name).replace('\'', "''")
        )
    }

    /// One connection of its own, outside any pool.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses the session.
    pub async fn connect(&self, role: Role) -> Result<Client, tokio_postgres::Error> {
        let client = connect(&self.config(role)).await?;
        client.batch_execute(&self.opening(role)).await?;
        Ok(client)
    }

    /// A pool of at most `connections` connections in `role`. None is opened before it is needed.
    ///
    /// # Errors
    ///
    /// [`PoolError`] when the pool cannot be built.
    pub fn pool(&self, role: Role, connections: usize) -> Result<Pool, PoolError> {
        let manager = Manager::from_config(
            self.config(role),
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let made = Pool::new(Connections::new(manager, self.opening(role)), connections);
        made.map_err(|source| PoolError {
            database: self.name.clone(),
            source,
        })
    }
}

impl fmt::Debug for Database {
    // The configuration holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A pool that could not be built.
#[derive(Debug, Error)]
#[error("no connection pool for database {database}")]
pub struct PoolError {
    database: String,
    source: deadpool_postgres::BuildError,
}

/// Connects and drives the connection in a task that ends with it.
pub(crate) async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a database connection ended");
        }
    });
    Ok(client)
}
