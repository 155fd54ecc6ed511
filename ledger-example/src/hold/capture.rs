//! Capturing a hold.

use chrono::NaiveDate;
use folio_core::Amount;
use folio_core::joint::{Caused, JointCommand, Participant, States};
use serde::Serialize;

use crate::account::{AccountId, AccountRefusal, Description, Reference};
use crate::hold::{Hold, HoldEvent, HoldId};
use crate::journal::book::{Book, Captured, participants};
use crate::journal::{EntryId, Leg, PostedEntry};
use crate::moment::Moment;
use crate::refusal::LedgerRefusal;

/// Posts what a hold set aside, or less, against another account, and releases the rest.
///
/// It is decided on the hold's account, which is looked up before: a hold never moves, so what was found
/// stays true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaptureHold {
    /// The hold.
    pub hold: HoldId,
    /// Its account; none where there was no such hold when it was looked for.
    #[serde(skip)]
    pub account: Option<AccountId>,
    /// How much; all of it, where it is left out.
    pub amount: Option<Amount>,
    /// The account that gets it, or that it comes from.
    pub counter_account: AccountId,
    /// The id of the entry that it becomes.
    pub entry: EntryId,
    /// The day on which the entry takes effect; the day of recording in UTC, where it is left out.
    pub effective_date: Option<NaiveDate>,
    /// The client's own name for it.
    pub reference: Option<Reference>,
    /// What it was for.
    pub description: Option<Description>,
    /// When.
    #[serde(skip)]
    pub now: Moment,
}

impl JointCommand for CaptureHold {
    const NAME: &'static str = "capture_hold";
    type Refusal = LedgerRefusal;

    fn participants(&self) -> Vec<Participant> {
        let accounts = self.account.iter().chain([&self.counter_account]);
        let mut all = vec![Participant::read::<Hold>(self.hold.as_str())];
        all.extend(participants([&self.entry], accounts));
        all
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, LedgerRefusal> {
        let hold = Hold::open(states.of::<Hold>(self.hold.as_str()))?;
        if self.now.0 >= hold.expires_at {
            return Err(LedgerRefusal::HoldExpired);
        }
        let amount = self.amount.unwrap_or(hold.amount);
        let held = hold.amount.money();
        match amount.money().compare(&held) {
            Ok(order) if order.is_gt() => return Err(LedgerRefusal::CaptureTooMuch { held }),
            Ok(_) => {}
            // The account lets a captured leg through, as it was checked when the hold was placed.
            Err(_) => {
                return Err(LedgerRefusal::of(&hold.account)(
                    AccountRefusal::CurrencyMismatch {
                        account: hold.amount.currency(),
                        amount: amount.currency(),
                    },
                ));
            }
        }
        let own = Leg {
            account: hold.account.clone(),
            side: hold.side,
            amount,
        };
        let other = Leg {
            account: self.counter_account.clone(),
            ..own.reversed()
        };
        let entry = PostedEntry {
            legs: vec![own, other],
            effective_date: self.effective_date.unwrap_or(self.now.date()),
            reference: self.reference.clone(),
            description: self.description.clone(),
            exchange: None,
            reverses: None,
            captures: Some(self.hold.clone()),
        };
        let captured = Captured {
            hold: &self.hold,
            account: &hold.account,
        };
        let mut book = Book::new(states, self.now);
        let event = HoldEvent::HoldCaptured {
            amount,
            entry: self.entry.clone(),
        };
        book.cause(Caused::on::<Hold>(self.hold.as_str(), event));
        book.post(&self.entry, entry, Some(&captured))?;
        Ok(book.into_caused())
    }
}
