//! `ledger api-keys`: makes and revokes the keys that programs bring to the gateway.

use clap::{Args, Subcommand};
use folio_postgres::{Database, MigrateError, PoolError, ProvisionError, migrate, provision};
use gateway_example::auth::{
    ApiKeys, ApiKeysError, KeyPrefix, Revocation, Scope, Subject, api_keys,
};
use thiserror::Error;

use crate::Finding;
use crate::gateway::DATABASE;
use crate::output::{OutputError, answer};
use crate::server::{Server, ServerArgs, ServerError};

/// Arguments of `ledger api-keys`.
#[derive(Debug, Args)]
pub struct ApiKeysArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: ApiKeysCommand,
}

#[derive(Debug, Subcommand)]
enum ApiKeysCommand {
    /// Make a key and print it; it can be shown now and not again.
    Create {
        /// Whose it is: who asks with it, in events and logs.
        name: Subject,
        /// What may be done with it: `ledger:read`, `ledger:write`, `ledger:operate`, `ledger:close` or `ledger:audit`. Once for each.
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<Scope>,
    },
    /// Revoke a key: within five seconds no gateway takes it any more.
    Revoke {
        /// The eight characters after `folio_`.
        prefix: KeyPrefix,
    },
}

/// Makes or revokes a key, beside a running gateway or without one.
///
/// # Errors
///
/// [`KeyCommandError`].
pub async fn run(arguments: ApiKeysArgs) -> Result<Finding, KeyCommandError> {
    let server = Server::join(&arguments.server, ApiKeys::CONNECTIONS).await?;
    let done = carry_out(&server, arguments.command).await;
    server.stop().await?;
    done
}

async fn carry_out(server: &Server, command: ApiKeysCommand) -> Result<Finding, KeyCommandError> {
    let database: Database = provision(&server.config, DATABASE, ApiKeys::ROLES).await?;
    migrate(&database, api_keys::migrations()).await?;
    let keys = ApiKeys::new(&database)?;
    match command {
        ApiKeysCommand::Create { name, scopes } => {
            let key = keys.create(&name, &scopes.into_iter().collect()).await?;
            answer(key.reveal())?;
            Ok(Finding::Clean)
        }
        ApiKeysCommand::Revoke { prefix } => match keys.revoke(&prefix).await? {
            Revocation::Revoked => {
                answer(format_args!("{prefix} is revoked"))?;
                Ok(Finding::Clean)
            }
            Revocation::NoSuchKey => {
                answer(format_args!("there is no key {prefix}"))?;
                Ok(Finding::NotWell)
            }
        },
    }
}

/// Why no key was made or revoked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyCommandError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The database cannot be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The table cannot be made.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A pool cannot be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The key was not made, or not revoked.
    #[error(transparent)]
    Keys(#[from] ApiKeysError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}
