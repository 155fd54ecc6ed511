//! Why a command to an account was refused.

use folio_core::{Amount, Currency, Money, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::account::Freeze;
use crate::hold::HoldId;

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
    /// It is being closed, and takes nothing new.
    #[error("the account is being closed; it takes only what empties it and what is expected")]
    Closing,
    /// It is frozen.
    #[error("the account is frozen for {}", match .freeze {
        Freeze::Debits => "debits", Freeze::Credits => "credits", Freeze::Both => "debits and credits",
    })]
    Frozen {
        /// For what.
        freeze: Freeze,
    },
    /// It is not frozen.
    #[error("the account is not frozen")]
    NotFrozen,
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
        /// What could go out.
        available: Money,
    },
    /// More would go out within a window than may.
    #[error("the account may let out {} within {window_seconds} s", bounds(*.amount, *.count))]
    LimitExceeded {
        /// How long the window is, in seconds.
        window_seconds: u32,
        /// The most, together.
        amount: Option<Amount>,
        /// The most times.
        count: Option<u32>,
        /// When the next window begins.
        resets_at: Timestamp,
    },
    /// A limit of velocity that bounds nothing, or within no window that can be.
    #[error("a velocity limit has an amount or a count, and a window of 1 s to 366 days")]
    LimitNotSound,
    /// The new limit would be passed already.
    #[error(
        "the account has {balance} with its holds, beyond the new limit; freeze its debits instead"
    )]
    LimitPassed {
        /// Its balance less what is held.
        balance: Money,
    },
    /// Limits are of accounts that authorise.
    #[error("a recording account has no limits")]
    NoLimits,
    /// The balance would become too large to hold exactly.
    #[error("the balance would exceed what can be held exactly")]
    Overflow,
    /// An account with a balance cannot be closed.
    #[error("the account has a balance of {balance}; it must be zero to close it")]
    BalanceNotZero {
        /// Its balance.
        balance: Money,
    },
    /// An account with holds cannot be closed.
    #[error("the account has open holds: {}; capture or release them first", list(.holds))]
    OpenHolds {
        /// Money that is to go out.
        holds: Vec<HoldId>,
    },
    /// An account with expected credits cannot be closed.
    #[error("the account has expected credits: {}; capture or release them first", list(.holds))]
    ExpectedCredits {
        /// Money that is expected.
        holds: Vec<HoldId>,
    },
    /// So many holds are open that their number is no longer sound.
    #[error("the account has {most} open holds, which is the most")]
    TooManyHolds {
        /// The most.
        most: usize,
    },
    /// Holds are placed on accounts that authorise.
    #[error("a recording account has no holds")]
    NoHolds,
    /// Too many notes.
    #[error("an account has at most {most} entries of metadata")]
    TooMuchMetadata {
        /// The most.
        most: usize,
    },
    /// Contra accounts belong to the book: they open by themselves, and stay open.
    #[error("ids that begin with contra. are the book's own")]
    Contra,
    /// The account's own history does not add up. Nothing is posted to it until that is mended.
    #[error("the account's history does not add up; run an audit")]
    Inconsistent,
}

fn bounds(amount: Option<Amount>, count: Option<u32>) -> String {
    match (amount, count) {
        (Some(amount), Some(count)) => format!("{amount} in {count} debits"),
        (Some(amount), None) => amount.to_string(),
        (None, count) => format!("{} debits", count.unwrap_or(0)),
    }
}

fn list(holds: &[HoldId]) -> String {
    let mut names: Vec<&str> = holds.iter().take(10).map(HoldId::as_str).collect();
    if holds.len() > names.len() {
        names.push("…");
    }
    names.join(", ")
}
