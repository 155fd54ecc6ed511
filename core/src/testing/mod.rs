//! Test kit: scenarios and history properties for aggregates, the contract suite for stores.
//!
//! Everything here fails by panicking, as assertions do; it belongs in tests.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test kit fails by panicking"
)]

pub mod contract;
mod history;
pub mod saga;
mod scenario;

pub use history::{History, run_commands};
pub use scenario::{Decided, Given, given};
