//! What shows it, and how that is checked.

use serde::{Deserialize, Serialize};

use super::error::{InclusionError, OutsideLog};
use crate::Hash;
use crate::merkle::climb::{Climb, Sibling};
use crate::merkle::node::node_hash;
use crate::merkle::{Size, TreeHead};

/// That a leaf is in a log (RFC 9162, section 2.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// Which leaf: 0 is the first.
    pub index: u64,
    /// The log's size.
    pub size: Size,
    /// The hashes beside the way from the leaf to the root.
    pub path: Vec<Hash>,
}

impl InclusionProof {
    /// Whether the leaf with this leaf hash stands at this place of the log with this head (RFC 9162, section 2.1.3.2).
    ///
    /// # Errors
    ///
    /// [`InclusionError`] says what does not fit.
    pub fn verify(&self, leaf: Hash, head: TreeHead) -> Result<(), InclusionError> {
        let (index, size, length) = (self.index, self.size, self.path.len());
        if size != head.size {
            return Err(InclusionError::OtherSize {
                proof: size,
                head: head.size,
            });
        }
        let mut climb = Climb::new(index, size).ok_or(OutsideLog { index, size })?;
        let mut computed = leaf;
        for hash in &self.path {
            computed = match climb.step() {
                Some(Sibling::Left) => node_hash(*hash, computed),
                Some(Sibling::Right) => node_hash(computed, *hash),
                None => {
                    return Err(InclusionError::TooLong {
                        index,
                        size,
                        length,
                    });
                }
            };
        }
        if !climb.is_at_root() {
            return Err(InclusionError::TooShort {
                index,
                size,
                length,
            });
        }
        if computed != head.root {
            return Err(InclusionError::OtherRoot {
                index,
                size,
                computed,
                root: head.root,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::reference::{self, flipped, head};

    fn proof(index: usize, leaves: &[Hash]) -> InclusionProof {
        InclusionProof {
            index: index as u64,
            size: head(leaves).size,
            path: reference::inclusion_path(index, leaves),
        }
    }

    #[test]
    fn every_leaf_of_every_small_log_is_proved_and_no_other_in_its_place() {
        let leaves = reference::leaves(40);
        for size in 1..=40 {
            let (leaves, head) = (&leaves[..size], head(&leaves[..size]));
            for index in 0..size {
                let proof = proof(index, leaves);
                for (other, leaf) in leaves.iter().enumerate() {
                    assert_eq!(proof.verify(*leaf, head).is_ok(), other == index);
                    let moved = InclusionProof {
                        index: other as u64,
                        ..proof.clone()
                    };
                    assert_eq!(moved.verify(leaves[index], head).is_ok(), other == index);
                }
            }
        }
    }

    #[test]
    fn a_path_with_a_hash_too_many_or_too_few_is_refused() {
        let leaves = reference::leaves(7);
        let head = head(&leaves);
        for index in 0..7 {
            let (leaf, proof) = (leaves[index], proof(index, &leaves));
            let (size, length) = (head.size, proof.path.len());

            let mut long = proof.clone();
            long.path.push(leaf);
            let too_long = InclusionError::TooLong {
                index: index as u64,
                size,
                length: length + 1,
            };
            assert_eq!(long.verify(leaf, head), Err(too_long));

            let mut short = proof;
            short.path.pop();
            let too_short = InclusionError::TooShort {
                index: index as u64,
                size,
                length: length - 1,
            };
            assert_eq!(short.verify(leaf, head), Err(too_short));
        }
    }

    #[test]
    fn a_leaf_outside_of_the_log_is_refused() {
        let leaves = reference::leaves(3);
        let outside = OutsideLog {
            index: 3,
            size: Size::new(3),
        };
        let moved = InclusionProof {
            index: 3,
            ..proof(2, &leaves)
        };
        assert_eq!(moved.verify(leaves[2], head(&leaves)), Err(outside.into()));
    }

    /// The path of the third of three leaves is also one of the second of two. Only the size tells them apart.
    #[test]
    fn a_proof_for_another_size_is_refused_though_its_path_fits() {
        let leaves = reference::leaves(3);
        let forged = InclusionProof {
            index: 1,
            size: Size::new(2),
            path: proof(2, &leaves).path,
        };
        let head = head(&leaves);
        let small = TreeHead {
            size: Size::new(2),
            ..head
        };
        assert_eq!(forged.verify(leaves[2], small), Ok(()));
        let other_size = InclusionError::OtherSize {
            proof: Size::new(2),
            head: Size::new(3),
        };
        assert_eq!(forged.verify(leaves[2], head), Err(other_size));
    }

    #[test]
    fn a_path_of_the_largest_log_is_refused_without_overflow() {
        let size = Size::new(u64::MAX);
        let proof = InclusionProof {
            index: u64::MAX - 1,
            size,
            path: vec![Hash::of(&[]); 63],
        };
        let root = Hash::of(&[]);
        assert!(matches!(
            proof.verify(root, TreeHead { size, root }),
            Err(InclusionError::OtherRoot { .. })
        ));
    }

    #[test]
    fn a_proof_comes_back_from_json() {
        let proof = proof(5, &reference::leaves(7));
        let json = serde_json::to_string(&proof).unwrap();
        assert!(
            json.starts_with(r#"{"index":5,"size":7,"path":[""#),
            "{json}"
        );
        assert_eq!(
            serde_json::from_str::<InclusionProof>(&json).unwrap(),
            proof
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_proof_with_any_bit_changed_is_refused(
            size in 1_usize..1_200,
            bit in 0_usize..256,
            (index, which) in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let leaves = reference::leaves(size as u64);
            let index = index.index(size);
            let (leaf, head, proof) = (leaves[index], head(&leaves), proof(index, &leaves));
            prop_assert_eq!(proof.verify(leaf, head), Ok(()));

            prop_assert!(proof.verify(flipped(leaf, bit), head).is_err());
            let root = flipped(head.root, bit);
            prop_assert_ne!(proof.verify(leaf, TreeHead { root, ..head }), Ok(()));
            let number = 1 << (bit % 64);
            let moved = InclusionProof { index: proof.index ^ number, ..proof.clone() };
            prop_assert!(moved.verify(leaf, head).is_err());
            let size = Size::new(proof.size.number() ^ number);
            let resized = InclusionProof { size, ..proof.clone() };
            prop_assert!(resized.verify(leaf, head).is_err());
            prop_assert_ne!(proof.verify(leaf, TreeHead { size, ..head }), Ok(()));
            let mut bent = proof;
            if !bent.path.is_empty() {
                let hash = which.get_mut(&mut bent.path);
                *hash = flipped(*hash, bit);
                prop_assert!(bent.verify(leaf, head).is_err());
            }
        }
    }
}
