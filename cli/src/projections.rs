//! `ledger projections`: the operators' commands, with the projections of a book.

use std::env;
use std::sync::Arc;

use clap::Args;
use folio_core::Actor;
use folio_operator::{Desk, Finding, OperatorError, ProjectionsArgs};
use folio_postgres::{Database, OpenError, PostgresStore};
use folio_projections::{OpenProjectionError, Projection, StoreSource};
use ledger_example::balances::open_balances;
use ledger_example::service::{open_due_holds, open_invariants};
use ledger_example::{AccountsDatabases, BookName};
use thiserror::Error;
use tokio::sync::watch;

use crate::accounts::BOOK;
use crate::balances;
use crate::server::{Server, ServerArgs, ServerError};
use crate::stop;

/// Connections to the store, for appends and for reads each.
pub(crate) const STORE_CONNECTIONS: usize = 2;
/// Connections to the models: those of several runners, beside the command itself.
pub(crate) const MODEL_CONNECTIONS: usize = 8;

/// Arguments of `ledger projections`.
#[derive(Debug, Args)]
pub struct ProjectionsCommandArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The book whose projections it is about: those of its accounts service, and that of its balances.
    #[arg(long, default_value = BOOK, value_name = "NAME", global = true)]
    book: BookName,
    /// The database of the balances service.
    #[arg(long, default_value = balances::DATABASE, value_name = "NAME", global = true)]
    balances_database: String,
    #[command(flatten)]
    projections: ProjectionsArgs,
}

/// Carries out an operator's command, beside the book's running service or without one.
///
/// The first Ctrl-C ends what takes its time in order, the second at once.
///
/// # Errors
///
/// [`ProjectionsCommandError`].
pub async fn run(arguments: ProjectionsCommandArgs) -> Result<Finding, ProjectionsCommandError> {
    let connections = STORE_CONNECTIONS * 2 + MODEL_CONNECTIONS * 3;
    let server = Server::join(&arguments.server, connections).await?;
    let (stop, stopped) = watch::channel(false);
    let work = operate(&server, arguments, stopped);
    let result = tokio::select! {
        result = work => result,
        result = stopped_twice(stop) => result,
    };
    server.stop().await?;
    result
}

async fn operate(
    server: &Server,
    arguments: ProjectionsCommandArgs,
    stop: watch::Receiver<bool>,
) -> Result<Finding, ProjectionsCommandError> {
    let book = &arguments.book;
    let databases = AccountsDatabases::existing(&server.config, book);
    let store = Arc::new(PostgresStore::open(&databases.events, STORE_CONNECTIONS).await?);
    let projections = projections_of(server, book, &arguments.balances_database, &store).await?;
    let mut desk = Desk {
        projections: &projections,
        by: user(),
        stop,
        out: &mut std::io::stdout(),
    };
    Ok(Box::pin(folio_operator::projections::run(
        arguments.projections,
        &mut desk,
    ))
    .await?)
}

/// The projections of a book: that of its balances, and those of its accounts service.
pub(crate) async fn projections_of(
    server: &Server,
    book: &BookName,
    balances_database: &str,
    store: &Arc<PostgresStore>,
) -> Result<Vec<Projection>, OpenProjectionError> {
    let databases = AccountsDatabases::existing(&server.config, book);
    let models = Database::new(server.config.clone(), balances_database);
    // An operator has both databases at hand, so the store itself is read in place of its feed.
    let source = StoreSource::new(Arc::clone(store));
    Ok(vec![
        open_balances(book, source, &models, MODEL_CONNECTIONS).await?,
        open_invariants(store, &databases.models, MODEL_CONNECTIONS).await?,
        open_due_holds(store, &databases.models, MODEL_CONNECTIONS).await?,
    ])
}

/// Passes on that the user wants to stop, and ends when they say so again.
pub(crate) async fn stopped_twice(
    stop: watch::Sender<bool>,
) -> Result<Finding, ProjectionsCommandError> {
    let signal = ProjectionsCommandError::Signal;
    stop::requested().await.map_err(signal)?;
    stop.send_replace(true);
    stop::requested().await.map_err(signal)?;
    Err(ProjectionsCommandError::Interrupted)
}

/// The login name of whoever runs the program.
pub(crate) fn user() -> Actor {
    let names = ["USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| env::var(name).ok());
    let mut actors = names.filter_map(|name| Actor::new(name).ok());
    actors.next().unwrap_or_else(Actor::anonymous)
}

/// Why an operator's command was not carried out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProjectionsCommandError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The projections cannot be opened.
    #[error(transparent)]
    Projection(#[from] OpenProjectionError),
    /// The command itself failed.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] std::io::Error),
    /// The user did not want to wait for its end.
    #[error("interrupted; list the builds to see what has become of them")]
    Interrupted,
}
