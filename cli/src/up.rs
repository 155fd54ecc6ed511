//! `ledger up`: everything at once, with nothing to configure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use folio_core::ReadError;
use ledger_example::Connections;
use thiserror::Error;

use crate::accounts::{Accounts, AccountsError, BOOK};
use crate::demo::{self, DemoError};
use crate::server::{Server, ServerArgs, ServerError};
use crate::stop;

/// Longest wait for the read model before the greeting.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `ledger up`.
#[derive(Debug, Default, Args)]
pub struct UpArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Where to listen; 127.0.0.1:7401, or a free port where that is taken, when left out.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Start without the demo book.
    #[arg(long)]
    empty: bool,
}

/// Starts everything, says where it is, and runs until told to stop.
///
/// # Errors
///
/// [`UpError`]. Whatever was started is stopped first.
pub async fn run(arguments: UpArgs) -> Result<(), UpError> {
    let started = Instant::now();
    println!("Starting PostgreSQL …");
    let server = tokio::select! {
        server = Server::start(&arguments.server, Connections::default().total()) => server?,
        // The cluster, if it has come up by now, is found again at the next start.
        result = stop::requested() => return result.map_err(|e| AccountsError::Signal(e).into()),
    };
    let result = start_and_serve(&server, &arguments, started).await;
    println!("\nStopping …");
    server.stop().await?;
    println!("Stopped. The data is kept.");
    result
}

async fn start_and_serve(
    server: &Server,
    arguments: &UpArgs,
    started: Instant,
) -> Result<(), UpError> {
    // Told to stop while it starts, it stops at once. From then on only `serve` listens for that:
    // whoever else did would end it in the middle of its requests.
    let accounts = tokio::select! {
        accounts = Accounts::start(&server.config, BOOK, arguments.listen) => accounts?,
        result = stop::requested() => return result.map_err(|e| AccountsError::Signal(e).into()),
    };
    let url = accounts.url();
    let description = server.description();
    let is_demo = !arguments.empty;
    let ledger = accounts.ledger();
    let greet = async {
        if is_demo {
            demo::seed(&url).await?;
        }
        // Whoever pastes the lines below shall see all that has happened.
        if !ledger.caught_up(PATIENCE).await? {
            println!("The read model is still catching up; see {url}/readyz");
        }
        println!("{}", greeting(&url, &description, started));
        // The service ends this, not the greeting.
        std::future::pending::<Result<(), UpError>>().await
    };
    tokio::select! {
        result = greet => result,
        result = accounts.serve() => Ok(result?),
    }
}

fn greeting(url: &str, description: &str, started: Instant) -> String {
    let seconds = started.elapsed().as_secs_f64();
    format!(
        "\
PostgreSQL  {description}
accounts    {url}
            {url}/openapi.json, /livez, /readyz, /metrics

Try:
  curl {url}/v1/accounts/checking/balance
  curl -X POST {url}/v1/accounts/checking/credits -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first' -d '{{\"amount\":\"25.00\",\"currency\":\"EUR\",\"contra\":\"cash\"}}'
  curl {url}/v1/accounts/checking/events

Ready after {seconds:.1} s. Ctrl-C stops."
    )
}

/// Why not everything runs.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpError {
    /// There is no PostgreSQL, or it did not stop.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The accounts service does not run.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The event store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The demo book cannot be seeded.
    #[error(transparent)]
    Demo(#[from] DemoError),
}
