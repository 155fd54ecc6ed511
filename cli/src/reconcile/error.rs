//! Why nothing could be compared.

use folio_core::{Currency, MoneyError};
use thiserror::Error;

use crate::{
    bank_file::{AccountId, BankFileError},
    client::ClientError,
};

/// Why nothing could be compared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// The file is refused.
    #[error(transparent)]
    File(#[from] BankFileError),
    /// No request can be made.
    #[error("the reconciliation cannot start")]
    NoClient {
        /// Why.
        source: ClientError,
    },
    /// A statement did not come.
    #[error("the statement of account {account} cannot be fetched; reconcile again later")]
    Statement {
        /// Whose.
        account: AccountId,
        /// Why.
        source: ClientError,
    },
    /// An account is in another currency than the file.
    #[error(
        "account {account} is in {found} and the file in {expected}; name the file's currency with \
         --currency"
    )]
    OtherCurrency {
        /// Which.
        account: AccountId,
        /// Its currency.
        found: Currency,
        /// The file's currency.
        expected: Currency,
    },
    /// A difference is too large to be money.
    #[error("the differences cannot be added up; check the balances in the file")]
    TooLarge {
        /// Why.
        #[from]
        source: MoneyError,
    },
}
