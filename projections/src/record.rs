//! What is recorded of a build, and which partition was to have which event.

use std::collections::BTreeMap;

use folio_core::filter::Member;
use folio_core::{Position, RecordedEvent};

use crate::range::Range;
use crate::tally::Tally;

/// In how many partitions a build is filled, from behind a position on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sharing {
    pub(crate) since: Position,
    pub(crate) of: u16,
}

/// What has a tally of its own: a range, as a partition has it that a build had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) range: Range,
    pub(crate) since: Position,
    pub(crate) partition: u16,
}

impl Cell {
    /// Not behind any other of its range.
    pub(crate) const fn first_of(range: Range) -> Self {
        Self {
            range,
            since: Position::START,
            partition: 0,
        }
    }
}

/// What became of an event that was parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Waits,
    Projected,
    Skipped,
}

/// What is recorded of a build, as of one moment.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The earliest first.
    pub(crate) sharings: Vec<Sharing>,
    /// How far each of its partitions has come.
    pub(crate) ends: Vec<Position>,
    pub(crate) tallies: BTreeMap<Cell, Tally>,
    pub(crate) letters: BTreeMap<Position, Fate>,
}

impl Record {
    /// From where on it is whole: from the first event, or else from the first range on that begins
    /// after the record did. None where there is no record, or one of other partitions.
    pub(crate) fn begins(&self) -> Option<Range> {
        let (first, last) = (self.sharings.first()?, self.sharings.last()?);
        if usize::from(last.of) != self.ends.len() {
            return None;
        }
        Some(match first.since {
            Position::START => Range::of(Position::START.plus(1)),
            since => Range::of(since).next(),
        })
    }

    /// Where an event should have been recorded that was wanted; none where it is not its turn yet.
    pub(crate) fn cell_of(&self, event: &RecordedEvent) -> Option<Cell> {
        let is_before = |sharing: &&Sharing| sharing.since < event.position;
        let sharing = self.sharings.iter().rev().find(is_before)?;
        let partition = match sharing.of {
            1 => 0,
            of => Member::of_stream(&event.stream, of),
        };
        let cell = Cell {
            range: Range::of(event.position),
            since: sharing.since,
            partition,
        };
        (event.position <= self.end(cell)).then_some(cell)
    }

    /// The last position that was the turn of the partition of a cell.
    pub(crate) fn end(&self, cell: Cell) -> Position {
        let later = self.sharings.iter().find(|next| next.since > cell.since);
        let end = || self.ends.get(usize::from(cell.partition)).copied();
        later.map_or_else(|| end().unwrap_or(Position::START), |next| next.since)
    }

    /// How many partitions there were.
    pub(crate) fn size(&self, cell: Cell) -> u16 {
        let found = self.sharings.iter().find(|one| one.since == cell.since);
        found.map_or(0, |sharing| sharing.of)
    }
}
