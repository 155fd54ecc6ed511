//! The tree over the hashes of all buckets.

use std::collections::BTreeSet;
use std::mem;

use thiserror::Error;

use super::bucket::Bucket;
use super::key::BucketNumber;
use super::proof::MapProof;
use crate::Hash;

/// How many nodes are above a bucket.
pub(super) const HEIGHT: usize = 16;
/// What begins the hash of a node. Those of the log begin with 0 and 1, buckets with a letter.
const PREFIX: &[u8] = &[2];

/// The hashes of all buckets and the nodes above them, in 4 MB.
///
/// Nodes are hashed when the root or a proof is asked for: 16 for a bucket that has changed since, and fewer where
/// several have nodes in common.
#[derive(Debug, Clone)]
pub struct MapTree {
    /// As in a heap: 1 is the root, and below n are 2n and 2n + 1. Nothing is at 0.
    nodes: Vec<Hash>,
    /// Buckets above which nodes are to be hashed.
    changed: BTreeSet<BucketNumber>,
}

/// A bucket that is not the one in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("bucket {bucket} is not as it is in the map; read it as it was at that checkpoint")]
pub struct StaleBucket {
    bucket: BucketNumber,
}

impl MapTree {
    /// The map without streams.
    #[must_use]
    pub fn empty() -> Self {
        let mut hash = Bucket::empty(BucketNumber::new(0)).hash();
        let mut nodes = vec![hash; 2 * BucketNumber::COUNT];
        for height in 1..=HEIGHT {
            hash = node(&hash, &hash);
            let first = BucketNumber::COUNT >> height;
            if let Some(level) = nodes.get_mut(first..2 * first) {
                level.fill(hash);
            }
        }
        let changed = BTreeSet::new();
        Self { nodes, changed }
    }

    /// The map of these buckets. Those that are not named are empty.
    #[must_use]
    pub fn of(hashes: impl IntoIterator<Item = (BucketNumber, Hash)>) -> Self {
        let mut tree = Self::empty();
        for (bucket, hash) in hashes {
            tree.set(bucket, hash);
        }
        tree
    }

    /// Sets the hash of a bucket.
    pub fn set(&mut self, bucket: BucketNumber, hash: Hash) {
        if let Some(held) = self.nodes.get_mut(leaf(bucket))
            && *held != hash
        {
            *held = hash;
            self.changed.insert(bucket);
        }
    }

    /// The root over all buckets.
    pub fn root(&mut self) -> Hash {
        self.settle();
        self.at(1)
    }

    /// Proves where the streams of a bucket end, and that no other one is in it.
    ///
    /// # Errors
    ///
    /// [`StaleBucket`], when its hash was not set.
    pub fn prove(&mut self, bucket: &Bucket) -> Result<MapProof, StaleBucket> {
        let leaf = leaf(bucket.number());
        if self.at(leaf) != bucket.hash() {
            let bucket = bucket.number();
            return Err(StaleBucket { bucket });
        }
        self.settle();
        let siblings = std::array::from_fn(|height| self.at((leaf >> height) ^ 1));
        Ok(MapProof::new(bucket.entries().to_vec(), siblings))
    }

    /// Hashes what is above changed buckets, each node once. Answers with how many those were.
    fn settle(&mut self) -> usize {
        let changed = mem::take(&mut self.changed);
        let mut level: Vec<usize> = changed.into_iter().map(leaf).collect();
        let mut hashed = 0;
        for _ in 0..HEIGHT {
            for number in &mut level {
                *number /= 2;
            }
            // They are in order, so those that are the same stand side by side.
            level.dedup();
            for &number in &level {
                let hash = node(&self.at(2 * number), &self.at(2 * number + 1));
                if let Some(held) = self.nodes.get_mut(number) {
                    *held = hash;
                }
            }
            hashed += level.len();
        }
        hashed
    }

    /// The node with this number. Every number that comes from a bucket is there.
    fn at(&self, number: usize) -> Hash {
        let nothing = || Hash::from_bytes([0; Hash::LENGTH]);
        self.nodes.get(number).copied().unwrap_or_else(nothing)
    }
}

impl Default for MapTree {
    fn default() -> Self {
        Self::empty()
    }
}

/// The hash of a node from those of its children.
pub(super) fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[PREFIX, left.as_bytes(), right.as_bytes()])
}

/// The number of the node that is a bucket.
fn leaf(bucket: BucketNumber) -> usize {
    BucketNumber::COUNT + usize::from(bucket.number())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::entry::Entry;
    use super::super::key::StreamKey;
    use super::*;

    /// Every node from its children, without anything that was kept.
    fn naive_root(hashes: &BTreeMap<u16, Hash>) -> Hash {
        let empty = Bucket::empty(BucketNumber::new(0)).hash();
        let hash = |number| hashes.get(&number).copied().unwrap_or(empty);
        let mut level: Vec<Hash> = (0..=u16::MAX).map(hash).collect();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| Hash::of(&[&[2], pair[0].as_bytes(), pair[1].as_bytes()]))
                .collect();
        }
        level[0]
    }

    fn hash(byte: u8) -> Hash {
        Hash::from_bytes([byte; 32])
    }

    fn tree(buckets: impl IntoIterator<Item = u16>) -> MapTree {
        let mut tree = MapTree::empty();
        for number in buckets {
            tree.set(BucketNumber::new(number), hash(1));
        }
        tree
    }

    fn of_streams(streams: &[(&str, i64, i64)]) -> MapTree {
        let entries = streams.iter().map(|&(id, version, position)| Entry {
            key: StreamKey::of("account", id),
            version,
            position,
        });
        // They are in buckets of their own.
        MapTree::of(entries.map(|entry| {
            let number = entry.key.bucket();
            (number, Bucket::of(number, vec![entry]).unwrap().hash())
        }))
    }

    /// The roots were computed by a few lines of another language.
    #[test]
    fn roots_are_those_that_are_documented() {
        let root = |streams: &[_]| of_streams(streams).root().to_string();
        assert_eq!(root(&[]), "xLkT1EDBlVX7hyiDR832nJqgpObEEpvplUFCdra0Av4=");
        assert_eq!(
            root(&[("ada", 3, 7)]),
            "WGg8cGcC8oplDHyM9GsyCuHRRAQSPj332CH1vhc8RhI="
        );
        assert_eq!(
            root(&[("ada", 3, 7), ("bob", 1, 8)]),
            "GxznYAG2EniG3Wy9LPA+98b8BXbG3y2zXL9kLU25Ndg="
        );
    }

    #[test]
    fn a_change_costs_its_path_and_paths_are_shared() {
        let settled = |buckets: &[u16]| tree(buckets.iter().copied()).settle();
        assert_eq!(settled(&[]), 0);
        assert_eq!(settled(&[7]), 16);
        assert_eq!(settled(&[6, 7]), 16);
        assert_eq!(settled(&[7, 8]), 16 + 4 - 1);
        assert_eq!(settled(&[0, u16::MAX]), 2 * 15 + 1);
        assert_eq!(tree(0..=u16::MAX).settle(), BucketNumber::COUNT - 1);
        let mut tree = tree([7]);
        tree.root();
        tree.set(BucketNumber::new(7), hash(1));
        assert_eq!(tree.settle(), 0, "nothing has changed");
    }

    #[test]
    fn a_bucket_that_is_not_in_the_tree_proves_nothing() {
        let number = BucketNumber::new(0x0102);
        let bucket = Bucket::empty(number);
        let mut tree = MapTree::empty();
        assert!(tree.prove(&bucket).is_ok());
        tree.set(number, hash(1));
        let refused = tree.prove(&bucket).unwrap_err();
        assert_eq!(refused, StaleBucket { bucket: number });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn changes_lead_to_the_root_of_a_tree_from_scratch(
            rounds in prop::collection::vec(
                prop::collection::vec((any::<u16>(), any::<u8>()), 0..20), 1..5),
        ) {
            let mut tree = MapTree::empty();
            let mut model = BTreeMap::new();
            for round in rounds {
                for (number, byte) in round {
                    tree.set(BucketNumber::new(number), hash(byte));
                    model.insert(number, hash(byte));
                }
                let changed = tree.changed.len();
                prop_assert!(tree.clone().settle() <= HEIGHT * changed);
                let root = tree.root();
                prop_assert_eq!(root, naive_root(&model));
                let again = model.iter().map(|(&number, &hash)| (BucketNumber::new(number), hash));
                prop_assert_eq!(root, MapTree::of(again).root());
            }
        }
    }
}
