//! Where every stream ends, by its events alone.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use folio_proofs::Hash;
use folio_proofs::leaf::EventLeaf;
use folio_proofs::map::{Bucket, BucketNumber, Entry, MapTree, StreamKey};

/// The map of streams, built from the events: 48 bytes a stream, and the tree above them.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    buckets: BTreeMap<BucketNumber, Bucket>,
    tree: MapTree,
    /// Buckets that are not in the tree yet as they are. The root is asked for at each checkpoint, and a whole tree has 65,536 of them.
    changed: BTreeSet<BucketNumber>,
}

impl Streams {
    /// Takes in an event. Answers with the version that it should have, where it has another one.
    pub(crate) fn event(&mut self, leaf: &EventLeaf<'_>) -> Option<i64> {
        let key = StreamKey::of(leaf.category, leaf.stream_id);
        let number = key.bucket();
        let bucket = self
            .buckets
            .entry(number)
            .or_insert_with(|| Bucket::empty(number));
        let last = bucket.last_of(&key).map_or(0, |last| last.version);
        let (version, position) = (leaf.version, leaf.position);
        let entry = Entry {
            key,
            version,
            position,
        };
        let is_put = bucket.put(entry).is_ok();
        self.changed.insert(number);
        let expected = last.saturating_add(1);
        (version != expected || !is_put).then_some(expected)
    }

    /// The root over all of them.
    pub(crate) fn root(&mut self) -> Hash {
        for number in mem::take(&mut self.changed) {
            if let Some(bucket) = self.buckets.get(&number) {
                self.tree.set(number, bucket.hash());
            }
        }
        self.tree.root()
    }

    /// The buckets that have other hashes here.
    pub(crate) fn differing(
        &self,
        kept: &BTreeMap<BucketNumber, Option<Hash>>,
    ) -> Vec<BucketNumber> {
        let of_events = self.buckets.iter();
        let changed = of_events
            .filter(|(number, bucket)| kept.get(number) != Some(&Some(bucket.hash())))
            .map(|(number, _)| *number);
        let foreign = kept.keys().copied();
        let foreign = foreign.filter(|number| !self.buckets.contains_key(number));
        changed.chain(foreign).collect()
    }
}
