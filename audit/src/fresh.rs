//! Leaves of what this process has just committed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::mem::take;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use folio_core::{RecordedEvent, StreamId};
use folio_postgres::{CommitObserver, CommittedCommand};
use folio_proofs::Hash;
use folio_proofs::leaf::EventLeaf;
use folio_proofs::map::Last;

/// Most events that are kept. With more than that the sealer is so far behind that it reads the store.
const ROOM: usize = 1 << 17;

/// From so many leaves on a run does not grow: it is sealed as a whole, and a seal has room for some of them.
const RUN: usize = 1 << 12;

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
    runs: BTreeMap<i64, FreshRun>,
    leaves: usize,
}

/// Leaves of events that follow one upon the other.
///
/// Nothing is kept of an event but its hash, and of a stream one end: a second of events would else be megabytes that are
/// written, read once, and cost those who append their places in the processor's caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FreshRun {
    /// The position of the first.
    pub(crate) first: i64,
    pub(crate) hashes: Vec<Hash>,
    pub(crate) ends: HashMap<StreamId, Last, RandomState>,
}

impl FreshLeaves {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept().leaves
    }

    /// The next run behind this position that is worth it, unless it goes on behind `most`. What is before it is not kept any
    /// longer.
    pub(crate) fn take_behind(&self, position: i64, most: i64) -> Option<FreshRun> {
        let mut kept = self.kept();
        while let Some(next) = kept.runs.first_entry() {
            if next.get().last() > most {
                return None;
            }
            let mut run = next.remove();
            kept.leaves = kept.leaves.saturating_sub(run.hashes.len());
            // Others may have sealed what is before.
            run.begin_behind(position);
            if run.hashes.len() >= WORTH {
                return Some(run);
            }
        }
        None
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
    fn committed(&self, session: u64, commands: &[CommittedCommand<'_>]) {
        let events = || commands.iter().flat_map(|command| command.events);
        let Some(first) = events().next().map(|event| event.position.number()) else {
            return;
        };
        // They are one upon the other, since they were committed together. A log must not depend on it.
        let positions = events().map(|event| event.position.number());
        if !positions.zip(first..).all(|(found, next)| found == next) {
            return;
        }
        // Before the lock is taken: this is what takes time.
        let hashes: Vec<Hash> = commands.iter().flat_map(leaf_hashes).collect();
        let mut kept = self.kept();
        if session < kept.session {
            return;
        }
        if session > kept.session || kept.leaves.saturating_add(hashes.len()) > ROOM {
            take(&mut *kept);
            kept.session = session;
        }
        kept.put(first, &hashes, events());
    }
}

impl Kept {
    /// Puts these in. They are told of in about the order in which they were committed, so that most go on where a run ended.
    fn put<'a>(
        &mut self,
        first: i64,
        hashes: &[Hash],
        events: impl Iterator<Item = &'a RecordedEvent>,
    ) {
        self.leaves = self.leaves.saturating_add(hashes.len());
        let before = self.runs.range(..first).next_back();
        let before = before.filter(|(_, run)| run.behind() == first && run.may_grow());
        let begins = before.map_or(first, |(begins, _)| *begins);
        let run = self.runs.entry(begins).or_insert_with(|| FreshRun {
            first,
            hashes: Vec::new(),
            ends: HashMap::default(),
        });
        run.hashes.extend_from_slice(hashes);
        for event in events {
            let last = Last {
                version: event.version.number(),
                position: event.position.number(),
            };
            run.ends_at(&event.stream, last);
        }
        // What was told of too early.
        let behind = run.behind();
        if run.may_grow()
            && let Some(next) = self.runs.remove(&behind)
            && let Some(run) = self.runs.get_mut(&begins)
        {
            run.append(next);
        }
    }
}

impl FreshRun {
    /// The position of the last one.
    pub(crate) fn last(&self) -> i64 {
        self.behind().saturating_sub(1)
    }

    /// The position that comes next.
    fn behind(&self) -> i64 {
        let leaves = i64::try_from(self.hashes.len()).unwrap_or(i64::MAX);
        self.first.saturating_add(leaves)
    }

    const fn may_grow(&self) -> bool {
        self.hashes.len() < RUN
    }

    /// Leaves out what stands at this position and before it.
    fn begin_behind(&mut self, position: i64) {
        let before = position.saturating_add(1).saturating_sub(self.first);
        let Ok(before) = usize::try_from(before) else {
            return;
        };
        self.hashes.drain(..before.min(self.hashes.len()));
        self.ends.retain(|_, last| last.position > position);
        self.first = position.saturating_add(1);
    }

    /// Goes on with the run that begins behind it.
    fn append(&mut self, next: Self) {
        self.hashes.extend(next.hashes);
        for (stream, last) in next.ends {
            self.ends_at(&stream, last);
        }
    }

    fn ends_at(&mut self, stream: &StreamId, last: Last) {
        match self.ends.get_mut(stream) {
            Some(held) => *held = last,
            None => {
                self.ends.insert(stream.clone(), last);
            }
        }
    }
}

impl fmt::Debug for FreshLeaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FreshLeaves({})", self.count())
    }
}

fn leaf_hashes(command: &CommittedCommand<'_>) -> impl Iterator<Item = Hash> {
    let CommittedCommand {
        fingerprint,
        events,
    } = *command;
    let count = i32::try_from(events.len()).ok();
    events.iter().enumerate().map(move |(index, event)| {
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
            fingerprint: is_first.then(|| fingerprint.as_bytes().as_slice()),
            payload: &event.payload,
            metadata: &event.metadata,
        };
        leaf.hash()
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use folio_core::{
        CommandId, EventId, Fingerprint, Position, RecordedEvent, Timestamp, Version,
    };

    use super::*;

    /// Has a command committed with so many events, of which the first is at this position.
    fn commit(fresh: &FreshLeaves, session: u64, first: i64, events: usize) {
        let command_id = CommandId::derived(&[&first.to_string()]);
        let event = |(index, position): (usize, i64)| RecordedEvent {
            position: Position::START.plus(position),
            stream: StreamId::new("test", (position % 7).to_string()).unwrap(),
            version: Version::NONE.plus(position),
            event_id: EventId::of_command(command_id, index),
            event_type: "Happened".into(),
            schema_version: 1,
            command_id,
            recorded_at: Timestamp::from_micros(0),
            payload: Bytes::new(),
            metadata: Bytes::new(),
        };
        let events: Vec<_> = (first..).take(events).enumerate().map(event).collect();
        let command = CommittedCommand {
            fingerprint: Fingerprint::of(&[]),
            events: &events,
        };
        fresh.committed(session, &[command]);
    }

    /// The first position and how many follow upon it.
    fn taken(fresh: &FreshLeaves, behind: i64) -> Option<(i64, usize)> {
        let run = fresh.take_behind(behind, i64::MAX)?;
        for (stream, end) in &run.ends {
            let mut from_last = (run.first..=run.last()).rev();
            let position = from_last.find(|position| (position % 7).to_string() == stream.id());
            assert_eq!(position, Some(end.position));
            assert_eq!(end.version, end.position);
        }
        assert_eq!(run.ends.len(), 7);
        Some((run.first, run.hashes.len()))
    }

    #[test]
    fn what_follows_one_upon_the_other_is_taken_together_and_what_is_not_worth_it_left_out() {
        let fresh = FreshLeaves::default();
        // Told in another order than committed.
        for (first, events) in [(101, 100), (1, 100), (300, 10), (400, 60), (460, 90)] {
            commit(&fresh, 1, first, events);
        }
        assert_eq!(taken(&fresh, 0), Some((1, 200)));
        assert_eq!(taken(&fresh, 200), Some((400, 150)));
        assert_eq!(taken(&fresh, 549), None);
        assert_eq!(fresh.count(), 0);
    }

    /// A gap is closed from behind, and the run that has grown large enough is left as it is.
    #[test]
    fn a_run_grows_until_it_is_large_enough() {
        let fresh = FreshLeaves::default();
        let commits = (1..).step_by(100).take(60).collect::<Vec<i64>>();
        let (even, odd) = commits
            .iter()
            .partition::<Vec<i64>, _>(|first| *first % 200 == 1);
        for first in odd.into_iter().chain(even) {
            commit(&fresh, 1, first, 100);
        }
        let mut behind = 0;
        let mut runs = Vec::new();
        while let Some((first, leaves)) = taken(&fresh, behind) {
            assert_eq!(first, behind + 1);
            assert!((WORTH..RUN + 200).contains(&leaves), "{leaves}");
            behind += i64::try_from(leaves).unwrap();
            runs.push(leaves);
        }
        assert_eq!(
            (runs.len(), runs.iter().sum()),
            (2, 6_000_usize),
            "{runs:?}"
        );
    }

    #[test]
    fn what_goes_on_behind_the_most_is_kept_for_the_next_time() {
        let fresh = FreshLeaves::default();
        commit(&fresh, 1, 1, 200);
        assert_eq!(fresh.take_behind(0, 199), None);
        assert_eq!(fresh.count(), 200);
        assert!(fresh.take_behind(0, 200).is_some());
        assert_eq!(fresh.count(), 0);
    }

    #[test]
    fn what_was_sealed_by_another_is_left_out() {
        let fresh = FreshLeaves::default();
        for first in [1, 201, 401] {
            commit(&fresh, 1, first, 200);
        }
        assert_eq!(taken(&fresh, 250), Some((251, 350)));
        commit(&fresh, 1, 601, 200);
        assert_eq!(taken(&fresh, 700), None);
        assert_eq!(fresh.count(), 0);
    }

    #[test]
    fn what_an_earlier_session_has_committed_is_not_kept_beside_that_of_a_later_one() {
        let fresh = FreshLeaves::default();
        commit(&fresh, 1, 1, 200);
        commit(&fresh, 2, 201, 200);
        // It was answered late.
        commit(&fresh, 1, 401, 200);
        assert_eq!(taken(&fresh, 0), Some((201, 200)));
        assert_eq!(taken(&fresh, 400), None);
    }

    #[test]
    fn with_more_than_there_is_room_for_it_begins_anew() {
        let fresh = FreshLeaves::default();
        let positions: Vec<i64> = (1..).take(ROOM + 1).step_by(ROOM / 4).collect();
        for first in &positions {
            commit(&fresh, 1, *first, ROOM / 4);
        }
        assert_eq!(taken(&fresh, 0), Some((positions[4], ROOM / 4)));
    }
}
