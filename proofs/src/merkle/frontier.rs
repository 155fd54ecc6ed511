//! The right edge of a log, which is all that its root depends on.

use super::head::{Size, TreeHead};
use super::node::{node_hash, root_over};
use super::subtree::Subtree;
use super::tile::{TileError, Tiles};
use crate::Hash;

/// The right edge of a log: the roots of the complete trees that it consists of, at most one for each bit of its size.
///
/// Whoever has all leaf hashes collects them into one, and has the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: Size,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Of a log without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a log of this size, from the tiles that [`needed_to_append`](super::needed_to_append) names. Tiles of a later
    /// size of the log serve as well.
    ///
    /// # Errors
    ///
    /// [`TileError`] when one is missing or short.
    pub fn from_tiles(size: Size, tiles: &Tiles) -> Result<Self, TileError> {
        let (begin, end) = (0, size.number());
        let peaks = Subtree { begin, end }.nodes().map(|node| node.hash(tiles));
        let peaks = peaks.collect::<Result<_, _>>()?;
        Ok(Self { size, peaks })
    }

    /// The log has one leaf more, whose leaf hash this is.
    pub fn append(&mut self, leaf: Hash) {
        self.append_each(leaf, |_, _| ());
    }

    /// How many leaves the log has.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Its Merkle Tree Hash (RFC 9162, section 2.1.1).
    #[must_use]
    pub fn root(&self) -> Hash {
        root_over(&self.peaks)
    }

    /// Both.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        TreeHead {
            size: self.size,
            root: self.root(),
        }
    }

    /// Appends, and shows each node that is complete with the leaf, with its level: the leaf itself first.
    pub(super) fn append_each(&mut self, leaf: Hash, mut complete: impl FnMut(u8, Hash)) {
        let carries = self.size.number().trailing_ones() as usize;
        let mut node = leaf;
        complete(0, node);
        for level in (1..64).take(carries) {
            let Some(left) = self.peaks.pop() else {
                break;
            };
            node = node_hash(left, node);
            complete(level, node);
        }
        self.peaks.push(node);
        self.size = self.size.next();
    }
}

impl Extend<Hash> for Frontier {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.append(leaf));
    }
}

impl FromIterator<Hash> for Frontier {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut frontier = Self::new();
        frontier.extend(leaves);
        frontier
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::reference::{self, ROOTS};
    use crate::merkle::{TileId, needed_to_append};

    #[test]
    fn published_leaves_have_the_published_roots() {
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root(), reference::hash(ROOTS[0]));
        for (leaf, root) in reference::published_leaves().into_iter().zip(&ROOTS[1..]) {
            frontier.append(leaf);
            assert_eq!(
                frontier.root(),
                reference::hash(root),
                "{}",
                frontier.size()
            );
        }
        assert_eq!(frontier.size(), Size::new(8));
    }

    #[test]
    fn a_frontier_comes_back_from_tiles_at_every_size() {
        let leaves = reference::leaves(700);
        let tiles = reference::tiles(&leaves);
        let mut frontier = Frontier::new();
        for leaf in leaves {
            assert_eq!(
                Frontier::from_tiles(frontier.size(), &tiles),
                Ok(frontier.clone())
            );
            frontier.append(leaf);
        }
        assert_eq!(Frontier::from_tiles(frontier.size(), &tiles), Ok(frontier));
    }

    #[test]
    fn a_frontier_needs_each_tile_that_is_named_and_no_other() {
        let leaves = reference::leaves(700);
        let tiles = reference::tiles(&leaves);
        let size = Size::new(700);
        let needed = needed_to_append(size);
        let all = reference::only(&tiles, &needed);
        let frontier = Frontier::from_iter(leaves);
        assert_eq!(Frontier::from_tiles(size, &all), Ok(frontier));
        for tile in &needed {
            let others: Vec<TileId> = needed
                .iter()
                .filter(|other| *other != tile)
                .copied()
                .collect();
            let refused = Frontier::from_tiles(size, &reference::only(&tiles, &others));
            assert_eq!(refused, Err(TileError::Missing { tile: *tile }));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_root_is_that_of_the_recursion(size in 0_u64..1_200) {
            let leaves = reference::leaves(size);
            let root = reference::root(&leaves);
            let frontier = Frontier::from_iter(leaves);
            prop_assert_eq!(frontier.head(), TreeHead { size: Size::new(size), root });
        }
    }
}
