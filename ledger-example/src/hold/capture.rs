//! Capturing a hold.

use chrono::NaiveDate;
use folio_core::Amount;
use folio_core::joint::{Caused, JointCommand, Participant, States};
use serde::Serialize;

use crate::account::{AccountId, AccountRefusal, ContraAccount, Description, Reference};
use crate::hold::{Hold, HoldEvent, HoldId};
use crate::journal::book::{Book, Captured, participants};
use crate::journal::{EntryId, Exchange, Leg, PostedEntry};
use crate::moment::Moment;
use crate::refusal::LedgerRefusal;

/// Posts what a hold set aside, or less, against another account, and releases the rest.
///
/// Where it is exchanged for another currency, it goes to the book's exchange account in its own, and what is bought
/// comes from that account in the other one, both in the one entry.
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
    /// What it is exchanged for, where the other account is in another currency. What is sold is all that is captured.
    // Left out where there is none, so that a request from before there were exchanges is known again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
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
        let through = self.exchange.iter().flat_map(through);
        let through: Vec<AccountId> = through.collect();
        let accounts = self.account.iter().chain([&self.counter_account]);
        let mut all = vec![Participant::read::<Hold>(self.hold.as_str())];
        all.extend(participants([&self.entry], accounts.chain(&through)));
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
        let entry = PostedEntry {
            legs: self.legs(own)?,
            effective_date: self.effective_date.unwrap_or(self.now.date()),
            reference: self.reference.clone(),
            description: self.description.clone(),
            exchange: self.exchange.clone(),
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

impl CaptureHold {
    /// The captured leg, and what stands against it.
    fn legs(&self, own: Leg) -> Result<Vec<Leg>, LedgerRefusal> {
        let against = |account: AccountId, leg: &Leg| Leg {
            account,
            ..leg.reversed()
        };
        let Some(exchange) = &self.exchange else {
            let other = against(self.counter_account.clone(), &own);
            return Ok(vec![own, other]);
        };
        if exchange.sold != own.amount {
            return Err(LedgerRefusal::ExchangeNotInLegs);
        }
        let [sold_to, bought_from] = through(exchange);
        let bought = Leg {
            account: bought_from,
            side: own.side,
            amount: exchange.bought,
        };
        let other = against(self.counter_account.clone(), &bought);
        Ok(vec![against(sold_to, &own), own, bought, other])
    }
}

/// The book's exchange accounts, in the sold and in the bought currency.
fn through(exchange: &Exchange) -> [AccountId; 2] {
    [exchange.sold, exchange.bought]
        .map(|amount| ContraAccount::Exchange.account(amount.currency()))
}
