//! What is to be paid, and what becomes of it on the way.

use folio_core::Amount;
use serde::{Deserialize, Serialize};

use crate::hold::HoldId;
use crate::journal::EntryId;
use crate::payment::party::{Party, WithParty};
use crate::plain_id::plain_id;
use crate::rails::RequestId;
use crate::transfer::{IdTooLong, Place, made_of};

plain_id! {
    /// Names a payment, for ever; payments out and payments in apart from each other. Longer ones than 48 characters leave
    /// no room for the ids that are made of them.
    PaymentId, InvalidPaymentId, "an id of a payment"
}

/// A payment to the outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutOrder {
    /// From where.
    pub from: Place,
    /// Who is paid.
    pub payee: Party,
    /// How much. The account is in its currency.
    pub amount: Amount,
}

/// A payment from the outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InOrder {
    /// To where.
    pub to: Place,
    /// Who pays.
    pub payer: Party,
    /// How much. The account is in its currency.
    pub amount: Amount,
    /// The payment out whose money comes back by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<PaymentId>,
}

impl WithParty for OutOrder {
    fn party(&self) -> &Party {
        &self.payee
    }
}

impl WithParty for InOrder {
    fn party(&self) -> &Party {
        &self.payer
    }
}

/// What a step of a payment came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentAnswer {
    /// The money is set aside.
    Held(HoldId),
    /// It does not look like fraud.
    Screened,
    /// The money is expected.
    Expected(HoldId),
    /// The entry is posted.
    Posted(EntryId),
    /// The network has accepted it, under this reference.
    Accepted(RequestId),
}

impl PaymentId {
    /// The hold on the account that pays.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn hold(&self) -> Result<HoldId, IdTooLong> {
        made_of(self.as_str(), "out-hold")
    }

    /// The screening.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn screening(&self) -> Result<RequestId, IdTooLong> {
        made_of(self.as_str(), "out-screening")
    }

    /// The entry by which the money leaves the account.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn captured(&self) -> Result<EntryId, IdTooLong> {
        made_of(self.as_str(), "out-captured")
    }

    /// The entry by which it comes back.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn refunded(&self) -> Result<EntryId, IdTooLong> {
        made_of(self.as_str(), "out-refunded")
    }

    /// The entry by which it leaves the book.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn settled_out(&self) -> Result<EntryId, IdTooLong> {
        made_of(self.as_str(), "out-settled")
    }

    /// By what the network knows a payment out.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn sent(&self) -> Result<RequestId, IdTooLong> {
        made_of(self.as_str(), "out")
    }

    /// What is expected on the account that is paid.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn expected(&self) -> Result<HoldId, IdTooLong> {
        made_of(self.as_str(), "in-expected")
    }

    /// By what the network knows a payment in.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn collected(&self) -> Result<RequestId, IdTooLong> {
        made_of(self.as_str(), "in")
    }

    /// The entry by which the money comes into the book.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn settled_in(&self) -> Result<EntryId, IdTooLong> {
        made_of(self.as_str(), "in-settled")
    }

    /// The entry by which it comes to the account.
    ///
    /// # Errors
    ///
    /// [`IdTooLong`].
    pub fn credited(&self) -> Result<EntryId, IdTooLong> {
        made_of(self.as_str(), "in-credited")
    }
}
