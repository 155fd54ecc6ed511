//! What shows it, and how that is checked.

use serde::{Deserialize, Serialize};

use super::error::{ConsistencyError, LogShrinks};
use crate::Hash;
use crate::merkle::climb::{Climb, Sibling};
use crate::merkle::node::{empty_root, node_hash};
use crate::merkle::{Size, TreeHead};

/// That the log of one size begins with the log of another (RFC 9162, section 2.1.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// The old size.
    pub from: Size,
    /// The new size.
    pub to: Size,
    /// The hashes from which both roots are computed. Empty from size 0, and between equal sizes.
    pub path: Vec<Hash>,
}

impl ConsistencyProof {
    /// Whether the log of the new head begins with the log of the old one (RFC 9162, section 2.1.4.2).
    ///
    /// The RFC leaves out two cases. Heads of equal size must have one root. Every log begins with the empty one, so from
    /// size 0 nothing is shown of the new head. In both the path is empty.
    ///
    /// # Errors
    ///
    /// [`ConsistencyError`] says what does not fit.
    pub fn verify(&self, old: TreeHead, new: TreeHead) -> Result<(), ConsistencyError> {
        let (from, to) = (self.from, self.to);
        if (from, to) != (old.size, new.size) {
            return Err(ConsistencyError::OtherSizes {
                from,
                to,
                old: old.size,
                new: new.size,
            });
        }
        if from > to {
            return Err(LogShrinks { from, to }.into());
        }
        if from == Size::EMPTY || from == to {
            return self.verify_without_path(old, new);
        }
        let (was, is) = self.roots(old.root)?;
        if was != old.root {
            return Err(ConsistencyError::OldRoot {
                size: from,
                computed: was,
                root: old.root,
            });
        }
        if is != new.root {
            return Err(ConsistencyError::NewRoot {
                size: to,
                computed: is,
                root: new.root,
            });
        }
        Ok(())
    }

    fn verify_without_path(&self, old: TreeHead, new: TreeHead) -> Result<(), ConsistencyError> {
        if !self.path.is_empty() {
            return Err(self.too_long());
        }
        if self.from == Size::EMPTY && old.root != empty_root() {
            return Err(ConsistencyError::OldRoot {
                size: self.from,
                computed: empty_root(),
                root: old.root,
            });
        }
        if self.from == self.to && old.root != new.root {
            return Err(ConsistencyError::Forked {
                size: self.to,
                old: old.root,
                new: new.root,
            });
        }
        Ok(())
    }

    /// What the path comes to: the old root and the new one.
    fn roots(&self, old: Hash) -> Result<(Hash, Hash), ConsistencyError> {
        let too_short = || self.too_short();
        let mut path = self.path.iter().copied();
        // An old log that is one complete tree is a node of the new one, which the path leaves out.
        let start = if self.from.number().is_power_of_two() {
            old
        } else {
            path.next().ok_or_else(too_short)?
        };
        let last = self.from.number().saturating_sub(1);
        let mut climb = Climb::new(last, self.to)
            .ok_or_else(too_short)?
            .to_complete();
        let (mut was, mut is) = (start, start);
        for hash in path {
            match climb.step().ok_or_else(|| self.too_long())? {
                Sibling::Left => {
                    was = node_hash(hash, was);
                    is = node_hash(hash, is);
                }
                Sibling::Right => is = node_hash(is, hash),
            }
        }
        if !climb.is_at_root() {
            return Err(too_short());
        }
        Ok((was, is))
    }

    const fn too_long(&self) -> ConsistencyError {
        ConsistencyError::TooLong {
            from: self.from,
            to: self.to,
            length: self.path.len(),
        }
    }

    const fn too_short(&self) -> ConsistencyError {
        ConsistencyError::TooShort {
            from: self.from,
            to: self.to,
            length: self.path.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::reference::{self, flipped, head};

    fn proof(from: usize, leaves: &[Hash]) -> ConsistencyProof {
        ConsistencyProof {
            from: Size::new(from as u64),
            to: head(leaves).size,
            path: reference::consistency_path(from, leaves),
        }
    }

    #[test]
    fn every_two_small_logs_are_proved_to_be_one() {
        let leaves = reference::leaves(40);
        for to in 0..=40 {
            let leaves = &leaves[..to];
            for from in 0..=to {
                let proof = proof(from, leaves);
                assert_eq!(proof.verify(head(&leaves[..from]), head(leaves)), Ok(()));
            }
        }
    }

    #[test]
    fn a_log_with_a_leaf_rewritten_is_not_the_same_log() {
        let leaves = reference::leaves(20);
        for from in 1..=20 {
            let old = head(&leaves[..from]);
            for rewritten in 0..from {
                let mut forged = leaves.clone();
                forged[rewritten] = flipped(forged[rewritten], 0);
                let refused = proof(from, &forged).verify(old, head(&forged));
                assert!(refused.is_err(), "{from}, {rewritten}");
            }
        }
    }

    #[test]
    fn every_log_begins_with_the_empty_one_and_only_with_that() {
        let leaves = reference::leaves(5);
        let empty = head(&[]);
        let mut proof = proof(0, &leaves);
        assert_eq!(proof.verify(empty, head(&leaves)), Ok(()));
        let old = TreeHead {
            root: leaves[0],
            ..empty
        };
        let refused = ConsistencyError::OldRoot {
            size: Size::EMPTY,
            computed: empty_root(),
            root: leaves[0],
        };
        assert_eq!(proof.verify(old, head(&leaves)), Err(refused));
        proof.path.push(leaves[0]);
        let (from, to) = (Size::EMPTY, Size::new(5));
        let too_long = ConsistencyError::TooLong {
            from,
            to,
            length: 1,
        };
        assert_eq!(proof.verify(empty, head(&leaves)), Err(too_long));
    }

    #[test]
    fn heads_of_one_size_have_one_root() {
        let leaves = reference::leaves(6);
        let mut proof = proof(6, &leaves);
        let head = head(&leaves);
        assert_eq!(proof.verify(head, head), Ok(()));
        let other = TreeHead {
            root: leaves[0],
            ..head
        };
        let forked = ConsistencyError::Forked {
            size: head.size,
            old: head.root,
            new: leaves[0],
        };
        assert_eq!(proof.verify(head, other), Err(forked));
        proof.path.push(leaves[0]);
        assert!(matches!(
            proof.verify(head, head),
            Err(ConsistencyError::TooLong { .. })
        ));
    }

    #[test]
    fn a_path_with_a_hash_too_many_or_too_few_is_refused() {
        let leaves = reference::leaves(13);
        for from in 1..13 {
            let (old, new, proof) = (head(&leaves[..from]), head(&leaves), proof(from, &leaves));
            let (from, to, length) = (old.size, new.size, proof.path.len());

            let mut long = proof.clone();
            long.path.push(leaves[0]);
            let too_long = ConsistencyError::TooLong {
                from,
                to,
                length: length + 1,
            };
            assert_eq!(long.verify(old, new), Err(too_long));

            let too_short = |length| Err(ConsistencyError::TooShort { from, to, length });
            let mut short = proof.clone();
            short.path.pop();
            assert_eq!(short.verify(old, new), too_short(length - 1));

            let none = ConsistencyProof {
                path: Vec::new(),
                ..proof
            };
            assert_eq!(none.verify(old, new), too_short(0));
        }
    }

    #[test]
    fn a_log_that_shrinks_is_refused() {
        let leaves = reference::leaves(5);
        let shrinks = LogShrinks {
            from: Size::new(5),
            to: Size::new(4),
        };
        let mut proof = proof(4, &leaves);
        (proof.from, proof.to) = (Size::new(5), Size::new(4));
        assert_eq!(
            proof.verify(head(&leaves), head(&leaves[..4])),
            Err(shrinks.into())
        );
    }

    #[test]
    fn a_path_of_the_largest_log_is_refused_without_overflow() {
        let (from, to) = (Size::new(u64::MAX - 1), Size::new(u64::MAX));
        let root = Hash::of(&[]);
        let proof = ConsistencyProof {
            from,
            to,
            path: vec![root; 64],
        };
        let refused = proof.verify(TreeHead { size: from, root }, TreeHead { size: to, root });
        assert!(
            matches!(refused, Err(ConsistencyError::OldRoot { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_proof_comes_back_from_json() {
        let proof = proof(3, &reference::leaves(7));
        let json = serde_json::to_string(&proof).unwrap();
        assert!(json.starts_with(r#"{"from":3,"to":7,"path":[""#), "{json}");
        assert_eq!(
            serde_json::from_str::<ConsistencyProof>(&json).unwrap(),
            proof
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_proof_with_any_bit_changed_is_refused(
            to in 1_usize..1_200,
            bit in 0_usize..256,
            (from, which) in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            // Nothing is shown of what begins with the empty log.
            let from = 1 + from.index(to);
            let leaves = reference::leaves(to as u64);
            let (old, new, proof) = (head(&leaves[..from]), head(&leaves), proof(from, &leaves));
            prop_assert_eq!(proof.verify(old, new), Ok(()));

            let bent_root = |head: TreeHead| TreeHead { root: flipped(head.root, bit), ..head };
            prop_assert!(proof.verify(bent_root(old), new).is_err());
            prop_assert!(proof.verify(old, bent_root(new)).is_err());
            let bent = |size: Size| Size::new(size.number() ^ 1 << (bit % 64));
            let bent_size = |head: TreeHead| TreeHead { size: bent(head.size), ..head };
            prop_assert!(proof.verify(bent_size(old), new).is_err());
            prop_assert!(proof.verify(old, bent_size(new)).is_err());
            let moved = ConsistencyProof { from: bent(proof.from), ..proof.clone() };
            prop_assert!(moved.verify(old, new).is_err());
            let resized = ConsistencyProof { to: bent(proof.to), ..proof.clone() };
            prop_assert!(resized.verify(old, new).is_err());
            let mut other = proof;
            if !other.path.is_empty() {
                let hash = which.get_mut(&mut other.path);
                *hash = flipped(*hash, bit);
                prop_assert!(other.verify(old, new).is_err());
            }
        }
    }
}
