//! `ledger reconcile`: compares the bank's printed balances with those of the ledger, row by row.
//!
//! The bank's file says what the balance was after each transaction; the ledger's statement says
//! what it is by the ledger's own reckoning. A row and a line belong together when the line's
//! reference is the row's transaction. Nothing is written anywhere.

mod account;
mod error;
mod fetch;
mod reconciliation;
mod render;

use std::path::PathBuf;

use folio_core::Currency;

pub use account::{AccountReconciliation, FileRow, Finding, LedgerLine};
pub use error::ReconcileError;
pub use reconciliation::{Reconciliation, ReconciliationSummary};
pub use render::Format;

use ledger_example::BookName;

use crate::{
    bank_file::{BadRows, BankFile},
    client::{LedgerAddress, LedgerClient, PositionToken},
};

/// What to compare, and how to show it.
#[derive(Debug, Clone, clap::Args)]
pub struct ReconcileArgs {
    /// The bank's transactions: CSV with a header, oldest first
    pub file: PathBuf,
    /// The balances service
    #[arg(long, default_value = LedgerAddress::READS)]
    pub url: LedgerAddress,
    /// The book, where several are read there
    #[arg(long)]
    pub book: Option<BookName>,
    /// The currency of all amounts in the file
    #[arg(long, default_value = "CZK")]
    pub currency: Currency,
    /// How the differences are shown
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// What becomes of a file that has bad rows
    #[arg(long, value_enum, default_value_t = BadRows::Refuse)]
    pub bad_rows: BadRows,
    /// Wait until the ledger shows everything up to this position, as an import prints it
    #[arg(long)]
    pub min_position: Option<String>,
}

/// Compares a file with the ledger.
///
/// # Errors
///
/// [`ReconcileError`]. Differences are no error; ask [`Reconciliation::agrees`].
pub async fn run(args: ReconcileArgs) -> Result<Reconciliation, ReconcileError> {
    let file = BankFile::open(&args.file, args.currency, args.bad_rows)?;
    let ledger =
        LedgerClient::new(args.url, ACTOR).map_err(|source| ReconcileError::NoClient { source })?;
    let ledger = ledger.with_book(args.book);
    let min_position = args.min_position.as_deref().map(PositionToken::from);
    let accounts = fetch::compare_all(
        &ledger,
        args.currency,
        &file.transactions,
        min_position.as_ref(),
    )
    .await?;
    Ok(Reconciliation {
        summary: ReconciliationSummary::of(&accounts, args.currency)?,
        accounts,
        skipped: file.bad_rows,
    })
}

/// As whom the ledger knows a reconciliation.
const ACTOR: &str = "reconcile";

#[cfg(test)]
mod tests;
