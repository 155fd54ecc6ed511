//! `ledger trace`: the operators' command, with the stores of all services and the gateway's access log.

use std::path::PathBuf;
use std::{fs, io};

use clap::Args;
use folio_operator::trace::{self, Request, TraceArgs, TraceError};
use folio_operator::{Finding, NamedStore, Screen};
use ledger_example::BookName;
use thiserror::Error;
use tokio::sync::watch;

use crate::access_log;
use crate::output::remark;
use crate::screen::{columns, stopped_twice};
use crate::server::{Server, ServerArgs, ServerError};
use crate::stores::{CONNECTIONS, StoreError, StoreName};

/// Books that are read where they are there: those of `ledger up`, and that of the versions which had one.
const BOOKS: [&str; 3] = ["a", "b", "accounts"];

/// Arguments of `ledger trace`.
#[derive(Debug, Args)]
pub struct TraceCommandArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// A book whose events are read, once for each, in place of a, b and accounts as far as they are there. Those of
    /// transfers and rails are always read where they are there.
    #[arg(long = "book", value_name = "NAME")]
    books: Vec<BookName>,
    /// What a gateway has put on record with its --access-log, which tells of the request itself; that in the data folder,
    /// when left out.
    #[arg(long = "access-log", value_name = "FILE")]
    access_logs: Vec<PathBuf>,
    #[command(flatten)]
    trace: TraceArgs,
}

/// Writes the tree of what a request caused to standard output, beside the running services or without them.
///
/// # Errors
///
/// [`TraceCommandError`].
pub async fn run(arguments: TraceCommandArgs) -> Result<Finding, TraceCommandError> {
    let stores = arguments.books.len().max(BOOKS.len()).saturating_add(2);
    let connections = CONNECTIONS.saturating_mul(3).saturating_mul(stores);
    let server = Server::join(&arguments.server, connections).await?;
    let (stop, stopped) = watch::channel(false);
    let result = tokio::select! {
        result = find(&server, arguments, stopped) => result,
        stopped = stopped_twice(stop) => match stopped {
            Ok(()) => Ok(Finding::NotWell),
            Err(error) => Err(TraceCommandError::Signal(error)),
        },
    };
    server.stop().await?;
    result
}

async fn find(
    server: &Server,
    arguments: TraceCommandArgs,
    stop: watch::Receiver<bool>,
) -> Result<Finding, TraceCommandError> {
    let requests = requests(&arguments)?;
    let stores = stores(server, arguments.books).await?;
    let screen = Screen {
        out: &mut io::stdout(),
        columns: columns(),
        stop,
    };
    let finding = trace::run(arguments.trace, &stores, requests, screen).await?;
    if finding == Finding::NotWell {
        let names: Vec<&str> = stores.iter().map(|store| &*store.name).collect();
        remark(format_args!(
            "no event of this request is in {}",
            names.join(", ")
        ));
    }
    Ok(finding)
}

/// The stores of the services that are there.
async fn stores(
    server: &Server,
    mut books: Vec<BookName>,
) -> Result<Vec<NamedStore>, TraceCommandError> {
    let mut stores = Vec::new();
    let mut likely = Vec::new();
    if books.is_empty() {
        let known = BOOKS.iter().filter_map(|name| name.parse().ok());
        likely.extend(known.map(StoreName::Book));
    }
    likely.extend([StoreName::Transfers, StoreName::Rails]);
    books.sort();
    books.dedup();
    for book in books {
        stores.push(StoreName::Book(book).open(server).await?);
    }
    for name in likely {
        if name.exists(server).await.map_err(StoreError::from)? {
            stores.push(name.open(server).await?);
        }
    }
    Ok(stores)
}

/// What the logs of the gateway tell.
fn requests(arguments: &TraceCommandArgs) -> Result<Vec<Request>, TraceCommandError> {
    let unread = |file: &PathBuf, source| TraceCommandError::AccessLog {
        file: file.clone(),
        source,
    };
    let logs = match arguments.access_logs.as_slice() {
        [] => gateway_logs(&arguments.server)?,
        logs => logs.to_vec(),
    };
    let mut requests = Vec::new();
    for file in &logs {
        let log = fs::File::open(file).map_err(|error| unread(file, error))?;
        let found = access_log::requests(io::BufReader::new(log), arguments.trace.correlation);
        requests.extend(found.map_err(|error| unread(file, error))?);
    }
    requests.sort_by(|one, other| one.at.cmp(&other.at));
    Ok(requests)
}

/// The logs of the gateways that `ledger up` runs, as far as there are any.
fn gateway_logs(server: &ServerArgs) -> Result<Vec<PathBuf>, TraceCommandError> {
    let logs = server.data_folder()?.join("logs");
    let Ok(entries) = fs::read_dir(logs) else {
        return Ok(Vec::new());
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut logs: Vec<PathBuf> = paths
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("gateway") && name.contains(".log"))
        })
        .collect();
    logs.sort();
    Ok(logs)
}

/// Why a request was not traced.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceCommandError {
    /// There is no PostgreSQL, or no place for logs.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A log cannot be read.
    #[error("the log {} cannot be read; name another with --access-log", file.display())]
    AccessLog {
        /// The log.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The command itself failed.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Signals cannot be waited for.
    #[error("the process cannot listen for signals")]
    Signal(#[source] io::Error),
}
