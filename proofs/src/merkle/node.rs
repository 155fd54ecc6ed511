//! How leaves and nodes are hashed (RFC 9162, section 2.1.1).

use sha2::{Digest as _, Sha256};

use crate::Hash;

// They keep a node from being taken for a leaf, and the other way round.
const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

/// How many bytes are gathered: most leaves have fewer.
const GATHERED: usize = 512;

/// Hashes a leaf, whose bytes may come in parts.
#[derive(Debug, Clone)]
pub struct LeafHasher {
    sha: Sha256,
    /// What is not hashed yet. Most parts are a few bytes long, and those are sooner copied than hashed one by one.
    gathered: [u8; GATHERED],
    length: usize,
}

impl LeafHasher {
    /// A leaf without bytes.
    #[must_use]
    pub fn new() -> Self {
        let mut hasher = Self {
            sha: Sha256::new(),
            gathered: [0; GATHERED],
            length: 0,
        };
        hasher.update(LEAF);
        hasher
    }

    /// The leaf goes on with these bytes.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        if self.gather(bytes) {
            return;
        }
        self.hash_gathered();
        if !self.gather(bytes) {
            self.sha.update(bytes);
        }
    }

    /// SHA-256 of a zero byte and the leaf's bytes.
    #[must_use]
    pub fn finish(mut self) -> Hash {
        self.hash_gathered();
        Hash::from_bytes(self.sha.finalize().into())
    }

    /// Whether there was room for them. Of most parts the length is known where this is inlined.
    #[inline]
    fn gather(&mut self, bytes: &[u8]) -> bool {
        let end = self.length.saturating_add(bytes.len());
        let Some(room) = self.gathered.get_mut(self.length..end) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.length = end;
        true
    }

    fn hash_gathered(&mut self) {
        self.sha
            .update(self.gathered.get(..self.length).unwrap_or_default());
        self.length = 0;
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
    // In one piece, as in a leaf.
    let mut bytes = [0; 1 + 2 * Hash::LENGTH];
    let (prefix, children) = bytes.split_at_mut(NODE.len());
    prefix.copy_from_slice(NODE);
    let (on_left, on_right) = children.split_at_mut(Hash::LENGTH);
    on_left.copy_from_slice(left.as_bytes());
    on_right.copy_from_slice(right.as_bytes());
    Hash::of(&[&bytes])
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
