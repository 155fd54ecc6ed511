//! Makes the database of a vault.

use folio_postgres::migrate::Migrations;
use folio_postgres::{Database, MigrateError, ProvisionError, Role, migrate, provision};
use thiserror::Error;
use tokio_postgres::Config;

/// The roles that a vault takes on: whoever logs in must be a member.
pub const ROLES: &[Role] = &[Role::Keeper];

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The table of subjects.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new("vault", embedded::migrations::runner())
}

/// Makes the vault in the database `name`. What is there already is kept.
///
/// # Errors
///
/// [`PrepareVaultError`].
///
/// # Cancel safety
///
/// Dropping the future leaves some of it made; calling again makes the rest.
pub async fn prepare(server: &Config, name: &str) -> Result<Database, PrepareVaultError> {
    let database = provision(server, name, ROLES).await?;
    migrate(&database, migrations()).await?;
    Ok(database)
}

/// Why a vault could not be made ready.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrepareVaultError {
    /// Its database could not be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// Its table could not be made.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}
