//! Leaves of what this process has just committed.

use std::collections::BTreeMap;
use std::fmt;
use std::mem::take;
use std::sync::{Mutex, MutexGuard, PoisonError};

use folio_core::StreamId;
use folio_postgres::{CommitObserver, CommittedCommand};
use folio_proofs::Hash;
use folio_proofs::leaf::EventLeaf;
use folio_proofs::map::Last;

/// Most events that are kept. With more than that the sealer is so far behind that it reads the store.
const ROOM: usize = 1 << 17;

/// So many must follow one upon the other for it to be cheaper than to read them. What lies between is read by itself.
const WORTH: usize = 128;

/// Leaves of the events that this process has committed and not yet sealed, made of what was sent.
///
/// A sealer would have to read them back: what that costs the server and the sealer is several times what a leaf costs to
/// make. And a leaf of what was sent tells also of a row that was stored as something else, or removed, before it
/// was sealed: a [`Walk`](crate::Walk) finds it.
///
/// They are of one session of the appender. What an earlier one has committed may be lost, and others in its place.
#[derive(Default)]
pub struct FreshLeaves(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    session: u64,
    /// By the position of the first.
    runs: BTreeMap<i64, Vec<FreshLeaf>>,
    leaves: usize,
}

/// The leaf of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FreshLeaf {
    pub(crate) hash: Hash,
    pub(crate) stream: StreamId,
    pub(crate) last: Last,
}

impl FreshLeaves {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept().leaves
    }

    /// The next ones behind this position that have no gap between them and are worth it, in their order. What is before them
    /// is not kept any longer.
    pub(crate) fn take_behind(&self, position: i64) -> Option<Vec<FreshLeaf>> {
        let mut kept = self.kept();
        let mut taken: Vec<FreshLeaf> = Vec::new();
        while let Some(run) = kept.runs.first_entry() {
            let next = taken
                .last()
                .map(|leaf| leaf.last.position.saturating_add(1));
            let is_next = next == Some(*run.key());
            if !is_next && taken.len() >= WORTH {
                break;
            }
            let mut run = run.remove();
            kept.leaves = kept.leaves.saturating_sub(run.len());
            if !is_next {
                taken.clear();
            }
            // Others may have sealed what is before.
            if is_next
                || run
                    .first()
                    .is_some_and(|leaf| leaf.last.position > position)
            {
                taken.append(&mut run);
            }
        }
        (taken.len() >= WORTH).then_some(taken)
    }

    /// Forgets everything: the store does not have it.
    pub(crate) fn clear(&self) {
        let mut kept = self.kept();
        kept.runs.clear();
        kept.leaves = 0;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitObserver for FreshLeaves {
    fn committed(&self, session: u64, commands: &[CommittedCommand]) {
        let leaves: Vec<_> = commands.iter().flat_map(leaves).collect();
        let positions = leaves.iter().map(|leaf| leaf.last.position);
        let Some(first) = positions.clone().next() else {
            return;
        };
        // They are one upon the other, since they were committed together. A log must not depend on it.
        if !positions.eq((first..).take(leaves.len())) {
            return;
        }
        let mut kept = self.kept();
        if session < kept.session {
            return;
        }
        if session > kept.session || kept.leaves.saturating_add(leaves.len()) > ROOM {
            take(&mut *kept);
            kept.session = session;
        }
        kept.leaves = kept.leaves.saturating_add(leaves.len());
        kept.runs.insert(first, leaves);
    }
}

impl fmt::Debug for FreshLeaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FreshLeaves({})", self.count())
    }
}

fn leaves(command: &CommittedCommand) -> impl Iterator<Item = FreshLeaf> {
    let count = i32::try_from(command.events.len()).ok();
    command
        .events
        .iter()
        .enumerate()
        .map(move |(index, event)| {
            let is_first = index == 0;
            let leaf = EventLeaf {
                position: event.position.number(),
                version: event.version.number(),
                recorded_at_micros: event.recorded_at.micros(),
                event_id: event.event_id.as_uuid().into_bytes(),
                command_id: event.command_id.as_uuid().into_bytes(),
                command_events: count.filter(|_| is_first),
                schema_version: i32::from(event.schema_version),
                category: event.stream.category(),
                stream_id: event.stream.id(),
                event_type: &event.event_type,
                fingerprint: is_first.then(|| command.fingerprint.as_bytes().as_slice()),
                payload: &event.payload,
                metadata: &event.metadata,
            };
            FreshLeaf {
                hash: leaf.hash(),
                stream: event.stream.clone(),
                last: Last {
                    version: leaf.version,
                    position: leaf.position,
                },
            }
        })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use folio_core::{
        CommandId, EventId, Fingerprint, Position, RecordedEvent, Timestamp, Version,
    };

    use super::*;

    /// A command with so many events, of which the first is at this position.
    fn command(first: i64, events: usize) -> [CommittedCommand; 1] {
        let command_id = CommandId::derived(&[&first.to_string()]);
        let event = |(index, position): (usize, i64)| RecordedEvent {
            position: Position::START.plus(position),
            stream: StreamId::new("test", "a").unwrap(),
            version: Version::NONE.plus(1),
            event_id: EventId::of_command(command_id, index),
            event_type: "Happened".into(),
            schema_version: 1,
            command_id,
            recorded_at: Timestamp::from_micros(0),
            payload: Bytes::new(),
            metadata: Bytes::new(),
        };
        [CommittedCommand {
            fingerprint: Fingerprint::of(&[]),
            events: (first..).take(events).enumerate().map(event).collect(),
        }]
    }

    /// The first position and how many follow upon it.
    fn taken(fresh: &FreshLeaves, behind: i64) -> Option<(i64, usize)> {
        let run = fresh.take_behind(behind)?;
        let positions = run.iter().map(|leaf| leaf.last.position);
        let first = run[0].last.position;
        assert!(positions.eq((first..).take(run.len())));
        Some((first, run.len()))
    }

    #[test]
    fn what_follows_one_upon_the_other_is_taken_together_and_what_is_not_worth_it_left_out() {
        let fresh = FreshLeaves::default();
        // Told in another order than committed.
        for (first, events) in [(101, 100), (1, 100), (300, 10), (400, 60), (460, 90)] {
            fresh.committed(1, &command(first, events));
        }
        assert_eq!(taken(&fresh, 0), Some((1, 200)));
        assert_eq!(taken(&fresh, 200), Some((400, 150)));
        assert_eq!(taken(&fresh, 549), None);
        assert_eq!(fresh.count(), 0);
    }

    #[test]
    fn what_was_sealed_by_another_is_left_out() {
        let fresh = FreshLeaves::default();
        for first in [1, 201, 401] {
            fresh.committed(1, &command(first, 200));
        }
        assert_eq!(taken(&fresh, 250), Some((401, 200)));
    }

    #[test]
    fn what_an_earlier_session_has_committed_is_not_kept_beside_that_of_a_later_one() {
        let fresh = FreshLeaves::default();
        fresh.committed(1, &command(1, 200));
        fresh.committed(2, &command(201, 200));
        // It was answered late.
        fresh.committed(1, &command(401, 200));
        assert_eq!(taken(&fresh, 0), Some((201, 200)));
        assert_eq!(taken(&fresh, 400), None);
    }

    #[test]
    fn with_more_than_there_is_room_for_it_begins_anew() {
        let fresh = FreshLeaves::default();
        let positions: Vec<i64> = (1..).take(ROOM + 1).step_by(ROOM / 4).collect();
        for first in &positions {
            fresh.committed(1, &command(*first, ROOM / 4));
        }
        assert_eq!(taken(&fresh, 0), Some((positions[4], ROOM / 4)));
    }
}
