//! `ledger audit`: replays everything, and compares every balance with the read model.

use std::sync::Arc;

use clap::Args;
use folio_core::EventStore;
use folio_postgres::{Database, OpenError, PoolError, PostgresStore, Role};
use folio_projections::{Projector as _, Reader};
use indicatif::{ProgressBar, ProgressStyle};
use ledger_example::read_model::{BalancesProjector, BalancesQueries};
use ledger_example::{AccountsDatabases, AuditError, AuditReport, BookName};
use thiserror::Error;

use crate::accounts::BOOK;
use crate::output::{OutputError, answer, remark};
use crate::server::{Server, ServerArgs, ServerError};
use crate::{Finding, balances};

/// Connections that an audit needs.
const CONNECTIONS: usize = 2;

/// Arguments of `ledger audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The book to audit.
    #[arg(long, default_value = BOOK, value_name = "NAME")]
    book: BookName,
    /// The database of the balances service.
    #[arg(long, default_value = balances::DATABASE, value_name = "NAME")]
    balances_database: String,
}

/// Audits a book, beside its running service or without one, and prints what differs.
///
/// # Errors
///
/// [`AuditCommandError`] when either side cannot be read.
pub async fn run(arguments: AuditArgs) -> Result<Finding, AuditCommandError> {
    let server = Server::join(&arguments.server, CONNECTIONS * 3).await?;
    let report = audit(&server, &arguments).await;
    server.stop().await?;
    let report = report?;
    print(&report)?;
    Ok(Finding::clean_if(report.differences.is_empty()))
}

async fn audit(server: &Server, arguments: &AuditArgs) -> Result<AuditReport, AuditCommandError> {
    let book = &arguments.book;
    let databases = AccountsDatabases::existing(&server.config, book);
    let store = Arc::new(PostgresStore::open(&databases.events, CONNECTIONS).await?);
    let models = Database::new(server.config.clone(), &arguments.balances_database);
    let readers = models.pool(Role::Reader, CONNECTIONS)?;
    let projection = BalancesProjector::of(book).name();
    let queries = BalancesQueries::new(Reader::new(readers, projection));
    remark(format_args!("store {} of book {book}", store.store_id()));
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} events  {per_sec}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let report = ledger_example::audit(&store, &queries, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    Ok(report)
}

fn print(report: &AuditReport) -> Result<(), OutputError> {
    for difference in &report.differences {
        answer(format_args!(
            "account {}: {} is {} by replay, {} in the read model",
            difference.account_id, difference.what, difference.replayed, difference.projected
        ))?;
    }
    answer(format_args!(
        "{} events replayed up to position {} in {:.2} s, {} events/s",
        report.events,
        report.position,
        report.elapsed.as_secs_f64(),
        report.events_per_second()
    ))?;
    let behind = report.head.events_since(report.position);
    if behind > 0 {
        answer(format_args!(
            "the read model is {behind} events behind; both were compared where it stands"
        ))?;
    }
    answer(format_args!(
        "{} accounts compared, {} differences",
        report.accounts,
        report.differences.len()
    ))
}

/// Why an audit could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditCommandError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No connections to the read model.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The audit itself failed.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}
