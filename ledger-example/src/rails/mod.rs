//! The rails: stand-ins for the world outside, as servers of their own.
//!
//! A [`Screening`] says whether a payment looks like fraud, a [`Quote`] what one currency costs in another, and
//! a [`Payment`] is what a payment network makes of an order. Each is an aggregate with a store of its own, so
//! that what was promised is still promised after a crash; and each knows a request again by its id, as
//! whoever asks over a network has to demand.
//!
//! What is on the outside fails in ways of its own. A [`Fault`] has one of the three do so for the next
//! requests; how it looks to a client is in [`http::rails`](crate::http::rails), and so is the client that
//! is made for it.

mod fault;
mod payment;
mod quote;
mod screening;
mod service;

pub use fault::{Fault, FaultKind, Faults, Outsider};
pub use payment::{
    Direction, Payment, PaymentCommand, PaymentEvent, PaymentOrder, PaymentState, Returned,
};
pub use quote::{Quote, QuoteCommand, QuoteEvent, QuoteRefusal, Quoted};
pub use screening::{Decision, Screening, ScreeningCommand, ScreeningEvent, ScreeningRequest};
pub use service::{Rails, RailsService, StartRailsError, prepare_rails, provision_rails};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::plain_id::plain_id;

plain_id! {
    /// Names what is asked of the outside, which knows it again by that.
    RequestId, InvalidRequestId, "an id of a request"
}

/// Why an id is refused that was used before: what is asked under it is not what was asked then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("this id was used for something else; send what was sent first, or use another id")]
pub struct UsedOtherwise;
