//! The leaves as the tiles have them, from the first to the last.

use std::ops::Range;

use folio_proofs::Hash;
use folio_proofs::merkle::{TileId, Tiles};

use super::error::WalkError;
use super::source::Source;

/// Tiles that are read at once, in 8 KB each.
const WINDOW: u64 = 32;

/// The leaves as the tiles have them. A few tiles are in memory.
#[derive(Debug, Default)]
pub(crate) struct SealedLeaves {
    tiles: Tiles,
    window: Range<u64>,
}

impl SealedLeaves {
    /// The hash of a leaf, if its tile is there and has it.
    pub(crate) fn hash(
        &mut self,
        source: &mut impl Source,
        leaf: u64,
    ) -> Result<Option<Hash>, WalkError> {
        let width = TileId::WIDTH as u64;
        let index = leaf / width;
        if !self.window.contains(&index) {
            self.window = index..index.saturating_add(WINDOW);
            let ids = self.window.clone().map(|index| TileId { level: 0, index });
            self.tiles = source.tiles(ids.collect())?;
        }
        let hashes = self.tiles.hashes(TileId { level: 0, index });
        let place = usize::try_from(leaf % width).unwrap_or(usize::MAX);
        Ok(hashes.and_then(|hashes| hashes.get(place)).copied())
    }
}
