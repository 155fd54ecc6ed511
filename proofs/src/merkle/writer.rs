//! Appends to a log that is kept in tiles.

use std::collections::BTreeMap;
use std::mem;

use super::frontier::Frontier;
use super::head::{Size, TreeHead};
use super::subtree::Node;
use super::tile::{Tile, TileError, Tiles};
use super::tile_id::{TileId, needed_to_append};
use crate::Hash;

/// Appends leaves to a log and knows which tiles have changed with them. It holds one tile a level, and those that are not
/// taken yet.
#[derive(Debug, Clone, Default)]
pub struct TileWriter {
    frontier: Frontier,
    /// Of each level the tile that has room left.
    growing: BTreeMap<u8, Tile>,
    /// Those that were filled since tiles were last taken.
    full: Vec<Tile>,
    /// The size when tiles were last taken.
    taken: Size,
}

impl TileWriter {
    /// A log without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with a log of this size, from the tiles that [`needed_to_append`] names. What they hold behind this size
    /// is written again by what is appended.
    ///
    /// # Errors
    ///
    /// [`TileError`] when one is missing or short.
    pub fn resume(size: Size, tiles: &Tiles) -> Result<Self, TileError> {
        let held = |id: TileId| {
            let hashes = tiles.prefix(id, id.width(size))?.to_vec();
            Ok((id.level, Tile::new(id, hashes)))
        };
        let growing = needed_to_append(size).into_iter().map(held);
        Ok(Self {
            frontier: Frontier::from_tiles(size, tiles)?,
            growing: growing.collect::<Result<_, _>>()?,
            full: Vec::new(),
            taken: size,
        })
    }

    /// The log has one leaf more, whose leaf hash this is.
    pub fn append(&mut self, leaf: Hash) {
        let index = self.frontier.size().number();
        self.frontier.append_each(leaf, |level, hash| {
            if level % TileId::HEIGHT == 0 {
                let index = index >> level;
                let (id, ..) = Node { level, index }.place();
                let tile = self.growing.entry(id.level);
                let tile = tile.or_insert_with(|| Tile::new(id, Vec::with_capacity(TileId::WIDTH)));
                tile.push(hash);
                if tile.hashes().len() == TileId::WIDTH {
                    self.full.extend(self.growing.remove(&id.level));
                }
            }
        });
    }

    /// What the log is now. It holds for what is stored once the changed tiles are.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.frontier.head()
    }

    /// How many leaves it has.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.frontier.size()
    }

    /// The tiles that have changed since they were last taken, each as it is now: to store in place of what is stored of
    /// them.
    #[must_use = "tiles that are taken and not stored are lost"]
    pub fn take_changed(&mut self) -> Vec<Tile> {
        let taken = mem::replace(&mut self.taken, self.frontier.size());
        let growing = self.growing.values();
        let changed = growing.filter(|tile| tile.id().width(taken) < tile.hashes().len());
        let mut tiles = mem::take(&mut self.full);
        tiles.extend(changed.cloned());
        tiles.sort_unstable_by_key(Tile::id);
        tiles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::reference;
    use crate::merkle::{ConsistencyPlan, InclusionPlan};

    fn ids(tiles: &[Tile]) -> Vec<(u8, u64, usize)> {
        let id = |tile: &Tile| (tile.id().level, tile.id().index, tile.hashes().len());
        tiles.iter().map(id).collect()
    }

    #[test]
    fn tiles_hold_the_nodes_that_the_tree_has() {
        for size in [0, 1, 2, 255, 256, 257, 511, 512, 1_000] {
            let leaves = reference::leaves(size);
            let mut writer = TileWriter::new();
            leaves.iter().for_each(|leaf| writer.append(*leaf));
            let tiles = Tiles::from_iter(writer.take_changed());
            assert_eq!(tiles, reference::tiles(&leaves), "{size}");
        }
    }

    #[test]
    fn a_log_that_is_resumed_at_every_size_is_the_same_as_in_one_go() {
        let mut one_go = TileWriter::new();
        let mut stored = Tiles::new();
        for leaf in reference::leaves(700) {
            let size = one_go.size();
            let needed = reference::only(&stored, &needed_to_append(size));
            let mut resumed = TileWriter::resume(size, &needed).unwrap();
            assert_eq!(resumed.head(), one_go.head());
            resumed.append(leaf);
            one_go.append(leaf);
            assert_eq!(resumed.head(), one_go.head());
            stored.extend(resumed.take_changed());
        }
        assert_eq!(stored, Tiles::from_iter(one_go.take_changed()));
    }

    #[test]
    fn only_changed_tiles_are_taken_and_only_once() {
        let mut writer = TileWriter::new();
        let leaves = reference::leaves(700);
        let mut take_after = |begin: usize, end: usize| {
            leaves[begin..end]
                .iter()
                .for_each(|leaf| writer.append(*leaf));
            ids(&writer.take_changed())
        };
        assert_eq!(take_after(0, 255), [(0, 0, 255)]);
        assert_eq!(take_after(255, 255), []);
        assert_eq!(take_after(255, 256), [(0, 0, 256), (1, 0, 1)]);
        assert_eq!(take_after(256, 257), [(0, 1, 1)]);
        assert_eq!(take_after(257, 700), [(0, 1, 256), (0, 2, 188), (1, 0, 2)]);
        assert_eq!(take_after(700, 700), []);
    }

    #[test]
    fn a_log_with_three_levels_of_tiles_is_proved_from_few_of_them() {
        let leaves = reference::leaves(65_536 + 300);
        let size = Size::new(65_536 + 300);
        let mut writer = TileWriter::new();
        leaves[..65_535]
            .iter()
            .for_each(|leaf| writer.append(*leaf));
        let mut stored = Tiles::from_iter(writer.take_changed());
        writer.append(leaves[65_535]);
        assert_eq!(
            ids(&writer.take_changed()),
            [(0, 255, 256), (1, 0, 256), (2, 0, 1)]
        );

        let mut writer = TileWriter::resume(Size::new(65_535), &stored).unwrap();
        leaves[65_535..]
            .iter()
            .for_each(|leaf| writer.append(*leaf));
        stored.extend(writer.take_changed());
        let head = TreeHead {
            size,
            root: reference::root(&leaves),
        };
        assert_eq!(writer.head(), head);

        for index in [0_usize, 255, 256, 65_535, 65_536, 65_791, 65_792, 65_835] {
            let plan = InclusionPlan::new(index as u64, size).unwrap();
            assert!(plan.tiles().len() <= 6, "{:?}", plan.tiles());
            let proof = plan
                .prove(&reference::only(&stored, &plan.tiles()))
                .unwrap();
            assert_eq!(proof.verify(leaves[index], head), Ok(()));
        }
        for old in [1_usize, 255, 256, 257, 65_535, 65_536, 65_537, 65_835] {
            let plan = ConsistencyPlan::new(Size::new(old as u64), size).unwrap();
            assert!(plan.tiles().len() <= 6, "{:?}", plan.tiles());
            let proof = plan
                .prove(&reference::only(&stored, &plan.tiles()))
                .unwrap();
            let old = leaves[..old].iter().copied().collect::<Frontier>();
            assert_eq!(proof.verify(old.head(), head), Ok(()));
        }
    }
}
