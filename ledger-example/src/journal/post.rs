//! Posting entries.

use folio_core::joint::{Caused, JointCommand, Participant, States};
use folio_core::{Aggregate, Fingerprint};
use serde::Serialize;

use crate::account::{Account, AccountId, Posting, Side};
use crate::journal::book::{Book, participants};
use crate::journal::{EntryDraft, EntryId, Leg, PostedEntry};
use crate::moment::Moment;
use crate::refusal::LedgerRefusal;

/// Most legs of all entries together.
const LEGS_MAX: usize = 5_000;

/// Posts entries, all or none, each decided on what the ones before it leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostEntries {
    /// The entries, in order.
    pub entries: Vec<EntryDraft>,
    /// When.
    #[serde(skip)]
    pub now: Moment,
}

impl JointCommand for PostEntries {
    const NAME: &'static str = "post_entries";
    type Refusal = LedgerRefusal;

    fn participants(&self) -> Vec<Participant> {
        let legs = self.entries.iter().flat_map(|entry| &entry.legs);
        participants(
            self.entries.iter().map(|entry| &entry.id),
            legs.map(|leg| &leg.account),
        )
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, LedgerRefusal> {
        let legs: usize = self.entries.iter().map(|entry| entry.legs.len()).sum();
        if legs > LEGS_MAX {
            return Err(LedgerRefusal::TooManyLegs { most: LEGS_MAX });
        }
        let mut book = Book::new(states, self.now);
        for (index, draft) in self.entries.iter().enumerate() {
            let entry = PostedEntry {
                legs: draft.legs.clone(),
                effective_date: draft.effective_date.unwrap_or(self.now.date()),
                reference: draft.reference.clone(),
                description: draft.description.clone(),
                exchange: draft.exchange.clone(),
                reverses: None,
                captures: None,
            };
            let posted = book.post(&draft.id, entry, None);
            posted.map_err(|refusal| match self.entries.len() {
                1 => refusal,
                _ => LedgerRefusal::Among {
                    index,
                    refusal: Box::new(refusal),
                },
            })?;
        }
        Ok(book.into_caused())
    }
}

/// Posts to one account against a contra account: the shorthand of the ledger's first version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostOne {
    /// The account.
    pub account: AccountId,
    /// Which side of it.
    pub side: Side,
    /// What.
    pub posting: Posting,
    /// The id of the entry that it becomes.
    pub entry: EntryId,
    /// When.
    #[serde(skip)]
    pub now: Moment,
}

impl PostOne {
    fn legs(&self) -> [Leg; 2] {
        let Posting { amount, contra, .. } = &self.posting;
        let own = Leg {
            account: self.account.clone(),
            side: self.side,
            amount: *amount,
        };
        let other = Leg {
            account: contra.account(amount.currency()),
            ..own.reversed()
        };
        [own, other]
    }
}

impl JointCommand for PostOne {
    const NAME: &'static str = "post_one";
    type Refusal = LedgerRefusal;

    /// As the first version took it of what it called a command to one account, so that a request that
    /// it answered is known again.
    fn fingerprint(&self) -> Result<Fingerprint, serde_json::Error> {
        #[derive(Serialize)]
        enum FirstVersion<'a> {
            CreditAccount(&'a Posting),
            DebitAccount(&'a Posting),
        }
        let command = match self.side {
            Side::Credit => FirstVersion::CreditAccount(&self.posting),
            Side::Debit => FirstVersion::DebitAccount(&self.posting),
        };
        let (category, id) = (
            Account::CATEGORY.as_bytes(),
            self.account.as_str().as_bytes(),
        );
        let command = serde_json::to_vec(&command)?;
        Ok(Fingerprint::of(&[category, id, command.as_slice()]))
    }

    fn participants(&self) -> Vec<Participant> {
        let legs = self.legs();
        participants([&self.entry], legs.iter().map(|leg| &leg.account))
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, LedgerRefusal> {
        let posting = self.posting.clone();
        let entry = PostedEntry {
            legs: self.legs().to_vec(),
            effective_date: posting.effective_date.unwrap_or(self.now.date()),
            reference: posting.reference,
            description: posting.description,
            exchange: None,
            reverses: None,
            captures: None,
        };
        let mut book = Book::new(states, self.now);
        book.post(&self.entry, entry, None)?;
        Ok(book.into_caused())
    }
}
