//! What a frozen account refuses.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::account::{InvalidPosting, Side};

/// Which legs a freeze refuses. It can be lifted, and is apart from whether the account is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freeze {
    /// Debits.
    Debits,
    /// Credits.
    Credits,
    /// All.
    Both,
}

impl Freeze {
    /// `debits`, `credits` or `both`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debits => "debits",
            Self::Credits => "credits",
            Self::Both => "both",
        }
    }

    /// Whether it refuses legs of this side.
    #[must_use]
    pub const fn refuses(self, side: Side) -> bool {
        matches!(
            (self, side),
            (Self::Both, _) | (Self::Debits, Side::Debit) | (Self::Credits, Side::Credit)
        )
    }
}

impl FromStr for Freeze {
    type Err = InvalidPosting;

    fn from_str(text: &str) -> Result<Self, InvalidPosting> {
        match text {
            "debits" => Ok(Self::Debits),
            "credits" => Ok(Self::Credits),
            "both" => Ok(Self::Both),
            _ => Err(InvalidPosting::Freeze),
        }
    }
}
