//! `ledger balances`: the balances service of all books, as a process of its own.

use clap::Args;
use ledger_example::balances::{
    BalancesConnections, BookFeed, Feeds, StartBalancesError, prepare_balances,
};
use ledger_example::service::PrepareError;
use ledger_example::{BalancesService, http};
use thiserror::Error;

use crate::figures;
use crate::listen::{ListenArgs, ListenError, PORTS};
use crate::mesh::{BookAt, MeshArgs, MeshError, books_at};
use crate::output::say;
use crate::server::{Server, ServerArgs, ServerError};
use crate::stop;

/// The database of the service.
pub const DATABASE: &str = "folio_balances";

/// Arguments of `ledger balances`.
#[derive(Debug, Args)]
pub struct BalancesArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    mesh: MeshArgs,
    /// A book, and where its accounts service is: `a=http://127.0.0.1:7401`, or `a` where a registry knows. Once for each book.
    #[arg(long = "feed", required = true, value_name = "BOOK[=URL]")]
    feeds: Vec<BookAt>,
    /// Where the transfers service is: with it, all books are reconciled with what moves money between them.
    #[arg(long, value_name = "URL")]
    transfers: Option<String>,
    /// Reconcile with the transfers service that the registry knows.
    #[arg(long, conflicts_with = "transfers")]
    reconcile: bool,
    /// The database of the read models.
    #[arg(long, default_value = DATABASE, value_name = "NAME")]
    database: String,
}

/// Serves until told to stop, and lets requests under way finish.
///
/// # Errors
///
/// [`BalancesError`].
pub async fn run(arguments: BalancesArgs) -> Result<(), BalancesError> {
    let connections = BalancesConnections::default().total(arguments.feeds.len());
    let server = Server::start(&arguments.server, connections).await?;
    let result = start_and_serve(&server, &arguments).await;
    server.stop().await?;
    result
}

async fn start_and_serve(server: &Server, arguments: &BalancesArgs) -> Result<(), BalancesError> {
    let stop = arguments.listen.stop().map_err(BalancesError::Signal)?;
    let mesh = arguments.mesh.open()?;
    let said = arguments.transfers.as_deref();
    let transfers =
        (said.is_some() || arguments.reconcile).then(|| mesh.address("transfers", said));
    let feeds = Feeds {
        books: books_at(&mesh, &arguments.feeds)?
            .into_iter()
            .map(|(book, accounts)| BookFeed { book, accounts })
            .collect(),
        transfers: transfers.transpose()?,
    };
    let start = async {
        let database = prepare_balances(&server.config, &arguments.database).await?;
        let connections = BalancesConnections::default();
        let figures = figures::recorded();
        let service = BalancesService::start(&database, &feeds, connections, figures).await?;
        Ok::<_, BalancesError>(service)
    };
    // As in the accounts service: once it serves, only that stops it.
    let service = tokio::select! {
        service = start => service?,
        () = stop.told() => return Ok(()),
    };
    let listener = arguments.listen.bind(PORTS.balances)?;
    let address = listener.local_addr().map_err(BalancesError::Serve)?;
    say(format_args!("balances listens at http://{address}"));
    let router = http::balances_router(service.shelf());
    let result = mesh.serve("balances", listener, router, stop).await;
    stop::in_time(service.stop()).await;
    Ok(result?)
}

/// Why the balances service does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BalancesError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The database is not ready.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The service did not start.
    #[error(transparent)]
    Start(#[from] StartBalancesError),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It is not found, or finds nobody, or its listener failed.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Its address is not known.
    #[error("the balances service failed to serve")]
    Serve(#[source] std::io::Error),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] std::io::Error),
}
