//! `ledger up`: every service as a process of its own, with nothing to configure.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use folio_mesh::discovery::{PrepareRegistryError, Registry};
use folio_mesh::identity::{KeyFileError, SignError, SigningKey};
use gateway_example::auth::{LocalIssuer, Subject};
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
use crate::output::say;
use crate::server::{Server, ServerArgs, ServerError, connection_string};
use crate::stop::Stop;
use crate::supervisor::{Service, Started, SuperviseError, Supervisor};
use crate::{balances, gateway, mesh, rails, seals, transfers};

/// The books that there are from the start.
const BOOKS: [&str; 2] = ["a", "b"];
/// The book of the versions that had one. Where it is there, it is served on.
const FIRST_BOOK: &str = "accounts";
/// Instances of each service that clients ask for something: of the accounts services, of balances and of transfers; and of
/// the gateway, which all take from the same port.
const INSTANCES: usize = 2;
/// Processes that are listed in the registry, and the gateways, each with connections of its own to it.
const LISTED: usize = 13;
/// How long the tokens of the greeting are good.
const TOKENS_LAST: Duration = Duration::from_secs(7 * 24 * 3_600);
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
    let stop = Stop::listen().map_err(UpError::Signal)?;
    say("Starting PostgreSQL …");
    let books = BOOKS.len().saturating_add(1);
    let connections = Connections::default().total().saturating_mul(books);
    let connections = connections
        .saturating_add(BalancesConnections::default().total(books))
        .saturating_add(TransfersService::CONNECTIONS)
        .saturating_add(gateway::CONNECTIONS)
        .saturating_mul(INSTANCES)
        .saturating_add(RailsService::CONNECTIONS)
        .saturating_add(Registry::CONNECTIONS.saturating_mul(LISTED));
    let server = tokio::select! {
        server = Server::start(&arguments.server, connections) => server?,
        // The cluster, if it has come up by now, is found again at the next start.
        () = stop.told() => return Ok(()),
    };
    let result = serve(&server, &arguments, started, &stop).await;
    server.stop().await?;
    say("Stopped. The data is kept.");
    result
}

async fn serve(
    server: &Server,
    arguments: &UpArgs,
    started: Instant,
    stop: &Stop,
) -> Result<(), UpError> {
    let logs = arguments.server.data_folder()?.join("logs");
    let mut supervisor = Supervisor::new(&logs)?;
    let result = tokio::select! {
        result = start(server, arguments, &mut supervisor, started) => match result {
            Ok(()) => {
                stop.told().await;
                Ok(())
            }
            Err(error) => Err(error),
        },
        () = stop.told() => Ok(()),
    };
    say("\nStopping …");
    supervisor.stop().await;
    result
}

/// The services, where they are.
struct Services {
    /// The first instance of each.
    accounts: Vec<(BookName, Started)>,
    balances: Started,
    transfers: Started,
    /// Their other instances.
    others: Vec<Started>,
    rails: Started,
    gateway: Started,
}

impl Services {
    fn all(&self) -> impl Iterator<Item = &Started> {
        let accounts = self.accounts.iter().map(|(_, service)| service);
        let firsts = accounts.chain([&self.balances, &self.transfers]);
        let all = firsts.chain(&self.others);
        all.chain([&self.rails, &self.gateway])
    }
}

/// Starts the services, waits until all are there, fills the demo books and says where everything is.
async fn start(
    server: &Server,
    arguments: &UpArgs,
    supervisor: &mut Supervisor,
    began: Instant,
) -> Result<(), UpError> {
    let keys = Keys::in_folder(&arguments.server.data_folder()?)?;
    let services = start_services(&server.config, arguments, supervisor, &keys).await?;
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
        say(format_args!(
            "The read models are still catching up; see {url}/readyz"
        ));
    }
    say(greeting(server, &services, &keys, began)?);
    Ok(())
}

/// The keys of a private installation: of who issues its tokens, and by which its gateway vouches for who asks. Those by which
/// its books are sealed the accounts services make themselves.
struct Keys {
    issuer: LocalIssuer,
    gateway: PathBuf,
    data_folder: PathBuf,
}

impl Keys {
    fn in_folder(data_folder: &Path) -> Result<Self, UpError> {
        let folder = data_folder.join("keys");
        let gateway = folder.join("gateway");
        // The services are told of it before the gateway starts.
        SigningKey::in_folder(&gateway)?;
        let issuer = folder.join("issuer");
        Ok(Self {
            issuer: LocalIssuer::in_folder(&issuer, gateway::ISSUER, gateway::AUDIENCE)?,
            gateway,
            data_folder: data_folder.to_owned(),
        })
    }

    /// The folder of the keys by which a book, or what is done between books, is sealed, and the file where its checkpoints are kept.
    fn sealing(&self, of: &str) -> (String, String) {
        let keys = seals::keys_folder(&self.data_folder, of);
        let anchor = seals::anchor_file(&self.data_folder, of);
        (keys.display().to_string(), anchor.display().to_string())
    }

    /// A token for somebody of this role.
    fn token(&self, role: &str) -> Result<String, UpError> {
        let subject: Subject = role.parse().map_err(UpError::Role)?;
        Ok(self
            .issuer
            .issue(&subject, &gateway::scopes_of(role), TOKENS_LAST)?)
    }
}

/// What is started alike of all services.
struct Starts<'a> {
    supervisor: &'a mut Supervisor,
    registry: String,
    gateway_keys: String,
    /// The second and later instances of services.
    others: Vec<Started>,
    /// Where the services are that were started by now: whoever starts while the registry is down begins with those.
    seeds: Vec<String>,
}

impl Starts<'_> {
    /// Starts all instances of a service. Answers with the first one, which listens where it is asked for.
    fn start_all(
        &mut self,
        service: &str,
        words: &[&str],
        login: &Config,
        listener: TcpListener,
    ) -> Result<Started, UpError> {
        let first = self.start((service, 1), words, login, listener)?;
        let mut seed = format!("{service}={}", first.address);
        for number in 2..=INSTANCES {
            let other = self.start((service, number), words, login, listen::free()?)?;
            seed.push_str(&format!(",{}", other.address));
            self.others.push(other);
        }
        self.seeds.push(seed);
        Ok(first)
    }

    /// Starts an instance of a service, which is called after it, and after its number from the second one on.
    fn start(
        &mut self,
        (service, number): (&str, usize),
        words: &[&str],
        login: &Config,
        listener: TcpListener,
    ) -> Result<Started, UpError> {
        let instance = format!("{service}-{number}");
        let name = if number == 1 { service } else { &instance };
        let seeds = self.seeds.iter().flat_map(|seed| ["--seed", seed]);
        let words = words.iter().copied().chain(["--instance", &instance]);
        Ok(self.supervisor.start(Service {
            name: name.to_owned(),
            arguments: words.chain(seeds).map(str::to_owned).collect(),
            environment: vec![
                ("DATABASE_URL", connection_string(login)),
                ("FOLIO_REGISTRY_URL", self.registry.clone()),
                ("FOLIO_GATEWAY_KEYS", self.gateway_keys.clone()),
            ],
            listener,
        })?)
    }
}

/// Makes the databases and logins, and has each service run on its own. They find each other by the registry.
async fn start_services(
    server: &Config,
    arguments: &UpArgs,
    supervisor: &mut Supervisor,
    keys: &Keys,
) -> Result<Services, UpError> {
    Registry::prepare(server, mesh::DATABASE).await?;
    let registry = Registry::provision(server, mesh::DATABASE).await?;
    let mut starts = Starts {
        supervisor,
        registry: connection_string(&registry),
        gateway_keys: keys
            .gateway
            .join(SigningKey::PUBLIC_FILE)
            .display()
            .to_string(),
        others: Vec::new(),
        seeds: Vec::new(),
    };
    let mut accounts = Vec::new();
    for (book, first) in listeners(server, arguments).await? {
        let login = AccountsDatabases::provision(server, &book).await?;
        let service = format!("accounts-{book}");
        let (seal_keys, anchor) = keys.sealing(book.as_str());
        let words = [
            "accounts",
            "--book",
            book.as_str(),
            "--seal-keys",
            &seal_keys,
            "--anchor",
            &anchor,
        ];
        let started = starts.start_all(&service, &words, &login, first)?;
        accounts.push((book, started));
    }
    let books: Vec<&str> = accounts.iter().map(|(book, _)| book.as_str()).collect();
    let of_books = |option| books.iter().flat_map(move |book| [option, *book]);

    let login = provision_balances(server, balances::DATABASE).await?;
    let words: Vec<&str> = ["balances", "--reconcile"]
        .into_iter()
        .chain(of_books("--feed"))
        .collect();
    let socket = listener(arguments, PORTS.balances)?;
    let balances = starts.start_all("balances", &words, &login, socket)?;

    let login = provision_rails(server, rails::DATABASE).await?;
    let socket = listener(arguments, PORTS.rails)?;
    let rails = starts.start(("rails", 1), &["rails"], &login, socket)?;

    let login = TransfersDatabases::provision(server, transfers::DATABASE).await?;
    let (seal_keys, anchor) = keys.sealing(seals::TRANSFERS);
    let sealed = ["--seal-keys", &seal_keys, "--anchor", &anchor];
    let words: Vec<&str> = ["transfers"]
        .into_iter()
        .chain(sealed)
        .chain(of_books("--book"))
        .collect();
    let socket = listener(arguments, PORTS.transfers)?;
    let transfers = starts.start_all("transfers", &words, &login, socket)?;

    let login = gateway::provision(server).await.map_err(Box::new)?;
    let (jwks, signing) = (
        keys.issuer.jwks().display().to_string(),
        keys.gateway.display().to_string(),
    );
    let socket = listener(arguments, PORTS.gateway)?;
    let logs = starts.supervisor.logs().to_owned();
    let mut start = |number: usize, socket: TcpListener| {
        let record = logs.join(format!("gateway-{number}.access.log"));
        let record = record.display().to_string();
        let words = [
            "gateway",
            "--jwks",
            &jwks,
            "--keys",
            &signing,
            "--access-log",
            &record,
        ];
        starts.start(("gateway", number), &words, &login, socket)
    };
    let mut others = Vec::new();
    for number in 2..=INSTANCES {
        let same = socket.try_clone().map_err(UpError::Port)?;
        others.push(start(number, same)?);
    }
    let gateway = start(1, socket)?;
    starts.others.extend(others);
    Ok(Services {
        accounts,
        balances,
        transfers,
        others: starts.others,
        rails,
        gateway,
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

fn greeting(
    server: &Server,
    services: &Services,
    keys: &Keys,
    began: Instant,
) -> Result<String, UpError> {
    let mut lines = vec![format!("PostgreSQL  {}", server.description())];
    for service in services.all() {
        lines.push(format!("{:<12} {}", service.name, service.url()));
    }
    lines.push("             each with /openapi.json, /livez, /readyz; the gateway's document is of all of them".to_owned());
    if let Some(folder) = services.balances.log.parent() {
        lines.push(format!("logs         {}", folder.display()));
    }
    lines.push(String::new());
    lines.push("Tokens, for a week:".to_owned());
    for role in ["reader", "operator", "auditor"] {
        lines.push(format!(
            "  export {}={}",
            role.to_uppercase(),
            keys.token(role)?
        ));
    }
    let door = services.gateway.url();
    let seconds = began.elapsed().as_secs_f64();
    lines.push(format!(
        "
Try:
  curl -H \"Authorization: Bearer $READER\" {door}/v1/accounts/checking/balance
  curl -X POST {door}/v1/books/a/accounts/checking/credits -H \"Authorization: Bearer $OPERATOR\" -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first' -d '{{\"amount\":\"25.00\",\"currency\":\"EUR\",\"contra\":\"cash\"}}'
  curl -H \"Authorization: Bearer $AUDITOR\" {door}/v1/books/a/accounts/checking/events
  curl -H \"Authorization: Bearer $AUDITOR\" {door}/v1/books/a/audit/accounts/checking -o checking.html
  curl -X POST {door}/v1/transfers -H \"Authorization: Bearer $OPERATOR\" -H 'Content-Type: application/json' -H 'Prefer: wait=10' -d '{{\"id\":\"my-transfer\",\"from\":{{\"book\":\"a\",\"account_id\":\"checking\"}},\"to\":{{\"book\":\"b\",\"account_id\":\"pension\"}},\"amount\":\"40.00\",\"currency\":\"EUR\"}}'
  curl -H \"Authorization: Bearer $READER\" '{door}/v1/accounts/checking/statement?format=html' -o statement.html

Kill one of accounts-a and accounts-a-2, or of any other service but the gateway that is there twice, and none of these fails. Ready after {seconds:.1} s. Ctrl-C stops."
    ));
    Ok(format!("\n{}", lines.join("\n")))
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
    /// The port of the gateway cannot be shared.
    #[error("the gateway's port cannot be shared by its instances")]
    Port(#[source] std::io::Error),
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
    /// The registry cannot be made.
    #[error(transparent)]
    Registry(#[from] PrepareRegistryError),
    /// The gateway cannot be made ready.
    #[error(transparent)]
    Gateway(#[from] Box<gateway::GatewayError>),
    /// A key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A token cannot be issued.
    #[error(transparent)]
    Token(#[from] SignError),
    /// A role of ours is nobody's name.
    #[error(transparent)]
    Role(folio_mesh::identity::InvalidName),
    /// A demo book cannot be seeded.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] std::io::Error),
}
