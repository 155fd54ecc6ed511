//! The tiles in which a log's nodes are kept.

use std::collections::BTreeMap;

use super::tile_id::TileId;
use crate::Hash;

/// Up to 256 hashes that stand side by side in one level of the tree. What a log has of a tile only ever grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    id: TileId,
    hashes: Vec<Hash>,
}

/// Tiles that were read. They may be wider than was asked for, when the log has grown since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tiles(BTreeMap<TileId, Vec<Hash>>);

/// Why bytes are no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{tile} is damaged: {length} bytes are stored, and a tile has 1 to 256 hashes of 32")]
pub struct InvalidTile {
    /// The tile.
    pub tile: TileId,
    /// How many bytes there were.
    pub length: usize,
}

/// Why the tiles do not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// It was not read, or is not stored.
    #[error(
        "{tile} is missing: read all tiles that are needed; if it is not stored, the log is damaged"
    )]
    Missing {
        /// The tile.
        tile: TileId,
    },
    /// It is not as wide as the size of the log says.
    #[error(
        "{tile} has {width} hashes of the {needed} needed: it is older than this size of the log, or damaged"
    )]
    Short {
        /// The tile.
        tile: TileId,
        /// The hashes it has.
        width: usize,
        /// The hashes that are needed.
        needed: usize,
    },
}

impl Tile {
    /// The tile that was stored as these bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidTile`] unless they are 1 to 256 hashes.
    pub fn from_bytes(id: TileId, bytes: &[u8]) -> Result<Self, InvalidTile> {
        let (hashes, rest) = bytes.as_chunks();
        if hashes.is_empty() || hashes.len() > TileId::WIDTH || !rest.is_empty() {
            let length = bytes.len();
            return Err(InvalidTile { tile: id, length });
        }
        let hashes = hashes.iter().copied().map(Hash::from_bytes).collect();
        Ok(Self { id, hashes })
    }

    pub(super) const fn new(id: TileId, hashes: Vec<Hash>) -> Self {
        Self { id, hashes }
    }

    /// Which it is.
    #[must_use]
    pub const fn id(&self) -> TileId {
        self.id
    }

    /// What is in it.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Its bytes, as they are stored: one hash behind the other.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.hashes.len().saturating_mul(Hash::LENGTH));
        for hash in &self.hashes {
            bytes.extend_from_slice(hash.as_bytes());
        }
        bytes
    }

    /// It has one hash more.
    pub(super) fn push(&mut self, hash: Hash) {
        self.hashes.push(hash);
    }
}

impl Tiles {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a tile, in place of an earlier state of it.
    pub fn insert(&mut self, tile: Tile) {
        self.0.insert(tile.id, tile.hashes);
    }

    /// What is in this tile.
    #[must_use]
    pub fn hashes(&self, tile: TileId) -> Option<&[Hash]> {
        self.0.get(&tile).map(Vec::as_slice)
    }

    /// The first `width` hashes of a tile.
    pub(super) fn prefix(&self, tile: TileId, width: usize) -> Result<&[Hash], TileError> {
        let hashes = self.hashes(tile).ok_or(TileError::Missing { tile })?;
        hashes.get(..width).ok_or(TileError::Short {
            tile,
            width: hashes.len(),
            needed: width,
        })
    }
}

impl Extend<Tile> for Tiles {
    fn extend<I: IntoIterator<Item = Tile>>(&mut self, tiles: I) {
        tiles.into_iter().for_each(|tile| self.insert(tile));
    }
}

impl FromIterator<Tile> for Tiles {
    fn from_iter<I: IntoIterator<Item = Tile>>(tiles: I) -> Self {
        let mut all = Self::new();
        all.extend(tiles);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::reference::leaves;

    const ID: TileId = TileId { level: 0, index: 7 };

    #[test]
    fn a_tile_comes_back_from_its_bytes() {
        for width in [1, 2, 255, 256] {
            let tile = Tile::new(ID, leaves(width));
            assert_eq!(Tile::from_bytes(ID, &tile.to_bytes()), Ok(tile));
        }
    }

    #[test]
    fn bytes_that_are_not_1_to_256_hashes_are_refused() {
        for length in [0, 1, 31, 33, 256 * 32 + 1, 257 * 32] {
            let refused = InvalidTile { tile: ID, length };
            assert_eq!(Tile::from_bytes(ID, &vec![7; length]), Err(refused));
        }
    }

    #[test]
    fn a_tile_that_does_not_serve_is_named() {
        let tiles = Tiles::from_iter([Tile::new(ID, leaves(3))]);
        assert_eq!(tiles.prefix(ID, 2), Ok(&leaves(2)[..]));
        let short = tiles.prefix(ID, 4).unwrap_err().to_string();
        assert!(
            short.starts_with("tile/0/007 has 3 hashes of the 4 needed"),
            "{short}"
        );
        let tile = TileId { level: 1, index: 7 };
        let missing = tiles.prefix(tile, 1).unwrap_err().to_string();
        assert!(missing.starts_with("tile/1/007 is missing"), "{missing}");
    }
}
