//! A circuit breaker: keeps callers away from what fails, and finds out when it works again.
//!
//! It is a state machine that is told what time it is and does nothing by itself: no clock, no task, no
//! randomness but that of a seed. Whoever calls something asks first ([`Breaker::admit`]), and says
//! afterwards what became of the call, with the [`Permit`] that it was given.
//!
//! * **Closed**: calls go through. When too many of the latest fail, are slow, or fail one after another,
//!   it opens.
//! * **Open**: calls are refused, for a time that grows with each opening in a row, with jitter.
//! * **Half-open**: a few probes go through, each with a deadline, and no other call. When all of them
//!   succeed it closes; when one fails it opens again.
//!
//! A permit is of the epoch in which it was given: what a call of before the last transition comes to
//! says nothing about now, and is ignored.
//!
//! ```
//! use std::time::Duration;
//!
//! use folio_core::breaker::{Breaker, BreakerSettings, CallOutcome, Phase, Tick};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = BreakerSettings {
//!     consecutive_failures: Some(3),
//!     ..BreakerSettings::default()
//! };
//! let mut breaker = Breaker::new(settings, 42)?;
//! let now = Tick::from(Duration::from_secs(1));
//! for _ in 0..3 {
//!     let permit = breaker.admit(now).answer?;
//!     breaker.record(permit, CallOutcome::Failure, now);
//! }
//! assert_eq!(breaker.phase(), Phase::Open);
//! let refused = breaker.admit(now).answer.unwrap_err();
//! assert!(refused.retry_after.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! * `machine.rs`: the [`Breaker`] itself.
//! * `window.rs`: what became of the latest calls.
//! * `settings.rs`: when it opens, for how long, and what a probe may take.

mod machine;
#[cfg(test)]
mod reference_tests;
mod settings;
#[cfg(test)]
mod tests;
mod tick;
mod window;

pub use machine::{Asked, Breaker, CallOutcome, Cause, Mode, Permit, Phase, Refused, Transition};
pub use settings::{BreakerSettings, InvalidSettings, Latest, Percent};
pub use tick::Tick;
pub use window::Counts;
