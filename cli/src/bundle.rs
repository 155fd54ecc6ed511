//! `ledger bundle`: all events of an account with the proof that they are all, as a file for whoever trusts nobody.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use folio_audit::{LogKeys, LogKeysError, ProveError, Prover, Span};
use folio_core::stream::InvalidStreamId;
use folio_core::{Aggregate as _, StreamId};
use folio_operator::Answers;
use folio_postgres::PoolError;
use folio_proofs::bundle::Bundle;
use folio_proofs::merkle::Size;
use ledger_example::account::Account;
use ledger_example::{AccountsDatabases, BookName};
use thiserror::Error;

use crate::accounts::BOOK;
use crate::output::remark;
use crate::seals::keys_folder;
use crate::server::{Server, ServerArgs, ServerError};

/// Connections that a bundle needs.
const CONNECTIONS: usize = 1;
/// Most events of a stream. All of it is in memory at once.
const EVENTS_MAX: usize = 1_000_000;

/// Arguments of `ledger bundle`.
#[derive(Debug, Args)]
pub struct BundleArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The account, or any stream by its category and id: `entry/7`.
    #[arg(value_name = "ACCOUNT")]
    stream: String,
    /// The book that has it.
    #[arg(long, default_value = BOOK, value_name = "NAME")]
    book: BookName,
    /// The public keys of the book's log; those of the data folder, unless it is said.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Proves as well that the log has only grown since its checkpoint of so many leaves.
    #[arg(long, value_name = "LEAVES")]
    since: Option<u64>,
    /// Shows what was on record at the checkpoint of so many leaves, and not at the last one. For that the whole book is looked through.
    #[arg(long, value_name = "LEAVES")]
    until: Option<u64>,
    /// The file to write; to standard output, unless it is said.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Makes the bundle of a stream, beside the running service or without one. `folio-verify` checks it.
///
/// # Errors
///
/// [`BundleCommandError`].
pub async fn run(arguments: BundleArgs) -> Result<(), BundleCommandError> {
    let server = Server::join(&arguments.server, CONNECTIONS).await?;
    let bundle = bundle(&server, &arguments).await;
    server.stop().await?;
    let bundle = bundle?;
    let mut text = serde_json::to_vec(&bundle).map_err(BundleCommandError::Json)?;
    text.push(b'\n');
    let written = match &arguments.output {
        Some(file) => std::fs::write(file, &text),
        None => Answers(std::io::stdout()).write_all(&text),
    };
    written.map_err(BundleCommandError::Write)?;
    remark(format_args!(
        "{} events of {}",
        bundle.events.len(),
        bundle.stream
    ));
    Ok(())
}

async fn bundle(server: &Server, arguments: &BundleArgs) -> Result<Bundle, BundleCommandError> {
    let keys = match &arguments.keys {
        Some(file) => file.clone(),
        None => keys_folder(&arguments.server.data_folder()?, arguments.book.as_str())
            .join(LogKeys::PUBLIC_FILE),
    };
    let log = LogKeys::trusted(&keys)?;
    let databases = AccountsDatabases::existing(&server.config, &arguments.book);
    let prover = Prover::open(&databases.events, log, CONNECTIONS)?;
    let stream = &arguments.stream;
    let (category, id) = stream
        .split_once('/')
        .unwrap_or((Account::CATEGORY, stream));
    let stream = StreamId::new(category, id)?;
    let span = Span {
        since: arguments.since.map(Size::new),
        until: arguments.until.map(Size::new),
    };
    Ok(prover.bundle(&stream, span, EVENTS_MAX).await?)
}

/// Why there is no bundle.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleCommandError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The public keys cannot be read.
    #[error(transparent)]
    Keys(#[from] LogKeysError),
    /// No connections to the store.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// There is no such stream.
    #[error(transparent)]
    Stream(#[from] InvalidStreamId),
    /// It is not proven.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// It cannot be written as JSON.
    #[error("the bundle cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// It cannot be written.
    #[error("the bundle cannot be written")]
    Write(#[source] std::io::Error),
}
