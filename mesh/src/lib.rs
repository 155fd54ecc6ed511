//! How services call each other, and the world outside.
//!
//! What is called may be slow, gone, or answer with errors. Here is what keeps that from becoming
//! everybody's trouble, as layers of [tower](https://docs.rs/tower):
//!
//! * [`CircuitBreaker`] with [`BreakerLayer`], for a caller that wants to be told at once, and
//!   [`GateLayer`], for a balancer that shall choose another instance.
//! * [`TimeLimitLayer`]: how long a try may take, and by when nobody waits any more ([`Deadline`]).
//! * [`Retries`]: trying again, within a [budget](RetryBudget) that all callers share.
//! * [`FallbackLayer`]: what to answer instead, for reads that may be old.
//!
//! How many may call at once is `tower::limit`'s; `tower::load_shed` tells who is one too many.
//!
//! The order matters. A timeout of each try belongs inside the breaker, where it is a failure of what was
//! called; retries belong outside, and so does what answers instead:
//!
//! ```text
//! fallback → retries → breaker → limit of calls at once → time limit of one try → the client
//! ```
//!
//! ```
//! use std::time::Duration;
//!
//! use folio_core::breaker::{BreakerSettings, Phase};
//! use folio_mesh::{BreakerError, BreakerLayer, CircuitBreaker};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = BreakerSettings {
//!     consecutive_failures: Some(3),
//!     ..BreakerSettings::default()
//! };
//! let breaker = CircuitBreaker::new("fraud-screen", settings)?;
//! let client = ServiceBuilder::new()
//!     .layer(BreakerLayer::new(breaker.clone()))
//!     .service(service_fn(async |_: &str| Err::<(), _>("no connection")));
//! for _ in 0..3 {
//!     let failed = client.clone().oneshot("payer").await;
//!     assert!(matches!(failed, Err(BreakerError::Inner("no connection"))));
//! }
//! assert_eq!(breaker.phase(), Phase::Open);
//! let refused = client.oneshot("payer").await;
//! let Err(BreakerError::Open(refused)) = refused else { panic!() };
//! assert!(refused.retry_after > Some(Duration::from_millis(400)));
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! * `breaker/`: the breaker that callers share (`cell.rs` for its lock and the way past it, `shared.rs`), as a layer (`layer.rs`) and as a gate
//!   (`gate.rs`). What it decides is decided in [`folio_core::breaker`].
//! * `balance/`: which instance of a service is asked.
//! * `deadline.rs`: how long a try may take, and by when an answer is wanted.
//! * `discovery/`: which instances of a service there are.
//! * `retry.rs`: trying again.
//! * `fallback.rs`: what to answer instead.

pub mod balance;
pub mod breaker;
pub mod deadline;
pub mod discovery;
pub mod fallback;
#[cfg(feature = "identity")]
pub mod identity;
pub mod retry;
#[cfg(test)]
mod tests;

pub use balance::{BalanceSettings, Balancer, NoInstance, Pick};
pub use breaker::{
    BreakerError, BreakerLayer, CallPermit, CircuitBreaker, Classify, EveryError, GateLayer,
};
pub use deadline::{Deadline, TimeLimitError, TimeLimitLayer};
pub use discovery::{Discovery, InstanceId, ServiceName, StaticList, Watch};
pub use fallback::FallbackLayer;
#[cfg(feature = "identity")]
pub use identity::{Identity, IdentitySigner, IdentityVerifier};
pub use retry::{Again, Retries, RetryBudget};
