//! What a record says of the events of a range: how many, and which.

use std::collections::BTreeMap;

use folio_core::{Fingerprint, Position, RecordedEvent};

use crate::range::Range;

/// In how many numbers a sum of hashes is kept.
pub(crate) const LANES: usize = 8;

/// Tells sets of events apart: the sum of the SHA-256 of each one's position and id, 32 bits by 32 bits.
///
/// A sum and no chain, for three reasons: however events are cut into batches, it comes to the same; an
/// event that was parked is added when it is taken in after all; and where one event is missing or there
/// twice, the difference of two sums is that event's own hash, by which it is found. Which bytes an event
/// has is not in it: that the store still has the bytes that were read is for checkpoints and audits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EventSum([i64; LANES]);

impl EventSum {
    /// The sum of one event.
    pub(crate) fn of(event: &RecordedEvent) -> Self {
        let (position, id) = (
            event.position.number().to_be_bytes(),
            event.event_id.as_uuid(),
        );
        let hash = Fingerprint::of(&[&position, id.as_bytes()]);
        let (words, _) = hash.as_bytes().as_chunks::<4>();
        let mut lanes = [0; LANES];
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = i64::from(u32::from_be_bytes(*word));
        }
        Self(lanes)
    }

    /// The sum that was stored as `lanes`; none unless there are as many as there should be.
    pub(crate) fn from_lanes(lanes: &[i64]) -> Option<Self> {
        lanes.try_into().ok().map(Self)
    }

    pub(crate) const fn lanes(&self) -> &[i64; LANES] {
        &self.0
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        self.zip(other, i64::wrapping_add)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.zip(other, i64::wrapping_sub)
    }

    fn zip(mut self, other: Self, of: impl Fn(i64, i64) -> i64) -> Self {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane = of(*lane, other);
        }
        self
    }
}

/// What became of the events of a range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// How many the projector was given, in their turn or later.
    pub(crate) events: i64,
    /// Of these, how many later, after they had been parked.
    pub(crate) late: i64,
    /// How many were parked, whatever became of them.
    pub(crate) parked: i64,
    /// How many were given in their turn, and not behind all those before them.
    pub(crate) disordered: i64,
    /// The first of those that were given in their turn.
    pub(crate) first: Option<Position>,
    /// The last of those.
    pub(crate) last: Option<Position>,
    /// Which the projector was given.
    pub(crate) sum: EventSum,
}

impl Tally {
    /// The projector is given an event in its turn.
    pub(crate) fn take(&mut self, position: Position, sum: EventSum) {
        let is_behind = self.last.is_none_or(|last| last < position);
        self.disordered = self.disordered.saturating_add(i64::from(!is_behind));
        self.first = least(self.first, Some(position));
        self.last = self.last.max(Some(position));
        self.count(sum);
    }

    /// The projector is given an event that had been parked.
    pub(crate) fn take_late(&mut self, sum: EventSum) {
        self.late = self.late.saturating_add(1);
        self.count(sum);
    }

    /// An event is parked.
    pub(crate) const fn park(&mut self) {
        self.parked = self.parked.saturating_add(1);
    }

    fn count(&mut self, sum: EventSum) {
        self.events = self.events.saturating_add(1);
        self.sum = self.sum.plus(sum);
    }
}

/// What became of events, by their ranges.
pub(crate) type Tallies = BTreeMap<Range, Tally>;

/// The events are given to the projector, each in its turn.
pub(crate) fn taken<'e>(events: impl IntoIterator<Item = &'e RecordedEvent>) -> Tallies {
    let mut tallies = Tallies::new();
    for event in events {
        let tally = tallies.entry(Range::of(event.position)).or_default();
        tally.take(event.position, EventSum::of(event));
    }
    tallies
}

/// An event that had been parked is given to the projector.
pub(crate) fn taken_late(event: &RecordedEvent) -> Tallies {
    let mut tally = Tally::default();
    tally.take_late(EventSum::of(event));
    Tallies::from([(Range::of(event.position), tally)])
}

/// The events are parked.
pub(crate) fn parked<'e>(events: impl IntoIterator<Item = &'e RecordedEvent>) -> Tallies {
    let mut tallies = Tallies::new();
    for event in events {
        tallies.entry(Range::of(event.position)).or_default().park();
    }
    tallies
}

fn least(one: Option<Position>, other: Option<Position>) -> Option<Position> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
pub(crate) mod tests {
    use folio_core::{CommandId, EventId, StreamId, Timestamp, Version};
    use proptest::prelude::*;

    use super::*;

    /// An event at `position`, on a stream of `category` named `id`.
    pub(crate) fn event(position: i64, category: &str, id: &str) -> RecordedEvent {
        let command_id = CommandId::derived(&["tally", &position.to_string()]);
        RecordedEvent {
            position: Position::new(position).unwrap(),
            stream: StreamId::new(category, id).unwrap(),
            version: Version::NONE.plus(1),
            event_id: EventId::of_command(command_id, 0),
            event_type: "Happened".into(),
            schema_version: 1,
            command_id,
            recorded_at: Timestamp::from_micros(position),
            payload: b"{}".to_vec().into(),
            metadata: b"{}".to_vec().into(),
        }
    }

    /// Adds what came later, as the statement does by which it is recorded.
    pub(crate) fn add(tallies: &mut Tallies, later: &Tallies) {
        for (range, later) in later {
            let tally = tallies.entry(*range).or_default();
            let is_behind = match (tally.last, later.first) {
                (Some(last), Some(first)) => last < first,
                _ => true,
            };
            tally.disordered += later.disordered + i64::from(!is_behind);
            tally.events += later.events;
            tally.late += later.late;
            tally.parked += later.parked;
            tally.first = least(tally.first, later.first);
            tally.last = tally.last.max(later.last);
            tally.sum = tally.sum.plus(later.sum);
        }
    }

    proptest! {
        #[test]
        fn however_events_are_cut_into_batches_the_record_is_the_same(
            steps in proptest::collection::vec(1_i64..900, 0..60),
            cuts in proptest::collection::vec(1_usize..9, 60),
        ) {
            let mut position = 0;
            let events: Vec<_> = steps.iter().map(|step| {
                position += step;
                event(position, "test", "1")
            }).collect();
            let (mut cut, mut rest) = (Tallies::new(), &events[..]);
            for size in cuts {
                let (batch, behind) = rest.split_at(size.min(rest.len()));
                add(&mut cut, &taken(batch));
                rest = behind;
            }
            add(&mut cut, &taken(rest));
            prop_assert_eq!(&cut, &taken(&events));
            prop_assert!(cut.values().all(|tally| tally.disordered == 0));
        }
    }

    #[test]
    fn a_sum_tells_which_event_is_missing_whatever_the_order() {
        let events: Vec<_> = (1..=9).map(|at| event(at, "test", "1")).collect();
        let sum = |events: &mut dyn Iterator<Item = &RecordedEvent>| {
            events.fold(EventSum::default(), |sum, event| {
                sum.plus(EventSum::of(event))
            })
        };
        let all = sum(&mut events.iter());
        assert_eq!(all, sum(&mut events.iter().rev()));
        let but_the_fourth = sum(&mut events.iter().filter(|e| e.position.number() != 4));
        assert_eq!(all.minus(but_the_fourth), EventSum::of(&events[3]));
        assert_eq!(EventSum::from_lanes(all.lanes()), Some(all));
        assert_eq!(EventSum::from_lanes(&[1, 2]), None);
    }

    #[test]
    fn what_comes_out_of_turn_is_counted_as_such() {
        let events = [3, 4, 4, 2, 5].map(|at| event(at, "test", "1"));
        let tallies = taken(&events);
        assert_eq!(tallies[&Range::numbered(0)].disordered, 2);
        let mut batches = taken(&events[..2]);
        add(&mut batches, &taken(&events[2..3]));
        assert_eq!(batches[&Range::numbered(0)].disordered, 1);
        // What was parked comes when it comes.
        add(&mut batches, &taken_late(&event(1, "test", "1")));
        assert_eq!(batches[&Range::numbered(0)].disordered, 1);
    }
}
