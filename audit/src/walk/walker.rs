//! Walks rows, tiles and checkpoints side by side, from the first to the last.

use std::collections::{BTreeMap, VecDeque};

use folio_core::error_chain;
use folio_proofs::Hash;
use folio_proofs::map::BucketNumber;
use folio_proofs::merkle::{Tile, TileId};

use super::ends::{End, Ends};
use super::error::WalkError;
use super::finding::{Finding, Range, RowAt, StructureFault};
use super::log::{Agreement, Difference, WalkedLog};
use super::outcomes::align;
use super::report::WalkReport;
use super::sealed::SealedLeaves;
use super::settle::Course;
use super::source::{EventRow as _, OutcomeRow as _, Source};
use super::streams::Streams;
use super::stretch::Stretch;
use super::structure::Structure;
use super::tell::{Teller, Walked};

/// Rows of which all is kept until it is known what has become of them.
const KEPT_MAX: usize = 10_000;

/// What was there when the walk began. What has come later is not looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moment {
    /// By the clock of whoever walks, in microseconds since 1970.
    pub(crate) at_micros: i64,
    /// The leaves at the last checkpoint.
    pub(crate) size: u64,
    /// The position of the last event.
    pub(crate) head: i64,
    /// The number of the last outcome.
    pub(crate) outcomes: i64,
    /// The hashes of the map's buckets. None of one that cannot be read.
    pub(crate) buckets: BTreeMap<BucketNumber, Option<Hash>>,
}

/// Walks from one checkpoint to the next: first over its events, then over its outcomes, as they were sealed. What differs
/// is judged at the next root that was signed.
pub(crate) struct Walker<S: Source, F> {
    pub(super) source: S,
    pub(super) moment: Moment,
    pub(super) ends: Ends,
    pub(super) sealed: SealedLeaves,
    events: VecDeque<S::Event>,
    outcomes: VecDeque<S::Outcome>,
    /// How far the walk has come.
    pub(super) at: End,
    /// Since the last root that was compared.
    pub(super) stretch: Stretch,
    pub(super) log: WalkedLog,
    pub(super) course: Course,
    structure: Structure,
    pub(super) streams: Streams,
    /// Whether the streams end where those that were sealed do, as far as is known.
    pub(super) streams_course: Course,
    /// Tiles above the leaves that are not full yet.
    pub(super) upper: BTreeMap<TileId, Tile>,
    /// Positions without an event that the walk has come over last.
    missing: Option<Range>,
    last_row: Option<RowAt>,
    pub(super) tell: Teller<F>,
    report: WalkReport,
}

impl<S: Source, F: FnMut(Walked) -> Result<(), WalkError>> Walker<S, F> {
    pub(crate) fn new(source: S, ends: Ends, moment: Moment, most: usize, tell: F) -> Self {
        Self {
            source,
            moment,
            ends,
            sealed: SealedLeaves::default(),
            events: VecDeque::new(),
            outcomes: VecDeque::new(),
            at: End::START,
            stretch: Stretch::default(),
            log: WalkedLog::default(),
            course: Course::AsSigned,
            structure: Structure::new(),
            streams: Streams::default(),
            streams_course: Course::AsSigned,
            upper: BTreeMap::new(),
            missing: None,
            last_row: None,
            tell: Teller::new(most, tell),
            report: WalkReport::default(),
        }
    }

    pub(crate) fn run(mut self) -> Result<WalkReport, WalkError> {
        while let Some(end) = self.ends.next(&mut self.source, &mut self.tell)? {
            self.walk_events(&end)?;
            self.walk_outcomes(&end)?;
            self.stretch.add(&self.at, &end);
            self.at = end;
            if let Some(signed) = end.signed {
                self.settle(&end, signed)?;
            }
        }
        self.end_of_log()?;
        for finding in self.ends.lacking(self.moment.at_micros) {
            self.tell.now(finding)?;
        }
        self.walk_unsealed()?;
        self.report.checkpoints = self.ends.counts.checkpoints;
        self.report.anchored = self.ends.counts.anchored;
        self.report.anchored_leaves = self.ends.anchored_leaves();
        self.report.leaves = self.at.size;
        self.report.found = self.tell.found;
        Ok(self.report)
    }

    /// Over the events of one seal. Which leaf they are is known by their positions.
    fn walk_events(&mut self, end: &End) -> Result<(), WalkError> {
        for position in self.at.events.saturating_add(1)..=end.events {
            let leaf = self.log.size();
            let sealed = self.sealed.hash(&mut self.source, leaf)?;
            let row = self.event_at(position)?;
            let found = match &row {
                Some(row) => self.take_in(position, row),
                None => {
                    self.miss(position);
                    None
                }
            };
            if self.log.leaf(found, sealed) == Agreement::Different {
                self.streams_course = Course::Adrift;
                let leaf_of = |row: &S::Event| Some(RowAt::event(&row.leaf().ok()?));
                let is_kept = self.log.differences() < KEPT_MAX;
                let kept = row.as_ref().filter(|_| is_kept);
                self.log.differ(Difference {
                    leaf,
                    position: Some(position),
                    row: row.as_ref().and_then(leaf_of),
                    event: kept.and_then(|row| row.to_stored().ok()).map(Box::new),
                    sealed,
                });
            }
        }
        Ok(())
    }

    /// Over the outcomes of one seal. Which leaf they are is known by their hashes.
    fn walk_outcomes(&mut self, end: &End) -> Result<(), WalkError> {
        let mut rows = Vec::new();
        while let Some(row) = self.outcome_through(end.outcomes)? {
            match row.leaf() {
                Ok(leaf) => rows.push((leaf.hash(), RowAt::outcome(&leaf))),
                Err(error) => self.unreadable(row.number()?, &error),
            }
        }
        let mut leaves = Vec::new();
        for leaf in self.log.size()..end.size {
            leaves.push(self.sealed.hash(&mut self.source, leaf)?);
        }
        let hashes: Vec<Hash> = rows.iter().map(|(hash, _)| *hash).collect();
        let aligned = align(&leaves, &hashes);
        for row in aligned.extra.iter().filter_map(|row| rows.get(*row)) {
            let row = row.1.clone();
            self.tell.hold(i64::MAX, Finding::Inserted { row });
        }
        let mut after = self.at.outcomes;
        let mut lost: Option<Finding> = None;
        for (sealed, row) in leaves.into_iter().zip(aligned.rows) {
            let leaf = self.log.size();
            let row = row.and_then(|row| rows.get(row));
            if self.log.leaf(row.map(|row| row.0), sealed) == Agreement::Same {
                if let Some((_, RowAt::Outcome { number, .. })) = row {
                    after = *number;
                }
                continue;
            }
            match row {
                Some((_, row)) => self.log.differ(Difference {
                    leaf,
                    position: None,
                    row: Some(row.clone()),
                    event: None,
                    sealed,
                }),
                None => match &mut lost {
                    Some(Finding::MissingOutcomes { last_leaf, .. }) if *last_leaf + 1 == leaf => {
                        *last_leaf = leaf;
                    }
                    Some(_) | None => {
                        let more = Finding::MissingOutcomes {
                            first_leaf: leaf,
                            last_leaf: leaf,
                            after,
                        };
                        let before = lost.replace(more);
                        before
                            .into_iter()
                            .for_each(|lost| self.tell.hold(i64::MAX, lost));
                    }
                },
            }
        }
        lost.into_iter()
            .for_each(|lost| self.tell.hold(i64::MAX, lost));
        Ok(())
    }

    /// Over what is behind the last checkpoint, which only has to be as a store writes it.
    fn walk_unsealed(&mut self) -> Result<(), WalkError> {
        let mut expected = self.at.events.saturating_add(1);
        while let Some(row) = self.event_at(i64::MAX)? {
            let position = row.position()?;
            if position < expected {
                self.insert(&row);
                continue;
            }
            if position > expected {
                self.miss(expected);
                self.miss(position.saturating_sub(1));
            }
            self.take_in(position, &row);
            self.report.unsealed_events += 1;
            expected = position.saturating_add(1);
        }
        if let Some(Range { first, last }) = self.missing.take() {
            let ends = first.saturating_sub(1);
            let finding = Finding::Truncated {
                last: ends,
                sealed: last,
            };
            self.tell.hold(first, finding);
        }
        if let Some(missing) = self.structure.missing_at_end()
            && let Some(row) = self.last_row.take()
        {
            let fault = StructureFault::LastCutOff { missing };
            self.tell.hold(i64::MAX, Finding::Structure { row, fault });
        }
        while self.outcome_through(i64::MAX)?.is_some() {
            self.report.unsealed_outcomes += 1;
        }
        self.tell.release()
    }

    /// The event at this position. Those before it have no place.
    fn event_at(&mut self, position: i64) -> Result<Option<S::Event>, WalkError> {
        loop {
            if self.events.is_empty() {
                let of = u64::try_from(self.moment.head).unwrap_or(0);
                self.tell.progress(self.report.events, of)?;
                let Some(page) = self.source.events()? else {
                    return Ok(None);
                };
                self.events = page.into();
            }
            let next = self.events.front().map(|row| row.position()).transpose()?;
            if next.is_some_and(|next| next > position) {
                return Ok(None);
            }
            let Some(row) = self.events.pop_front() else {
                continue;
            };
            self.report.events += 1;
            if next == Some(position) || position == i64::MAX {
                return Ok(Some(row));
            }
            self.insert(&row);
        }
    }

    /// The next outcome up to this number.
    fn outcome_through(&mut self, number: i64) -> Result<Option<S::Outcome>, WalkError> {
        if self.outcomes.is_empty() {
            let Some(page) = self.source.outcomes()? else {
                return Ok(None);
            };
            self.outcomes = page.into();
        }
        let next = self.outcomes.front().map(|row| row.number()).transpose()?;
        if next.is_none_or(|next| next > number) {
            return Ok(None);
        }
        self.report.outcomes += 1;
        Ok(self.outcomes.pop_front())
    }

    /// What a row says of those around it. Answers with its hash, where it can be read.
    fn take_in(&mut self, position: i64, row: &S::Event) -> Option<Hash> {
        if let Some(Range { first, last }) = self.missing.take() {
            self.tell.hold(first, Finding::Missing { first, last });
        }
        let leaf = match row.leaf() {
            Ok(leaf) => leaf,
            Err(error) => {
                self.structure.gap();
                self.unreadable(position, &error);
                return None;
            }
        };
        let tell = &mut self.tell;
        let mut tell = |fault| {
            let row = RowAt::event(&leaf);
            tell.hold(position, Finding::Structure { row, fault });
        };
        if let Some(expected) = self.streams.event(&leaf) {
            tell(StructureFault::Version { expected });
        }
        self.structure.event(&leaf, tell);
        if position == self.moment.head {
            self.last_row = Some(RowAt::event(&leaf));
        }
        Some(leaf.hash())
    }

    fn miss(&mut self, position: i64) {
        self.structure.gap();
        let missing = self.missing.get_or_insert(Range {
            first: position,
            last: position,
        });
        missing.last = position;
    }

    fn insert(&mut self, row: &S::Event) {
        match row.leaf() {
            Ok(leaf) => {
                let row = RowAt::event(&leaf);
                self.tell.hold(leaf.position, Finding::Inserted { row });
            }
            Err(error) => self.unreadable(self.at.events, &error),
        }
    }

    fn unreadable(&mut self, position: i64, error: &tokio_postgres::Error) {
        let why = error_chain(error);
        self.tell
            .hold(position, Finding::Unreadable { position, why });
    }
}
