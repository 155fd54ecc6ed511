//! From which tiles it is proved.

use super::error::OutsideLog;
use super::proof::InclusionProof;
use crate::merkle::subtree::{Subtree, hashes_of, tiles_of};
use crate::merkle::{Size, TileError, TileId, Tiles};

/// Which tiles prove that a leaf is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionPlan {
    index: u64,
    size: Size,
    path: Vec<Subtree>,
}

impl InclusionPlan {
    /// To prove that leaf `index` is in the log of this size (RFC 9162, section 2.1.3.1).
    ///
    /// # Errors
    ///
    /// [`OutsideLog`].
    pub fn new(index: u64, size: Size) -> Result<Self, OutsideLog> {
        if index >= size.number() {
            return Err(OutsideLog { index, size });
        }
        let mut path = Vec::new();
        let (mut begin, mut end) = (0, size.number());
        while let Some(middle) = (Subtree { begin, end }).middle() {
            if index < middle {
                path.push(Subtree { begin: middle, end });
                end = middle;
            } else {
                path.push(Subtree { begin, end: middle });
                begin = middle;
            }
        }
        path.reverse();
        Ok(Self { index, size, path })
    }

    /// The tiles that must be read: at most two a level.
    #[must_use]
    pub fn tiles(&self) -> Vec<TileId> {
        tiles_of(&self.path)
    }

    /// The proof, from these tiles.
    ///
    /// # Errors
    ///
    /// [`TileError`] when one is missing or short.
    pub fn prove(&self, tiles: &Tiles) -> Result<InclusionProof, TileError> {
        Ok(InclusionProof {
            index: self.index,
            size: self.size,
            path: hashes_of(&self.path, tiles)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Hash;
    use crate::merkle::TreeHead;
    use crate::merkle::reference::{self, ROOTS, head};

    fn proof(index: usize, leaves: &[Hash]) -> InclusionProof {
        let plan = InclusionPlan::new(index as u64, Size::new(leaves.len() as u64)).unwrap();
        plan.prove(&reference::tiles(leaves)).unwrap()
    }

    #[test]
    fn published_leaves_have_the_published_paths() {
        const A: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
        const B: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
        const C: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
        const D: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
        const E: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
        let leaves = reference::published_leaves();
        let published: [(usize, usize, &[&str]); 5] = [
            (0, 1, &[]),
            (0, 8, &[A, B, C]),
            (5, 8, &[D, E, ROOTS[4]]),
            (2, 3, &[ROOTS[2]]),
            (1, 5, &[ROOTS[1], B, D]),
        ];
        for (index, size, path) in published {
            let proof = proof(index, &leaves[..size]);
            let path: Vec<_> = path.iter().map(|hash| reference::hash(hash)).collect();
            assert_eq!(proof.path, path, "{index} of {size}");
            let root = reference::hash(ROOTS[size]);
            let size = Size::new(size as u64);
            assert_eq!(proof.verify(leaves[index], TreeHead { size, root }), Ok(()));
        }
    }

    #[test]
    fn a_plan_needs_each_tile_that_it_names() {
        let leaves = reference::leaves(1_000);
        let tiles = reference::tiles(&leaves);
        let plan = InclusionPlan::new(300, Size::new(1_000)).unwrap();
        let needed = plan.tiles();
        assert_eq!(needed.len(), 3, "{needed:?}");
        for tile in &needed {
            let others: Vec<_> = needed
                .iter()
                .filter(|other| *other != tile)
                .copied()
                .collect();
            let refused = plan.prove(&reference::only(&tiles, &others));
            assert_eq!(refused, Err(TileError::Missing { tile: *tile }));
        }
        let short = reference::tiles(&leaves[..999]);
        assert!(matches!(
            plan.prove(&short),
            Err(TileError::Short {
                width: 231,
                needed: 232,
                ..
            })
        ));
    }

    #[test]
    fn every_leaf_of_every_small_log_has_the_path_of_the_recursion() {
        let leaves = reference::leaves(40);
        for size in 1..=40 {
            let leaves = &leaves[..size];
            for index in 0..size {
                let path = reference::inclusion_path(index, leaves);
                assert_eq!(proof(index, leaves).path, path, "{index} of {size}");
            }
        }
    }

    #[test]
    fn a_leaf_outside_of_the_log_is_not_planned() {
        for (index, size) in [(0, 0), (3, 3), (u64::MAX, u64::MAX)] {
            let size = Size::new(size);
            assert_eq!(
                InclusionPlan::new(index, size),
                Err(OutsideLog { index, size })
            );
        }
    }

    #[test]
    fn the_largest_log_is_planned_without_overflow() {
        let plan = InclusionPlan::new(u64::MAX - 1, Size::new(u64::MAX)).unwrap();
        assert!(plan.tiles().len() <= 16);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_leaf_is_proved_from_the_planned_tiles_though_the_log_has_grown(
            total in 1_usize..1_200,
            (size, index) in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let size = 1 + size.index(total);
            let index = index.index(size);
            let leaves = reference::leaves(total as u64);
            let tiles = reference::tiles(&leaves);
            let leaves = &leaves[..size];
            let plan = InclusionPlan::new(index as u64, Size::new(size as u64)).unwrap();
            let proof = plan.prove(&reference::only(&tiles, &plan.tiles())).unwrap();
            prop_assert_eq!(&proof.path, &reference::inclusion_path(index, leaves));
            prop_assert_eq!(proof.verify(leaves[index], head(leaves)), Ok(()));
        }
    }
}
