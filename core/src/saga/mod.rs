//! A saga: one business transaction over several participants, none of which can lock the others.
//!
//! It is a [definition](SagaDefinition) of steps and a log of what became of them. The log is an aggregate,
//! [`SagaLog`]: everything is decided by pure functions on what is on record, so a saga goes on after a crash as if
//! there had been none, and any number of schedules can be tried in a test.
//!
//! * **Questions** have no effect, and **compensatable** steps have one that an undo takes back. Until the pivot any of
//!   them may be refused, time may run out, or somebody may cancel: then what was asked is undone, last first.
//! * The **pivot** decides. From when it is asked there is no way back but its own refusal.
//! * **Retriable** steps come after it, and are tried until they succeed.
//!
//! # What is not known
//!
//! A call without an answer is not a failure: it may have had its effect. A step is asked again under the same id
//! until it answers, since the participant knows it by that id; and where the saga turns back meanwhile, a step that
//! was asked is undone whether it was done or not, since the participant refuses what comes after its undo.
//!
//! An undo, a pivot or a retriable step that keeps failing is not given up. It [needs
//! attention](SagaEvent::AttentionNeeded), and is tried further. Where it was refused it is tried under another id each time, since
//! the participant gives the same answer to the same id for ever, and what it refused for may be mended.
//!
//! ```
//! use std::time::Duration;
//!
//! use folio_core::saga::{SagaDefinition, Step};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let transfer = SagaDefinition::new(1, Duration::from_secs(60), vec![
//!     Step::question("quote"),
//!     Step::compensatable("hold", "release").lasting(Duration::from_secs(600)),
//!     Step::pivot("capture"),
//!     Step::retriable("credit"),
//! ])?;
//! assert!(transfer.step("hold").is_some());
//!
//! // What could not be taken back comes too early.
//! let wrong = vec![Step::retriable("credit"), Step::pivot("capture")];
//! assert!(SagaDefinition::new(1, Duration::from_secs(60), wrong).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! * `definition.rs`: steps, and what is refused as a definition.
//! * `log.rs`: what is on record, and the state that it leads to.
//! * `decide.rs`: what is put on record when something is heard, or the time has come.
//! * `plan.rs`: what is to be done next.

mod decide;
mod definition;
mod log;
mod plan;
#[cfg(test)]
mod tests;

pub use decide::{Heard, SagaCommand, SagaRefusal};
pub use definition::{InvalidDefinition, SagaDefinition, Step, StepKind};
pub use log::{Refusals, SagaEnd, SagaEvent, SagaLog, StepProgress, Turned};
pub use plan::{Plan, StepId};

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::time::Timestamp;

/// What a saga is about.
pub trait Saga: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// The category of the streams of its logs, for example `transfer`.
    const CATEGORY: &'static str;

    /// What is ordered: on record from the beginning.
    type Order: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What a step comes to: on record, for the steps after it.
    type Answer: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The version of the definition that a new saga begins with.
    const NEWEST: u32;

    /// The definition of this version, by which those go on that began with it. None where there are none any
    /// more, or where it is none.
    fn definition(version: u32) -> Option<&'static SagaDefinition>;

    /// Why `step` is not to be asked any more `now`, as a code, where that is so: what a step before it came to does
    /// not hold any longer, as the price of an exchange that was good for half a minute. Then the saga turns back as if
    /// the step had been refused.
    ///
    /// It is looked at once, before it goes on record that the step is asked, and not for retriable steps: what was asked
    /// in time may be answered late.
    #[must_use]
    fn objection(saga: &SagaLog<Self>, step: &str, now: Timestamp) -> Option<String> {
        let _ = (saga, step, now);
        None
    }
}
