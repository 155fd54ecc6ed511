//! Carries out commands against an event store.
//!
//! [`Executor`] is the only way from a command to an outcome: load, decide, append, and again when
//! somebody else was faster.

mod executor;

pub use executor::{ExecuteError, Executed, Executor, Reply, Retries, Verdict};
