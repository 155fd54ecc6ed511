//! Compares what the projector was given with what it should have been, range by range.

use std::collections::{BTreeMap, BTreeSet};

use folio_core::{Position, RecordedEvent};

use crate::proof::{Flaw, FlawKind};
use crate::range::Range;
use crate::record::{Cell, Fate, Record};
use crate::tally::{EventSum, Tally};

/// What there is of the events that a projection was to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    /// How many it was to be given.
    pub(crate) wanted: i64,
    /// How many it was given.
    pub(crate) taken: i64,
    /// Of these, how many after they had been parked.
    pub(crate) late: i64,
    /// How many wait.
    pub(crate) parked: i64,
    /// How many were passed over.
    pub(crate) skipped: i64,
}

/// Goes through the events of a source and compares each range with its record.
pub(crate) struct Reckoning {
    record: Record,
    most: usize,
    range: Range,
    /// What should be recorded of the range.
    expected: BTreeMap<Cell, Tally>,
    seen: Vec<Seen>,
    pub(crate) totals: Totals,
    /// The first of them.
    pub(crate) flaws: Vec<Flaw>,
    pub(crate) flaws_found: usize,
}

/// An event of the range, and where it should have been taken in, if at all.
struct Seen {
    position: Position,
    sum: EventSum,
    taken: Option<Cell>,
}

impl Reckoning {
    /// Compares with `record`, from `range` on, and keeps the first `most` flaws.
    pub(crate) fn new(mut record: Record, range: Range, most: usize) -> Self {
        record.tallies = record.tallies.split_off(&Cell::first_of(range));
        Self {
            record,
            most,
            range,
            expected: BTreeMap::new(),
            seen: Vec::new(),
            totals: Totals::default(),
            flaws: Vec::new(),
            flaws_found: 0,
        }
    }

    /// The next event of the source, wanted or not: what was not wanted should not have been taken in.
    pub(crate) fn see(&mut self, event: &RecordedEvent, wanting: Wanting) {
        let (position, range) = (event.position, Range::of(event.position));
        if range != self.range {
            self.compare();
            self.range = range;
        }
        let sum = EventSum::of(event);
        let cell = match wanting {
            Wanting::Wanted => self.record.cell_of(event),
            Wanting::Other => None,
        };
        let fate = self.record.letters.get(&position).copied();
        if let Some(cell) = cell {
            let expected = self.expected.entry(cell).or_default();
            let totals = &mut self.totals;
            totals.wanted = totals.wanted.saturating_add(1);
            if fate.is_some() {
                expected.park();
            }
            match fate {
                None => expected.take(position, sum),
                Some(Fate::Projected) => expected.take_late(sum),
                Some(Fate::Waits) => totals.parked = totals.parked.saturating_add(1),
                Some(Fate::Skipped) => totals.skipped = totals.skipped.saturating_add(1),
            }
        }
        let is_taken = matches!(fate, None | Some(Fate::Projected));
        self.seen.push(Seen {
            position,
            sum,
            taken: cell.filter(|_| is_taken),
        });
    }

    /// The source has no more that was to be taken in. What is recorded beyond it is wrong.
    pub(crate) fn finish(&mut self) {
        self.compare();
        while let Some((cell, _)) = self.record.tallies.first_key_value() {
            self.range = cell.range;
            self.compare();
        }
    }

    /// Compares the range with its record.
    fn compare(&mut self) {
        let later = Cell::first_of(self.range.next());
        let later = self.record.tallies.split_off(&later);
        let found = std::mem::replace(&mut self.record.tallies, later);
        let expected = std::mem::take(&mut self.expected);
        let nothing = Tally::default();
        let cells: BTreeSet<Cell> = found.keys().chain(expected.keys()).copied().collect();
        for cell in cells {
            let found = found.get(&cell).unwrap_or(&nothing);
            let expected = expected.get(&cell).unwrap_or(&nothing);
            self.totals.taken = self.totals.taken.saturating_add(found.events);
            self.totals.late = self.totals.late.saturating_add(found.late);
            if found != expected {
                self.flaw(cell, expected, found);
            }
        }
        self.seen.clear();
    }

    fn flaw(&mut self, cell: Cell, expected: &Tally, found: &Tally) {
        self.flaws_found = self.flaws_found.saturating_add(1);
        if self.flaws.len() == self.most {
            return;
        }
        let first = cell.range.first().max(cell.since.plus(1));
        let last = cell.range.last().min(self.record.end(cell));
        self.flaws.push(Flaw {
            partition: cell.partition,
            of: self.record.size(cell),
            first,
            // Beyond its end, it is all of the range that should not be there.
            last: if last < first {
                cell.range.last()
            } else {
                last
            },
            expected: expected.events,
            found: found.events,
            kind: self.kind(cell, expected, found),
        });
    }

    fn kind(&self, cell: Cell, expected: &Tally, found: &Tally) -> FlawKind {
        let missing = expected.events.saturating_sub(found.events);
        let difference = expected.sum.minus(found.sum);
        let named = |sum| self.seen.iter().find(|seen| seen.sum == sum);
        let position = |seen: &Seen| seen.position;
        match missing {
            0 if difference == EventSum::default() => {}
            0 => return FlawKind::Others,
            1 => {
                let event = named(difference).map(position);
                return FlawKind::Missing { events: 1, event };
            }
            -1 => {
                let event = named(EventSum::default().minus(difference));
                let is_doubled = event.is_some_and(|seen| seen.taken == Some(cell));
                let event = event.map(position);
                return match event {
                    Some(event) if !is_doubled => FlawKind::Stray { event },
                    _ => FlawKind::Surplus { events: 1, event },
                };
            }
            events if events > 0 => {
                let event = None;
                return FlawKind::Missing { events, event };
            }
            events => {
                let (events, event) = (events.saturating_neg(), None);
                return FlawKind::Surplus { events, event };
            }
        }
        if found.disordered > 0 {
            let events = found.disordered;
            return FlawKind::OutOfOrder { events };
        }
        FlawKind::Letters {
            parked: found.parked,
            known: expected.parked,
        }
    }
}

/// Whether a projector wants an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanting {
    Wanted,
    Other,
}

#[cfg(test)]
mod tests {
    use folio_core::filter::Member;

    use super::*;
    use crate::record::Sharing;
    use crate::tally::tests::event;
    use crate::tally::{Tallies, parked, taken, taken_late};

    /// A store of events on ten streams, of which `test` is wanted and each seventh is of another category.
    fn store(events: i64) -> Vec<RecordedEvent> {
        let category = |position| if position % 7 == 0 { "other" } else { "test" };
        let at = |position| event(position, category(position), &(position % 10).to_string());
        (1..=events).map(at).collect()
    }

    fn is_wanted(event: &RecordedEvent) -> bool {
        event.stream.category() == "test"
    }

    fn sharing(since: i64, of: u16) -> Sharing {
        let since = Position::START.plus(since);
        Sharing { since, of }
    }

    /// A build that was shared out like that, and was given all it should have been up to its ends.
    fn record(sharings: &[Sharing], ends: &[i64], events: &[RecordedEvent]) -> Record {
        let mut record = Record {
            sharings: sharings.to_vec(),
            ends: ends.iter().map(|end| Position::START.plus(*end)).collect(),
            ..Record::default()
        };
        for event in events.iter().filter(|event| is_wanted(event)) {
            give(&mut record, event);
        }
        record
    }

    fn give(record: &mut Record, event: &RecordedEvent) {
        if let Some(cell) = record.cell_of(event) {
            put(record, cell, &taken([event]));
        }
    }

    /// Adds to the record of a cell.
    fn put(record: &mut Record, cell: Cell, more: &Tallies) {
        let mut tallies = Tallies::new();
        if let Some(before) = record.tallies.remove(&cell) {
            tallies.insert(cell.range, before);
        }
        crate::tally::tests::add(&mut tallies, more);
        record
            .tallies
            .insert(cell, tallies.remove(&cell.range).unwrap());
    }

    fn examined(record: Record, events: &[RecordedEvent]) -> Reckoning {
        let begins = record.begins().unwrap();
        let end = record.ends.iter().max().copied().unwrap();
        let mut reckoning = Reckoning::new(record, begins, 10);
        for event in events {
            if event.position >= begins.first() && event.position <= end {
                let wanting = if is_wanted(event) {
                    Wanting::Wanted
                } else {
                    Wanting::Other
                };
                reckoning.see(event, wanting);
            }
        }
        reckoning.finish();
        reckoning
    }

    fn kinds(reckoning: &Reckoning) -> Vec<(i64, FlawKind)> {
        let flaws = reckoning.flaws.iter();
        flaws.map(|flaw| (flaw.first.number(), flaw.kind)).collect()
    }

    fn at(position: i64) -> Position {
        Position::new(position).unwrap()
    }

    #[test]
    fn a_build_that_was_given_each_event_once_holds_however_it_was_shared_out() {
        let events = store(10_000);
        for (sharings, ends) in [
            (vec![sharing(0, 1)], vec![10_000]),
            (vec![sharing(0, 3)], vec![9_000, 10_000, 4_096]),
            (
                vec![sharing(0, 1), sharing(4_000, 4), sharing(4_100, 2)],
                vec![9_990, 10_000],
            ),
        ] {
            let reckoning = examined(record(&sharings, &ends, &events), &events);
            assert_eq!(kinds(&reckoning), [], "{sharings:?}");
            let totals = reckoning.totals;
            assert_eq!(totals.wanted, totals.taken);
            assert!(totals.wanted > 4_000, "{totals:?}");
        }
    }

    #[test]
    fn an_event_that_is_missing_or_doubled_or_strayed_is_named() {
        let events = store(9_000);
        let whole = || record(&[sharing(0, 2)], &[9_000, 9_000], &events);
        let of = |position: i64| events.iter().find(|one| one.position == at(position));
        let fifth = of(5_000).unwrap();

        let others: Vec<_> = events.iter().filter(|one| *one != fifth).cloned().collect();
        let lost = record(&[sharing(0, 2)], &[9_000, 9_000], &others);
        let missing = FlawKind::Missing {
            events: 1,
            event: Some(at(5_000)),
        };
        let reckoning = examined(lost, &events);
        assert_eq!(kinds(&reckoning), [(4_097, missing)]);
        let flaw = &reckoning.flaws[0];
        let partition = Member::of_stream(&fifth.stream, 2);
        assert_eq!((flaw.partition, flaw.of), (partition, 2));
        assert_eq!((flaw.last, flaw.expected - flaw.found), (at(8_192), 1));

        let mut doubled = whole();
        give(&mut doubled, fifth);
        let twice = FlawKind::Surplus {
            events: 1,
            event: Some(at(5_000)),
        };
        assert_eq!(kinds(&examined(doubled, &events)), [(4_097, twice)]);

        // Of another category, in the partition of somebody else.
        let unwanted = of(5_005).unwrap();
        let mut strayed = whole();
        let cell = strayed.cell_of(fifth).unwrap();
        put(&mut strayed, cell, &taken([unwanted]));
        let event = at(5_005);
        let stray = FlawKind::Stray { event };
        assert_eq!(kinds(&examined(strayed, &events)), [(4_097, stray)]);

        // One in place of another: the count alone would not tell.
        let mut swapped = record(&[sharing(0, 2)], &[9_000, 9_000], &others);
        put(&mut swapped, cell, &taken([unwanted]));
        let others = FlawKind::Others;
        assert_eq!(kinds(&examined(swapped, &events)), [(4_097, others)]);
    }

    #[test]
    fn a_checkpoint_that_does_not_fit_its_record_is_found() {
        let events = store(9_000);
        let mut ahead = record(&[sharing(0, 1)], &[8_000], &events);
        ahead.ends = vec![at(8_005)];
        let reckoning = examined(ahead, &events);
        let found: Vec<_> = reckoning.flaws.iter().map(|one| one.kind).collect();
        let events_missing = (8_001..=8_005).filter(|at| at % 7 != 0).count();
        let missing = FlawKind::Missing {
            events: i64::try_from(events_missing).unwrap(),
            event: None,
        };
        assert_eq!(found, [missing]);

        let mut behind = record(&[sharing(0, 1)], &[9_000], &events);
        behind.ends = vec![at(4_000)];
        let reckoning = examined(behind, &events);
        let firsts: Vec<_> = kinds(&reckoning).iter().map(|flaw| flaw.0).collect();
        assert_eq!(firsts, [1, 4_097, 8_193]);
    }

    #[test]
    fn what_is_parked_skipped_or_taken_in_late_is_accounted_for() {
        let events = store(6_000);
        let letters = [
            (at(11), Fate::Waits),
            (at(22), Fate::Skipped),
            (at(31), Fate::Projected),
        ];
        let is_letter = |event: &&RecordedEvent| letters.iter().any(|one| one.0 == event.position);
        let (parks, free): (Vec<_>, Vec<_>) = events.iter().partition(is_letter);
        let free: Vec<_> = free.into_iter().cloned().collect();
        let build = || {
            let mut record = record(&[sharing(0, 1)], &[6_000], &free);
            let cell = record.cell_of(parks[0]).unwrap();
            put(&mut record, cell, &parked(parks.clone()));
            put(&mut record, cell, &taken_late(parks[2]));
            record.letters.extend(letters);
            record
        };
        let reckoning = examined(build(), &events);
        assert_eq!(kinds(&reckoning), []);
        let totals = reckoning.totals;
        assert_eq!((totals.late, totals.parked, totals.skipped), (1, 1, 1));
        assert_eq!(totals.taken + 2, totals.wanted);

        // A letter that is gone leaves an event that nobody has seen.
        let mut gone = build();
        gone.letters.remove(&at(11));
        let missing = FlawKind::Missing {
            events: 1,
            event: Some(at(11)),
        };
        assert_eq!(kinds(&examined(gone, &events)), [(1, missing)]);
        // One that says it was taken in and was not.
        let mut told = build();
        told.letters.insert(at(22), Fate::Projected);
        let missing = FlawKind::Missing {
            events: 1,
            event: Some(at(22)),
        };
        assert_eq!(kinds(&examined(told, &events)), [(1, missing)]);
        // One of an event that was taken in before.
        let mut invented = build();
        invented.letters.insert(at(41), Fate::Skipped);
        let stray = FlawKind::Stray { event: at(41) };
        assert_eq!(kinds(&examined(invented, &events)), [(1, stray)]);
    }

    #[test]
    fn what_came_out_of_order_is_found() {
        let events = store(100);
        let mut turned = events.clone();
        turned.swap(40, 44);
        let record = record(&[sharing(0, 1)], &[100], &turned);
        let reckoning = examined(record, &events);
        assert!(
            matches!(kinds(&reckoning)[..], [(1, FlawKind::OutOfOrder { .. })]),
            "{:?}",
            kinds(&reckoning)
        );
    }

    #[test]
    fn what_was_not_recorded_is_left_out() {
        let events = store(9_000);
        let record = record(&[sharing(1_000, 1)], &[9_000], &events);
        assert_eq!(record.begins(), Some(Range::of(at(4_097))));
        let reckoning = examined(record, &events);
        assert_eq!(kinds(&reckoning), []);
        // A record of other partitions than there are proves nothing.
        let torn = Record {
            sharings: vec![sharing(0, 2)],
            ends: vec![at(9)],
            ..Record::default()
        };
        assert_eq!(torn.begins(), None);
        assert_eq!(Record::default().begins(), None);
    }
}
