//! How leaves and nodes are hashed (RFC 9162, section 2.1.1).

use sha2::{Digest as _, Sha256};

use crate::Hash;

// They keep a node from being taken for a leaf, and the other way round.
const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

/// Hashes a leaf, whose bytes may come in parts.
#[derive(Debug, Clone)]
pub struct LeafHasher(Sha256);

impl LeafHasher {
    /// A leaf without bytes.
    #[must_use]
    pub fn new() -> Self {
        Self(Sha256::new_with_prefix(LEAF))
    }

    /// The leaf goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// SHA-256 of a zero byte and the leaf's bytes.
    #[must_use]
    pub fn finish(self) -> Hash {
        Hash::from_bytes(self.0.finalize().into())
    }
}

impl Default for LeafHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// The hash of a node over these two.
#[must_use]
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    Hash::of(&[NODE, left.as_bytes(), right.as_bytes()])
}

/// The root of a log without leaves: the hash of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

/// The root over complete subtrees that stand side by side, each smaller than the one on its left.
pub(super) fn root_over(peaks: &[Hash]) -> Hash {
    let from_right = peaks.iter().rev().copied();
    from_right
        .reduce(|right, left| node_hash(left, right))
        .unwrap_or_else(empty_root)
}
