//! `ledger events`: the operators' command, with the stores of the services.

use clap::Args;
use folio_operator::events::{self, EventsArgs, EventsError};
use folio_operator::{Finding, Screen};
use ledger_example::BookName;
use thiserror::Error;
use tokio::sync::watch;

use crate::screen::{columns, stopped_twice};
use crate::server::{Server, ServerArgs, ServerError};
use crate::stores::{CONNECTIONS, StoreError, StoreName};

/// The store that is read, unless another one is named.
const STORE: &str = "a";

/// Arguments of `ledger events`.
#[derive(Debug, Args)]
pub struct EventsCommandArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Whose events: those of a book, of transfers and payments (transfers), or of the stand-ins for the outside (rails).
    #[arg(long, default_value = STORE, value_name = "NAME")]
    store: StoreName,
    /// The same for a book, whatever it is called.
    #[arg(long, value_name = "NAME", conflicts_with = "store")]
    book: Option<BookName>,
    #[command(flatten)]
    events: EventsArgs,
}

/// Writes events to standard output, beside the running service or without one.
///
/// The first Ctrl-C ends it in order, the second at once.
///
/// # Errors
///
/// [`EventsCommandError`].
pub async fn run(arguments: EventsCommandArgs) -> Result<Finding, EventsCommandError> {
    let server = Server::join(&arguments.server, CONNECTIONS.saturating_mul(3)).await?;
    let (stop, stopped) = watch::channel(false);
    let result = tokio::select! {
        result = list(&server, arguments, stopped) => result,
        stopped = stopped_twice(stop) => match stopped {
            Ok(()) => Ok(Finding::NotWell),
            Err(error) => Err(EventsCommandError::Signal(error)),
        },
    };
    server.stop().await?;
    result
}

async fn list(
    server: &Server,
    arguments: EventsCommandArgs,
    stop: watch::Receiver<bool>,
) -> Result<Finding, EventsCommandError> {
    let named = arguments.book.map_or(arguments.store, StoreName::Book);
    let store = named.open(server).await?;
    let screen = Screen {
        out: &mut std::io::stdout(),
        columns: columns(),
        stop,
    };
    Ok(events::run(arguments.events, &store, screen).await?)
}

/// Why no events are written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EventsCommandError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The command itself failed.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] std::io::Error),
}
