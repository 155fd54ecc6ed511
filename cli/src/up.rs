//! `ledger up`: every service as a process of its own, with nothing to configure.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use ledger_example::balances::{BalancesConnections, provision_balances};
use ledger_example::rails::{RailsService, provision_rails};
use ledger_example::service::PrepareError;
use ledger_example::transfer::service::{TransfersDatabases, TransfersService};
use ledger_example::{AccountsDatabases, BookName, Connections};
use thiserror::Error;
use tokio_postgres::Config;

use crate::client::Probe;
use crate::demo::{self, DemoError};
use crate::listen::{self, ListenError, PORTS};
use crate::server::{Server, ServerArgs, ServerError, connection_string};
use crate::stop;
use crate::supervisor::{Service, Started, SuperviseError, Supervisor};
use crate::{balances, rails, transfers};

/// The books that there are from the start.
const BOOKS: [&str; 2] = ["a", "b"];
/// The book of the versions that had one. Where it is there, it is served on.
const FIRST_BOOK: &str = "accounts";
/// Longest wait for the services, and for the read models before the greeting.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a log that are shown when its service does not start.
const LOG_LINES: usize = 12;

/// Arguments of `ledger up`.
#[derive(Debug, Default, Args)]
pub struct UpArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Listen at free ports of 127.0.0.1, not at 7401 and those after it.
    #[arg(long)]
    free_ports: bool,
    /// Start without the demo books.
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
    let books = BOOKS.len().saturating_add(1);
    let connections = Connections::default().total().saturating_mul(books);
    let connections = connections
        .saturating_add(BalancesConnections::default().total(books))
        .saturating_add(RailsService::CONNECTIONS)
        .saturating_add(TransfersService::CONNECTIONS);
    let server = tokio::select! {
        server = Server::start(&arguments.server, connections) => server?,
        // The cluster, if it has come up by now, is found again at the next start.
        result = stop::requested() => return result.map_err(UpError::Signal),
    };
    let result = serve(&server, &arguments, started).await;
    server.stop().await?;
    println!("Stopped. The data is kept.");
    result
}

async fn serve(server: &Server, arguments: &UpArgs, started: Instant) -> Result<(), UpError> {
    let logs = arguments.server.data_folder()?.join("logs");
    let mut supervisor = Supervisor::new(&logs)?;
    let result = tokio::select! {
        result = start(server, arguments, &mut supervisor, started) => match result {
            // The services end this, or whoever stops them.
            Ok(()) => stop::requested().await.map_err(UpError::Signal),
            Err(error) => Err(error),
        },
        result = stop::requested() => result.map_err(UpError::Signal),
    };
    println!("\nStopping …");
    supervisor.stop().await;
    result
}

/// The services, where they are.
struct Services {
    accounts: Vec<(BookName, Started)>,
    balances: Started,
    rails: Started,
    transfers: Started,
}

impl Services {
    fn all(&self) -> impl Iterator<Item = &Started> {
        let accounts = self.accounts.iter().map(|(_, service)| service);
        accounts.chain([&self.balances, &self.transfers, &self.rails])
    }
}

/// Starts the services, waits until all are there, fills the demo books and says where everything is.
async fn start(
    server: &Server,
    arguments: &UpArgs,
    supervisor: &mut Supervisor,
    began: Instant,
) -> Result<(), UpError> {
    let services = start_services(&server.config, arguments, supervisor).await?;
    let probe = Probe::new()?;
    for service in services.all() {
        ready(&probe, service).await?;
    }
    if !arguments.empty {
        for (book, service) in &services.accounts {
            demo::seed(book, &service.url()).await?;
        }
    }
    // Whoever pastes the lines below shall see all that has happened.
    let urls = services.accounts.iter().map(|(_, service)| service.url());
    let (urls, url) = (urls.collect::<Vec<_>>(), services.balances.url());
    if !probe.caught_up(&urls, &url, PATIENCE).await? {
        println!("The read models are still catching up; see {url}/readyz");
    }
    println!("{}", greeting(server, &services, began));
    Ok(())
}

/// Makes the databases and logins, and has each service run on its own.
async fn start_services(
    server: &Config,
    arguments: &UpArgs,
    supervisor: &mut Supervisor,
) -> Result<Services, UpError> {
    let mut start = |name: String, words: Vec<String>, login: &Config, listener: TcpListener| {
        supervisor.start(Service {
            name,
            arguments: words,
            environment: vec![("DATABASE_URL", connection_string(login))],
            listener,
        })
    };
    let mut accounts = Vec::new();
    for (book, listener) in listeners(server, arguments).await? {
        let login = AccountsDatabases::provision(server, &book).await?;
        let words = ["accounts", "--book", book.as_str()].map(str::to_owned);
        let name = format!("accounts-{book}");
        accounts.push((book, start(name, words.into(), &login, listener)?));
    }
    let login = provision_balances(server, balances::DATABASE).await?;
    let transfers_socket = listener(arguments, PORTS.transfers)?;
    let transfers_url = listen::url(&transfers_socket)?;
    let mut words = ["balances", "--transfers", &transfers_url]
        .map(str::to_owned)
        .to_vec();
    for (book, service) in &accounts {
        words.extend(["--feed".to_owned(), format!("{book}={}", service.url())]);
    }
    let socket = listener(arguments, PORTS.balances)?;
    let balances = start("balances".to_owned(), words, &login, socket)?;
    let login = provision_rails(server, rails::DATABASE).await?;
    let socket = listener(arguments, PORTS.rails)?;
    let rails = start("rails".to_owned(), vec!["rails".to_owned()], &login, socket)?;
    let login = TransfersDatabases::provision(server, transfers::DATABASE).await?;
    let mut words = vec!["transfers".to_owned(), "--rails".to_owned(), rails.url()];
    for (book, service) in &accounts {
        words.extend(["--book".to_owned(), format!("{book}={}", service.url())]);
    }
    let transfers = start("transfers".to_owned(), words, &login, transfers_socket)?;
    Ok(Services {
        accounts,
        balances,
        rails,
        transfers,
    })
}

/// The books that are served, each with where it is.
async fn listeners(
    server: &Config,
    arguments: &UpArgs,
) -> Result<Vec<(BookName, TcpListener)>, UpError> {
    let mut found = Vec::new();
    for (name, port) in BOOKS.into_iter().zip([PORTS.accounts_a, PORTS.accounts_b]) {
        let book = name.parse().map_err(UpError::Book)?;
        found.push((book, listener(arguments, port)?));
    }
    let first: BookName = FIRST_BOOK.parse().map_err(UpError::Book)?;
    if AccountsDatabases::exist(server, &first)
        .await
        .map_err(PrepareError::from)?
    {
        found.push((first, listen::free()?));
    }
    Ok(found)
}

fn listener(arguments: &UpArgs, port: u16) -> Result<TcpListener, ListenError> {
    if arguments.free_ports {
        listen::free()
    } else {
        listen::preferred(port)
    }
}

/// Waits until a service says that it is ready. One that ends instead has a reason, which is in its log.
async fn ready(probe: &Probe, service: &Started) -> Result<(), UpError> {
    let url = service.url();
    let is_ready = probe.ready(&url);
    let failed = || UpError::NotReady {
        name: service.name.clone(),
        log: service.log.clone(),
        said: last_lines(&service.log),
    };
    tokio::select! {
        result = tokio::time::timeout(PATIENCE, is_ready) => result.map_err(|_| failed()),
        () = service.ended() => Err(failed()),
    }
}

fn last_lines(log: &PathBuf) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

fn greeting(server: &Server, services: &Services, began: Instant) -> String {
    let mut lines = vec![format!("PostgreSQL  {}", server.description())];
    for service in services.all() {
        lines.push(format!("{:<11} {}", service.name, service.url()));
    }
    lines.push("            each with /openapi.json, /livez, /readyz, /metrics".to_owned());
    let (reads, transfers) = (services.balances.url(), services.transfers.url());
    if let Some(folder) = services.balances.log.parent() {
        lines.push(format!("logs        {}", folder.display()));
    }
    let commands = services.accounts.first();
    let commands = commands.map_or_else(String::new, |(_, first)| first.url());
    let seconds = began.elapsed().as_secs_f64();
    lines.push(format!(
        "
Try:
  curl {reads}/v1/accounts/checking/balance
  curl -X POST {commands}/v1/accounts/checking/credits -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first' -d '{{\"amount\":\"25.00\",\"currency\":\"EUR\",\"contra\":\"cash\"}}'
  curl {commands}/v1/accounts/checking/events
  curl -X POST {transfers}/v1/transfers -H 'Content-Type: application/json' -H 'Prefer: wait=10' -d '{{\"id\":\"my-transfer\",\"from\":{{\"book\":\"a\",\"account_id\":\"checking\"}},\"to\":{{\"book\":\"b\",\"account_id\":\"pension\"}},\"amount\":\"40.00\",\"currency\":\"EUR\"}}'

Ready after {seconds:.1} s. Ctrl-C stops."
    ));
    format!("\n{}", lines.join("\n"))
}

/// Why not everything runs.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpError {
    /// There is no PostgreSQL, or it did not stop.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The databases cannot be made.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// There is no port to listen at.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A service cannot be run.
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
    /// A service does not come up.
    #[error("{name} does not start; it says in {}:\n{said}", log.display())]
    NotReady {
        /// The service.
        name: String,
        /// Its log.
        log: PathBuf,
        /// What is at the log's end.
        said: String,
    },
    /// A name of ours is none.
    #[error(transparent)]
    Book(ledger_example::balances::InvalidBookName),
    /// No request can be made.
    #[error("the services cannot be asked")]
    Client(#[from] reqwest::Error),
    /// A demo book cannot be seeded.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] std::io::Error),
}
