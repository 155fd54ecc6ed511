//! What may be asked of an account.

use folio_core::Currency;
use serde::Serialize;

use crate::account::{Overdraft, Posting};

/// A command to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum AccountCommand {
    /// Open it.
    OpenAccount {
        /// Its currency, for ever.
        currency: Currency,
        /// How far below zero it may go.
        overdraft: Overdraft,
    },
    /// Pay in.
    CreditAccount(Posting),
    /// Pay out.
    DebitAccount(Posting),
    /// Close it for good.
    CloseAccount,
}
