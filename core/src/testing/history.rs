//! Properties that must hold for every history, whatever the commands were.

use std::fmt::Debug;

use crate::aggregate::Aggregate;
use crate::command::CommandContext;
use crate::event::{NewEvent, RecordedEvent};
use crate::id::{CommandId, EventId};
use crate::stream::{Position, StreamId, Version};
use crate::time::Timestamp;
use crate::{Actor, replay};

/// What came of a list of commands.
#[derive(Debug)]
pub struct History<A: Aggregate> {
    /// All events, in order.
    pub events: Vec<A::Event>,
    /// The refusals, in order.
    pub refusals: Vec<A::Refusal>,
    /// The state at the end.
    pub state: Option<A>,
}

/// Gives `commands` one after another to an aggregate that does not exist yet, and asserts what
/// must hold of any history:
///
/// * deciding twice on one state decides the same;
/// * the state after a command is the state before it, evolved by the events it caused;
/// * replaying the stored bytes of all events leads to the same state;
/// * `holds`, the caller's own invariant, is true after every command.
///
/// Meant for property tests: let the generator draw commands, sensible and senseless ones.
///
/// # Panics
///
/// When one of these does not hold.
#[track_caller]
pub fn run_commands<A>(
    commands: impl IntoIterator<Item = A::Command>,
    holds: impl Fn(&History<A>) -> bool,
) -> History<A>
where
    A: Aggregate + PartialEq + Debug,
    A::Refusal: PartialEq + Debug,
{
    let mut history = History {
        events: Vec::new(),
        refusals: Vec::new(),
        state: None,
    };
    for command in commands {
        let decision = A::decide(history.state.as_ref(), command.clone());
        let again = A::decide(history.state.as_ref(), command.clone());
        assert_eq!(decision, again, "{command:?} was decided in two ways");
        match decision {
            Ok(events) => {
                history.state = events.iter().fold(history.state, A::evolve);
                history.events.extend(events);
            }
            Err(refusal) => history.refusals.push(refusal),
        }
        assert!(holds(&history), "the invariant broke with {command:?}");
    }
    let stored = record::<A>(&history.events);
    let replayed = replay::<A>(None, &stored).expect("a stored event must be readable");
    assert_eq!(replayed, history.state, "replay leads to another state");
    history
}

/// The events as they are after being stored and read back.
pub(super) fn through_the_codec<A: Aggregate>(events: &[A::Event]) -> Vec<A::Event> {
    let read: Vec<A::Event> = record::<A>(events)
        .iter()
        .flat_map(|recorded| recorded.decode().expect("a stored event must be readable"))
        .collect();
    assert_eq!(read, events, "an event changed by being stored");
    read
}

fn record<A: Aggregate>(events: &[A::Event]) -> Vec<RecordedEvent> {
    let context = CommandContext::new(CommandId::derived(&["test kit"]), Actor::anonymous());
    let metadata = serde_json::to_vec(&context.metadata()).expect("metadata serialises");
    let stream = StreamId::new(A::CATEGORY, "test").expect("the category must name a stream");
    let number = |index: usize| i64::try_from(index).expect("a history fits memory");
    events
        .iter()
        .enumerate()
        .map(|(index, event)| {
            let new = NewEvent::encode(event).expect("an event must serialise as a variant");
            RecordedEvent {
                position: Position::START.plus(number(index)).plus(1),
                stream: stream.clone(),
                version: Version::NONE.plus(number(index)).plus(1),
                event_id: EventId::of_command(context.id, index),
                event_type: new.event_type.into(),
                schema_version: new.schema_version,
                command_id: context.id,
                recorded_at: Timestamp::from_micros(0),
                payload: new.payload.into(),
                metadata: metadata.clone().into(),
            }
        })
        .collect()
}
