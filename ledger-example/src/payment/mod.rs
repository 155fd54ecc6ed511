//! Payments between an account and the world outside, by way of the payment network, as sagas.
//!
//! **Out**, [`PaymentOut`]:
//!
//! | step | asks | its undo |
//! | --- | --- | --- |
//! | `hold` | the book to set the money aside | `release` |
//! | `screen` | the fraud screen whether it may go on | |
//! | `capture` | the book to post it: `customer → clearing:rail` | `refund`, an entry that reverses it |
//! | `submit`, the pivot | the network to pay; asked again under the same reference until it tells | |
//! | `settle` | the book to post it: `clearing:rail → nostro` | |
//!
//! **In**, [`PaymentIn`]:
//!
//! | step | asks | its undo |
//! | --- | --- | --- |
//! | `expect` | the book to expect the money, so that the account stays open for it | `unexpect` |
//! | `collect`, the pivot | the network to hand it over | |
//! | `settle` | the book to post it: `nostro → clearing:rail` | |
//! | `credit` | the book to post it: `clearing:rail → customer` | |
//!
//! Money that comes back after the network had accepted it is a payment of its own, in, which names the one out.

mod inward;
mod order;
mod outward;
pub(crate) mod party;
#[cfg(test)]
mod tests;

pub use inward::PaymentIn;
pub use order::{InOrder, InvalidPaymentId, OutOrder, PaymentAnswer, PaymentId};
pub use outward::PaymentOut;
pub use party::Party;

/// The names of the steps of both.
pub(crate) mod step {
    pub(crate) const HOLD: &str = "hold";
    pub(crate) const SCREEN: &str = "screen";
    pub(crate) const CAPTURE: &str = "capture";
    pub(crate) const SUBMIT: &str = "submit";
    pub(crate) const SETTLE: &str = "settle";
    pub(crate) const EXPECT: &str = "expect";
    pub(crate) const COLLECT: &str = "collect";
    pub(crate) const CREDIT: &str = "credit";
}
