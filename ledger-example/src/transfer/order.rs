//! What is to be transferred, and what becomes of it on the way.

use folio_core::{Amount, Currency};
use serde::{Deserialize, Serialize};

use crate::account::AccountId;
use crate::balances::BookName;
use crate::hold::HoldId;
use crate::journal::EntryId;
use crate::plain_id::plain_id;
use crate::rails::{Quoted, RequestId};
use crate::transfer::ids::{IdTooLong, made_of};

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
    /// How much. The first account is in its currency.
    pub amount: Amount,
    /// The currency of the second account, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<Currency>,
    /// The transfer that this one takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<TransferId>,
}

/// What a step of a transfer came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferAnswer {
    /// Both accounts are in one currency.
    SameCurrency,
    /// At this it is exchanged.
    Quoted(Quoted),
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

impl TransferId {
    /// The hold on the first account.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn hold(&self) -> Result<HoldId, IdTooLong> {
        made_of(self.as_str(), "hold")
    }

    /// What is expected on the second account, as a hold of credits.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn expected(&self) -> Result<HoldId, IdTooLong> {
        made_of(self.as_str(), "expected")
    }

    /// The entry in the first book.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn captured(&self) -> Result<EntryId, IdTooLong> {
        made_of(self.as_str(), "captured")
    }

    /// The entry in the second book.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn credited(&self) -> Result<EntryId, IdTooLong> {
        made_of(self.as_str(), "credited")
    }

    /// The screening.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn screening(&self) -> Result<RequestId, IdTooLong> {
        made_of(self.as_str(), "screening")
    }

    /// The quote of the exchange.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn quote(&self) -> Result<RequestId, IdTooLong> {
        made_of(self.as_str(), "quote")
    }
}
