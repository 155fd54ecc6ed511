//! An aggregate: a domain object whose state is nothing but its events, folded.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::{DecodeError, Event, RecordedEvent};
use crate::snapshot::Snapshots;

/// A consistency boundary with its own stream of events.
///
/// Both functions are pure and synchronous. `decide` looks at the state and answers with the events
/// that the command causes, or with the refusal; it changes nothing. `evolve` is the only way that
/// state ever changes, so the state that a command saw, the state after a restart and the state
/// that an auditor replays are one and the same.
///
/// The state is optional: before its first event an aggregate does not exist, and that is a value
/// of the type rather than a default that looks like an empty account.
pub trait Aggregate: Sized + Clone + Send + Sync + 'static {
    /// The first half of the names of this aggregate's streams, for example `account`.
    ///
    /// Lower-case ASCII letters, digits and `_`; see [`StreamId::new`](crate::StreamId::new).
    const CATEGORY: &'static str;

    /// Whether a state is worth its place in memory once a command on it is recorded.
    const REUSE: Reuse = Reuse::Likely;

    /// What may be asked of it, in the imperative. Serialised only to take its fingerprint.
    type Command: Clone + Debug + Serialize + Send + Sync;

    /// What can have happened to it, in the past tense.
    type Event: Event;

    /// Why a command was refused.
    ///
    /// A refusal is an outcome like any other: it is recorded under the command's id, so that a
    /// repeated command is refused for the same reason even if it could succeed by then.
    type Refusal: std::error::Error + Clone + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Decides what `command` causes in `state`.
    ///
    /// # Errors
    ///
    /// The refusal, when the command may not be carried out in this state.
    fn decide(
        state: Option<&Self>,
        command: Self::Command,
    ) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// Folds one event into the state.
    #[must_use]
    fn evolve(state: Option<Self>, event: &Self::Event) -> Option<Self>;

    /// How states are kept to shorten loading. Without snapshots, which is the default, a state is
    /// always folded from the first event.
    #[must_use]
    fn snapshots() -> Option<Snapshots<Self>> {
        None
    }

    /// About how many bytes of memory this state takes, for the bound of a cache. A state that owns
    /// more than itself, such as a list, should count that too.
    #[must_use]
    fn weight(&self) -> usize {
        std::mem::size_of::<Self>()
    }
}

/// How likely a state is to be decided on again soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reuse {
    /// It stays in memory for the next command, until others need the room.
    #[default]
    Likely,
    /// It goes as soon as what was decided on it is recorded. So aggregates of which there are many, and
    /// each mostly has one event, push no others out of memory.
    Unlikely,
}

/// Folds recorded events into the state that they lead to, starting from `state`.
///
/// # Errors
///
/// [`DecodeError`] names the event that could not be read; nothing is ever skipped.
pub fn replay<'a, A: Aggregate>(
    state: Option<A>,
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<Option<A>, DecodeError> {
    events.into_iter().try_fold(state, |state, recorded| {
        let events = recorded.decode::<A::Event>()?;
        Ok(events
            .into_iter()
            .fold(state, |state, event| A::evolve(state, &event)))
    })
}
