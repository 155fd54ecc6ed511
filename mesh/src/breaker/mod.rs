//! The circuit breaker of [`folio_core::breaker`], shared by callers, and as layers.

mod cell;
mod classify;
mod gate;
mod layer;
#[cfg(test)]
mod schedules;
mod shared;
mod watched;

/// What threads share a breaker by. Tests have a model checker's in its place.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
    pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
}

pub use classify::{Classify, EveryError};
pub use gate::{Gate, GateLayer};
pub use layer::{BreakerError, BreakerFuture, BreakerLayer, BreakerService};
pub use shared::{CallPermit, CircuitBreaker};
pub use watched::Watched;
