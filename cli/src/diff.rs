//! `ledger diff`: in what a read model differs from a right replay, and since which event.

use std::sync::Arc;

use clap::Args;
use folio_operator::{Desk, DiffArgs, Finding};
use folio_postgres::PostgresStore;
use ledger_example::{AccountsDatabases, BookName};
use tokio::sync::watch;

use crate::accounts::BOOK;
use crate::balances;
use crate::projections::{
    MODEL_CONNECTIONS, ProjectionsCommandError, STORE_CONNECTIONS, projections_of, stopped_twice,
    user,
};
use crate::server::{Server, ServerArgs};

/// Arguments of `ledger diff`.
#[derive(Debug, Args)]
pub struct DiffCommandArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The book whose projections it is about: those of its accounts service, and that of its balances.
    #[arg(long, default_value = BOOK, value_name = "NAME")]
    book: BookName,
    /// The database of the balances service.
    #[arg(long, default_value = balances::DATABASE, value_name = "NAME")]
    balances_database: String,
    #[command(flatten)]
    diff: DiffArgs,
}

/// Compares a live model with a replay, beside the running services or without them, and prints what differs.
///
/// # Errors
///
/// [`ProjectionsCommandError`].
pub async fn run(arguments: DiffCommandArgs) -> Result<Finding, ProjectionsCommandError> {
    let connections = STORE_CONNECTIONS * 2 + MODEL_CONNECTIONS * 3;
    let server = Server::join(&arguments.server, connections).await?;
    let (stop, stopped) = watch::channel(false);
    let result = tokio::select! {
        result = diff(&server, arguments, stopped) => result,
        result = stopped_twice(stop) => result,
    };
    server.stop().await?;
    result
}

async fn diff(
    server: &Server,
    arguments: DiffCommandArgs,
    stop: watch::Receiver<bool>,
) -> Result<Finding, ProjectionsCommandError> {
    let (book, models) = (&arguments.book, &arguments.balances_database);
    let databases = AccountsDatabases::existing(&server.config, book);
    let store = Arc::new(PostgresStore::open(&databases.events, STORE_CONNECTIONS).await?);
    let projections = projections_of(server, book, models, &store).await?;
    let mut desk = Desk {
        projections: &projections,
        by: user(),
        stop,
        out: &mut std::io::stdout(),
    };
    Ok(Box::pin(folio_operator::diff::run(arguments.diff, &mut desk)).await?)
}
