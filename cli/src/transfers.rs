//! `ledger transfers`: the service that carries transfers between books out, as a process of its own.

use clap::Args;
use ledger_example::http;
use ledger_example::http::outside::OutsideSettings;
use ledger_example::service::PrepareError;
use ledger_example::transfer::service::{
    Asked, StartTransfersError, TransfersDatabases, TransfersService,
};
use thiserror::Error;

use crate::figures;
use crate::listen::{ListenArgs, ListenError, PORTS};
use crate::mesh::{BookAt, MeshArgs, MeshError, books_at};
use crate::output::say;
use crate::seals::{SealArgs, SealsError, TRANSFERS};
use crate::server::{Server, ServerArgs, ServerError};
use crate::stop;

/// The database of the service's logs; those of its timers and keys are named after it.
pub const DATABASE: &str = "folio_transfers";

/// Arguments of `ledger transfers`.
#[derive(Debug, Args)]
pub struct TransfersArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    mesh: MeshArgs,
    #[command(flatten)]
    seal: SealArgs,
    /// A book, and where its accounts service is: `a=http://127.0.0.1:7401`, or `a` where a registry knows. Once for each book.
    #[arg(long = "book", required = true, value_name = "BOOK[=URL]")]
    books: Vec<BookAt>,
    /// Where the rails are, where no registry knows.
    #[arg(long, value_name = "URL")]
    rails: Option<String>,
    /// The database of the logs of transfers.
    #[arg(long, default_value = DATABASE, value_name = "NAME")]
    database: String,
}

/// Serves until told to stop, and lets requests under way finish.
///
/// # Errors
///
/// [`TransfersError`].
pub async fn run(arguments: TransfersArgs) -> Result<(), TransfersError> {
    let server = Server::start(&arguments.server, TransfersService::CONNECTIONS).await?;
    let result = start_and_serve(&server, &arguments).await;
    server.stop().await?;
    result
}

async fn start_and_serve(server: &Server, arguments: &TransfersArgs) -> Result<(), TransfersError> {
    let stop = arguments.listen.stop().map_err(TransfersError::Signal)?;
    let mesh = arguments.mesh.open()?;
    let asked = Asked {
        books: books_at(&mesh, &arguments.books)?,
        rails: mesh.address("rails", arguments.rails.as_deref())?,
    };
    let start = async {
        let databases = TransfersDatabases::prepare(&server.config, &arguments.database).await?;
        let (settings, figures) = (OutsideSettings::default(), figures::recorded());
        let seals = arguments.seal.open(TRANSFERS, &databases.logs).await?;
        let service = TransfersService::start(&databases, &asked, settings, figures, seals).await?;
        Ok::<_, TransfersError>(service)
    };
    // As in the accounts service: once it serves, only that stops it.
    let service = tokio::select! {
        service = start => service?,
        () = stop.told() => return Ok(()),
    };
    let listener = arguments.listen.bind(PORTS.transfers)?;
    let address = listener.local_addr().map_err(TransfersError::Serve)?;
    say(format_args!("transfers listens at http://{address}"));
    let router = http::transfers_router(service.transfers());
    let result = mesh.serve("transfers", listener, router, stop).await;
    stop::in_time(service.stop()).await;
    Ok(result?)
}

/// Why the transfers service does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransfersError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The databases are not ready.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// They cannot be sealed.
    #[error(transparent)]
    Seals(#[from] SealsError),
    /// The service did not start.
    #[error(transparent)]
    Start(#[from] StartTransfersError),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It is not found, or finds nobody, or its listener failed.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Its address is not known.
    #[error("the transfers service failed to serve")]
    Serve(#[source] std::io::Error),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] std::io::Error),
}
