//! Which instance of a service is asked.
//!
//! * By load: of two taken at random the one whose load is less, "the power of two choices"
//!   (M. Mitzenmacher, 2001). The load is a peak-sensitive moving average of how long answers took, times how many are
//!   awaited; a failure counts as an answer that took long, so that an instance that fails at once does not draw all
//!   requests.
//! * By key: requests of one key meet at one instance, as long as it is there, by rendezvous hashing
//!   (D. Thaler and C. Ravishankar, 1998). Correctness never depends on it: what it saves is conflicts.
//!
//! Each instance has a circuit breaker. One that is open takes its instance out, but never the last: where all are taken out, all
//! are asked, since what fails for all is more likely what they depend on.
//!
//! * `balancer.rs`: picks.
//! * `endpoint.rs`: an instance, as it is asked from here.
//! * `load.rs`: how loaded it is.
//! * `rendezvous.rs`: which instance a key meets.

mod balancer;
mod endpoint;
mod load;
mod rendezvous;
#[cfg(test)]
mod tests;

pub use balancer::{BalanceSettings, Balancer, NoInstance, Pick};
pub use endpoint::{EndpointState, InstanceCall};
