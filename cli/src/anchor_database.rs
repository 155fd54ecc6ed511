//! `ledger anchor-database`: a database for checkpoints, best on another server, and a login that appends them or reads them,
//! and can do nothing else.

use clap::{Args, ValueEnum};
use folio_audit::{DatabaseAnchor, PrepareAuditError};
use folio_postgres::{ProvisionError, Role, provision_login};
use thiserror::Error;
use tokio_postgres::Config;

use crate::output::{OutputError, answer, remark};
use crate::server::{Server, ServerArgs, ServerError, connection_url};

/// Connections that making it needs.
const CONNECTIONS: usize = 2;

/// Arguments of `ledger anchor-database`.
#[derive(Debug, Args)]
pub struct AnchorDatabaseArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// What the database is called. Several logs may be anchored in it.
    #[arg(long, default_value = "folio_anchor", value_name = "NAME")]
    database: String,
    /// What the login is for.
    #[arg(long = "for", value_enum, default_value_t, value_name = "WHAT")]
    purpose: Purpose,
}

/// What a login to a database of checkpoints is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// To append checkpoints and read them: for the service of a book.
    #[default]
    Sealing,
    /// To read checkpoints: for an auditor.
    Verifying,
}

/// Makes the database, where it is not there, and the login, or a new password for it, and prints how it is named as an anchor.
///
/// # Errors
///
/// [`AnchorDatabaseError`].
pub async fn run(arguments: AnchorDatabaseArgs) -> Result<(), AnchorDatabaseError> {
    let server = Server::join(&arguments.server, CONNECTIONS).await?;
    let made = make(&server.config, &arguments.database, arguments.purpose).await;
    server.stop().await?;
    answer(connection_url(&made?))?;
    remark(
        "ledger takes this as FOLIO_ANCHOR or --anchor; a password of before is no longer valid",
    );
    Ok(())
}

/// Makes the database and the login, and answers how it connects. Its password is another one each time.
///
/// # Errors
///
/// [`AnchorDatabaseError`].
///
/// # Cancel safety
///
/// Dropping the future leaves some of it made; calling again makes the rest.
pub async fn make(
    server: &Config,
    database: &str,
    purpose: Purpose,
) -> Result<Config, AnchorDatabaseError> {
    let database = DatabaseAnchor::prepare(server, database).await?;
    let (login, roles): (_, &[Role]) = match purpose {
        Purpose::Sealing => ("sealing", &[Role::Sealer, Role::Auditor]),
        Purpose::Verifying => ("verifying", &[Role::Auditor]),
    };
    let login = format!("{}_{login}", database.name());
    Ok(provision_login(server, &login, &[(&database, roles)]).await?)
}

/// Why there is no such database or login.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnchorDatabaseError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The database cannot be made.
    #[error(transparent)]
    Prepare(#[from] PrepareAuditError),
    /// The login cannot be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}
