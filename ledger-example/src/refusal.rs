//! Why a command on several things of the ledger was refused.

use chrono::NaiveDate;
use folio_core::{Currency, Money};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::account::{AccountId, AccountRefusal};
use crate::journal::{EntryId, Rate};

/// A refusal. It is recorded as the command's outcome, and stays its answer.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LedgerRefusal {
    /// One of the accounts refuses.
    #[error("account {account}: {refusal}")]
    Account {
        /// Which.
        account: AccountId,
        /// Why.
        refusal: AccountRefusal,
    },
    /// One entry of several is refused, and with it all.
    #[error("entries[{index}]: {refusal}")]
    Among {
        /// Which, from 0.
        index: usize,
        /// Why.
        refusal: Box<Self>,
    },
    /// One leg is no entry.
    #[error("an entry has at least two legs")]
    TooFewLegs,
    /// Too many at once.
    #[error("there can be {most} legs at most")]
    TooManyLegs {
        /// The most.
        most: usize,
    },
    /// An account on both sides.
    #[error("account {account} is debited and credited in one entry")]
    SameAccount {
        /// Which.
        account: AccountId,
    },
    /// Too large to be added up exactly for ever.
    #[error("an amount is at most 10^18 minor units")]
    AmountTooLarge,
    /// Debits are not credits.
    #[error("debits of {debits} are not credits of {credits}")]
    Unbalanced {
        /// In which currency.
        currency: Currency,
        /// All debits.
        debits: Money,
        /// All credits.
        credits: Money,
    },
    /// A day that cannot be written in four digits.
    #[error("a date lies in the years 1 to 9999")]
    DateOutOfRange,
    /// The book is closed for that day.
    #[error("the book is closed up to and including {through}; post with a later effective date")]
    PeriodClosed {
        /// The last day that is closed.
        through: NaiveDate,
    },
    /// The id is taken.
    #[error("there is an entry {entry} already")]
    EntryExists {
        /// Which.
        entry: EntryId,
    },
    /// There is no such entry.
    #[error("there is no such entry")]
    EntryNotFound,
    /// An entry is reversed once.
    #[error("the entry was reversed by {by}")]
    AlreadyReversed {
        /// By which entry.
        by: EntryId,
    },
    /// What reverses is not reversed.
    #[error("the entry reverses {of}; post it anew instead")]
    IsReversal {
        /// Which entry.
        of: EntryId,
    },
    /// Two currencies, and nothing said of the rate.
    #[error("an entry in two currencies tells at what they were exchanged")]
    ExchangeMissing,
    /// A rate, and nothing to exchange.
    #[error("an entry in one currency exchanges nothing")]
    ExchangeOfOneCurrency,
    /// The rate is of something else.
    #[error("what was sold and what was bought are legs of the entry, in its two currencies")]
    ExchangeNotInLegs,
    /// The amounts say another rate.
    #[error("what was bought is not what was sold at {rate}, to less than one minor unit")]
    ExchangeOffRate {
        /// The rate that is told.
        rate: Rate,
    },
    /// More than two currencies.
    #[error("an entry has legs in one currency or two")]
    TooManyCurrencies,
    /// The id of a hold is taken.
    #[error("there is a hold of this id already")]
    HoldExists,
    /// There is no such hold.
    #[error("there is no such hold")]
    HoldNotFound,
    /// It was released before it was placed.
    #[error("the hold was released before it was placed; place it under another id")]
    HoldRuledOut,
    /// Its time is over.
    #[error("the hold has expired")]
    HoldExpired,
    /// It was captured.
    #[error("the hold was captured, by entry {by}")]
    AlreadyCaptured {
        /// By which entry.
        by: EntryId,
    },
    /// It was released.
    #[error("the hold was released")]
    AlreadyReleased,
    /// Its time is not over.
    #[error("the hold has not expired yet")]
    HoldNotExpired,
    /// More than is held.
    #[error("the hold is of {held}")]
    CaptureTooMuch {
        /// What is held.
        held: Money,
    },
    /// A hold that would be over at once, or lasts too long.
    #[error("a hold lasts 1 s to {most} s")]
    LifetimeNotSound {
        /// The longest, in seconds.
        most: u32,
    },
    /// A refusal that the first version of the ledger recorded, of the one account that it was about.
    #[error(transparent)]
    #[serde(untagged)]
    FirstVersion(AccountRefusal),
}

impl LedgerRefusal {
    /// An account refuses.
    pub(crate) fn of(account: &AccountId) -> impl Fn(AccountRefusal) -> Self + Copy + '_ {
        move |refusal| Self::Account {
            account: account.clone(),
            refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_come_back_as_they_were() {
        let first: LedgerRefusal = serde_json::from_str(r#""NotOpened""#).unwrap();
        assert_eq!(
            first,
            LedgerRefusal::FirstVersion(AccountRefusal::NotOpened)
        );
        let of_account = LedgerRefusal::Account {
            account: "1".parse().unwrap(),
            refusal: AccountRefusal::NotOpened,
        };
        for refusal in [
            of_account,
            LedgerRefusal::TooFewLegs,
            LedgerRefusal::HoldExists,
        ] {
            let json = serde_json::to_string(&refusal).unwrap();
            assert_eq!(
                serde_json::from_str::<LedgerRefusal>(&json).unwrap(),
                refusal
            );
        }
    }
}
