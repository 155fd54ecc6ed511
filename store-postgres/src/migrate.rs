//! Brings a database to the level that this program needs.

use std::fmt;

use refinery::Runner;
use thiserror::Error;

use crate::database::{Database, Role};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Serialises migrations of one database. Any number would do that nothing else in Folio uses.
const MIGRATION_LOCK: i64 = 0x666f_6c69_6f6d_6967;

/// The migrations of the event store, with their history table.
#[must_use]
pub fn store_migrations() -> Migrations {
    Migrations::new("store", embedded::migrations::runner())
}

/// A folder of migrations of one owner, with a history table of its own.
pub struct Migrations {
    history: String,
    runner: Runner,
}

impl Migrations {
    /// The migrations that `runner` holds, with their history in `migrations_<owner>`.
    #[must_use]
    pub fn new(owner: &str, runner: Runner) -> Self {
        Self {
            history: format!("migrations_{owner}"),
            runner,
        }
    }
}

impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migrations")
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

/// Applies what is missing, as the database's owner, each migration in a transaction of its own.
///
/// Several processes may start at once: one migrates, the others wait and find nothing to do.
///
/// # Errors
///
/// [`MigrateError`]. A database that is ahead of this program, or whose history tells of other
/// migrations than this program holds, is refused and not changed.
///
/// # Cancel safety
///
/// Dropping the future keeps the migrations that were committed; calling again applies the rest.
pub async fn migrate(database: &Database, migrations: Migrations) -> Result<(), MigrateError> {
    let failed = |source| MigrateError::Database {
        database: database.name().to_owned(),
        source,
    };
    let mut client = database.connect(Role::Owner).await.map_err(failed)?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await
        .map_err(failed)?;
    let mut runner = migrations.runner;
    runner.set_migration_table_name(&migrations.history);
    let report = runner
        .run_async(&mut client)
        .await
        .map_err(|source| MigrateError::Refused {
            database: database.name().to_owned(),
            source: Box::new(source),
        })?;
    for migration in report.applied_migrations() {
        tracing::info!(database = database.name(), %migration, "migration applied");
    }
    // The lock ends with the session.
    Ok(())
}

/// Why a database could not be brought to its level.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// It could not be reached.
    #[error("database {database} cannot be reached to migrate it")]
    Database {
        /// The database.
        database: String,
        /// What the driver said.
        source: tokio_postgres::Error,
    },
    /// A migration failed, or the history does not fit.
    #[error("database {database} cannot be migrated to the level of this program")]
    Refused {
        /// The database.
        database: String,
        /// What is wrong.
        source: Box<refinery::Error>,
    },
}
