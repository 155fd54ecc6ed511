//! `ledger import`: takes a bank's file of transactions into the ledger, over its public API.
//!
//! The whole file is validated before the first request. Then every account that occurs is opened,
//! and the rows are posted in the order of the file, in batches that follow each other: a running
//! balance means something only if the order is kept.
//!
//! Importing can be interrupted and repeated at any point. The key of a posting is the bank's id of
//! the transaction, so what is in the ledger already is recognised there and not posted again.

mod error;
mod post;
mod summary;

use std::{collections::HashSet, path::PathBuf, time::Instant};

use folio_core::Currency;

pub use error::ImportError;
pub use summary::ImportSummary;

use crate::{
    bank_file::{AccountId, BadRows, BankFile, BankTransaction},
    client::{AccessToken, LedgerAddress, LedgerClient, OpenAccount, Overdraft},
    progress::progress_bar,
};

/// What to import, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// The bank's transactions: CSV with a header, oldest first
    pub file: PathBuf,
    /// The accounts service of the book
    #[arg(long, default_value = LedgerAddress::COMMANDS)]
    pub url: LedgerAddress,
    /// The token by which a gateway knows who imports
    #[arg(long, env = "FOLIO_TOKEN", hide_env_values = true, value_parser = |text: &str| Ok::<_, std::convert::Infallible>(AccessToken::from(text)))]
    pub token: Option<AccessToken>,
    /// The currency of all amounts in the file
    #[arg(long, default_value = "CZK")]
    pub currency: Currency,
    /// How many transactions go into one request, 1 to 1000
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub batch: u16,
    /// What becomes of a file that has bad rows
    #[arg(long, value_enum, default_value_t = BadRows::Refuse)]
    pub bad_rows: BadRows,
}

/// Imports a file.
///
/// # Errors
///
/// [`ImportError`], which says what to do. Nothing is posted from a file that is refused. After any
/// other error the rows before the one it names are posted, and perhaps some after it.
///
/// # Cancel safety
///
/// Dropping the future leaves a part posted; importing again posts the rest.
pub async fn run(args: ImportArgs) -> Result<ImportSummary, ImportError> {
    let started = Instant::now();
    let file = BankFile::open(&args.file, args.currency, args.bad_rows)?;
    let ledger =
        LedgerClient::new(args.url, ACTOR).map_err(|source| ImportError::NoClient { source })?;
    let ledger = ledger.with_token(args.token);
    let mut summary = import(&ledger, args.currency, args.batch, file).await?;
    summary.elapsed = started.elapsed();
    Ok(summary)
}

/// Imports a file that has been read.
async fn import(
    ledger: &LedgerClient,
    currency: Currency,
    batch: u16,
    file: BankFile,
) -> Result<ImportSummary, ImportError> {
    let mut summary = ImportSummary {
        rows: file.transactions.len(),
        skipped: file.bad_rows,
        ..ImportSummary::default()
    };
    open_accounts(ledger, currency, &file.transactions, &mut summary).await?;
    post::post_all(ledger, &file.transactions, batch, &mut summary).await?;
    Ok(summary)
}

/// Opens every account, in the order in which they first occur. They may go below zero as far as it
/// takes: the transactions have happened, and the bank let them.
async fn open_accounts(
    ledger: &LedgerClient,
    currency: Currency,
    transactions: &[BankTransaction],
    summary: &mut ImportSummary,
) -> Result<(), ImportError> {
    let mut seen = HashSet::new();
    let accounts: Vec<_> = transactions
        .iter()
        .map(|transaction| &transaction.account)
        .filter(|account| seen.insert(*account))
        .collect();
    summary.accounts = accounts.len();

    let bar = progress_bar("opening accounts", accounts.len());
    for account in accounts {
        let opening = OpenAccount {
            id: account.as_str(),
            currency,
            overdraft: Some(Overdraft::Unlimited),
            kind: None,
            normal_side: None,
        };
        match ledger
            .open_account(&format!("open:{account}"), &opening)
            .await
        {
            Ok(written) => {
                let is_new = !written.is_replay;
                summary.accounts_opened = summary.accounts_opened.saturating_add(is_new.into());
                summary.position = written.position.or(summary.position.take());
            }
            Err(error) if error.is_already_open() => {
                check_currency(ledger, account, currency).await?;
            }
            Err(source) => return Err(ImportError::opening(account, source)),
        }
        bar.inc(1);
    }
    Ok(())
}

/// An account that somebody else opened will do if its currency is that of the file.
async fn check_currency(
    ledger: &LedgerClient,
    account: &AccountId,
    expected: Currency,
) -> Result<(), ImportError> {
    let found = ledger
        .currency_of(account.as_str())
        .await
        .map_err(|source| ImportError::opening(account, source))?;
    match found {
        Some(found) if found != expected => Err(ImportError::OtherCurrency {
            account: account.clone(),
            found,
            expected,
        }),
        Some(_) | None => Ok(()),
    }
}

/// As whom the ledger knows an import. Keys are the actor's own: imports share theirs, so that each
/// recognises what another one posted.
const ACTOR: &str = "import";

#[cfg(test)]
mod tests;
