//! The map of streams as it was at an earlier checkpoint.
//!
//! Only the last one is kept. An earlier one is what the events up to then come to: where each stream ended by then. Nothing of that has to
//! be believed, since its root is the one that was signed, or it is no proof.

use std::collections::BTreeMap;
use std::pin::pin;

use folio_proofs::map::{Bucket, BucketNumber, Entry, MapProof, MapTree, StreamKey};
use futures_util::TryStreamExt as _;
use tokio_postgres::Client;

use crate::altered::Altered;
use crate::checkpoints::LogEnd;
use crate::error::Fault;

// By the index of versions: each stream from its end back to the first event that was there.
const ENDS: &str = "SELECT DISTINCT ON (category, stream_id) category, stream_id, version, position \
     FROM store.events WHERE position <= $1 ORDER BY category, stream_id, version DESC";

/// Proves where the streams of a bucket ended when the log ended there. It reads of every stream where that was.
pub(crate) async fn prove(
    client: &Client,
    end: &LogEnd,
    asked: BucketNumber,
) -> Result<MapProof, Fault> {
    let mut by_bucket: BTreeMap<BucketNumber, Vec<Entry>> = BTreeMap::new();
    let mut rows = pin!(client.query_raw(ENDS, [end.events]).await?);
    while let Some(row) = rows.try_next().await? {
        let entry = Entry {
            key: StreamKey::of(row.try_get("category")?, row.try_get("stream_id")?),
            version: row.try_get("version")?,
            position: row.try_get("position")?,
        };
        by_bucket.entry(entry.key.bucket()).or_default().push(entry);
    }
    let (mut tree, mut bucket) = (MapTree::empty(), Bucket::empty(asked));
    for (number, mut entries) in by_bucket {
        entries.sort_unstable_by_key(|entry| entry.key);
        let filled = Bucket::of(number, entries).map_err(Altered::from)?;
        tree.set(number, filled.hash());
        if number == asked {
            bucket = filled;
        }
    }
    let found = tree.root();
    if found != end.map_root {
        return Err(Altered::Ends {
            size: end.head.size,
            found,
            signed: end.map_root,
        }
        .into());
    }
    Ok(tree.prove(&bucket).map_err(Altered::from)?)
}
