//! Holds: money that is set aside on an account before it is posted, or that is expected there.
//!
//! A hold has a stream of its own, so that it is resolved exactly once: whatever captures, releases or
//! expires it is refused by the store when another was first. The account's stream tells the same, in
//! the same append, so that what is held counts against what is available from the moment on that it is
//! held.
//!
//! * [`state`]: the aggregate and its events.
//! * [`place`], [`capture`], [`resolve`]: the commands.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

pub mod capture;
pub mod place;
pub mod resolve;
pub mod state;

#[cfg(test)]
mod tests;

pub use capture::CaptureHold;
pub use place::PlaceHold;
pub use resolve::{ExpireHold, ReleaseHold};
pub use state::{Hold, HoldEvent, HoldId, InvalidHoldId, PlacedHold, Resolution};
