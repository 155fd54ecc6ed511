//! `ledger check`: whether what must be so of a book is so after every command that it records.

use std::sync::Arc;

use clap::Args;
use folio_core::{EventStore, ReadError};
use folio_postgres::{OpenError, PostgresStore};
use ledger_example::monitor::{self, CheckReport};
use ledger_example::{AccountsDatabases, BookName};
use thiserror::Error;

use crate::Finding;
use crate::accounts::BOOK;
use crate::output::{OutputError, answer};
use crate::progress::progress_bar;
use crate::server::{Server, ServerArgs, ServerError};

/// Connections that a check needs.
const CONNECTIONS: usize = 2;

/// Arguments of `ledger check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The book to check.
    #[arg(long, default_value = BOOK, value_name = "NAME")]
    book: BookName,
    /// How many violations are listed at most, the first ones.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    most: u16,
}

/// Checks a book, beside its running service or without one, and prints what is not as it must be.
///
/// # Errors
///
/// [`CheckError`] when the store cannot be read.
pub async fn run(arguments: CheckArgs) -> Result<Finding, CheckError> {
    let server = Server::join(&arguments.server, CONNECTIONS.saturating_mul(3)).await?;
    let report = check(&server, &arguments).await;
    server.stop().await?;
    let report = report?;
    for violation in &report.violations {
        answer(format_args!(
            "position {} ({}): {}: {}",
            violation.position,
            violation.stream,
            violation.invariant.as_str(),
            violation.what
        ))?;
    }
    answer(format_args!(
        "checked up to position {}, {} violations",
        report.position,
        report.violations.len()
    ))?;
    Ok(Finding::clean_if(report.violations.is_empty()))
}

async fn check(server: &Server, arguments: &CheckArgs) -> Result<CheckReport, CheckError> {
    let databases = AccountsDatabases::existing(&server.config, &arguments.book);
    let store = Arc::new(PostgresStore::open(&databases.events, CONNECTIONS).await?);
    let head = store.head().await?.number();
    let bar = progress_bar("checking", usize::try_from(head).unwrap_or(usize::MAX));
    let most = usize::from(arguments.most).max(1);
    let report = monitor::check(&store, most, |done, _| bar.set_position(done)).await?;
    bar.finish_and_clear();
    Ok(report)
}

/// Why a check could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be read, or lacks events.
    #[error("the event store cannot be read")]
    Read(#[from] ReadError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}
