//! A store and its log in memory, with all that can be done to them.

use std::collections::BTreeMap;
use std::mem;

use folio_proofs::Hash;
use folio_proofs::checkpoint::{Checkpoint, Through};
use folio_proofs::map::{Bucket, BucketNumber, Entry, MapTree, StreamKey};
use folio_proofs::merkle::{Tile, TileId, TileWriter, Tiles};
use folio_proofs::note::{SignedNote, SigningKey};
use uuid::Uuid;

use super::super::ends::{Compared, Ends, Unproven, Upkeep};
use super::super::error::WalkError;
use super::super::source::Source;
use super::super::walker::{Moment, Walker};
use super::super::{Finding, WalkReport, Walked};
use crate::anchor::Records;
use crate::rows::{StoredEvent, StoredOutcome};
use crate::trusted::TrustedLog;

/// Numbers that look random, and are the same in each run.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(super) fn index(&mut self, of: usize) -> usize {
        usize::try_from(self.below(of as u64)).unwrap()
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| u8::try_from(self.below(256)).unwrap())
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub(super) events: Vec<StoredEvent>,
    pub(super) outcomes: Vec<StoredOutcome>,
    pub(super) tiles: BTreeMap<TileId, Vec<Hash>>,
    pub(super) buckets: BTreeMap<BucketNumber, Option<Hash>>,
    pub(super) checkpoints: Vec<Unproven>,
    pub(super) anchor: Vec<SignedNote>,
    writer: TileWriter,
    streams: BTreeMap<BucketNumber, Bucket>,
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed("ledger.example/a".parse().unwrap(), &[seed; 32]).unwrap()
}

pub(super) fn log() -> TrustedLog {
    let key = key(7);
    TrustedLog::new(key.name().into(), key.verifying_key().clone())
}

impl Held {
    /// A store of about so many rows, with seals of up to `batch` of them. What it was at each seal comes with it.
    pub(super) fn random(chance: &mut Chance, rows: usize, batch: u64) -> (Self, Vec<Self>) {
        let (mut held, mut earlier) = (Self::default(), Vec::new());
        let key = key(7);
        while held.events.len() + held.outcomes.len() < rows {
            for _ in 0..=chance.below(batch) {
                held.append(chance);
            }
            held.seal(&key);
            earlier.push(held.clone());
        }
        earlier.pop();
        (held, earlier)
    }

    /// One command, of some events or none.
    pub(super) fn append(&mut self, chance: &mut Chance) {
        let command = Uuid::from_bytes(chance.bytes());
        let at = 1_700_000_000_000_000 + i64::try_from(self.events.len()).unwrap();
        let fingerprint = chance.bytes::<32>().to_vec();
        let count = chance.below(5);
        if count == 0 {
            let number = self.outcomes.last().map_or(0, |last| last.number);
            let gap = i64::try_from(chance.below(3)).unwrap();
            self.outcomes.push(StoredOutcome {
                number: number + 1 + gap,
                command_id: command,
                recorded_at_micros: at,
                fingerprint: fingerprint.clone(),
                refusal: (chance.below(2) == 0).then(|| b"{\"refused\":1}".to_vec()),
                metadata: b"{}".to_vec(),
            });
        }
        for number in 0..count {
            let stream_id = chance.below(6).to_string();
            let of_stream = self.events.iter().rev();
            let last = of_stream.clone().find(|one| one.stream_id == stream_id);
            self.events.push(StoredEvent {
                position: i64::try_from(self.events.len()).unwrap() + 1,
                version: last.map_or(0, |last| last.version) + 1,
                recorded_at_micros: at,
                event_id: Uuid::from_bytes(chance.bytes()),
                command_id: command,
                command_events: (number == 0).then(|| i32::try_from(count).unwrap()),
                schema_version: 1,
                category: "account".to_owned(),
                stream_id,
                event_type: "Noted".to_owned(),
                fingerprint: (number == 0).then(|| fingerprint.clone()),
                payload: format!(r#"{{"number": {number}}}"#).into_bytes(),
                metadata: b"{}".to_vec(),
            });
        }
    }

    /// Seals what is not sealed.
    pub(super) fn seal(&mut self, key: &SigningKey) {
        let (_, events, outcomes, _) = self.last();
        let behind = self.events.iter().filter(|one| one.position > events);
        for event in behind {
            self.writer.append(event.leaf().hash());
            let stream = StreamKey::of(&event.category, &event.stream_id);
            let number = stream.bucket();
            let bucket = self.streams.entry(number).or_insert(Bucket::empty(number));
            let entry = Entry {
                key: stream,
                version: event.version,
                position: event.position,
            };
            bucket.put(entry).unwrap();
            self.buckets.insert(number, Some(bucket.hash()));
        }
        let behind = self.outcomes.iter().filter(|one| one.number > outcomes);
        behind.for_each(|outcome| self.writer.append(outcome.leaf().hash()));
        let changed = self.writer.take_changed().into_iter();
        let changed = changed.map(|tile| (tile.id(), tile.hashes().to_vec()));
        self.tiles.extend(changed);
        let head = self.writer.head();
        let hashes = self.streams.values().map(|one| (one.number(), one.hash()));
        let events = self.events.last().map_or(events, |last| last.position);
        let outcomes = self.outcomes.last().map_or(outcomes, |last| last.number);
        let sealed_at = i64::try_from(self.checkpoints.len()).unwrap();
        let checkpoint = Checkpoint {
            origin: log().origin().clone(),
            size: head.size.number(),
            root: head.root,
            map_root: Some(MapTree::of(hashes).root()),
            through: Through::new(events, outcomes),
            sealed_at_micros: Some(sealed_at),
            extensions: Vec::new(),
        };
        let note = checkpoint.sign(key).unwrap();
        self.checkpoints.push(Unproven {
            opened: log().open(&note),
            columns: (
                i64::try_from(checkpoint.size).unwrap(),
                events,
                outcomes,
                sealed_at,
            ),
            note: note.to_string(),
        });
        self.anchor.push(note);
    }

    /// The columns of the last checkpoint.
    pub(super) fn last(&self) -> (i64, i64, i64, i64) {
        let last = self.checkpoints.last();
        last.map_or((0, 0, 0, 0), |last| last.columns)
    }

    /// The leaves of a checkpoint.
    pub(super) fn size_of(&self, at: usize) -> u64 {
        self.checkpoints[at].opened.as_ref().unwrap().size
    }

    /// The same rows, sealed anew where it was before, and not anchored.
    pub(super) fn sealed_anew(&self, key: &SigningKey) -> Self {
        let mut anew = Self::default();
        for checkpoint in &self.checkpoints {
            let (_, events, outcomes, _) = checkpoint.columns;
            let rows = self.events.iter().filter(|one| one.position <= events);
            anew.events = rows.cloned().collect();
            let rows = self.outcomes.iter().filter(|one| one.number <= outcomes);
            anew.outcomes = rows.cloned().collect();
            anew.seal(key);
        }
        anew.events.clone_from(&self.events);
        anew.anchor.clone_from(&self.anchor);
        anew
    }

    /// Has this checkpoint signed with a map that is not what its events come to, here and in the anchor.
    pub(super) fn sign_false_map(&mut self, at: usize) {
        let kept = &mut self.checkpoints[at];
        let mut checkpoint = kept.opened.clone().unwrap();
        checkpoint.map_root = Some(Hash::of(&[b"elsewhere"]));
        let note = checkpoint.sign(&key(7)).unwrap();
        kept.opened = Ok(checkpoint);
        kept.note = note.to_string();
        self.anchor[at] = note;
    }

    pub(super) fn walk(&self) -> (Vec<Finding>, WalkReport) {
        self.walk_beside(Upkeep::Live, 3_600_000_000)
    }

    /// Walks it at this time beside the anchor, or a copy of that. Its seals are one a microsecond, from 0.
    pub(super) fn walk_beside(&self, upkeep: Upkeep, at_micros: i64) -> (Vec<Finding>, WalkReport) {
        let mut findings = Vec::new();
        let moment = Moment {
            at_micros,
            size: u64::try_from(self.last().0).unwrap(),
            head: self.events.last().map_or(0, |last| last.position),
            outcomes: self.outcomes.last().map_or(0, |last| last.number),
            buckets: self.buckets.clone(),
        };
        let source = InMemory {
            events: self.events.clone(),
            outcomes: self.outcomes.clone(),
            checkpoints: self.checkpoints.clone(),
            left: self.checkpoints.clone(),
            tiles: self.tiles.clone(),
        };
        let anchor: Records = Box::new(self.anchor.clone().into_iter().map(Ok));
        let anchor = Compared::new("the anchor".to_owned(), upkeep, anchor);
        let ends = Ends::new(log(), vec![anchor], moment.size);
        let tell = |walked| {
            if let Walked::Found(finding) = walked {
                findings.push(*finding);
            }
            Ok(())
        };
        let report = Walker::new(source, ends, moment, usize::MAX, tell).run();
        (findings, report.unwrap())
    }
}

struct InMemory {
    events: Vec<StoredEvent>,
    outcomes: Vec<StoredOutcome>,
    checkpoints: Vec<Unproven>,
    /// Those that were not read yet.
    left: Vec<Unproven>,
    tiles: BTreeMap<TileId, Vec<Hash>>,
}

impl Source for InMemory {
    type Event = StoredEvent;
    type Outcome = StoredOutcome;

    fn events(&mut self) -> Result<Option<Vec<StoredEvent>>, WalkError> {
        Ok(page(&mut self.events))
    }

    fn outcomes(&mut self) -> Result<Option<Vec<StoredOutcome>>, WalkError> {
        Ok(page(&mut self.outcomes))
    }

    fn checkpoints(&mut self) -> Result<Option<Vec<Unproven>>, WalkError> {
        Ok(page(&mut self.left))
    }

    fn checkpoint(&mut self, size: u64) -> Result<Option<String>, WalkError> {
        let size = i64::try_from(size).unwrap();
        let kept = self.checkpoints.iter().find(|kept| kept.columns.0 == size);
        Ok(kept.map(|kept| kept.note.clone()))
    }

    fn tiles(&mut self, tiles: Vec<TileId>) -> Result<Tiles, WalkError> {
        let held = tiles.into_iter().filter_map(|id| {
            let hashes = self.tiles.get(&id)?;
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
            Tile::from_bytes(id, &bytes).ok()
        });
        Ok(held.collect())
    }
}

/// The first few.
fn page<T>(rows: &mut Vec<T>) -> Option<Vec<T>> {
    let rest = rows.split_off(rows.len().min(7));
    let page = mem::replace(rows, rest);
    (!page.is_empty()).then_some(page)
}
