//! Why an import stopped.

use folio_core::Currency;
use thiserror::Error;

use crate::{
    bank_file::{AccountId, BankFileError, BankTransaction, TransactionId},
    client::{ClientError, Problem},
};

/// Why an import stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is refused, and nothing was posted.
    #[error(transparent)]
    File(#[from] BankFileError),
    /// No request can be made.
    #[error("the import cannot start")]
    NoClient {
        /// Why.
        source: ClientError,
    },
    /// An account could not be opened.
    #[error("account {account} cannot be opened; nothing was posted, import again once it can")]
    Opening {
        /// Which.
        account: AccountId,
        /// Why.
        source: ClientError,
    },
    /// An account exists in another currency than that of the file.
    #[error(
        "account {account} is in {found} and the file in {expected}; nothing was posted, name the \
         file's currency with --currency or import into another ledger"
    )]
    OtherCurrency {
        /// Which.
        account: AccountId,
        /// Its currency.
        found: Currency,
        /// The file's currency.
        expected: Currency,
    },
    /// A batch of rows did not get through.
    #[error(
        "the rows from line {line} (transaction {transaction}) on cannot be posted; import again \
         later, rows that are posted already are recognised"
    )]
    Posting {
        /// The line of the batch's first row.
        line: u64,
        /// The transaction in that row.
        transaction: TransactionId,
        /// Why.
        source: ClientError,
    },
    /// The ledger refused a row.
    #[error(
        "line {line}: transaction {transaction} on account {account} is refused: {problem}{}; {}",
        also(*others),
        remedy(problem)
    )]
    Refused {
        /// The line of the row.
        line: u64,
        /// The transaction in it.
        transaction: TransactionId,
        /// Its account.
        account: AccountId,
        /// How many more rows of the same batch were refused.
        others: usize,
        /// The ledger's reason.
        problem: Box<Problem>,
    },
}

impl ImportError {
    pub(super) fn opening(account: &AccountId, source: ClientError) -> Self {
        Self::Opening {
            account: account.clone(),
            source,
        }
    }

    pub(super) fn posting(batch: &[&BankTransaction], source: ClientError) -> Self {
        match batch.first() {
            Some(first) => Self::Posting {
                line: first.line,
                transaction: first.id.clone(),
                source,
            },
            None => Self::NoClient { source },
        }
    }
}

fn also(others: usize) -> String {
    match others {
        0 => String::new(),
        _ => format!(" (and {others} more of the same batch)"),
    }
}

fn remedy(problem: &Problem) -> &'static str {
    if problem.is_key_reused() {
        "this transaction was imported before with other content, so find out which is true, and \
         take the row out of the file or book a correction"
    } else if problem.retryable {
        "import again later, rows that are posted already are recognised"
    } else {
        "the ledger keeps to this answer for this transaction, so take the row out of the file, \
         import the rest, and post it by hand with another key once the cause is gone"
    }
}
