//! The hold itself, and what can happen to it.

use folio_core::{Aggregate, Amount, Event, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::{AccountId, Reference, Side};
use crate::journal::EntryId;
use crate::never::Never;
use crate::plain_id::plain_id;
use crate::refusal::LedgerRefusal;

plain_id! {
    /// Names a hold.
    HoldId, InvalidHoldId, "a hold id"
}

/// An event of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldEvent {
    /// It was placed.
    HoldPlaced(PlacedHold),
    /// It was captured: some of it was posted, and the rest released.
    HoldCaptured {
        /// How much was posted.
        amount: Amount,
        /// By this entry.
        entry: EntryId,
    },
    /// It was released.
    HoldReleased,
    /// Its time was over.
    HoldExpired,
    /// It was released before it was placed, and can no more be placed: whoever gave it up knew nothing
    /// of what became of the request to place it.
    HoldRuledOut,
}

impl Event for HoldEvent {}

/// What was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacedHold {
    /// On which account.
    pub account: AccountId,
    /// Debit: money that is to go out. Credit: money that is expected.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// From this moment on it cannot be captured any more.
    pub expires_at: Timestamp,
    /// The client's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

/// A hold, as its events left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What was placed; none where it was given up first.
    pub placed: Option<PlacedHold>,
    /// How it was resolved; none while it is open.
    pub resolution: Option<Resolution>,
}

/// How a hold was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Some of it, or all, was posted.
    Captured {
        /// How much.
        amount: Amount,
        /// By this entry.
        entry: EntryId,
    },
    /// It was released.
    Released,
    /// Its time was over.
    Expired,
    /// It was given up before it was placed.
    RuledOut,
}

impl Resolution {
    /// `captured`, `released`, `expired` or `ruled_out`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Captured { .. } => "captured",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::RuledOut => "ruled_out",
        }
    }
}

impl Hold {
    /// What was placed, while nothing else has become of it.
    pub(crate) fn open(hold: Option<&Self>) -> Result<&PlacedHold, LedgerRefusal> {
        let hold = hold.ok_or(LedgerRefusal::HoldNotFound)?;
        match (&hold.placed, &hold.resolution) {
            (Some(placed), None) => Ok(placed),
            (_, Some(Resolution::Captured { entry, .. })) => {
                Err(LedgerRefusal::AlreadyCaptured { by: entry.clone() })
            }
            (_, Some(Resolution::Released)) => Err(LedgerRefusal::AlreadyReleased),
            (_, Some(Resolution::Expired)) => Err(LedgerRefusal::HoldExpired),
            (_, Some(Resolution::RuledOut)) | (None, None) => Err(LedgerRefusal::HoldRuledOut),
        }
    }
}

impl Aggregate for Hold {
    const CATEGORY: &'static str = "hold";

    type Command = Never;
    type Event = HoldEvent;
    type Refusal = LedgerRefusal;

    fn decide(_: Option<&Self>, command: Never) -> Result<Vec<HoldEvent>, LedgerRefusal> {
        match command {}
    }

    fn evolve(state: Option<Self>, event: &HoldEvent) -> Option<Self> {
        let placed = state.and_then(|hold| hold.placed);
        let resolution = match event {
            HoldEvent::HoldPlaced(placed) => {
                return Some(Self {
                    placed: Some(placed.clone()),
                    resolution: None,
                });
            }
            HoldEvent::HoldCaptured { amount, entry } => Resolution::Captured {
                amount: *amount,
                entry: entry.clone(),
            },
            HoldEvent::HoldReleased => Resolution::Released,
            HoldEvent::HoldExpired => Resolution::Expired,
            HoldEvent::HoldRuledOut => Resolution::RuledOut,
        };
        Some(Self {
            placed,
            resolution: Some(resolution),
        })
    }
}
