//! `ledger accounts`: the accounts service of one book, as a process of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use ledger_example::service::{PrepareError, StartError};
use ledger_example::{AccountsDatabases, AccountsService, Connections, Ledger, http};
use metrics_exporter_prometheus::PrometheusBuilder;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_postgres::Config;

use crate::listen::{self, ListenError};
use crate::server::{Server, ServerArgs, ServerError};
use crate::stop;

/// The book, unless another is named.
pub const BOOK: &str = "accounts";

/// Arguments of `ledger accounts`.
#[derive(Debug, Args)]
pub struct AccountsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Where to listen; 127.0.0.1:7401, or a free port where that is taken, when left out.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The book to serve; its databases are named after it.
    #[arg(long, default_value = BOOK, value_name = "NAME")]
    book: String,
}

/// Serves until told to stop.
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
    // Told to stop while it starts, it stops at once. From then on only `serve` listens for that:
    // whoever else did would end it in the middle of its requests.
    let accounts = tokio::select! {
        accounts = Accounts::start(&server.config, &arguments.book, arguments.listen) => accounts?,
        result = stop::requested() => return result.map_err(AccountsError::Signal),
    };
    println!("accounts listens at {}", accounts.url());
    accounts.serve().await
}

/// An accounts service that is ready to serve.
#[derive(Debug)]
pub struct Accounts {
    listener: TcpListener,
    address: SocketAddr,
    service: AccountsService,
}

impl Accounts {
    /// Makes the book's databases ready, opens them and listens.
    ///
    /// # Errors
    ///
    /// [`AccountsError`].
    pub async fn start(
        server: &Config,
        book: &str,
        listen: Option<SocketAddr>,
    ) -> Result<Self, AccountsError> {
        let databases = AccountsDatabases::prepare(server, book).await?;
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        // Fails where this process has a recorder already, whose figures are then not ours.
        let metrics = metrics::set_global_recorder(recorder)
            .ok()
            .map(|()| metrics);
        let service = AccountsService::start(&databases, Connections::default(), metrics).await?;
        let listener = listen::bind(listen).await?;
        let address = listener.local_addr().map_err(AccountsError::Serve)?;
        Ok(Self {
            listener,
            address,
            service,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it serves.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        self.service.ledger()
    }

    /// Serves until told to stop, and lets requests under way finish.
    ///
    /// # Errors
    ///
    /// [`AccountsError`].
    pub async fn serve(self) -> Result<(), AccountsError> {
        let router = http::router(self.service.ledger());
        let stop = async {
            // Without signals to wait for, it serves until it is killed.
            if stop::requested().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let result = http::serve(self.listener, router, stop).await;
        self.service.stop().await;
        result.map_err(AccountsError::Serve)
    }
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
    /// The service did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The listener failed.
    #[error("the accounts service failed to serve")]
    Serve(#[source] std::io::Error),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] std::io::Error),
}
