//! The proof of where a stream ends, or that there is none.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::bucket::{Bucket, BucketError};
use super::entry::{Entry, Last};
use super::key::StreamKey;
use super::tree::{HEIGHT, node};
use crate::Hash;

/// A bucket with all its entries, and the nodes beside the path from it to the root, from below.
///
/// It proves something of each stream whose key falls into its bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapProof {
    entries: Vec<Entry>,
    siblings: [Hash; HEIGHT],
}

/// Why a proof proves nothing of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MapProofError {
    /// Its entries are not those of the stream's bucket.
    #[error("the proof is not of the stream {category}/{id}")]
    Bucket {
        /// Category of the stream.
        category: String,
        /// Its id.
        id: String,
        /// What is wrong.
        source: BucketError,
    },
    /// It leads to another root.
    #[error(
        "the proof of the stream {category}/{id} leads to the map of root {actual}, the checkpoint has {expected}; take both of one time"
    )]
    Root {
        /// Category of the stream.
        category: String,
        /// Its id.
        id: String,
        /// The root in the checkpoint.
        expected: Hash,
        /// The root that the proof leads to.
        actual: Hash,
    },
}

impl MapProof {
    pub(super) const fn new(entries: Vec<Entry>, siblings: [Hash; HEIGHT]) -> Self {
        Self { entries, siblings }
    }

    /// Where the stream `id` of `category` ended when the map had this root. None is proven too: there was no such
    /// stream.
    ///
    /// # Errors
    ///
    /// [`MapProofError`], when nothing is proven.
    pub fn last_of(
        &self,
        category: &str,
        id: &str,
        root: &Hash,
    ) -> Result<Option<Last>, MapProofError> {
        let key = StreamKey::of(category, id);
        let bucket = Bucket::of(key.bucket(), self.entries.clone());
        let bucket = bucket.map_err(|source| MapProofError::Bucket {
            category: category.to_owned(),
            id: id.to_owned(),
            source,
        })?;
        let actual = self.root_above(&bucket);
        if actual != *root {
            return Err(MapProofError::Root {
                category: category.to_owned(),
                id: id.to_owned(),
                expected: *root,
                actual,
            });
        }
        Ok(bucket.last_of(&key))
    }

    fn root_above(&self, bucket: &Bucket) -> Hash {
        let mut number = bucket.number().number();
        let mut hash = bucket.hash();
        for sibling in &self.siblings {
            // An odd number is on the right.
            hash = if number % 2 == 1 {
                node(sibling, &hash)
            } else {
                node(&hash, sibling)
            };
            number /= 2;
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::key::BucketNumber;
    use super::super::tree::MapTree;
    use super::*;

    /// A map of so many streams, `account/0` and so on; number n ends at version n + 1.
    struct Map {
        tree: MapTree,
        buckets: BTreeMap<BucketNumber, Bucket>,
    }

    impl Map {
        fn of(streams: i64) -> Self {
            let mut buckets = BTreeMap::new();
            for number in 0..streams {
                let key = StreamKey::of("account", &number.to_string());
                let bucket = buckets.entry(key.bucket());
                let bucket = bucket.or_insert_with(|| Bucket::empty(key.bucket()));
                let (version, position) = (number + 1, 2 * number + 1);
                let entry = Entry {
                    key,
                    version,
                    position,
                };
                bucket.put(entry).unwrap();
            }
            let hashes = buckets
                .iter()
                .map(|(&number, bucket)| (number, bucket.hash()));
            let tree = MapTree::of(hashes);
            Self { tree, buckets }
        }

        fn prove(&mut self, id: &str) -> MapProof {
            let number = StreamKey::of("account", id).bucket();
            let empty = Bucket::empty(number);
            let bucket = self.buckets.get(&number).unwrap_or(&empty);
            self.tree.prove(bucket).unwrap()
        }

        /// Two streams in one bucket.
        fn neighbours(&self) -> (String, String) {
            let mut ids = BTreeMap::new();
            for id in (0..2_000).map(|number: i32| number.to_string()) {
                let number = StreamKey::of("account", &id).bucket();
                if let Some(other) = ids.insert(number, id.clone()) {
                    return (other, id);
                }
            }
            panic!("no two of 2,000 streams are in one bucket");
        }
    }

    fn last(number: i64) -> Last {
        Last {
            version: number + 1,
            position: 2 * number + 1,
        }
    }

    #[test]
    fn every_stream_is_proven_to_end_where_it_ends() {
        let mut map = Map::of(2_000);
        let root = map.tree.root();
        for number in 0..2_000 {
            let id = number.to_string();
            let proven = map.prove(&id).last_of("account", &id, &root).unwrap();
            assert_eq!(proven, Some(last(number)), "{id}");
        }
    }

    #[test]
    fn a_stream_that_is_not_there_is_proven_absent() {
        let mut map = Map::of(2_000);
        let root = map.tree.root();
        let (mut alone, mut with_others) = (0, 0);
        for number in 2_000..4_000 {
            let id = number.to_string();
            let proof = map.prove(&id);
            assert_eq!(proof.last_of("account", &id, &root), Ok(None));
            if proof.entries.is_empty() {
                alone += 1;
            } else {
                with_others += 1;
            }
        }
        assert!(alone > 0 && with_others > 0, "{alone} {with_others}");
    }

    #[test]
    fn the_proof_of_one_stream_proves_nothing_of_another_bucket_s() {
        let mut map = Map::of(2);
        let root = map.tree.root();
        let refused = map.prove("0").last_of("account", "1", &root).unwrap_err();
        assert!(matches!(refused, MapProofError::Bucket { .. }), "{refused}");
        // An empty bucket is the same everywhere, its path is not.
        let empty = map.prove("none");
        assert!(empty.entries.is_empty());
        let refused = empty.last_of("account", "1", &root).unwrap_err();
        assert!(matches!(refused, MapProofError::Root { .. }), "{refused}");
        assert_eq!(empty.last_of("account", "none", &root), Ok(None));
    }

    #[test]
    fn forged_entries_are_refused() {
        let mut map = Map::of(2_000);
        let root = map.tree.root();
        let (one, other) = map.neighbours();
        let proof = map.prove(&one);
        let forged = |change: fn(&mut Vec<Entry>)| {
            let mut forged = proof.clone();
            change(&mut forged.entries);
            assert_ne!(forged, proof);
            for id in [&one, &other] {
                assert!(forged.last_of("account", id, &root).is_err());
            }
        };
        forged(|entries| entries[0].version -= 1);
        forged(|entries| entries[0].version += 1);
        forged(|entries| entries[1].position += 1);
        forged(|entries| {
            entries.remove(0);
        });
        forged(|entries| entries.truncate(entries.len() - 1));
        forged(Vec::clear);
        forged(|entries| entries.swap(0, 1));
        forged(|entries| entries.push(entries[0]));
        forged(|entries| entries.insert(0, entries[0]));
        let mut moved = proof.clone();
        let mut key = *moved.entries[0].key.as_bytes();
        key[31] ^= 1;
        moved.entries[0].key = StreamKey::from_bytes(key);
        assert!(moved.last_of("account", &one, &root).is_err());
        // What was not changed is believed.
        for id in [&one, &other] {
            assert!(proof.last_of("account", id, &root).unwrap().is_some());
        }
    }

    #[test]
    fn a_bit_of_a_sibling_or_the_root_that_flips_is_refused() {
        let mut map = Map::of(100);
        let root = map.tree.root();
        let proof = map.prove("7");
        for bit in 0..256 {
            let flipped = |hash: &Hash| {
                let mut bytes = *hash.as_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                Hash::from_bytes(bytes)
            };
            for height in 0..HEIGHT {
                let mut forged = proof.clone();
                forged.siblings[height] = flipped(&forged.siblings[height]);
                assert!(forged.last_of("account", "7", &root).is_err());
            }
            assert!(proof.last_of("account", "7", &flipped(&root)).is_err());
        }
        let mut forged = proof.clone();
        forged.siblings.swap(0, 15);
        assert!(forged.last_of("account", "7", &root).is_err());
        assert_eq!(proof.last_of("account", "7", &root), Ok(Some(last(7))));
    }

    #[test]
    fn a_proof_of_an_earlier_map_is_refused_by_the_next_root() {
        let mut map = Map::of(10);
        let (before, proof) = (map.tree.root(), map.prove("3"));
        let mut next = Map::of(11);
        let after = next.tree.root();
        assert_eq!(proof.last_of("account", "3", &before), Ok(Some(last(3))));
        let refused = proof.last_of("account", "3", &after).unwrap_err();
        let MapProofError::Root {
            expected, actual, ..
        } = &refused
        else {
            panic!("{refused}");
        };
        assert_eq!((expected, actual), (&after, &before));
    }

    #[test]
    fn a_proof_stands_in_json_and_has_sixteen_siblings() {
        let mut map = Map::of(10);
        let proof = map.prove("3");
        let mut json = serde_json::to_value(&proof).unwrap();
        assert_eq!(
            serde_json::from_value::<MapProof>(json.clone()).unwrap(),
            proof
        );
        let siblings = json["siblings"].as_array_mut().unwrap();
        let sibling = siblings.pop().unwrap();
        assert!(serde_json::from_value::<MapProof>(json.clone()).is_err());
        let siblings = json["siblings"].as_array_mut().unwrap();
        siblings.extend([sibling.clone(), sibling]);
        assert!(serde_json::from_value::<MapProof>(json).is_err());
    }
}
