//! `ledger import-journal`: takes a plain-text journal into the ledger, over its public API.
//!
//! The whole file is read before the first request. Then every account is opened, and the transactions
//! are posted in the order of the file, up to 200 of them side by side. Importing can be interrupted and repeated at any point: a
//! transaction is known again by its entry's id or, where it has none, by what it says and how many the
//! same are before it in the file.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use folio_core::CommandId;
use thiserror::Error;
use uuid::Uuid;

use crate::client::{
    ClientError, LedgerAddress, LedgerClient, NewEntry, OpenAccount, Overdraft, PostingStatus,
    Problem,
};
use crate::journal_file::{Journal, JournalAccount, JournalError, JournalFormat, Transaction};
use crate::progress::progress_bar;

/// Entries in one request.
const BATCH: usize = 200;
/// As whom the ledger knows an import.
const ACTOR: &str = "import-journal";

/// What to import, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportJournalArgs {
    /// The journal: in the part of beancount's format that is read where it ends in `.beancount` or `.bean`, of
    /// hledger's where it does not
    pub file: PathBuf,
    /// The accounts service of the book
    #[arg(long, default_value = LedgerAddress::COMMANDS)]
    pub url: LedgerAddress,
}

/// What an import came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalSummary {
    /// How many transactions the file has.
    pub transactions: usize,
    /// How many were posted now.
    pub posted: usize,
    /// How many had been posted before.
    pub already_there: usize,
}

/// Imports a journal.
///
/// # Errors
///
/// [`ImportJournalError`]. Nothing is posted from a file that is refused. After any other error the
/// transactions before the one it names are posted, and perhaps some after it.
///
/// # Cancel safety
///
/// Dropping the future leaves a part posted; importing again posts the rest.
pub async fn run(args: ImportJournalArgs) -> Result<JournalSummary, ImportJournalError> {
    let file = args.file.display().to_string();
    let text =
        std::fs::read_to_string(&args.file).map_err(|source| ImportJournalError::Unread {
            file: file.clone(),
            source,
        })?;
    let journal = JournalFormat::of(&args.file)
        .parse(&text)
        .map_err(|source| ImportJournalError::NoJournal { file, source })?;
    let ledger = LedgerClient::new(args.url, ACTOR)
        .map_err(|source| ImportJournalError::Ledger { source })?;
    import(&ledger, journal).await
}

async fn import(
    ledger: &LedgerClient,
    journal: Journal,
) -> Result<JournalSummary, ImportJournalError> {
    open_accounts(ledger, &journal.accounts).await?;
    let mut summary = JournalSummary {
        transactions: journal.transactions.len(),
        ..JournalSummary::default()
    };
    let bar = progress_bar("posting", journal.transactions.len());
    let mut batch = Vec::new();
    for (transaction, id) in identified(journal.transactions) {
        match transaction.reverses.clone() {
            None => batch.push((transaction, id)),
            // What is undone has to be there.
            Some(of) => {
                post(ledger, &mut batch, &mut summary).await?;
                reverse(ledger, &transaction, &id, &of, &mut summary).await?;
            }
        }
        if batch.len() >= BATCH {
            post(ledger, &mut batch, &mut summary).await?;
        }
        bar.inc(1);
    }
    post(ledger, &mut batch, &mut summary).await?;
    Ok(summary)
}

/// Each transaction with the id of its entry.
fn identified(transactions: Vec<Transaction>) -> Vec<(Transaction, String)> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let with_id = |transaction: Transaction| {
        let id = match &transaction.id {
            Some(id) => id.clone(),
            None => {
                let says = format!(
                    "{:?}",
                    (
                        transaction.date,
                        &transaction.legs,
                        &transaction.reference,
                        &transaction.description,
                    )
                );
                let before = seen.entry(says.clone()).or_default();
                let number = before.to_string();
                *before = before.saturating_add(1);
                CommandId::derived(&[ACTOR, &says, &number]).to_string()
            }
        };
        (transaction, id)
    };
    transactions.into_iter().map(with_id).collect()
}

/// Opens the accounts that are not the book's own. They may go below zero as far as it takes: the
/// transactions have happened.
async fn open_accounts(
    ledger: &LedgerClient,
    accounts: &[JournalAccount],
) -> Result<(), ImportJournalError> {
    let bar = progress_bar("opening accounts", accounts.len());
    for account in accounts {
        bar.inc(1);
        let Some(currency) = account.currency else {
            continue;
        };
        if account.id.starts_with("contra.") {
            continue;
        }
        let overdraft = (account.kind == "authorising").then_some(Overdraft::Unlimited);
        let opening = OpenAccount {
            id: &account.id,
            currency,
            overdraft,
            kind: Some(&account.kind),
            normal_side: Some(&account.normal_side),
        };
        match ledger
            .open_account(&format!("open:{}", account.id), &opening)
            .await
        {
            Ok(_) => {}
            // One that somebody else opened will do; another currency is refused with its first leg.
            Err(error) if error.is_already_open() => {}
            Err(source) => {
                return Err(ImportJournalError::NotOpened {
                    account: account.id.clone(),
                    source,
                });
            }
        }
    }
    Ok(())
}

async fn post(
    ledger: &LedgerClient,
    batch: &mut Vec<(Transaction, String)>,
    summary: &mut JournalSummary,
) -> Result<(), ImportJournalError> {
    let Some((first, _)) = batch.first() else {
        return Ok(());
    };
    let line = first.line;
    // The entries have ids by which they are known again. The batch must not have one that comes again, or a journal that was corrected
    // would be another body under a known key.
    let key = format!("batch:{}", Uuid::now_v7());
    let entries: Vec<NewEntry> = batch
        .iter()
        .map(|(transaction, id)| NewEntry {
            id: id.clone(),
            legs: transaction.legs.clone(),
            effective_date: transaction.date,
            reference: transaction.reference.clone(),
            description: transaction.description.clone(),
            exchange: transaction.exchange.clone(),
        })
        .collect();
    let written = ledger
        .post_entries(&key, &entries)
        .await
        .map_err(|source| ImportJournalError::NotPosted { line, source })?;
    for ((transaction, _), result) in batch.iter().zip(written.answer.results) {
        match (result.status, result.problem) {
            (PostingStatus::Posted, _) => summary.posted = summary.posted.saturating_add(1),
            (PostingStatus::AlreadyPosted, _) => {
                summary.already_there = summary.already_there.saturating_add(1);
            }
            (PostingStatus::Refused, problem) => {
                return Err(ImportJournalError::Refused {
                    line: transaction.line,
                    problem,
                });
            }
        }
    }
    batch.clear();
    Ok(())
}

async fn reverse(
    ledger: &LedgerClient,
    transaction: &Transaction,
    id: &str,
    of: &str,
    summary: &mut JournalSummary,
) -> Result<(), ImportJournalError> {
    let description = transaction.description.as_deref();
    let written = ledger
        .reverse_entry(id, of, id, transaction.date, description)
        .await
        .map_err(|source| ImportJournalError::NotPosted {
            line: transaction.line,
            source,
        })?;
    if written.is_replay {
        summary.already_there = summary.already_there.saturating_add(1);
    } else {
        summary.posted = summary.posted.saturating_add(1);
    }
    Ok(())
}

impl fmt::Display for JournalSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "transactions   {}", self.transactions)?;
        writeln!(f, "  new          {}", self.posted)?;
        write!(f, "  there before {}", self.already_there)
    }
}

/// Why a journal was not taken in, or not all of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportJournalError {
    /// The file cannot be read.
    #[error("{file} cannot be read")]
    Unread {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no journal, or has what is outside of what is read. Nothing was posted.
    #[error("{file} is not taken in, and nothing of it was posted")]
    NoJournal {
        /// The file.
        file: String,
        /// Where, and what.
        source: JournalError,
    },
    /// There is no client.
    #[error("the ledger cannot be asked")]
    Ledger {
        /// Why.
        source: ClientError,
    },
    /// An account was not opened.
    #[error("account {account} is not opened; import again when that is mended")]
    NotOpened {
        /// Which.
        account: String,
        /// Why.
        source: ClientError,
    },
    /// The ledger did not answer.
    #[error(
        "the transactions from line {line} on are not posted, or not known to be; import again"
    )]
    NotPosted {
        /// The first of them.
        line: usize,
        /// Why.
        source: ClientError,
    },
    /// The ledger refuses a transaction.
    #[error(
        "the transaction of line {line} is refused: {}",
        .problem.as_ref().map_or_else(|| "without a reason".to_owned(), ToString::to_string)
    )]
    Refused {
        /// Its line.
        line: usize,
        /// Why.
        problem: Option<Problem>,
    },
}
