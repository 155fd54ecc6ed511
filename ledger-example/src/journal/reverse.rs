//! Undoing an entry, by another one.

use chrono::NaiveDate;
use folio_core::joint::{Caused, JointCommand, Participant, States};
use serde::Serialize;

use crate::account::Description;
use crate::journal::book::{Book, participants};
use crate::journal::{Entry, EntryEvent, EntryId, Leg, PostedEntry};
use crate::moment::Moment;
use crate::refusal::LedgerRefusal;

/// Posts an entry with the legs of another one turned round. An entry is reversed once; what reverses
/// one is not reversed, but posted anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReverseEntry {
    /// The entry to be undone.
    pub entry: EntryId,
    /// Its legs, which never change; empty where there was no such entry when it was looked for.
    #[serde(skip)]
    pub legs: Vec<Leg>,
    /// The id of the new entry.
    pub reversal: EntryId,
    /// The day on which the new entry takes effect.
    pub effective_date: NaiveDate,
    /// Why.
    pub description: Option<Description>,
    /// When.
    #[serde(skip)]
    pub now: Moment,
}

impl JointCommand for ReverseEntry {
    const NAME: &'static str = "reverse_entry";
    type Refusal = LedgerRefusal;

    fn participants(&self) -> Vec<Participant> {
        let accounts = self.legs.iter().map(|leg| &leg.account);
        let mut participants = participants([&self.reversal], accounts);
        if self.entry != self.reversal {
            participants.push(Participant::read::<Entry>(self.entry.as_str()));
        }
        participants
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, LedgerRefusal> {
        let Some(entry) = states.of::<Entry>(self.entry.as_str()) else {
            return Err(LedgerRefusal::EntryNotFound);
        };
        if let Some(by) = &entry.reversed_by {
            return Err(LedgerRefusal::AlreadyReversed { by: by.clone() });
        }
        if let Some(of) = &entry.posted.reverses {
            return Err(LedgerRefusal::IsReversal { of: of.clone() });
        }
        let reversal = PostedEntry {
            legs: entry.posted.legs.iter().map(Leg::reversed).collect(),
            effective_date: self.effective_date,
            reference: entry.posted.reference.clone(),
            description: self.description.clone(),
            exchange: None,
            reverses: Some(self.entry.clone()),
            captures: None,
        };
        let mut book = Book::new(states, self.now);
        book.post(&self.reversal, reversal, None)?;
        let reversed = EntryEvent::EntryReversed {
            by: self.reversal.clone(),
        };
        book.cause(Caused::on::<Entry>(self.entry.as_str(), reversed));
        Ok(book.into_caused())
    }
}
