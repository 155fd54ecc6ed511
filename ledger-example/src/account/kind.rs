//! What an account is for: whether its limits are checked, and which side makes it grow.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::account::{InvalidPosting, Side};

/// Whether an account's limits are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A customer's: each leg is decided on its balance, its limits and its freeze.
    #[default]
    Authorising,
    /// The book's own, such as fees and clearing: legs are added whatever its balance is. They lie in a
    /// stream of their own that nobody has to read first, so that any number of callers post to it
    /// without a conflict.
    Recording,
}

impl Kind {
    /// `authorising` or `recording`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorising => "authorising",
            Self::Recording => "recording",
        }
    }

    /// Whether it is the kind that a history leaves out.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Kind {
    type Err = InvalidPosting;

    fn from_str(text: &str) -> Result<Self, InvalidPosting> {
        match text {
            "authorising" => Ok(Self::Authorising),
            "recording" => Ok(Self::Recording),
            _ => Err(InvalidPosting::Kind),
        }
    }
}

/// The side on which an account's balance grows: credit for what is owed to others (a customer's
/// deposit, income), debit for what is owned (cash, a loan, an expense).
///
/// The balance is told in its terms, so that it is positive where the account is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NormalSide(pub Side);

impl Default for NormalSide {
    fn default() -> Self {
        Self(Side::Credit)
    }
}

impl NormalSide {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
