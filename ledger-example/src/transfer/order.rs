//! What is to be transferred, and what becomes of it on the way.

use folio_core::Amount;
use serde::{Deserialize, Serialize};

use crate::account::AccountId;
use crate::balances::BookName;
use crate::hold::HoldId;
use crate::journal::EntryId;
use crate::plain_id::plain_id;
use crate::rails::RequestId;

plain_id! {
    /// Names a transfer, for ever. Longer ones than 48 characters leave no room for the ids that are made of them.
    TransferId, InvalidTransferId, "an id of a transfer"
}

/// An account in a book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The book.
    pub book: BookName,
    /// The account.
    pub account: AccountId,
}

/// What is to be transferred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferOrder {
    /// From where.
    pub from: Place,
    /// To where.
    pub to: Place,
    /// How much. Both accounts are in its currency.
    pub amount: Amount,
}

/// What a step of a transfer came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferAnswer {
    /// The money is set aside.
    Held(HoldId),
    /// It does not look like fraud.
    Screened,
    /// The money is expected.
    Expected(HoldId),
    /// The money is on its way.
    Captured(EntryId),
    /// The money is there.
    Credited(EntryId),
}

/// Why an id cannot be made of a transfer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("transfer id {id} is too long: 48 characters at most")]
pub struct TransferIdTooLong {
    /// The id.
    pub id: String,
}

impl TransferId {
    /// The hold on the first account.
    ///
    /// # Errors
    ///
    /// [`TransferIdTooLong`].
    pub fn hold(&self) -> Result<HoldId, TransferIdTooLong> {
        self.with("hold")
    }

    /// What is expected on the second account, as a hold of credits.
    ///
    /// # Errors
    ///
    /// [`TransferIdTooLong`].
    pub fn expected(&self) -> Result<HoldId, TransferIdTooLong> {
        self.with("expected")
    }

    /// The entry in the first book.
    ///
    /// # Errors
    ///
    /// [`TransferIdTooLong`].
    pub fn captured(&self) -> Result<EntryId, TransferIdTooLong> {
        self.with("captured")
    }

    /// The entry in the second book.
    ///
    /// # Errors
    ///
    /// [`TransferIdTooLong`].
    pub fn credited(&self) -> Result<EntryId, TransferIdTooLong> {
        self.with("credited")
    }

    /// The screening.
    ///
    /// # Errors
    ///
    /// [`TransferIdTooLong`].
    pub fn screening(&self) -> Result<RequestId, TransferIdTooLong> {
        self.with("screening")
    }

    fn with<T: std::str::FromStr>(&self, what: &str) -> Result<T, TransferIdTooLong> {
        let id = format!("{}.{what}", self.as_str());
        id.parse().map_err(|_| TransferIdTooLong {
            id: self.as_str().to_owned(),
        })
    }
}
