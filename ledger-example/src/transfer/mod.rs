//! A transfer from an account of one book to an account of another, as a saga.
//!
//! | step | asks | its undo |
//! | --- | --- | --- |
//! | `quote` | the exchange desk what the money is in the other currency, where there is one | |
//! | `hold` | the first book to set the money aside | `release` |
//! | `screen` | the fraud screen whether it may go on | |
//! | `expect` | the second book to expect the money, so that the account stays open for it | `unexpect` |
//! | `capture`, the pivot | the first book to post it: `customer → clearing:<second book>` | |
//! | `credit` | the second book to post it: `clearing:<first book> → customer` | |
//!
//! Each book nets to zero at every commit, and money in between has a name: what is on the clearing accounts of all
//! books together is what was captured and not yet credited.
//!
//! Money is exchanged in the first book's entry: `customer EUR → exchange EUR, exchange USD → clearing USD`, so what is
//! on its way is always in the currency in which it arrives. A quote that has expired when the pivot's turn comes turns
//! the transfer back; one that was good then holds, however long the capture takes to be answered.
//!
//! Holds and expected credits are the ledger's own, under ids that are made of the transfer's. So a participant knows
//! each step again, and what was released before it was placed is never placed.
//!
//! # Layout
//!
//! * `order.rs`: what is ordered, and what steps come to.
//! * `ids.rs`: what is made of a saga's id.
//! * `money_saga.rs`: what all sagas that move money have in common; [payments](crate::payment) are some too.
//! * `under_way.rs`: how far each is, and when it is to be looked at: their durable timers.
//! * `claims.rs`: which of several instances looks.
//! * `service.rs`: the service that carries them out.

mod claims;
mod ids;
mod money_saga;
mod order;
pub mod service;
#[cfg(test)]
mod tests;
mod under_way;

pub use ids::IdTooLong;
pub(crate) use ids::{made_of, taken_apart};
pub use money_saga::{MoneyIs, MoneySaga};
pub use order::{InvalidTransferId, Place, TransferAnswer, TransferId, TransferOrder};
pub(crate) use under_way::{SagaRow, SagasFilter};

use std::sync::LazyLock;
use std::time::Duration;

use folio_core::saga::{Saga, SagaDefinition, SagaLog, Step};
use folio_core::{Amount, Timestamp};

use crate::rails::Quoted;

/// How long a transfer may take before its pivot.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
/// How long holds last: whoever captures in the last moment has to find them.
pub(crate) const HOLDS_LAST: Duration = Duration::from_secs(3_600);

/// The names of the steps.
pub(crate) mod step {
    pub(crate) const QUOTE: &str = "quote";
    pub(crate) const HOLD: &str = "hold";
    pub(crate) const SCREEN: &str = "screen";
    pub(crate) const EXPECT: &str = "expect";
    pub(crate) const CAPTURE: &str = "capture";
    pub(crate) const CREDIT: &str = "credit";
}

/// A transfer between two books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer;

/// Before there were exchanges.
static FIRST: LazyLock<Option<SagaDefinition>> =
    LazyLock::new(|| SagaDefinition::new(1, WITHIN, steps()).ok());

static SECOND: LazyLock<Option<SagaDefinition>> = LazyLock::new(|| {
    let quote = [Step::question(step::QUOTE)];
    let steps = quote.into_iter().chain(steps()).collect();
    SagaDefinition::new(2, WITHIN, steps).ok()
});

fn steps() -> Vec<Step> {
    vec![
        Step::compensatable(step::HOLD, "release").lasting(HOLDS_LAST),
        Step::question(step::SCREEN),
        Step::compensatable(step::EXPECT, "unexpect").lasting(HOLDS_LAST),
        Step::pivot(step::CAPTURE),
        Step::retriable(step::CREDIT),
    ]
}

impl Saga for Transfer {
    const CATEGORY: &'static str = "transfer";
    const NEWEST: u32 = 2;
    type Order = TransferOrder;
    type Answer = TransferAnswer;

    fn definition(version: u32) -> Option<&'static SagaDefinition> {
        match version {
            1 => FIRST.as_ref(),
            2 => SECOND.as_ref(),
            _ => None,
        }
    }

    fn objection(saga: &SagaLog<Self>, step: &str, now: Timestamp) -> Option<String> {
        let quoted = quoted(saga).filter(|_| step == step::CAPTURE)?;
        (now >= quoted.expires_at).then(|| "quote_expired".to_owned())
    }
}

impl MoneySaga for Transfer {
    fn money_is(is_done: &dyn Fn(&str) -> bool) -> MoneyIs {
        if is_done(step::CREDIT) {
            MoneyIs::Destination
        } else if is_done(step::CAPTURE) {
            MoneyIs::Clearing
        } else if is_done(step::HOLD) {
            MoneyIs::Held
        } else {
            MoneyIs::Source
        }
    }
}

/// At what a transfer is exchanged, where it is and that is known.
pub(crate) fn quoted(saga: &SagaLog<Transfer>) -> Option<&Quoted> {
    match saga.answer(step::QUOTE)? {
        TransferAnswer::Quoted(quoted) => Some(quoted),
        TransferAnswer::SameCurrency
        | TransferAnswer::Held(_)
        | TransferAnswer::Screened
        | TransferAnswer::Expected(_)
        | TransferAnswer::Captured(_)
        | TransferAnswer::Credited(_) => None,
    }
}

/// What arrives.
pub(crate) fn arriving(saga: &SagaLog<Transfer>) -> Amount {
    quoted(saga).map_or(saga.order.amount, |quoted| quoted.bought)
}
