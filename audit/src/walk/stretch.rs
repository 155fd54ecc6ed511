//! What lies between two roots that were signed.

use folio_proofs::Hash;

use super::ends::End;
use super::finding::{Finding, Range};

/// The leaves since the last root that was compared.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    first_leaf: u64,
    size: u64,
    seals: Vec<Seal>,
}

/// What one seal has appended: events, and then outcomes.
#[derive(Debug, Clone, Copy)]
struct Seal {
    first_leaf: u64,
    first_outcome: u64,
    size: u64,
    events_after: i64,
    outcomes: Range,
}

impl Stretch {
    /// A seal that was walked.
    pub(crate) fn add(&mut self, before: &End, end: &End) {
        let (events, _) = end.leaves_since(before).unwrap_or_default();
        self.size = end.size;
        self.seals.push(Seal {
            first_leaf: before.size,
            first_outcome: before.size.saturating_add(events),
            size: end.size,
            events_after: before.events,
            outcomes: Range {
                first: before.outcomes.saturating_add(1),
                last: end.outcomes,
            },
        });
    }

    /// Its root was compared.
    pub(crate) fn settled(&mut self) {
        self.first_leaf = self.size;
        self.seals.clear();
    }

    /// Rows and tiles of it come to another root than was signed, those of the `narrowed` leaves if that is known. Answers with
    /// the position at which that begins, too.
    pub(crate) fn rewritten(
        &self,
        narrowed: Option<(u64, u64)>,
        found: Hash,
        signed: Hash,
    ) -> (i64, Finding) {
        let all = (self.first_leaf, self.size.saturating_sub(1));
        let (first, last) = narrowed.unwrap_or(all);
        let first_leaf = first.max(all.0);
        let last_leaf = last.min(all.1);
        let seals = || self.seals.iter();
        let events = seals().filter_map(|seal| seal.positions(first_leaf, last_leaf));
        let outcomes = seals().filter_map(|seal| seal.numbers(first_leaf, last_leaf));
        let positions = events.reduce(Range::to);
        let finding = Finding::Rewritten {
            size: self.size,
            first_leaf,
            last_leaf,
            positions,
            outcomes: outcomes.reduce(Range::to),
            found,
            signed,
        };
        (positions.map_or(i64::MAX, |range| range.first), finding)
    }
}

impl Seal {
    /// The positions of its events among these leaves.
    fn positions(&self, first: u64, last: u64) -> Option<Range> {
        let first = first.max(self.first_leaf);
        let last = last.min(self.first_outcome.checked_sub(1)?);
        let position = |leaf: u64| {
            let behind = i64::try_from(leaf.checked_sub(self.first_leaf)?).ok()?;
            Some(self.events_after.saturating_add(behind).saturating_add(1))
        };
        (first <= last).then_some(())?;
        Some(Range {
            first: position(first)?,
            last: position(last)?,
        })
    }

    /// Between which numbers its outcomes among these leaves are.
    fn numbers(&self, first: u64, last: u64) -> Option<Range> {
        let first = first.max(self.first_outcome);
        let last = last.min(self.size.checked_sub(1)?);
        (first <= last).then_some(self.outcomes)
    }
}

impl Range {
    const fn to(self, end: Self) -> Self {
        Self {
            first: self.first,
            last: end.last,
        }
    }
}
