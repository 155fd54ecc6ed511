//! The legs of a recording account, which lie apart from the account itself.

use folio_core::{Aggregate, Event, MoneyError};
use serde::{Deserialize, Serialize};

use crate::account::{PostedLeg, Sides};
use crate::never::Never;
use crate::refusal::LedgerRefusal;

/// An event of a recording account's legs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingEvent {
    /// A leg of an entry was added.
    LegRecorded(PostedLeg),
}

impl Event for RecordingEvent {}

/// The sums of a recording account's legs. Its stream has the account's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording {
    /// What was posted. None where the sums cannot be held, which only an altered history leads to.
    pub posted: Option<Sides>,
}

impl Recording {
    fn plus(self, leg: &PostedLeg) -> Result<Sides, MoneyError> {
        let posted = self.posted.ok_or(MoneyError::Overflow)?;
        posted.plus(leg.side, leg.amount)
    }
}

impl Aggregate for Recording {
    const CATEGORY: &'static str = "recording";

    type Command = Never;
    type Event = RecordingEvent;
    type Refusal = LedgerRefusal;

    fn decide(_: Option<&Self>, command: Never) -> Result<Vec<RecordingEvent>, LedgerRefusal> {
        match command {}
    }

    fn evolve(state: Option<Self>, event: &RecordingEvent) -> Option<Self> {
        let RecordingEvent::LegRecorded(leg) = event;
        let before = state.unwrap_or_else(|| Self {
            posted: Some(Sides::zero(leg.amount.currency())),
        });
        Some(Self {
            posted: before.plus(leg).ok(),
        })
    }
}
