//! Receipts: what a single answer of a log proves, with the checkpoint under which it does.
//!
//! - A receipt of inclusion shows that one row is in the log: an event, or the outcome of a command that caused none.
//! - A receipt of growth shows that the log has only been added to since an older checkpoint.
//!
//! Both are JSON objects, and whoever has one and the public key of the log needs nothing else to check it. Neither tells
//! what else was recorded; a [bundle](crate::bundle) does, for one stream.

mod error;
mod growth;
mod inclusion;

pub use error::ReceiptError;
pub use growth::{GrowthReceipt, VerifiedGrowth};
pub use inclusion::{InclusionReceipt, VerifiedRow};
