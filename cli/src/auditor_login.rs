//! `ledger auditor-login`: a login for somebody who audits a book, or the transfers' log, which may read its history and the log
//! beside it, and nothing else.

use clap::Args;
use folio_audit::PrepareAuditError;
use folio_postgres::{ProvisionError, Role, database_exists, provision_login};
use thiserror::Error;
use tokio_postgres::Config;

use crate::output::{OutputError, answer, remark};
use crate::seals::LogArgs;
use crate::server::{Server, ServerArgs, ServerError, connection_string};

/// Connections that making a login needs.
const CONNECTIONS: usize = 2;

/// Arguments of `ledger auditor-login`.
#[derive(Debug, Args)]
pub struct AuditorLoginArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Makes the login, or a new password for it, and prints how it connects.
///
/// # Errors
///
/// [`AuditorLoginError`].
pub async fn run(arguments: AuditorLoginArgs) -> Result<(), AuditorLoginError> {
    let server = Server::join(&arguments.server, CONNECTIONS).await?;
    let made = make(&server.config, &arguments.log).await;
    server.stop().await?;
    answer(connection_string(&made?))?;
    remark(
        "psql takes this as it is, and ledger as DATABASE_URL; a password of before is no longer valid",
    );
    Ok(())
}

/// Makes the login, and answers how it connects. Its password is another one each time.
///
/// # Errors
///
/// [`AuditorLoginError`].
///
/// # Cancel safety
///
/// As [`provision_login`].
pub async fn make(server: &Config, log: &LogArgs) -> Result<Config, AuditorLoginError> {
    let events = log.database(server);
    if !database_exists(server, events.name()).await? {
        return Err(AuditorLoginError::NoLog {
            log: log.name().to_owned(),
        });
    }
    let events = folio_audit::prepare(server, events.name()).await?;
    let login = format!("{}_audit", events.name());
    Ok(provision_login(server, &login, &[(&events, &[Role::Auditor])]).await?)
}

/// Why there is no login.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditorLoginError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// There is no such log.
    #[error("there is no log of {log} on this server; name another one with --book")]
    NoLog {
        /// What it is called.
        log: String,
    },
    /// The store cannot be made ready to be audited.
    #[error(transparent)]
    Prepare(#[from] PrepareAuditError),
    /// The login cannot be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}
