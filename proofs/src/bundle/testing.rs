//! A log to make bundles of, honest or not.

use std::collections::BTreeMap;

use super::{Bundle, BundledEvent, Format, Growth, Stream};
use crate::checkpoint::{Checkpoint, Through};
use crate::leaf::{EventLeaf, OutcomeLeaf};
use crate::map::{Bucket, BucketNumber, Entry, MapTree, StreamKey};
use crate::merkle::{
    ConsistencyPlan, InclusionPlan, InclusionProof, LeafHasher, Size, TileWriter, Tiles,
};
use crate::note::{SignedNote, SigningKey, VerifyingKey};
use crate::receipt::InclusionReceipt;

const CATEGORY: &str = "account";
const BEGIN_MICROS: i64 = 1_700_000_000_000_000;

/// A log with its map and its key. All streams are accounts.
pub(crate) struct Log {
    key: SigningKey,
    /// Their proofs say where they are and nothing else.
    events: Vec<BundledEvent>,
    outcomes: i64,
    leaves: Vec<Vec<u8>>,
    writer: TileWriter,
    tiles: Tiles,
    map: MapTree,
    buckets: BTreeMap<BucketNumber, Bucket>,
}

impl Log {
    pub(crate) fn new(name: &str, seed: u8) -> Self {
        Self {
            key: SigningKey::from_seed(name.parse().unwrap(), &[seed; 32]).unwrap(),
            events: Vec::new(),
            outcomes: 0,
            leaves: Vec::new(),
            writer: TileWriter::new(),
            tiles: Tiles::new(),
            map: MapTree::empty(),
            buckets: BTreeMap::new(),
        }
    }

    /// A log of `ledger.example/a` with these, as in [`extend`](Self::extend).
    pub(crate) fn with(streams: &[&str]) -> Self {
        let mut log = Self::new("ledger.example/a", 3);
        log.extend(streams);
        log
    }

    /// Appends an event to each of these streams in turn, or an outcome for `-`.
    pub(crate) fn extend(&mut self, streams: &[&str]) {
        for &stream in streams {
            if stream == "-" {
                self.push_outcome();
            } else {
                let position = self.position() + 1;
                let of_stream = self.events.iter().filter(|event| event.stream_id == stream);
                let version = of_stream.fold(1, |version, _| version + 1);
                self.push(bundled(stream, version, position));
            }
        }
    }

    /// Appends an event.
    pub(crate) fn push(&mut self, event: BundledEvent) {
        let key = StreamKey::of(&event.category, &event.stream_id);
        let bucket = self.buckets.entry(key.bucket());
        let bucket = bucket.or_insert_with(|| Bucket::empty(key.bucket()));
        let (version, position) = (event.version, event.position);
        let entry = Entry {
            key,
            version,
            position,
        };
        bucket.put(entry).unwrap();
        self.map.set(bucket.number(), bucket.hash());
        self.push_beside_map(event);
    }

    /// Appends an event and does not tell the map.
    pub(crate) fn push_beside_map(&mut self, mut event: BundledEvent) {
        event.inclusion.index = self.writer.size().number();
        self.push_leaf(&event.leaf().to_bytes());
        self.events.push(event);
    }

    /// That of the last event.
    fn position(&self) -> i64 {
        i64::try_from(self.events.len()).unwrap()
    }

    fn push_outcome(&mut self) {
        self.outcomes += 1;
        let leaf = OutcomeLeaf {
            number: self.outcomes,
            command_id: [0x44; 16],
            recorded_at_micros: BEGIN_MICROS,
            fingerprint: &[0x55; 32],
            refusal: None,
            metadata: b"{}",
        };
        self.push_leaf(&leaf.to_bytes());
    }

    /// Appends a leaf, whatever it is.
    pub(crate) fn push_leaf(&mut self, bytes: &[u8]) {
        let mut hasher = LeafHasher::new();
        hasher.update(bytes);
        self.writer.append(hasher.finish());
        self.leaves.push(bytes.to_vec());
    }

    /// The checkpoint of what is there.
    pub(crate) fn seal(&mut self) -> Checkpoint {
        self.tiles.extend(self.writer.take_changed());
        let head = self.writer.head();
        let size = head.size.number();
        Checkpoint {
            origin: self.key.name().into(),
            size,
            root: head.root,
            map_root: Some(self.map.root()),
            through: Through::new(self.position(), self.outcomes),
            sealed_at_micros: Some(BEGIN_MICROS + self.position() + self.outcomes),
            extensions: Vec::new(),
        }
    }

    pub(crate) fn sign(&self, checkpoint: &Checkpoint) -> SignedNote {
        checkpoint.sign(&self.key).unwrap()
    }

    pub(crate) fn keys(&self) -> Vec<VerifyingKey> {
        vec![self.key.verifying_key().clone()]
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The bundle of a stream up to here.
    pub(crate) fn bundle(&mut self, id: &str) -> Bundle {
        let checkpoint = self.seal();
        let size = Size::new(checkpoint.size);
        let of_stream = self.events.iter().filter(|event| event.stream_id == id);
        let proved = of_stream.map(|event| {
            let plan = InclusionPlan::new(event.inclusion.index, size).unwrap();
            BundledEvent::new(&event.leaf(), plan.prove(&self.tiles).unwrap())
        });
        let events = proved.collect();
        let number = StreamKey::of(CATEGORY, id).bucket();
        let empty = Bucket::empty(number);
        let bucket = self.buckets.get(&number).unwrap_or(&empty);
        Bundle {
            format: Format::V1,
            checkpoint: self.sign(&checkpoint),
            stream: Stream {
                category: CATEGORY.to_owned(),
                id: id.to_owned(),
            },
            events,
            map: self.map.prove(bucket).unwrap(),
            growth: None,
        }
    }

    /// The receipt of a leaf up to here.
    pub(crate) fn receipt(&mut self, index: u64) -> InclusionReceipt {
        let checkpoint = self.seal();
        let plan = InclusionPlan::new(index, Size::new(checkpoint.size)).unwrap();
        InclusionReceipt {
            checkpoint: self.sign(&checkpoint),
            leaf: self.leaves[usize::try_from(index).unwrap()].clone(),
            inclusion: plan.prove(&self.tiles).unwrap(),
        }
    }

    /// The growth from an older checkpoint up to here.
    pub(crate) fn growth_from(&mut self, old: &Checkpoint) -> Growth {
        let new = self.seal();
        let plan = ConsistencyPlan::new(Size::new(old.size), Size::new(new.size)).unwrap();
        Growth {
            since: self.sign(old),
            proof: plan.prove(&self.tiles).unwrap(),
        }
    }
}

/// An event without a proof. On odd versions it has the columns that not every event has.
pub(crate) fn bundled(id: &str, version: i64, position: i64) -> BundledEvent {
    let payload = format!(r#"{{"amount":"{position}.50"}}"#);
    let is_first = version % 2 == 1;
    let leaf = EventLeaf {
        position,
        version,
        recorded_at_micros: BEGIN_MICROS + position,
        event_id: i128::from(position).to_be_bytes(),
        command_id: [0x22; 16],
        command_events: is_first.then_some(2),
        schema_version: 1,
        category: CATEGORY,
        stream_id: id,
        event_type: "Deposited",
        fingerprint: is_first.then_some(&[0x33; 32]),
        payload: payload.as_bytes(),
        metadata: br#"{"actor":"ada"}"#,
    };
    let nowhere = InclusionProof {
        index: 0,
        size: Size::EMPTY,
        path: Vec::new(),
    };
    BundledEvent::new(&leaf, nowhere)
}
