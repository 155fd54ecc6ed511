//! A transfer from an account of one book to an account of another, as a saga.
//!
//! | step | asks | its undo |
//! | --- | --- | --- |
//! | `hold` | the first book to set the money aside | `release` |
//! | `screen` | the fraud screen whether it may go on | |
//! | `expect` | the second book to expect the money, so that the account stays open for it | `unexpect` |
//! | `capture`, the pivot | the first book to post it: `customer → clearing:<second book>` | |
//! | `credit` | the second book to post it: `clearing:<first book> → customer` | |
//!
//! Each book nets to zero at every commit, and money in between has a name: what is on the clearing accounts of all
//! books together is what was captured and not yet credited.
//!
//! Holds and expected credits are the ledger's own, under ids that are made of the transfer's. So a participant knows
//! each step again, and what was released before it was placed is never placed.

mod open;
mod order;
pub mod service;
#[cfg(test)]
mod tests;

pub use order::{
    InvalidTransferId, Place, TransferAnswer, TransferId, TransferIdTooLong, TransferOrder,
};

use std::sync::LazyLock;
use std::time::Duration;

use folio_core::saga::{Saga, SagaDefinition, Step};

/// How long a transfer may take before its pivot.
const WITHIN: Duration = Duration::from_secs(60);
/// How long holds last: whoever captures in the last moment has to find them.
pub(crate) const HOLDS_LAST: Duration = Duration::from_secs(3_600);

/// The names of the steps.
pub(crate) mod step {
    pub(crate) const HOLD: &str = "hold";
    pub(crate) const SCREEN: &str = "screen";
    pub(crate) const EXPECT: &str = "expect";
    pub(crate) const CAPTURE: &str = "capture";
    pub(crate) const CREDIT: &str = "credit";
}

/// A transfer between two books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer;

static FIRST: LazyLock<Option<SagaDefinition>> = LazyLock::new(|| {
    let steps = vec![
        Step::compensatable(step::HOLD, "release").lasting(HOLDS_LAST),
        Step::question(step::SCREEN),
        Step::compensatable(step::EXPECT, "unexpect").lasting(HOLDS_LAST),
        Step::pivot(step::CAPTURE),
        Step::retriable(step::CREDIT),
    ];
    SagaDefinition::new(1, WITHIN, steps).ok()
});

impl Saga for Transfer {
    const CATEGORY: &'static str = "transfer";
    const NEWEST: u32 = 1;
    type Order = TransferOrder;
    type Answer = TransferAnswer;

    fn definition(version: u32) -> Option<&'static SagaDefinition> {
        FIRST.as_ref().filter(|_| version == 1)
    }
}
