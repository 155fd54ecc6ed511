//! What can have happened to an account.

use folio_core::{Currency, Event};
use serde::{Deserialize, Serialize};

use crate::account::{Overdraft, Posting};

/// An event of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    /// It was opened.
    AccountOpened {
        /// Its currency, for ever.
        currency: Currency,
        /// How far below zero it may go.
        overdraft: Overdraft,
    },
    /// Money came in.
    AccountCredited(Posting),
    /// Money went out.
    AccountDebited(Posting),
    /// It was closed for good.
    AccountClosed,
}

impl Event for AccountEvent {}
