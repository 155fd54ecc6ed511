//! From which tiles it is proved.

use super::error::LogShrinks;
use super::proof::ConsistencyProof;
use crate::merkle::subtree::{Subtree, hashes_of, tiles_of};
use crate::merkle::{Size, TileError, TileId, Tiles};

/// Which tiles prove that a log has only grown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyPlan {
    from: Size,
    to: Size,
    path: Vec<Subtree>,
}

impl ConsistencyPlan {
    /// To prove that the log of size `to` begins with the one of size `from` (RFC 9162, section 2.1.4.1).
    ///
    /// # Errors
    ///
    /// [`LogShrinks`] when `from` is the larger one.
    pub fn new(from: Size, to: Size) -> Result<Self, LogShrinks> {
        if from > to {
            return Err(LogShrinks { from, to });
        }
        let path = match from {
            Size::EMPTY => Vec::new(),
            _ => path_between(from.number(), to.number()),
        };
        Ok(Self { from, to, path })
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
    pub fn prove(&self, tiles: &Tiles) -> Result<ConsistencyProof, TileError> {
        Ok(ConsistencyProof {
            from: self.from,
            to: self.to,
            path: hashes_of(&self.path, tiles)?,
        })
    }
}

/// SUBPROOF of RFC 9162, section 2.1.4.1, from the root down to where the old log ends.
fn path_between(from: u64, to: u64) -> Vec<Subtree> {
    let mut path = Vec::new();
    let (mut begin, mut end) = (0, to);
    while from != end
        && let Some(middle) = (Subtree { begin, end }).middle()
    {
        if from <= middle {
            path.push(Subtree { begin: middle, end });
            end = middle;
        } else {
            path.push(Subtree { begin, end: middle });
            begin = middle;
        }
    }
    // From 0 on, it is the old root itself, which whoever checks has.
    if begin != 0 {
        path.push(Subtree { begin, end });
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Hash;
    use crate::merkle::TreeHead;
    use crate::merkle::reference::{self, ROOTS, head};

    fn proof(from: usize, leaves: &[Hash]) -> ConsistencyProof {
        let sizes = [from, leaves.len()].map(|size| Size::new(size as u64));
        let plan = ConsistencyPlan::new(sizes[0], sizes[1]).unwrap();
        plan.prove(&reference::tiles(leaves)).unwrap()
    }

    #[test]
    fn published_leaves_have_the_published_paths() {
        const A: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
        const B: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
        const C: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
        const D: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
        const E: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
        const F: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
        let leaves = reference::published_leaves();
        let published: [(usize, usize, &[&str]); 5] = [
            (1, 1, &[]),
            (1, 8, &[A, B, C]),
            (2, 8, &[B, C]),
            (6, 8, &[F, E, ROOTS[4]]),
            (2, 5, &[B, D]),
        ];
        for (from, to, path) in published {
            let proof = proof(from, &leaves[..to]);
            let path: Vec<_> = path.iter().map(|hash| reference::hash(hash)).collect();
            assert_eq!(proof.path, path, "{from} to {to}");
            let head = |size: usize| TreeHead {
                size: Size::new(size as u64),
                root: reference::hash(ROOTS[size]),
            };
            assert_eq!(proof.verify(head(from), head(to)), Ok(()));
        }
    }

    #[test]
    fn a_plan_needs_each_tile_that_it_names() {
        let leaves = reference::leaves(1_000);
        let tiles = reference::tiles(&leaves);
        let plan = ConsistencyPlan::new(Size::new(301), Size::new(1_000)).unwrap();
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
    }

    #[test]
    fn every_two_small_logs_have_the_path_of_the_recursion() {
        let leaves = reference::leaves(40);
        for to in 0..=40 {
            let leaves = &leaves[..to];
            for from in 0..=to {
                let path = reference::consistency_path(from, leaves);
                assert_eq!(proof(from, leaves).path, path, "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_log_that_shrinks_is_not_planned() {
        let (from, to) = (Size::new(5), Size::new(4));
        assert_eq!(ConsistencyPlan::new(from, to), Err(LogShrinks { from, to }));
    }

    #[test]
    fn the_largest_log_is_planned_without_overflow() {
        let plan = ConsistencyPlan::new(Size::new(u64::MAX - 1), Size::new(u64::MAX)).unwrap();
        assert!(plan.tiles().len() <= 16);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn growth_is_proved_from_the_planned_tiles_though_the_log_has_grown_on(
            total in 1_usize..1_200,
            (to, from) in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let to = 1 + to.index(total);
            let from = from.index(to + 1);
            let leaves = reference::leaves(total as u64);
            let tiles = reference::tiles(&leaves);
            let leaves = &leaves[..to];
            let plan = ConsistencyPlan::new(Size::new(from as u64), Size::new(to as u64)).unwrap();
            let proof = plan.prove(&reference::only(&tiles, &plan.tiles())).unwrap();
            prop_assert_eq!(&proof.path, &reference::consistency_path(from, leaves));
            prop_assert_eq!(proof.verify(head(&leaves[..from]), head(leaves)), Ok(()));
        }
    }
}
