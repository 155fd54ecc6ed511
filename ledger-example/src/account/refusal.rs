//! Why a command to an account was refused.

use folio_core::{Currency, Money};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A refusal. It is recorded as the command's outcome, and stays its answer.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AccountRefusal {
    /// There is no such account.
    #[error("the account has not been opened")]
    NotOpened,
    /// There is one already.
    #[error("the account has been opened before")]
    AlreadyOpened,
    /// It is closed for good.
    #[error("the account is closed")]
    Closed,
    /// The amount is in another currency than the account.
    #[error("the account is in {account}, the amount in {amount}")]
    CurrencyMismatch {
        /// The account's currency.
        account: Currency,
        /// The amount's currency.
        amount: Currency,
    },
    /// The account would go further below zero than it may.
    #[error("the account has {available} available")]
    InsufficientFunds {
        /// What could be debited.
        available: Money,
    },
    /// The balance would become too large to hold exactly.
    #[error("the balance would exceed what can be held exactly")]
    Overflow,
    /// An account with a balance cannot be closed.
    #[error("the account has a balance of {balance}; it must be zero to close it")]
    BalanceNotZero {
        /// Its balance.
        balance: Money,
    },
    /// The account's own history does not add up. Nothing is posted to it until that is mended.
    #[error("the account's history does not add up; run an audit")]
    Inconsistent,
}
