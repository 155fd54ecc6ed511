//! How far below zero an account may go.

use folio_core::{Amount, Money, MoneyError};
use serde::{Deserialize, Serialize};

/// The overdraft policy of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Overdraft {
    /// Not below zero.
    None,
    /// Not below minus this.
    Limit {
        /// How far below zero.
        limit: Amount,
    },
    /// As far as it goes.
    Unlimited,
}

impl Overdraft {
    /// Whether a balance is within the policy.
    ///
    /// # Errors
    ///
    /// When the balance is in another currency than the limit.
    pub fn admits(&self, balance: Money) -> Result<bool, MoneyError> {
        match self {
            Self::None => Ok(!balance.is_negative()),
            Self::Limit { limit } => Ok(!balance.compare(&limit.money().negated())?.is_lt()),
            Self::Unlimited => Ok(true),
        }
    }

    /// What can be debited from an account with `balance`; none where there is no bound.
    ///
    /// # Errors
    ///
    /// When the balance is in another currency than the limit, or the sum is too large to hold.
    pub fn available(&self, balance: Money) -> Result<Option<Money>, MoneyError> {
        match self {
            Self::None => Ok(Some(balance)),
            Self::Limit { limit } => balance.checked_add(limit.money()).map(Some),
            Self::Unlimited => Ok(None),
        }
    }
}
