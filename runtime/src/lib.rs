//! Carries out commands against an event store.
//!
//! [`Executor`] is the only way from a command to an outcome: load, decide, append, and again when
//! somebody else was faster.
//!
//! ```
//! use folio_core::{Actor, Aggregate, AppendStatus, CommandContext, CommandId, Event, InMemoryStore};
//! use folio_runtime::{ExecuteError, Executor, Verdict};
//! use serde::{Deserialize, Serialize};
//!
//! /// A car park with two places.
//! #[derive(Debug, Clone)]
//! struct CarPark(Vec<String>);
//! #[derive(Debug, Clone, Serialize)]
//! struct Enter(String);
//! #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
//! enum Happened { Entered { plate: String } }
//! impl Event for Happened {}
//! #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
//! #[error("the car park is full")]
//! struct Full;
//!
//! impl Aggregate for CarPark {
//!     const CATEGORY: &'static str = "car_park";
//!     type Command = Enter;
//!     type Event = Happened;
//!     type Refusal = Full;
//!     fn decide(state: Option<&Self>, Enter(plate): Enter) -> Result<Vec<Happened>, Full> {
//!         let taken = state.map_or(0, |park| park.0.len());
//!         if taken < 2 { Ok(vec![Happened::Entered { plate }]) } else { Err(Full) }
//!     }
//!     fn evolve(state: Option<Self>, Happened::Entered { plate }: &Happened) -> Option<Self> {
//!         let mut park = state.unwrap_or(Self(Vec::new()));
//!         park.0.push(plate.clone());
//!         Some(park)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ExecuteError> {
//! let executor = Executor::new(InMemoryStore::default()); // or a store on PostgreSQL
//! let enter = |plate: &str| {
//!     // The id makes it this command, however often it is sent.
//!     let id = CommandId::derived(&["entrance", plate]);
//!     let context = CommandContext::new(id, Actor::anonymous());
//!     executor.execute::<CarPark>("station", Enter(plate.to_owned()), context)
//! };
//! enter("AB 1").await?;
//! enter("CD 2").await?;
//! let third = enter("EF 3").await?;
//! assert!(matches!(third.verdict, Verdict::Refused(Full)));
//! let repeated = enter("AB 1").await?;
//! assert_eq!(repeated.status, AppendStatus::AlreadyApplied);
//! let (park, version) = executor.replay_until::<CarPark>("station", |_| true).await?;
//! assert_eq!((park.map(|park| park.0.len()), version.number()), (Some(2), 2));
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! * `executor.rs`: the [`Executor`], from a command to its [`Reply`].
//! * `attempt.rs`: one try: what is decided on what, and handed over in which order.
//! * `cache.rs`: the states in memory, within a bound.
//! * `saga.rs`: the [`SagaDriver`], which does what a saga's log plans.

mod attempt;
mod cache;
mod error;
mod executor;
mod reply;
mod saga;

pub use error::ExecuteError;
pub use executor::{CacheBytes, Executor, Retries};
pub use reply::{JointReply, JointVerdict, Reply, StatesAfter, Verdict};
pub use saga::{Driven, Participants, SagaClock, SagaDriver, SagaError, Said, StepCall};
