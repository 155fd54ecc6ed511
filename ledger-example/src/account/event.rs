//! What can have happened to an account.

use chrono::NaiveDate;
use folio_core::{Amount, Event, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::{Description, Freeze, Holder, Limits, MetadataChange, Opening, Posting, Side};
use crate::hold::HoldId;
use crate::journal::EntryId;

/// An event of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    /// It was opened.
    AccountOpened(Opening),
    /// A leg of an entry was posted to it.
    LegPosted(PostedLeg),
    /// A hold was placed on it.
    FundsHeld(HeldFunds),
    /// A hold on it came to its end, whichever.
    FundsReleased(HeldFunds),
    /// Its limits were set.
    LimitsSet(Limits),
    /// It was frozen.
    AccountFrozen {
        /// What it refuses.
        freeze: Freeze,
        /// Why.
        reason: Description,
    },
    /// It was unfrozen.
    AccountUnfrozen {
        /// Why.
        reason: Description,
    },
    /// What is noted about it was changed.
    MetadataChanged(MetadataChange),
    /// It was named who holds it.
    HolderNamed(Holder),
    /// It takes nothing new.
    ClosingBegun,
    /// It was closed for good.
    AccountClosed,
    /// Money came in, in the first version of the ledger.
    AccountCredited(Posting),
    /// Money went out, in the first version of the ledger.
    AccountDebited(Posting),
}

impl Event for AccountEvent {}

impl AccountEvent {
    /// Who holds the account from here on, where the event says so.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::AccountOpened(opening) => opening.holder.as_ref(),
            Self::HolderNamed(holder) => Some(holder),
            Self::LegPosted(_)
            | Self::FundsHeld(_)
            | Self::FundsReleased(_)
            | Self::LimitsSet(_)
            | Self::AccountFrozen { .. }
            | Self::AccountUnfrozen { .. }
            | Self::MetadataChanged(_)
            | Self::ClosingBegun
            | Self::AccountClosed
            | Self::AccountCredited(_)
            | Self::AccountDebited(_) => None,
        }
    }
}

/// A leg of an entry, as the account has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostedLeg {
    /// The entry.
    pub entry: EntryId,
    /// Which side.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// The day on which it takes effect.
    pub effective_date: NaiveDate,
    /// When it was decided, where it counts towards limits of velocity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_at: Option<Timestamp>,
}

/// What a hold sets aside, as the account has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldFunds {
    /// The hold.
    pub hold: HoldId,
    /// Debit: money that is to go out. Credit: money that is expected.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// When it was decided, where it counts towards limits of velocity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_at: Option<Timestamp>,
}
