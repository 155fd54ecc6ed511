//! How events hang together: a pure function of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use folio_core::{Actor, CommandId, Position, StoreId, Timestamp};
use uuid::Uuid;

use super::scan::TracedEvent;

/// What a request caused: commands, each with its events, each with the commands that it caused.
///
/// Each event is in it once, after all that it hangs at. What hangs at the same is in the order of time, as far as the
/// clocks of several stores agree on one, and within a store in the order of positions.
#[derive(Debug, Default)]
pub struct Tree {
    /// A node comes before what hangs at it, and what hangs at it before what comes after it.
    pub nodes: Vec<Node>,
}

/// A command or an event.
#[derive(Debug)]
pub struct Node {
    /// What it hangs at, by its index; the request itself, when there is none.
    pub parent: Option<usize>,
    /// At how many nodes it hangs, one above the other.
    pub depth: usize,
    /// Which.
    pub what: What,
}

/// A command or an event.
#[derive(Debug)]
pub enum What {
    /// A command.
    Command(TracedCommand),
    /// One of its events.
    Event(Box<TracedEvent>),
}

/// A command, as its events tell of it.
#[derive(Debug)]
pub struct TracedCommand {
    /// The name of the store that recorded it.
    pub service: Arc<str>,
    /// Its id.
    pub id: CommandId,
    /// Who asked for it.
    pub actor: Actor,
    /// What led to it.
    pub caused_by: CausedBy,
}

/// What led to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CausedBy {
    /// The request: it names nothing else.
    Request,
    /// An event in the tree.
    Event {
        /// The name of its store.
        service: Arc<str>,
        /// Its position there.
        position: Position,
    },
    /// Another command in the tree.
    Command(CommandId),
    /// What it names is not among what was found, or hangs at it itself; in words.
    Unknown(String),
}

/// Where a command hangs, by indices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Request,
    Event(usize, usize),
    Command(usize),
}

/// The events of one command, in the order of their positions.
struct Group {
    events: Vec<TracedEvent>,
}

impl Tree {
    /// The tree of these events, whose stores are each told by one name.
    #[must_use]
    pub fn of(events: Vec<TracedEvent>) -> Self {
        let groups = grouped(events);
        let index = Index::of(&groups);
        let mut causes: Vec<(Place, CausedBy)> = groups
            .iter()
            .enumerate()
            .map(|(number, group)| index.cause(number, group, &groups))
            .collect();
        cut_circles(&mut causes);
        let mut hanging: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (number, (place, _)) in causes.iter().enumerate() {
            hanging.entry(*place).or_default().push(number);
        }
        let groups = groups
            .into_iter()
            .zip(causes)
            .map(|(group, (_, cause))| Some((group, cause)));
        laid_out(groups.collect(), &hanging)
    }

    /// When the first of all events was recorded.
    #[must_use]
    pub fn began(&self) -> Option<Timestamp> {
        self.events().map(|traced| traced.event.recorded_at).min()
    }

    /// All events, in the order of the tree.
    pub fn events(&self) -> impl Iterator<Item = &TracedEvent> {
        self.nodes.iter().filter_map(|node| match &node.what {
            What::Event(event) => Some(&**event),
            What::Command(_) => None,
        })
    }
}

/// The events by their commands, the earlier ones first.
fn grouped(events: Vec<TracedEvent>) -> Vec<Group> {
    let mut by_command: BTreeMap<(StoreId, CommandId), Vec<TracedEvent>> = BTreeMap::new();
    for traced in events {
        let command = (traced.store_id, traced.event.command_id);
        by_command.entry(command).or_default().push(traced);
    }
    let mut groups: Vec<Group> = by_command
        .into_values()
        .map(|mut events| {
            events.sort_by_key(|traced| traced.event.position);
            Group { events }
        })
        .collect();
    groups.sort_by_cached_key(|group| {
        group.events.first().map(|traced| {
            let event = &traced.event;
            (
                event.recorded_at,
                Arc::clone(&traced.service),
                event.position,
            )
        })
    });
    groups
}

/// Where what causes name is.
struct Index {
    by_position: HashMap<(StoreId, Position), (usize, usize)>,
    by_id: HashMap<Uuid, Place>,
}

impl Index {
    fn of(groups: &[Group]) -> Self {
        let (mut by_position, mut by_id) = (HashMap::new(), HashMap::new());
        for (number, group) in groups.iter().enumerate() {
            for (nth, traced) in group.events.iter().enumerate() {
                let event = &traced.event;
                by_position.insert((traced.store_id, event.position), (number, nth));
                // Of two stores that recorded the same command, the first one caused what came of it.
                let id = by_id.entry(event.event_id.as_uuid());
                id.or_insert(Place::Event(number, nth));
                let id = by_id.entry(event.command_id.as_uuid());
                id.or_insert(Place::Command(number));
            }
        }
        Self { by_position, by_id }
    }

    /// What led to a command: the event of another store says more than the id.
    fn cause(&self, number: usize, group: &Group, groups: &[Group]) -> (Place, CausedBy) {
        let Some(first) = group.events.first() else {
            return (Place::Request, CausedBy::Request);
        };
        let named = match (first.metadata.cause, first.metadata.causation_id) {
            (None, None) => return (Place::Request, CausedBy::Request),
            (Some(cause), id) => {
                let place = self.by_position.get(&(cause.store_id, cause.position));
                let place = place.map(|(number, nth)| Place::Event(*number, *nth));
                let id = id.and_then(|id| self.by_id.get(&id.as_uuid()).copied());
                let (store, position) = (cause.store_id, cause.position);
                let name = format!("position {position} of the store {store}");
                place.or(id).ok_or(name)
            }
            (None, Some(id)) => self
                .by_id
                .get(&id.as_uuid())
                .copied()
                .ok_or_else(|| id.to_string()),
        };
        let unknown = |why: String| (Place::Request, CausedBy::Unknown(why));
        let place = match named {
            Ok(place) => place,
            Err(name) => return unknown(format!("its cause, {name}, is not among what was found")),
        };
        let caused_by = match place {
            Place::Event(other, nth) if other != number => {
                let event = groups.get(other).and_then(|group| group.events.get(nth));
                event.map(|traced| CausedBy::Event {
                    service: Arc::clone(&traced.service),
                    position: traced.event.position,
                })
            }
            Place::Command(other) if other != number => {
                let event = groups.get(other).and_then(|group| group.events.first());
                event.map(|traced| CausedBy::Command(traced.event.command_id))
            }
            Place::Request | Place::Event(..) | Place::Command(_) => None,
        };
        match caused_by {
            Some(caused_by) => (place, caused_by),
            None => unknown("it names itself as its cause".to_owned()),
        }
    }
}

/// Has what would hang at itself hang at the request: one command of each circle, which no true record has.
fn cut_circles(causes: &mut [(Place, CausedBy)]) {
    // By the number of the walk that came by.
    let mut seen = vec![None; causes.len()];
    for start in 0..causes.len() {
        let mut at = Some(start);
        while let Some(number) = at {
            let (Some(walk), Some((place, cause))) = (seen.get_mut(number), causes.get_mut(number))
            else {
                break;
            };
            match *walk {
                None => *walk = Some(start),
                // Where this walk has been before; else what is known to lead to the request.
                Some(walk) if walk == start => {
                    *place = Place::Request;
                    let why = "what it names as its cause was caused by it";
                    *cause = CausedBy::Unknown(why.to_owned());
                    break;
                }
                Some(_) => break,
            }
            at = match *place {
                Place::Request => None,
                Place::Event(parent, _) | Place::Command(parent) => Some(parent),
            };
        }
    }
}

/// A node that is still to be written down, with what hangs at it.
enum Due {
    Command(usize),
    Event(usize, usize, Box<TracedEvent>),
}

/// The nodes from the top down, without calling itself: a chain may be as long as it likes.
fn laid_out(
    mut groups: Vec<Option<(Group, CausedBy)>>,
    hanging: &BTreeMap<Place, Vec<usize>>,
) -> Tree {
    let mut nodes: Vec<Node> = Vec::new();
    // What is next is last.
    let mut due: Vec<(Option<usize>, usize, Due)> = Vec::new();
    let commands = |place: Place, parent: Option<usize>, depth: usize| {
        let hanging = hanging.get(&place).into_iter().flatten().rev();
        hanging.map(move |number| (parent, depth, Due::Command(*number)))
    };
    due.extend(commands(Place::Request, None, 0));
    while let Some((parent, depth, next)) = due.pop() {
        let here = nodes.len();
        let below = depth.saturating_add(1);
        let what = match next {
            Due::Command(number) => {
                let Some((group, caused_by)) = groups.get_mut(number).and_then(Option::take) else {
                    continue;
                };
                let Some(first) = group.events.first() else {
                    continue;
                };
                let command = TracedCommand {
                    service: Arc::clone(&first.service),
                    id: first.event.command_id,
                    actor: first.metadata.actor.clone(),
                    caused_by,
                };
                due.extend(commands(Place::Command(number), Some(here), below));
                let events = group.events.into_iter().enumerate().rev();
                due.extend(events.map(|(nth, traced)| {
                    (Some(here), below, Due::Event(number, nth, Box::new(traced)))
                }));
                What::Command(command)
            }
            Due::Event(number, nth, traced) => {
                due.extend(commands(Place::Event(number, nth), Some(here), below));
                What::Event(traced)
            }
        };
        nodes.push(Node {
            parent,
            depth,
            what,
        });
    }
    Tree { nodes }
}
