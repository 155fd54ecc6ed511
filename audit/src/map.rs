//! The map of streams: its buckets in the database, and the tree over them in memory.

use std::collections::BTreeMap;
use std::fmt;

use folio_proofs::Hash;
use folio_proofs::map::{Bucket, BucketNumber, Entry, MapProof, MapTree};
use folio_proofs::merkle::Size;
use tokio_postgres::{Client, Row};

use crate::altered::Altered;
use crate::checkpoints::{LogEnd, number};
use crate::error::Fault;

const CHANGED: &str = "SELECT number, entries FROM audit.buckets WHERE size > $1";
const READ: &str = "SELECT number, entries FROM audit.buckets WHERE number = ANY ($1)";
const KEEP: &str = "INSERT INTO audit.buckets (number, entries, size) \
     SELECT number, entries, $3 FROM unnest($1::integer[], $2::bytea[]) AS changed (number, entries) \
     ON CONFLICT (number) DO UPDATE SET entries = excluded.entries, size = excluded.size";

/// The tree over all buckets, as it was with the checkpoint of this size.
pub(crate) struct StreamMap {
    tree: MapTree,
    size: Size,
}

impl StreamMap {
    /// The map of the checkpoint at which the log ends, from the one that is known already, if there is one. It is compared
    /// with the root that was signed.
    pub(crate) async fn read(
        client: &Client,
        known: Option<Self>,
        end: LogEnd,
    ) -> Result<Self, Fault> {
        // What is known may be of another log, when the database was put back under a process that runs.
        if let Some(mut map) = known.filter(|map| map.size <= end.head.size) {
            map.catch_up(client, end.head.size).await?;
            if map.tree.root() == end.map_root {
                return Ok(map);
            }
        }
        let mut map = Self {
            tree: MapTree::empty(),
            size: Size::EMPTY,
        };
        map.catch_up(client, end.head.size).await?;
        let found = map.tree.root();
        if found != end.map_root {
            return Err(Altered::Map {
                size: end.head.size,
                found,
                signed: end.map_root,
            }
            .into());
        }
        Ok(map)
    }

    async fn catch_up(&mut self, client: &Client, size: Size) -> Result<(), Fault> {
        if self.size == size && size != Size::EMPTY {
            return Ok(());
        }
        for row in client.query(CHANGED, &[&number(self.size)]).await? {
            let bucket = bucket(&row)?;
            self.tree.set(bucket.number(), bucket.hash());
        }
        self.size = size;
        Ok(())
    }

    /// Puts the ends of streams into the map, which is then that of a log of this size.
    pub(crate) async fn put(
        &mut self,
        client: &Client,
        ends: impl IntoIterator<Item = Entry>,
        size: Size,
    ) -> Result<(), Fault> {
        let mut by_bucket: BTreeMap<BucketNumber, Vec<Entry>> = BTreeMap::new();
        for entry in ends {
            by_bucket.entry(entry.key.bucket()).or_default().push(entry);
        }
        let numbers: Vec<BucketNumber> = by_bucket.keys().copied().collect();
        let mut held = self.buckets(client, &numbers).await?;
        let (mut numbers, mut bytes) = (Vec::new(), Vec::new());
        for (number, entries) in by_bucket {
            let mut bucket = held
                .remove(&number)
                .unwrap_or_else(|| Bucket::empty(number));
            for entry in entries {
                bucket.put(entry).map_err(Altered::from)?;
            }
            self.tree.set(number, bucket.hash());
            numbers.push(i32::from(number.number()));
            bytes.push(bucket.to_bytes());
        }
        let size_now = number(size);
        client.execute(KEEP, &[&numbers, &bytes, &size_now]).await?;
        self.size = size;
        Ok(())
    }

    /// Proves where the streams of a bucket end.
    pub(crate) async fn prove(
        &mut self,
        client: &Client,
        number: BucketNumber,
    ) -> Result<MapProof, Fault> {
        let held = self.buckets(client, &[number]).await?.remove(&number);
        let bucket = held.unwrap_or_else(|| Bucket::empty(number));
        Ok(self.tree.prove(&bucket).map_err(Altered::from)?)
    }

    /// The root over all of it.
    pub(crate) fn root(&mut self) -> Hash {
        self.tree.root()
    }

    /// Those of these buckets that are kept, each compared with the tree.
    async fn buckets(
        &mut self,
        client: &Client,
        numbers: &[BucketNumber],
    ) -> Result<BTreeMap<BucketNumber, Bucket>, Fault> {
        let asked: Vec<i32> = numbers.iter().map(|one| i32::from(one.number())).collect();
        let mut held = BTreeMap::new();
        for row in client.query(READ, &[&asked]).await? {
            let bucket = bucket(&row)?;
            held.insert(bucket.number(), bucket);
        }
        for number in numbers {
            let none = Bucket::empty(*number);
            let bucket = held.get(number).unwrap_or(&none);
            self.tree.prove(bucket).map_err(Altered::from)?;
        }
        Ok(held)
    }
}

impl fmt::Debug for StreamMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamMap")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

fn bucket(row: &Row) -> Result<Bucket, Fault> {
    let number: i32 = row.try_get("number")?;
    // The table has no others.
    let number = BucketNumber::new(u16::try_from(number).unwrap_or(u16::MAX));
    let bucket = Bucket::from_bytes(number, row.try_get("entries")?);
    Ok(bucket.map_err(Altered::from)?)
}
