//! What the events say.

use std::collections::BTreeMap;

use folio_core::event::DecodeError;
use folio_core::{Aggregate, Currency, Money, Position, RecordedEvent, Version, replay};

use crate::account::{Account, AccountEvent, Kind, Posting, Side, Sides, Status};
use crate::audit::Difference;
use crate::hold::{Hold, PlacedHold};
use crate::journal::{Entry, EntryEvent, PostedEntry, Recording};

/// Everything, replayed.
#[derive(Default)]
pub(super) struct Replayed {
    pub(super) accounts: BTreeMap<String, (Option<Account>, Version)>,
    pub(super) holds: BTreeMap<String, Hold>,
    /// What entries say was posted to each account.
    pub(super) posted: BTreeMap<String, Sides>,
    /// What recording accounts say was posted to them.
    recordings: BTreeMap<String, Recording>,
    /// What the first version of the ledger posted to contra accounts, which say nothing of it.
    unsaid: BTreeMap<String, Sides>,
    /// Entries whose legs do not add up to zero, or whose sums cannot be held.
    unbalanced: Vec<(Position, String)>,
    /// Which entry undoes which, as the one that undoes says.
    undoing: BTreeMap<String, String>,
    /// Which entry was undone by which, as the one that was undone says.
    undone: BTreeMap<String, String>,
}

impl Replayed {
    pub(super) fn take_in(&mut self, event: &RecordedEvent) -> Result<(), DecodeError> {
        let id = event.stream.id();
        match event.stream.category() {
            Account::CATEGORY => {
                if !self.accounts.contains_key(id) {
                    self.accounts.insert(id.to_owned(), (None, Version::NONE));
                }
                if let Some((state, version)) = self.accounts.get_mut(id) {
                    *state = replay::<Account>(state.take(), [event])?;
                    *version = event.version;
                }
                for happened in event.decode()? {
                    self.take_in_first_version(event, &happened);
                }
            }
            Entry::CATEGORY => {
                for happened in event.decode()? {
                    match happened {
                        EntryEvent::EntryPosted(entry) => {
                            self.post(event, &entry);
                            if let Some(of) = entry.reverses {
                                self.undoing.insert(of.to_string(), id.to_owned());
                            }
                        }
                        EntryEvent::EntryReversed { by } => {
                            self.undone.insert(id.to_owned(), by.to_string());
                        }
                    }
                }
            }
            Recording::CATEGORY => {
                let before = self.recordings.remove(id);
                if let Some(recording) = replay::<Recording>(before, [event])? {
                    self.recordings.insert(id.to_owned(), recording);
                }
            }
            Hold::CATEGORY => {
                let before = self.holds.remove(id);
                if let Some(hold) = replay::<Hold>(before, [event])? {
                    self.holds.insert(id.to_owned(), hold);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Where the events say different things.
    pub(super) fn contradictions(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut differ = |id: &str, what, one: String, other: String| {
            found.push(Difference {
                account_id: id.to_owned(),
                what,
                replayed: one,
                projected: other,
            });
        };
        for (position, what) in &self.unbalanced {
            differ(
                &format!("entry at {position}"),
                "legs",
                what.clone(),
                "zero".to_owned(),
            );
        }
        for (id, (account, _)) in &self.accounts {
            let Some(account) = account else { continue };
            if account.status() == Status::Inconsistent {
                differ(
                    id,
                    "history",
                    "inconsistent".to_owned(),
                    "consistent".to_owned(),
                );
            }
            let said = self.said(id, account);
            let posted = self.posted_to(id, account.currency());
            if said != Some(posted) {
                let said = said.map_or_else(|| "too large".to_owned(), sides_text);
                differ(id, "legs of entries", sides_text(posted), said);
            }
        }
        for (id, hold) in &self.holds {
            let Some(placed) = &hold.placed else { continue };
            let (open, counted) = (hold.resolution.is_none(), self.is_held(id, placed));
            if open != counted {
                let text = |held: bool| if held { "held" } else { "not held" }.to_owned();
                differ(&format!("hold {id}"), "hold", text(open), text(counted));
            }
        }
        let held = self.accounts.iter().flat_map(|(account, (state, _))| {
            let holds = state.iter().flat_map(Account::holds);
            holds.map(move |(hold, _, _)| (account, hold))
        });
        for (account, hold) in held {
            if !self.holds.contains_key(hold.as_str()) {
                differ(
                    account,
                    "hold",
                    format!("hold {hold}"),
                    "missing".to_owned(),
                );
            }
        }
        let entries = self.undoing.keys().chain(self.undone.keys());
        let nothing = || "nothing".to_owned();
        for id in entries {
            let (undoing, undone) = (self.undoing.get(id), self.undone.get(id));
            if undoing != undone {
                let said = |by: Option<&String>| by.cloned().unwrap_or_else(nothing);
                differ(
                    &format!("entry {id}"),
                    "reversed by",
                    said(undoing),
                    said(undone),
                );
            }
        }
        found
    }

    /// What an account says was posted to it.
    fn said(&self, id: &str, account: &Account) -> Option<Sides> {
        if account.kind() == Kind::Authorising {
            return Some(account.posted());
        }
        let zero = Sides::zero(account.currency());
        let recorded = match self.recordings.get(id) {
            Some(recording) => recording.posted?,
            None => zero,
        };
        let unsaid = self.unsaid.get(id).copied().unwrap_or(zero);
        Some(Sides {
            debits: recorded.debits.checked_add(unsaid.debits).ok()?,
            credits: recorded.credits.checked_add(unsaid.credits).ok()?,
        })
    }

    fn posted_to(&self, id: &str, currency: Currency) -> Sides {
        let posted = self.posted.get(id).copied();
        posted.unwrap_or_else(|| Sides::zero(currency))
    }

    fn is_held(&self, hold: &str, placed: &PlacedHold) -> bool {
        let account = self.accounts.get(placed.account.as_str());
        let account = account.and_then(|(account, _)| account.as_ref());
        account.is_some_and(|account| {
            let mut holds = account.holds();
            holds.any(|(id, side, amount)| {
                id.as_str() == hold && side == placed.side && amount == placed.amount
            })
        })
    }

    fn post(&mut self, event: &RecordedEvent, entry: &PostedEntry) {
        let mut sums: BTreeMap<Currency, Money> = BTreeMap::new();
        for leg in &entry.legs {
            let currency = leg.amount.currency();
            let before = sums
                .entry(currency)
                .or_insert_with(|| Money::zero(currency));
            let after = match leg.side {
                Side::Debit => before.checked_add(leg.amount.money()),
                Side::Credit => before.checked_sub(leg.amount.money()),
            };
            let posted = self.posted_to(leg.account.as_str(), currency);
            match (after, posted.plus(leg.side, leg.amount)) {
                (Ok(after), Ok(posted)) => {
                    *before = after;
                    self.posted.insert(leg.account.to_string(), posted);
                }
                (Err(error), _) | (_, Err(error)) => {
                    self.unbalanced.push((event.position, error.to_string()));
                }
            }
        }
        for sum in sums.values().filter(|sum| !sum.is_zero()) {
            self.unbalanced.push((event.position, sum.to_string()));
        }
    }

    /// A posting of the first version stands for two legs, of which the contra account says nothing.
    fn take_in_first_version(&mut self, event: &RecordedEvent, happened: &AccountEvent) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all that later versions record of accounts has its entry apart"
        )]
        let (side, posting): (Side, &Posting) = match happened {
            AccountEvent::AccountCredited(posting) => (Side::Credit, posting),
            AccountEvent::AccountDebited(posting) => (Side::Debit, posting),
            _ => return,
        };
        let contra = posting.contra.account(posting.amount.currency());
        let currency = posting.amount.currency();
        let own = self.posted_to(event.stream.id(), currency);
        let other = self.posted_to(contra.as_str(), currency);
        let unsaid = self.unsaid.get(contra.as_str()).copied();
        let unsaid = unsaid.unwrap_or_else(|| Sides::zero(currency));
        let sums = (
            own.plus(side, posting.amount),
            other.plus(side.opposite(), posting.amount),
            unsaid.plus(side.opposite(), posting.amount),
        );
        match sums {
            (Ok(own), Ok(other), Ok(unsaid)) => {
                self.posted.insert(event.stream.id().to_owned(), own);
                self.posted.insert(contra.to_string(), other);
                self.unsaid.insert(contra.to_string(), unsaid);
            }
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                self.unbalanced.push((event.position, error.to_string()));
            }
        }
    }
}

pub(super) fn sides_text(sides: Sides) -> String {
    format!("debits {}, credits {}", sides.debits, sides.credits)
}
