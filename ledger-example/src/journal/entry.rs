//! A journal entry that was posted: written once, and reversed once at most.

use chrono::NaiveDate;
use folio_core::{Aggregate, CommandId, Event, Reuse};
use serde::{Deserialize, Serialize};

use crate::account::{Description, Reference};
use crate::hold::HoldId;
use crate::journal::{Exchange, Leg};
use crate::never::Never;
use crate::plain_id::plain_id;
use crate::refusal::LedgerRefusal;

plain_id! {
    /// Names an entry.
    EntryId, InvalidEntryId, "an entry id"
}

impl EntryId {
    /// The id of the entry that a command posts, where its sender did not choose one.
    #[must_use]
    pub fn of_command(command: CommandId) -> Self {
        Self(command.to_string())
    }
}

/// An event of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryEvent {
    /// It was posted.
    EntryPosted(PostedEntry),
    /// It was reversed.
    EntryReversed {
        /// By this entry.
        by: EntryId,
    },
}

impl Event for EntryEvent {}

/// What was posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostedEntry {
    /// Its legs. Debits equal credits in each currency.
    pub legs: Vec<Leg>,
    /// The day on which it takes effect.
    pub effective_date: NaiveDate,
    /// The client's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// What it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// At what one currency was exchanged for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The entry that it undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<EntryId>,
    /// The hold that it captures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captures: Option<HoldId>,
}

/// An entry, as its events left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was posted.
    pub posted: PostedEntry,
    /// The entry that undid it.
    pub reversed_by: Option<EntryId>,
}

impl Aggregate for Entry {
    const CATEGORY: &'static str = "entry";

    /// It is posted once. Few are ever reversed.
    const REUSE: Reuse = Reuse::Unlikely;

    type Command = Never;
    type Event = EntryEvent;
    type Refusal = LedgerRefusal;

    fn decide(_: Option<&Self>, command: Never) -> Result<Vec<EntryEvent>, LedgerRefusal> {
        match command {}
    }

    fn evolve(state: Option<Self>, event: &EntryEvent) -> Option<Self> {
        match (state, event) {
            (None, EntryEvent::EntryPosted(posted)) => Some(Self {
                posted: posted.clone(),
                reversed_by: None,
            }),
            (Some(entry), EntryEvent::EntryReversed { by }) => Some(Self {
                reversed_by: Some(by.clone()),
                ..entry
            }),
            // No decision leads here. What was posted first stays.
            (state, EntryEvent::EntryPosted(_) | EntryEvent::EntryReversed { .. }) => state,
        }
    }

    fn weight(&self) -> usize {
        size_of::<Self>().saturating_add(self.posted.legs.len().saturating_mul(96))
    }
}
