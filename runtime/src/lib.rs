//! Carries out commands against an event store.
//!
//! [`Executor`] is the only way from a command to an outcome: load, decide, append, and again when
//! somebody else was faster.
//!
//! # Layout
//!
//! * `executor.rs`: the [`Executor`], from a command to its [`Reply`].
//! * `attempt.rs`: one try: what is decided on what, and handed over in which order.
//! * `cache.rs`: the states in memory, within a bound.

mod attempt;
mod cache;
mod error;
mod executor;
mod reply;

pub use error::ExecuteError;
pub use executor::{CacheBytes, Executor, Retries};
pub use reply::{JointReply, JointVerdict, Reply, Verdict};
