//! Parts of the tree, and where their hashes are found in tiles.

use std::collections::BTreeSet;

use super::frontier::Frontier;
use super::node::root_over;
use super::tile::{TileError, Tiles};
use super::tile_id::TileId;
use crate::Hash;

/// The tree over the leaves from `begin` up to `end`: a part of the log's tree, so that `begin` is a multiple of a power of
/// two that is not below the number of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subtree {
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// A node whose leaves are all there: `1 << level` of them, from `index << level` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) level: u8,
    pub(super) index: u64,
}

impl Subtree {
    /// Where its left part ends: at the largest power of two below its leaves (RFC 9162, section 2.1.1). None for a single leaf.
    pub(super) fn middle(self) -> Option<u64> {
        let span = (self.end - self.begin).checked_sub(1)?;
        Some(self.begin + (1 << span.checked_ilog2()?))
    }

    /// The complete nodes that it consists of, from left to right.
    pub(super) fn nodes(self) -> impl Iterator<Item = Node> {
        let Self { begin, end } = self;
        (0..64_u8)
            .rev()
            .filter(move |level| (end - begin) >> level & 1 == 1)
            .map(move |level| Node {
                level,
                index: (end >> level) - 1,
            })
    }

    fn hash(self, tiles: &Tiles) -> Result<Hash, TileError> {
        let peaks = self.nodes().map(|node| node.hash(tiles));
        Ok(root_over(&peaks.collect::<Result<Vec<_>, _>>()?))
    }
}

impl Node {
    /// The tile that holds it, or the nodes below it, and where in the tile these begin and end.
    pub(super) fn place(self) -> (TileId, usize, usize) {
        let (level, below) = (self.level / TileId::HEIGHT, self.level % TileId::HEIGHT);
        let first = self.index << below;
        let [.., begin] = first.to_be_bytes();
        let tile = TileId {
            level,
            index: first >> TileId::HEIGHT,
        };
        let begin = usize::from(begin);
        (tile, begin, begin + (1 << below))
    }

    pub(super) fn hash(self, tiles: &Tiles) -> Result<Hash, TileError> {
        let (tile, begin, end) = self.place();
        let hashes = tiles.prefix(tile, end)?.iter().skip(begin);
        Ok(hashes.copied().collect::<Frontier>().root())
    }
}

/// The tiles from which the hashes of these are computed.
pub(super) fn tiles_of(subtrees: &[Subtree]) -> Vec<TileId> {
    let nodes = subtrees.iter().flat_map(|subtree| subtree.nodes());
    let tiles: BTreeSet<_> = nodes.map(|node| node.place().0).collect();
    tiles.into_iter().collect()
}

/// The hashes of these.
pub(super) fn hashes_of(subtrees: &[Subtree], tiles: &Tiles) -> Result<Vec<Hash>, TileError> {
    subtrees.iter().map(|subtree| subtree.hash(tiles)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::reference;

    #[test]
    fn every_part_of_the_tree_has_the_hash_that_its_leaves_have() {
        let leaves = reference::leaves(600);
        let tiles = reference::tiles(&leaves);
        for end in 1..=600 {
            let mut subtree = Subtree { begin: 0, end };
            loop {
                let [begin, end] =
                    [subtree.begin, subtree.end].map(|at| usize::try_from(at).unwrap());
                let expected = reference::root(&leaves[begin..end]);
                assert_eq!(subtree.hash(&tiles), Ok(expected), "{subtree:?}");
                let Some(middle) = subtree.middle() else {
                    break;
                };
                subtree.begin = middle;
            }
        }
    }

    #[test]
    fn the_left_part_is_the_largest_power_of_two_that_leaves_a_right_part() {
        let middle = |begin, end| Subtree { begin, end }.middle();
        assert_eq!(middle(0, 0), None);
        assert_eq!(middle(4, 5), None);
        assert_eq!(middle(0, 2), Some(1));
        assert_eq!(middle(0, 3), Some(2));
        assert_eq!(middle(0, 4), Some(2));
        assert_eq!(middle(8, 13), Some(12));
        assert_eq!(middle(0, u64::MAX), Some(1 << 63));
    }

    #[test]
    fn a_node_is_found_in_the_tile_of_its_level() {
        let place = |level, index| {
            let (tile, begin, end) = Node { level, index }.place();
            (tile.level, tile.index, begin, end)
        };
        assert_eq!(place(0, 300), (0, 1, 44, 45));
        assert_eq!(place(7, 3), (0, 1, 128, 256));
        assert_eq!(place(8, 300), (1, 1, 44, 45));
        assert_eq!(place(9, 3), (1, 0, 6, 8));
        assert_eq!(place(63, 1), (7, 0, 128, 256));
    }
}
