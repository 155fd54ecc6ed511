//! `ledger rails`: the stand-ins for the world outside, as a process of their own.

use clap::Args;
use ledger_example::http;
use ledger_example::rails::{RailsService, StartRailsError, prepare_rails};
use ledger_example::service::PrepareError;
use thiserror::Error;

use crate::figures;
use crate::listen::{ListenArgs, ListenError, PORTS};
use crate::mesh::{MeshArgs, MeshError};
use crate::output::say;
use crate::server::{Server, ServerArgs, ServerError};

/// The database of the service.
pub const DATABASE: &str = "folio_rails";

/// Arguments of `ledger rails`.
#[derive(Debug, Args)]
pub struct RailsArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    mesh: MeshArgs,
    /// The database of what was asked and answered.
    #[arg(long, default_value = DATABASE, value_name = "NAME")]
    database: String,
}

/// Serves until told to stop, and lets requests under way finish.
///
/// # Errors
///
/// [`RailsError`].
pub async fn run(arguments: RailsArgs) -> Result<(), RailsError> {
    let server = Server::start(&arguments.server, RailsService::CONNECTIONS).await?;
    let result = start_and_serve(&server, &arguments).await;
    server.stop().await?;
    result
}

async fn start_and_serve(server: &Server, arguments: &RailsArgs) -> Result<(), RailsError> {
    let stop = arguments.listen.stop().map_err(RailsError::Signal)?;
    let start = async {
        let database = prepare_rails(&server.config, &arguments.database).await?;
        Ok::<_, RailsError>(RailsService::start(&database, figures::recorded()).await?)
    };
    // As in the accounts service: once it serves, only that stops it.
    let service = tokio::select! {
        service = start => service?,
        () = stop.told() => return Ok(()),
    };
    let listener = arguments.listen.bind(PORTS.rails)?;
    let address = listener.local_addr().map_err(RailsError::Serve)?;
    say(format_args!("rails listens at http://{address}"));
    let router = http::rails_router(service.rails());
    let mesh = arguments.mesh.open()?;
    let result = mesh.serve("rails", listener, router, stop).await;
    Ok(result?)
}

/// Why the rails service does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RailsError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The database is not ready.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The service did not start.
    #[error(transparent)]
    Start(#[from] StartRailsError),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It is not found, or finds nobody, or its listener failed.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Its address is not known.
    #[error("the rails service failed to serve")]
    Serve(#[source] std::io::Error),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] std::io::Error),
}
