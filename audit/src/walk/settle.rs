//! Judges what was walked at a root that was signed.

use std::mem;

use folio_proofs::Hash;
use folio_proofs::merkle::{Size, TileId, needed_to_append};

use super::ends::{End, Held, Signed};
use super::error::WalkError;
use super::finding::{Evidence, Finding};
use super::log::{Resumed, Verdict};
use super::source::Source;
use super::tell::Walked;
use super::verdict::{altered_rows, altered_tiles};
use super::walker::Walker;

/// Whether what was walked is what was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    AsSigned,
    Adrift,
}

/// Which of the tiles above the leaves are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upper {
    Full,
    All,
}

impl<S: Source, F: FnMut(Walked) -> Result<(), WalkError>> Walker<S, F> {
    /// Says who is right where rows and tiles differ.
    pub(super) fn settle(&mut self, end: &End, signed: Signed) -> Result<(), WalkError> {
        let (verdict, differences) = self.log.settle(signed.root);
        let findings = match verdict {
            Verdict::Rows => {
                let present = differences.iter().filter(|one| one.row.is_some());
                altered_tiles(present.map(|one| one.leaf))
            }
            Verdict::Tiles => altered_rows(differences, Evidence::Signed),
            Verdict::Neither(found) => {
                self.streams_course = Course::Adrift;
                let course = mem::replace(&mut self.course, Course::Adrift);
                let narrowed = self.resume(end, signed)?;
                // One that has lost its way before says nothing of these leaves.
                if course == Course::AsSigned || !differences.is_empty() {
                    let rewritten = self.stretch.rewritten(narrowed, found, signed.root);
                    let at = rewritten.0;
                    self.tell.hold(at, rewritten.1);
                }
                altered_rows(differences, Evidence::TileAlone)
            }
        };
        for (position, finding) in findings {
            self.tell.hold(position, finding);
        }
        if !matches!(verdict, Verdict::Neither(_)) {
            self.course = Course::AsSigned;
            self.remember_upper();
            self.compare_upper(Upper::Full)?;
        }
        self.compare_map(end.size, signed.map_root);
        self.stretch.settled();
        self.tell.release()
    }

    /// What is behind the last root, and what holds for the whole log.
    pub(super) fn end_of_log(&mut self) -> Result<(), WalkError> {
        let unsettled = self.log.unsettled();
        for (position, finding) in altered_rows(unsettled, Evidence::TileAlone) {
            self.tell.hold(position, finding);
        }
        if self.course == Course::AsSigned {
            self.compare_upper(Upper::All)?;
        }
        if let Some(signed) = self.at.signed {
            if mem::replace(&mut self.streams_course, Course::AsSigned) == Course::Adrift {
                self.compare_map(self.at.size, signed.map_root);
            }
            self.compare_buckets(signed);
        }
        self.tell.release()
    }

    /// Goes on with the tiles on the right edge, if they have the root that was signed. Then they tell which leaves are other
    /// ones more closely.
    fn resume(&mut self, end: &End, signed: Signed) -> Result<Option<(u64, u64)>, WalkError> {
        self.remember_upper();
        let edge = self.source.tiles(needed_to_append(Size::new(end.size)))?;
        let narrowed = match self.log.resume(&edge, signed.root) {
            Ok(Resumed::FromTiles) => {
                self.course = Course::AsSigned;
                self.differing_upper(Upper::All)?
            }
            Ok(Resumed::Not) | Err(_) => Vec::new(),
        };
        // They are of what the rows came to.
        self.upper.clear();
        let leaves = narrowed.into_iter().filter(|(tile, ..)| tile.level == 1);
        Ok(leaves.map(|(_, first, last)| (first, last)).next())
    }

    fn remember_upper(&mut self) {
        let changed = self.log.take_changed().into_iter();
        let upper = changed.filter(|tile| tile.id().level > 0);
        self.upper.extend(upper.map(|tile| (tile.id(), tile)));
    }

    fn compare_upper(&mut self, which: Upper) -> Result<(), WalkError> {
        for (tile, first_leaf, last_leaf) in self.differing_upper(which)? {
            let finding = Finding::Tile {
                tile: tile.to_string(),
                first_leaf,
                last_leaf,
            };
            self.tell.hold(i64::MAX, finding);
        }
        let is_partial = |width: usize| width < TileId::WIDTH && which == Upper::Full;
        self.upper.retain(|_, tile| is_partial(tile.hashes().len()));
        Ok(())
    }

    /// The first hash of each tile that is another one in the database, with the leaves below it.
    fn differing_upper(&mut self, which: Upper) -> Result<Vec<(TileId, u64, u64)>, WalkError> {
        let is_wanted = |width: usize| width == TileId::WIDTH || which == Upper::All;
        let wanted = self.upper.values();
        let wanted: Vec<_> = wanted
            .filter(|tile| is_wanted(tile.hashes().len()))
            .collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let stored = self
            .source
            .tiles(wanted.iter().map(|tile| tile.id()).collect())?;
        let mut differing = Vec::new();
        for tile in wanted {
            let id = tile.id();
            let held = stored.hashes(id).unwrap_or_default();
            let mut all = (0_u64..).zip(tile.hashes());
            let is_other = |(place, hash): &(u64, _)| {
                let place = usize::try_from(*place).ok();
                place.and_then(|place| held.get(place)) != Some(*hash)
            };
            let Some((place, _)) = all.find(is_other) else {
                continue;
            };
            let below = 8 * u32::from(id.level);
            let first = (id.index * TileId::WIDTH as u64 + place) << below;
            differing.push((id, first, first + (1 << below) - 1));
        }
        Ok(differing)
    }

    /// Where the streams end, at each checkpoint: the one before and the one behind say nothing of it. Behind an event that is
    /// not the one that was sealed they may end elsewhere, until the map fits again; whether it does is told at the end.
    fn compare_map(&mut self, size: u64, signed: Hash) {
        let found = self.streams.root();
        if found == signed {
            self.streams_course = Course::AsSigned;
        } else if self.streams_course == Course::AsSigned {
            let finding = Finding::Map {
                size,
                found,
                signed,
            };
            self.tell.hold(i64::MAX, finding);
        }
    }

    /// The buckets of the map. Only those of the last checkpoint are kept.
    fn compare_buckets(&mut self, signed: Signed) {
        let is_theirs = signed.held == Held::InDatabase && self.at.size == self.moment.size;
        if is_theirs && self.streams.root() == signed.map_root {
            for number in self.streams.differing(&self.moment.buckets) {
                let number = number.number();
                self.tell.hold(i64::MAX, Finding::Bucket { number });
            }
        }
    }
}
