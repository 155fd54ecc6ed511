//! Where the log ends, one checkpoint after the other: those in the database, and between them those that only an anchor
//! has.

use std::collections::VecDeque;
use std::iter::Peekable;

use folio_core::error_chain;
use folio_proofs::Hash;
use folio_proofs::checkpoint::{Checkpoint, OpenCheckpointError};
use folio_proofs::note::SignedNote;

use super::error::WalkError;
use super::finding::Finding;
use super::source::Source;
use super::tell::{Teller, Walked};
use crate::anchor::{AnchorError, Records};
use crate::trusted::TrustedLog;

/// Most leaves of a seal. A checkpoint that nobody has signed is not believed to have more.
const SEAL_MAX: u64 = 1 << 16;
/// How long after it was sealed a checkpoint may not be in an anchor yet: more than a sealer waits before it tries again.
const LAG_MAX_MICROS: i64 = 60_000_000;

/// A checkpoint as the database has it, and whether it is to be believed.
#[derive(Debug, Clone)]
pub(crate) struct Unproven {
    /// Size, position, number and time, as the columns have them.
    pub(crate) columns: (i64, i64, i64, i64),
    pub(crate) note: String,
    pub(crate) opened: Result<Checkpoint, OpenCheckpointError>,
}

/// How far a log goes at a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) size: u64,
    /// The position of the last event.
    pub(crate) events: i64,
    /// The number of the last outcome.
    pub(crate) outcomes: i64,
    /// What was signed. None where that is not to be believed.
    pub(crate) signed: Option<Signed>,
}

/// What was signed of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) root: Hash,
    pub(crate) map_root: Hash,
    pub(crate) held: Held,
}

/// Who has a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    InDatabase,
    InAnchorOnly,
}

/// All checkpoints by their sizes.
pub(crate) struct Ends {
    log: TrustedLog,
    kept: VecDeque<Unproven>,
    anchors: Vec<Compared>,
    last: Option<End>,
    /// The last position up to which an anchor and the database say the same.
    agreed: i64,
    /// The size of the last one in the database.
    size_in_database: u64,
    pub(crate) counts: EndCounts,
}

/// An anchor whose checkpoints are compared.
pub(crate) struct Compared {
    /// Where it is, for people.
    place: String,
    upkeep: Upkeep,
    records: Peekable<Records>,
    /// The leaves of the largest checkpoint of this log that it has.
    reached: Option<u64>,
    /// When the first checkpoint was sealed that is larger than all that it has.
    lacks_since_micros: Option<i64>,
}

/// Whether checkpoints come to an anchor as they are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upkeep {
    Live,
    /// It may be of any time.
    Copy,
}

/// How many checkpoints were compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EndCounts {
    pub(crate) checkpoints: u64,
    pub(crate) anchored: u64,
}

impl Compared {
    pub(crate) fn new(place: String, upkeep: Upkeep, records: Records) -> Self {
        Self {
            place,
            upkeep,
            records: records.peekable(),
            reached: None,
            lacks_since_micros: None,
        }
    }

    fn has(&mut self, size: u64) {
        self.reached = self.reached.max(Some(size));
    }

    /// The database has this checkpoint. What the anchor has up to that size was taken from it.
    fn hear_of(&mut self, checkpoint: &Checkpoint) {
        let is_larger = self.reached.is_none_or(|reached| reached < checkpoint.size);
        if is_larger && self.records.peek().is_none() {
            let since = checkpoint.sealed_at_micros;
            self.lacks_since_micros = self.lacks_since_micros.or(since);
        }
    }
}

impl End {
    /// That of a log without leaves.
    pub(crate) const START: Self = Self {
        size: 0,
        events: 0,
        outcomes: 0,
        signed: None,
    };

    fn of(checkpoint: &Checkpoint, held: Held) -> Option<Self> {
        let through = checkpoint.through?;
        Some(Self {
            size: checkpoint.size,
            events: through.position(),
            outcomes: through.outcome(),
            signed: Some(Signed {
                root: checkpoint.root,
                map_root: checkpoint.map_root?,
                held,
            }),
        })
    }

    /// As the columns say that nobody has signed.
    fn unsigned(columns: (i64, i64, i64, i64)) -> Option<Self> {
        let (size, events, outcomes, _) = columns;
        Some(Self {
            size: u64::try_from(size).ok()?,
            events,
            outcomes,
            signed: None,
        })
    }

    /// How many of the leaves behind `before` are events and outcomes, if a log can have grown like that.
    pub(crate) fn leaves_since(&self, before: &Self) -> Option<(u64, u64)> {
        let leaves = self.size.checked_sub(before.size)?;
        let events = u64::try_from(self.events.checked_sub(before.events)?).ok()?;
        let numbers = u64::try_from(self.outcomes.checked_sub(before.outcomes)?).ok()?;
        let outcomes = leaves.checked_sub(events)?;
        let is_honest = self.signed.is_some() || leaves <= SEAL_MAX;
        (outcomes <= numbers && is_honest).then_some((events, outcomes))
    }
}

impl Ends {
    pub(crate) fn new(log: TrustedLog, anchors: Vec<Compared>, size_in_database: u64) -> Self {
        Self {
            log,
            kept: VecDeque::new(),
            anchors,
            last: None,
            agreed: 0,
            size_in_database,
            counts: EndCounts::default(),
        }
    }

    /// The next one. Tells what is wrong with those on the way to it.
    pub(crate) fn next(
        &mut self,
        source: &mut impl Source,
        tell: &mut Teller<impl FnMut(Walked) -> Result<(), WalkError>>,
    ) -> Result<Option<End>, WalkError> {
        loop {
            if self.kept.is_empty()
                && let Some(page) = source.checkpoints()?
            {
                self.kept = page.into();
            }
            let upcoming = self.kept.front().map(Unproven::size);
            let end = match self.next_anchored(source, upcoming, tell)? {
                Some(end) => Some(end),
                None => match self.kept.pop_front() {
                    Some(kept) => self.kept_end(kept, tell)?,
                    None => return Ok(None),
                },
            };
            let Some(end) = end else { continue };
            let before = self.last.unwrap_or(End::START);
            if self.last.is_some() && end.size == before.size {
                let roots = end.signed.zip(before.signed);
                if let Some((one, other)) = roots {
                    tell.now(Finding::Forked {
                        size: end.size,
                        root: other.root,
                        other: one.root,
                        agreed: self.agreed,
                        position: end.events,
                    })?;
                }
                continue;
            }
            if end.leaves_since(&before).is_none() {
                tell.now(Finding::OutOfLine {
                    size: end.size,
                    after: before.size,
                })?;
                continue;
            }
            self.last = Some(end);
            return Ok(Some(end));
        }
    }

    /// What the anchors do not have, once all is compared.
    pub(crate) fn lacking(&self, now_micros: i64) -> Vec<Finding> {
        let last = self.size_in_database;
        let lacking = self.anchors.iter().filter_map(|anchor| {
            let since = anchor.lacks_since_micros?;
            let is_late = now_micros.saturating_sub(since) > LAG_MAX_MICROS;
            let anchor_is = anchor.place.clone();
            match (anchor.reached, anchor.upkeep) {
                // Also of a copy: who brings one has had it from an anchor.
                (None, Upkeep::Live | Upkeep::Copy) if is_late => Some(Finding::AnchorEmpty {
                    anchor: anchor_is,
                    last,
                }),
                (Some(size), Upkeep::Live) if is_late => Some(Finding::AnchorBehind {
                    anchor: anchor_is,
                    size,
                    last,
                }),
                (_, Upkeep::Live | Upkeep::Copy) => None,
            }
        });
        lacking.collect()
    }

    /// How many leaves every anchor has.
    pub(crate) fn anchored_leaves(&self) -> u64 {
        let reached = self.anchors.iter();
        let reached = reached.map(|anchor| anchor.reached.unwrap_or(0));
        reached.min().unwrap_or(0)
    }

    /// The end at a checkpoint of the database.
    fn kept_end(
        &mut self,
        kept: Unproven,
        tell: &mut Teller<impl FnMut(Walked) -> Result<(), WalkError>>,
    ) -> Result<Option<End>, WalkError> {
        self.counts.checkpoints += 1;
        let (size, ..) = kept.columns;
        Ok(match &kept.opened {
            Err(error) => {
                let why = error_chain(error);
                tell.now(Finding::Forged { size, why })?;
                End::unsigned(kept.columns)
            }
            Ok(checkpoint) => {
                for anchor in &mut self.anchors {
                    anchor.hear_of(checkpoint);
                }
                if !kept.is_beside(checkpoint) {
                    let size = checkpoint.size;
                    tell.now(Finding::Columns { size })?;
                }
                let end = End::of(checkpoint, Held::InDatabase);
                if end.is_none() {
                    let why = "it does not say what is in the log and in the map".to_owned();
                    tell.now(Finding::Forged { size, why })?;
                }
                end.or_else(|| End::unsigned(kept.columns))
            }
        })
    }

    /// An end that an anchor has, and the database does not, before the next one there. What both have is compared.
    fn next_anchored(
        &mut self,
        source: &mut impl Source,
        upcoming: Option<u64>,
        tell: &mut Teller<impl FnMut(Walked) -> Result<(), WalkError>>,
    ) -> Result<Option<End>, WalkError> {
        let is_due = |next: &Result<SignedNote, AnchorError>| {
            let size = next.as_ref().ok().and_then(size_of);
            // What is no checkpoint is due at once, to be told.
            size.is_none_or(|size| upcoming.is_none_or(|upcoming| size <= upcoming))
        };
        let passed = self.last.map_or(0, |last| last.size);
        for anchor in &mut self.anchors {
            while let Some(next) = anchor.records.next_if(is_due) {
                self.counts.anchored += 1;
                let note = match next {
                    Ok(note) => note,
                    Err(AnchorError::Damaged { source, .. }) => {
                        let why = error_chain(&*source);
                        tell.now(Finding::Anchor { why })?;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let (text, size) = (note.to_string(), size_of(&note));
                let beside = self.kept.front().filter(|kept| Some(kept.size()) == size);
                let in_database = match (beside, size) {
                    (Some(kept), _) => Some(kept.note.clone()),
                    // Two sealers may anchor the one after the other what they have sealed in the other order.
                    (None, Some(size)) if size <= passed => source.checkpoint(size)?,
                    (None, _) => None,
                };
                if in_database.as_ref() == Some(&text) {
                    let through = beside.and_then(Unproven::position);
                    self.agreed = self.agreed.max(through.unwrap_or(0));
                    let is_believed = beside.is_none_or(|kept| kept.opened.is_ok());
                    if let Some(size) = size.filter(|_| is_believed) {
                        anchor.has(size);
                    }
                    continue;
                }
                let checkpoint = match self.log.open(&note) {
                    Ok(checkpoint) => checkpoint,
                    Err(error) => {
                        let why = error_chain(&error);
                        tell.now(Finding::Anchor { why })?;
                        continue;
                    }
                };
                anchor.has(checkpoint.size);
                let position = checkpoint.through.map_or(0, |through| through.position());
                let found = in_database.map(|text| opened(&text, &self.log));
                match found {
                    // The same, signed by one key more.
                    Some(Ok(found)) if found == checkpoint => continue,
                    Some(Ok(found)) => tell.now(Finding::Forked {
                        size: checkpoint.size,
                        root: found.root,
                        other: checkpoint.root,
                        agreed: self.agreed,
                        position,
                    })?,
                    Some(Err(_)) | None => tell.now(Finding::NotInLog {
                        size: checkpoint.size,
                        root: checkpoint.root,
                        agreed: self.agreed,
                        position,
                        last: self.size_in_database,
                    })?,
                }
                let end = End::of(&checkpoint, Held::InAnchorOnly);
                // Where the one in the database is not to be believed, this one stands for it.
                let is_believed = self.kept.front().is_some_and(|kept| kept.opened.is_ok());
                let is_between =
                    |end: &End| end.size > passed && (upcoming != Some(end.size) || !is_believed);
                if let Some(end) = end.filter(is_between) {
                    return Ok(Some(end));
                }
            }
        }
        Ok(None)
    }
}

impl Unproven {
    /// As it was signed, or else as the column says.
    fn size(&self) -> u64 {
        let (size, ..) = self.columns;
        let of_column = u64::try_from(size).unwrap_or(0);
        self.opened.as_ref().map_or(of_column, |signed| signed.size)
    }

    /// Up to where it goes, if it is to be believed.
    fn position(&self) -> Option<i64> {
        let through = self.opened.as_ref().ok()?.through?;
        Some(through.position())
    }

    fn is_beside(&self, checkpoint: &Checkpoint) -> bool {
        let (size, events, outcomes, sealed_at) = self.columns;
        let through = checkpoint.through;
        u64::try_from(size) == Ok(checkpoint.size)
            && through.is_some_and(|one| (one.position(), one.outcome()) == (events, outcomes))
            && checkpoint.sealed_at_micros == Some(sealed_at)
    }
}

/// What a checkpoint says, if it is to be believed.
pub(crate) fn opened(note: &str, log: &TrustedLog) -> Result<Checkpoint, OpenCheckpointError> {
    log.open(&SignedNote::parse(note)?)
}

/// The size that a checkpoint says it has, whoever has signed it.
fn size_of(note: &SignedNote) -> Option<u64> {
    note.to_string().lines().nth(1)?.parse().ok()
}
