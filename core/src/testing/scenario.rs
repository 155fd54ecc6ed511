//! `given(events).when(command).then(events)`.

use std::fmt::Debug;

use crate::aggregate::Aggregate;
use crate::testing::history::through_the_codec;

/// Starts a scenario from the events that have happened before; none for an aggregate that does
/// not exist yet.
///
/// Every event, given or decided, goes through the codec on its way, so a scenario also shows that
/// what it speaks of can be stored and read back.
///
/// ```
/// # use folio_core::{Aggregate, Event, testing::given};
/// # #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
/// # enum DoorEvent { Opened, Shut }
/// # impl Event for DoorEvent {}
/// # #[derive(Debug, Clone, serde::Serialize)]
/// # enum DoorCommand { Shut }
/// # #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct NoDoor;
/// # impl std::fmt::Display for NoDoor {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("no door") }
/// # }
/// # impl std::error::Error for NoDoor {}
/// # #[derive(Debug, Clone, PartialEq)]
/// # struct Door;
/// # impl Aggregate for Door {
/// #     const CATEGORY: &'static str = "door";
/// #     type Command = DoorCommand; type Event = DoorEvent; type Refusal = NoDoor;
/// #     fn decide(state: Option<&Self>, _: DoorCommand) -> Result<Vec<DoorEvent>, NoDoor> {
/// #         state.map(|_| vec![DoorEvent::Shut]).ok_or(NoDoor)
/// #     }
/// #     fn evolve(_: Option<Self>, _: &DoorEvent) -> Option<Self> { Some(Door) }
/// # }
/// given::<Door>([DoorEvent::Opened]).when(DoorCommand::Shut).then([DoorEvent::Shut]);
/// given::<Door>([]).when(DoorCommand::Shut).then_refused(NoDoor);
/// ```
#[must_use]
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let events: Vec<A::Event> = events.into_iter().collect();
    let state = through_the_codec::<A>(&events).iter().fold(None, A::evolve);
    Given { state }
}

/// A scenario whose past is set.
#[derive(Debug)]
pub struct Given<A> {
    state: Option<A>,
}

impl<A: Aggregate> Given<A> {
    /// Gives the command.
    #[must_use]
    pub fn when(self, command: A::Command) -> Decided<A> {
        Decided {
            decision: A::decide(self.state.as_ref(), command),
            state: self.state,
        }
    }

    /// The state that the given events lead to.
    #[must_use]
    pub fn state(self) -> Option<A> {
        self.state
    }
}

/// A scenario whose command was decided.
#[derive(Debug)]
pub struct Decided<A: Aggregate> {
    state: Option<A>,
    decision: Result<Vec<A::Event>, A::Refusal>,
}

impl<A: Aggregate> Decided<A>
where
    A::Refusal: PartialEq + Debug,
{
    /// Asserts that the command caused exactly `events`, and returns the state after them.
    ///
    /// # Panics
    ///
    /// When it was refused, or caused other events.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = A::Event>) -> Option<A> {
        let expected: Vec<A::Event> = events.into_iter().collect();
        match self.decision {
            Ok(actual) => {
                assert_eq!(actual, expected, "the command caused other events");
                through_the_codec::<A>(&actual)
                    .iter()
                    .fold(self.state, A::evolve)
            }
            Err(refusal) => panic!("the command was refused: {refusal:?}"),
        }
    }

    /// Asserts that the command was accepted and caused nothing.
    ///
    /// # Panics
    ///
    /// When it was refused, or caused events.
    #[track_caller]
    pub fn then_nothing(self) -> Option<A> {
        self.then([])
    }

    /// Asserts that the command was refused, and why.
    ///
    /// # Panics
    ///
    /// When it was accepted, or refused for another reason, or the refusal does not survive being
    /// stored.
    #[track_caller]
    pub fn then_refused(self, refusal: A::Refusal) {
        match self.decision {
            Ok(events) => panic!("the command was accepted and caused {events:?}"),
            Err(actual) => {
                assert_eq!(actual, refusal, "refused for another reason");
                let stored = serde_json::to_vec(&actual).expect("a refusal must serialise");
                let read: A::Refusal =
                    serde_json::from_slice(&stored).expect("a stored refusal must be readable");
                assert_eq!(read, actual, "the refusal changed by being stored");
            }
        }
    }
}
