//! What an event says of a book.

use std::collections::BTreeSet;

use folio_core::{Aggregate, Event, RecordedEvent};

use crate::account::{Account, AccountEvent, ContraAccount};
use crate::hold::{Hold, HoldEvent};
use crate::journal::{Entry, EntryEvent, Recording, RecordingEvent};

/// What an event says: of those of the first versions, what they are now.
#[derive(Debug)]
pub(super) enum Content {
    Account(Vec<AccountEvent>),
    Recording(Vec<RecordingEvent>),
    Entry(Vec<EntryEvent>),
    Hold(Vec<HoldEvent>),
    /// Of a category that is not watched.
    Other,
    Unreadable(String),
}

impl Content {
    pub(super) fn of(event: &RecordedEvent) -> Self {
        match event.stream.category() {
            Account::CATEGORY => read(event, Self::Account),
            Recording::CATEGORY => read(event, Self::Recording),
            Entry::CATEGORY => read(event, Self::Entry),
            Hold::CATEGORY => read(event, Self::Hold),
            _ => Self::Other,
        }
    }

    /// Puts down which accounts it is about. That of a hold is known from its placing alone.
    pub(super) fn put_accounts(&self, event: &RecordedEvent, accounts: &mut BTreeSet<String>) {
        match self {
            Self::Account(events) => {
                accounts.insert(event.stream.id().to_owned());
                accounts.extend(events.iter().filter_map(contra));
            }
            Self::Recording(_) => {
                accounts.insert(event.stream.id().to_owned());
            }
            Self::Entry(events) => {
                for happened in events {
                    if let EntryEvent::EntryPosted(entry) = happened {
                        let legs = entry.legs.iter();
                        accounts.extend(legs.map(|leg| leg.account.to_string()));
                    }
                }
            }
            Self::Hold(events) => {
                for happened in events {
                    if let HoldEvent::HoldPlaced(placed) = happened {
                        accounts.insert(placed.account.to_string());
                    }
                }
            }
            Self::Other | Self::Unreadable(_) => {}
        }
    }
}

/// The account on the other side of a posting of the first version.
fn contra(happened: &AccountEvent) -> Option<String> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all that later versions record of accounts has its entry apart"
    )]
    match happened {
        AccountEvent::AccountCredited(posting) | AccountEvent::AccountDebited(posting) => {
            let contra: &ContraAccount = &posting.contra;
            Some(contra.account(posting.amount.currency()).to_string())
        }
        _ => None,
    }
}

fn read<E: Event>(event: &RecordedEvent, content: impl FnOnce(Vec<E>) -> Content) -> Content {
    match event.decode() {
        Ok(events) => content(events.into_iter().collect()),
        Err(error) => Content::Unreadable(error.to_string()),
    }
}
