//! `ledger accounts`: the accounts service of one book, as a process of its own.

use clap::Args;
use ledger_example::service::{PrepareError, StartError};
use ledger_example::{AccountsDatabases, AccountsService, BookName, Connections, http};
use thiserror::Error;

use crate::figures;
use crate::listen::{ListenArgs, ListenError, PORTS};
use crate::mesh::{MeshArgs, MeshError};
use crate::output::say;
use crate::seals::{SealArgs, SealsError};
use crate::server::{Server, ServerArgs, ServerError};
use crate::stop;

/// The book, unless another is named.
pub const BOOK: &str = "a";

/// Arguments of `ledger accounts`.
#[derive(Debug, Args)]
pub struct AccountsArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    mesh: MeshArgs,
    #[command(flatten)]
    seal: SealArgs,
    /// The book to serve; its databases are named after it.
    #[arg(long, default_value = BOOK, value_name = "NAME")]
    book: BookName,
}

/// Serves until told to stop, and lets requests under way finish.
///
/// # Errors
///
/// [`AccountsError`].
pub async fn run(arguments: AccountsArgs) -> Result<(), AccountsError> {
    let connections = Connections::default();
    let server = Server::start(&arguments.server, connections.total()).await?;
    let result = start_and_serve(&server, &arguments).await;
    server.stop().await?;
    result
}

async fn start_and_serve(server: &Server, arguments: &AccountsArgs) -> Result<(), AccountsError> {
    let stop = arguments.listen.stop().map_err(AccountsError::Signal)?;
    let start = async {
        let databases = AccountsDatabases::prepare(&server.config, &arguments.book).await?;
        let figures = figures::recorded();
        let (name, events) = (arguments.book.as_str(), &databases.events);
        let seals = arguments.seal.open(name, events).await?;
        let connections = Connections::default();
        let service = AccountsService::start(&databases, connections, figures, seals).await?;
        Ok::<_, AccountsError>(service)
    };
    // Told to stop while it starts, it stops at once. From then on `serve` does: whoever else did would end it in the middle of its
    // requests.
    let service = tokio::select! {
        service = start => service?,
        () = stop.told() => return Ok(()),
    };
    let listener = arguments.listen.bind(PORTS.accounts_a)?;
    let address = listener.local_addr().map_err(AccountsError::Serve)?;
    say(format_args!(
        "accounts of book {} listens at http://{address}",
        arguments.book
    ));
    let router = http::accounts_router(service.ledger());
    let mesh = arguments.mesh.open()?;
    let result = mesh
        .serve(
            &format!("accounts-{}", arguments.book),
            listener,
            router,
            stop,
        )
        .await;
    stop::in_time(service.stop()).await;
    Ok(result?)
}

/// Why the accounts service does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccountsError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The book's databases are not ready.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// It cannot be sealed.
    #[error(transparent)]
    Seals(#[from] SealsError),
    /// The service did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It is not found, or finds nobody, or its listener failed.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Its address is not known.
    #[error("the accounts service failed to serve")]
    Serve(#[source] std::io::Error),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] std::io::Error),
}
