//! The journal: entries of any number of legs, whose debits equal their credits in each currency.
//!
//! An entry is recorded in one append: the [`Entry`] on a stream of its own, and each leg on the stream
//! of its account. Of an account that authorises that is the account's own stream, so a decision on a
//! stale balance is refused by the store and decided again. Of a recording account it is a
//! [`Recording`], which nobody reads to post, so such legs never conflict.
//!
//! * [`PostEntries`], [`PostOne`], [`ReverseEntry`], [`CloseAccount`], [`ClosePeriod`]: the commands.
//! * [`draft`], [`leg`], [`exchange`]: what an entry is made of.
//! * [`entry`], [`recording`], [`periods`]: the aggregates.
//! * `book`: the states that entries are decided on, one after another.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

pub(crate) mod book;
pub mod close;
pub mod draft;
pub mod entry;
pub mod exchange;
pub mod leg;
pub mod periods;
pub mod post;
pub mod recording;
pub mod reverse;

#[cfg(test)]
mod tests;

pub use close::CloseAccount;
pub use draft::EntryDraft;
pub use entry::{Entry, EntryEvent, EntryId, InvalidEntryId, PostedEntry};
pub use exchange::{Exchange, InvalidRate, Rate};
pub use leg::Leg;
pub use periods::{ClosePeriod, Periods, PeriodsEvent};
pub use post::{PostEntries, PostOne};
pub use recording::{Recording, RecordingEvent};
pub use reverse::ReverseEntry;
