//! A leg of an entry.

use folio_core::Amount;
use serde::{Deserialize, Serialize};

use crate::account::{AccountId, Side};

/// One account's part in an entry: on one side, and above zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leg {
    /// The account.
    pub account: AccountId,
    /// Which side.
    pub side: Side,
    /// How much.
    pub amount: Amount,
}

impl Leg {
    /// The leg that undoes it.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            side: self.side.opposite(),
            ..self.clone()
        }
    }
}
