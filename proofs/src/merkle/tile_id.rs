//! Which tile.

use std::fmt;

use super::head::Size;

/// Which tile of a log, as in C2SP tlog-tiles: with 256 leaves, or 256 roots of tiles of the level below.
///
/// Its text is the tile's path there, without the suffix of a partial one: `tile/0/x001/234`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 with leaves, 1 with hashes of 256 leaves, 2 with hashes of 65,536 …
    pub level: u8,
    /// 0 is the leftmost of its level.
    pub index: u64,
}

/// The tiles that must be read to append to a log of this size: those on its right edge that have room left. At most one a
/// level.
#[must_use]
pub fn needed_to_append(size: Size) -> Vec<TileId> {
    let last = |level| TileId {
        level,
        index: (size.number() >> (level * TileId::HEIGHT)) >> TileId::HEIGHT,
    };
    (0..TileId::LEVELS)
        .map(last)
        .filter(|tile| tile.width(size) > 0)
        .collect()
}

impl TileId {
    /// Hashes in a full tile.
    pub const WIDTH: usize = 1 << Self::HEIGHT;
    /// Levels of the tree in a tile.
    pub(super) const HEIGHT: u8 = 8;
    /// Levels of tiles that the largest log has.
    const LEVELS: u8 = 8;

    /// How many hashes it has in a log of this size: 0 where it is not in it, 256 where it is full.
    #[must_use]
    pub fn width(self, size: Size) -> usize {
        let shift = u32::from(self.level) * u32::from(Self::HEIGHT);
        let of_level = size.number().checked_shr(shift).unwrap_or(0);
        let before = self.index.saturating_mul(Self::WIDTH as u64);
        usize::try_from(of_level.saturating_sub(before))
            .map_or(Self::WIDTH, |width| width.min(Self::WIDTH))
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_groups(f, self.index / 1_000)?;
        write!(f, "{:03}", self.index % 1_000)
    }
}

fn write_groups(f: &mut fmt::Formatter<'_>, number: u64) -> fmt::Result {
    if number == 0 {
        return Ok(());
    }
    write_groups(f, number / 1_000)?;
    write!(f, "x{:03}/", number % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(size: u64) -> Vec<(u8, u64)> {
        let tiles = needed_to_append(Size::new(size));
        tiles.iter().map(|tile| (tile.level, tile.index)).collect()
    }

    #[test]
    fn only_tiles_with_room_are_needed_to_append() {
        assert_eq!(needed(0), []);
        assert_eq!(needed(1), [(0, 0)]);
        assert_eq!(needed(255), [(0, 0)]);
        assert_eq!(needed(256), [(1, 0)]);
        assert_eq!(needed(257), [(0, 1), (1, 0)]);
        assert_eq!(needed(65_535), [(0, 255), (1, 0)]);
        assert_eq!(needed(65_536), [(2, 0)]);
        assert_eq!(needed(65_536 + 257), [(0, 257), (1, 1), (2, 0)]);
        assert_eq!(needed(u64::MAX).len(), 8);
    }

    #[test]
    fn a_tile_has_as_many_hashes_as_its_level_has_left_for_it() {
        let width = |level, index, size| TileId { level, index }.width(Size::new(size));
        assert_eq!(width(0, 0, 0), 0);
        assert_eq!(width(0, 0, 70_000), 256);
        assert_eq!(width(0, 273, 70_000), 112);
        assert_eq!(width(0, 274, 70_000), 0);
        assert_eq!(width(1, 1, 70_000), 17);
        assert_eq!(width(2, 0, 70_000), 1);
        assert_eq!(width(3, 0, 70_000), 0);
        assert_eq!(width(u8::MAX, u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn a_tile_is_named_by_its_path() {
        let path = |level, index| TileId { level, index }.to_string();
        assert_eq!(path(0, 0), "tile/0/000");
        assert_eq!(path(1, 999), "tile/1/999");
        assert_eq!(path(0, 1_234_067), "tile/0/x001/x234/067");
        assert_eq!(path(2, 1_000), "tile/2/x001/000");
    }
}
