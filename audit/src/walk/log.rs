//! The log as the rows have it, beside the one that the tiles have.

use std::mem;

use folio_proofs::Hash;
use folio_proofs::merkle::{Size, Tile, TileError, TileWriter, Tiles};

use super::finding::RowAt;
use crate::rows::StoredEvent;

/// Stands for a leaf of which nothing is left.
const LOST: Hash = Hash::from_bytes([0; Hash::LENGTH]);

/// What the rows come to, and what the tiles do once they differ, since the last root that was signed.
#[derive(Debug, Default)]
pub(crate) struct WalkedLog {
    rows: TileWriter,
    /// None while they say the same.
    tiles: Option<TileWriter>,
    differences: Vec<Difference>,
}

/// A leaf of which row and tile say different things.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) leaf: u64,
    /// Where it belongs, for an event.
    pub(crate) position: Option<i64>,
    /// The row that is there. None where it is missing.
    pub(crate) row: Option<RowAt>,
    /// All of it, of the first ones.
    pub(crate) event: Option<Box<StoredEvent>>,
    /// What the tile says. None where it is missing.
    pub(crate) sealed: Option<Hash>,
}

/// Who says what was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The rows.
    Rows,
    /// The tiles, and the rows do not.
    Tiles,
    /// Neither. This is what the rows come to.
    Neither(Hash),
}

impl WalkedLog {
    /// How many leaves there were.
    pub(crate) const fn size(&self) -> u64 {
        self.rows.size().number()
    }

    /// Takes in the next leaf, as its row and its tile have it. Answers whether they say the same.
    pub(crate) fn leaf(&mut self, row: Option<Hash>, tile: Option<Hash>) -> Agreement {
        let of_row = row.or(tile).unwrap_or(LOST);
        let of_tile = tile.or(row).unwrap_or(LOST);
        if of_row != of_tile && self.tiles.is_none() {
            self.tiles = Some(self.rows.clone());
        }
        self.rows.append(of_row);
        if let Some(tiles) = &mut self.tiles {
            tiles.append(of_tile);
        }
        if row.is_some() && row == tile {
            Agreement::Same
        } else {
            Agreement::Different
        }
    }

    pub(crate) fn differ(&mut self, difference: Difference) {
        self.differences.push(difference);
    }

    pub(crate) const fn differences(&self) -> usize {
        self.differences.len()
    }

    /// Compares both with the root that was signed, and goes on with the one that has it. Answers with what has differed.
    pub(crate) fn settle(&mut self, signed: Hash) -> (Verdict, Vec<Difference>) {
        let found = self.rows.head().root;
        let tiles = self.tiles.take();
        let differences = mem::take(&mut self.differences);
        if found == signed {
            return (Verdict::Rows, differences);
        }
        if let Some(tiles) = tiles
            && tiles.head().root == signed
        {
            self.rows = tiles;
            return (Verdict::Tiles, differences);
        }
        (Verdict::Neither(found), differences)
    }

    /// Nothing further is signed. Answers with what has differed since.
    pub(crate) fn unsettled(&mut self) -> Vec<Difference> {
        mem::take(&mut self.differences)
    }

    /// Goes on with what the tiles on the right edge have, if that is what was signed.
    pub(crate) fn resume(&mut self, tiles: &Tiles, signed: Hash) -> Result<Resumed, TileError> {
        let writer = TileWriter::resume(Size::new(self.size()), tiles)?;
        if writer.head().root != signed {
            return Ok(Resumed::Not);
        }
        self.rows = writer;
        Ok(Resumed::FromTiles)
    }

    /// The tiles that have changed, as they should be stored.
    pub(crate) fn take_changed(&mut self) -> Vec<Tile> {
        self.rows.take_changed()
    }
}

/// Whether row and tile say the same of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreement {
    Same,
    Different,
}

/// Whether the log goes on from its tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resumed {
    FromTiles,
    Not,
}
