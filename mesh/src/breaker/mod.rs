//! The circuit breaker of [`folio_core::breaker`], shared by callers, and as layers.

mod classify;
mod gate;
mod layer;
mod shared;
mod watched;

pub use classify::{Classify, EveryError};
pub use gate::{Gate, GateLayer};
pub use layer::{BreakerError, BreakerFuture, BreakerLayer, BreakerService};
pub use shared::{CallPermit, CircuitBreaker};
pub use watched::Watched;
