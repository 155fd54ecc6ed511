//! Makes a store ready to be sealed.

use folio_postgres::migrate::Migrations;
use folio_postgres::{Database, MigrateError, ProvisionError, Role, migrate, provision};
use thiserror::Error;
use tokio_postgres::Config;

/// The roles that the tables of the log are for. Whoever seals takes on [`Role::Sealer`], whoever proves
/// [`Role::Auditor`], and must be a member of it.
pub const ROLES: &[Role] = &[Role::Sealer, Role::Auditor, Role::Reader];

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The tables of the log, beside those of the store, which must be there.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new("audit", embedded::migrations::runner())
}

/// Makes what it takes to seal the store in the database `name`: roles and tables. What is there already is kept.
///
/// # Errors
///
/// [`PrepareAuditError`], also when there is no event store yet.
///
/// # Cancel safety
///
/// Dropping the future leaves some of it made; calling again makes the rest.
pub async fn prepare(server: &Config, name: &str) -> Result<Database, PrepareAuditError> {
    let database = provision(server, name, ROLES).await?;
    migrate(&database, migrations()).await?;
    Ok(database)
}

/// Why a store could not be made ready.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrepareAuditError {
    /// The roles could not be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The tables could not be made.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}
