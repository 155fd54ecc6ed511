//! Reads what is walked from the database, a page ahead of who walks it.

use std::collections::BTreeMap;
use std::pin::pin;

use folio_postgres::{Object, Pool, Transaction};
use folio_proofs::Hash;
use folio_proofs::map::{Bucket, BucketNumber};
use folio_proofs::merkle::{TileId, Tiles};
use futures_util::TryStreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::ends::{Unproven, opened};
use super::error::WalkError;
use super::source::Source;
use super::walker::Moment;
use crate::altered::Altered;
use crate::error::Fault;
use crate::tiles;
use crate::trusted::TrustedLog;

const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
const ENDS: &str = "SELECT (SELECT coalesce(max(size), 0) FROM audit.checkpoints), \
     (SELECT coalesce(max(position), 0) FROM store.events), \
     (SELECT coalesce(max(number), 0) FROM store.outcomes)";
const BUCKETS: &str = "SELECT number, entries FROM audit.buckets";
const CHECKPOINT: &str = "SELECT note FROM audit.checkpoints WHERE size = $1";
// Each page is a statement of its own: no snapshot lasts over the whole history, which would keep the server from
// cleaning up.
const EVENTS: &str = "SELECT position, version, recorded_at, event_id, command_id, command_events, \
     schema_version, category, stream_id, event_type, fingerprint, payload, metadata \
     FROM store.events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT 4096";
const OUTCOMES: &str = "SELECT number, command_id, recorded_at, fingerprint, refusal, metadata \
     FROM store.outcomes WHERE number > $1 AND number <= $2 ORDER BY number LIMIT 4096";
// Few, as the signatures of a page are verified while nothing else is done.
const CHECKPOINTS: &str = "SELECT size, events, outcomes, sealed_at, note FROM audit.checkpoints \
     WHERE size > $1 AND size <= $2 ORDER BY size LIMIT 64";
/// Pages that have been read and nobody has taken.
const AHEAD: usize = 1;

/// The tables of a store and its log, as they were at one moment. What is read lies before that, and does not change.
pub(crate) struct Stored {
    events: mpsc::Receiver<Result<Vec<Row>, WalkError>>,
    outcomes: mpsc::Receiver<Result<Vec<Row>, WalkError>>,
    checkpoints: mpsc::Receiver<Result<Vec<Unproven>, WalkError>>,
    readers: Pool,
    runtime: Handle,
}

impl Moment {
    /// Now.
    pub(crate) async fn read(readers: &Pool) -> Result<Self, WalkError> {
        let snapshot = Transaction::begin(connection(readers).await?, SNAPSHOT).await?;
        let ends = snapshot.query_one(ENDS, &[]).await?;
        let size: i64 = ends.try_get(0)?;
        let mut moment = Self {
            size: u64::try_from(size).unwrap_or(0),
            head: ends.try_get(1)?,
            outcomes: ends.try_get(2)?,
            buckets: BTreeMap::new(),
        };
        let none: [i64; 0] = [];
        let mut buckets = pin!(snapshot.query_raw(BUCKETS, none).await?);
        while let Some(row) = buckets.try_next().await? {
            let (number, hash) = bucket(&row)?;
            moment.buckets.insert(number, hash);
        }
        snapshot.rollback().await?;
        Ok(moment)
    }
}

impl Stored {
    /// Connections that it takes at most.
    pub(crate) const CONNECTIONS: usize = 4;

    /// Begins to read. It ends when nobody takes what is read.
    pub(crate) fn read(readers: &Pool, log: &TrustedLog, moment: &Moment) -> Self {
        let size = i64::try_from(moment.size).unwrap_or(i64::MAX);
        let log = log.clone();
        let believe = move |row: Row| unproven(&row, &log);
        Self {
            events: pages(readers, EVENTS, moment.head, Ok),
            outcomes: pages(readers, OUTCOMES, moment.outcomes, Ok),
            checkpoints: pages(readers, CHECKPOINTS, size, believe),
            readers: readers.clone(),
            runtime: Handle::current(),
        }
    }
}

impl Source for Stored {
    type Event = Row;
    type Outcome = Row;

    fn events(&mut self) -> Result<Option<Vec<Row>>, WalkError> {
        self.events.blocking_recv().transpose()
    }

    fn outcomes(&mut self) -> Result<Option<Vec<Row>>, WalkError> {
        self.outcomes.blocking_recv().transpose()
    }

    fn checkpoints(&mut self) -> Result<Option<Vec<Unproven>>, WalkError> {
        self.checkpoints.blocking_recv().transpose()
    }

    fn checkpoint(&mut self, size: u64) -> Result<Option<String>, WalkError> {
        let Ok(size) = i64::try_from(size) else {
            return Ok(None);
        };
        self.runtime.block_on(async {
            let mut client = connection(&self.readers).await?;
            let row = client.query_opt(CHECKPOINT, &[&size]).await?;
            client.finished();
            Ok(row.map(|row| row.try_get(0)).transpose()?)
        })
    }

    fn tiles(&mut self, mut ids: Vec<TileId>) -> Result<Tiles, WalkError> {
        self.runtime.block_on(async {
            let mut client = connection(&self.readers).await?;
            loop {
                match tiles::read(&client, &ids).await {
                    Ok(tiles) => {
                        client.finished();
                        return Ok(tiles);
                    }
                    // One that is none is as good as missing.
                    Err(Fault::Altered(Altered::DamagedTile(damaged))) => {
                        ids.retain(|id| *id != damaged.tile);
                    }
                    Err(Fault::Altered(_)) => return Ok(Tiles::new()),
                    Err(Fault::Database(error)) => return Err(error.into()),
                }
            }
        })
    }
}

/// The pages of a statement, whose rows begin with a number by which they are in order, up to `last`.
fn pages<T: Send + 'static>(
    readers: &Pool,
    statement: &'static str,
    last: i64,
    read: impl Fn(Row) -> Result<T, tokio_postgres::Error> + Send + 'static,
) -> mpsc::Receiver<Result<Vec<T>, WalkError>> {
    let (pages, taken) = mpsc::channel(AHEAD);
    let readers = readers.clone();
    tokio::spawn(async move {
        if let Err(error) = send_pages(&readers, statement, last, read, &pages).await {
            // Nobody takes it where nobody walks any more.
            let _ = pages.send(Err(error)).await;
        }
    });
    taken
}

async fn send_pages<T>(
    readers: &Pool,
    statement: &str,
    last: i64,
    read: impl Fn(Row) -> Result<T, tokio_postgres::Error>,
    pages: &mpsc::Sender<Result<Vec<T>, WalkError>>,
) -> Result<(), WalkError> {
    let mut client = connection(readers).await?;
    let types = [Type::INT8, Type::INT8];
    let statement = client.prepare_typed_cached(statement, &types).await?;
    let mut after = i64::MIN;
    loop {
        let parameters: [&(dyn ToSql + Sync); 2] = [&after, &last];
        let rows = client.query(&statement, &parameters).await?;
        let Some(row) = rows.last() else { break };
        after = row.try_get(0)?;
        let page = rows.into_iter().map(&read).collect::<Result<_, _>>()?;
        if pages.send(Ok(page)).await.is_err() {
            break;
        }
    }
    client.finished();
    Ok(())
}

fn unproven(row: &Row, log: &TrustedLog) -> Result<Unproven, tokio_postgres::Error> {
    let note: String = row.try_get("note")?;
    let columns = (
        row.try_get("size")?,
        row.try_get("events")?,
        row.try_get("outcomes")?,
        row.try_get("sealed_at")?,
    );
    let opened = opened(&note, log);
    Ok(Unproven {
        columns,
        note,
        opened,
    })
}

fn bucket(row: &Row) -> Result<(BucketNumber, Option<Hash>), tokio_postgres::Error> {
    let number: i32 = row.try_get("number")?;
    // The table has no others.
    let number = BucketNumber::new(u16::try_from(number).unwrap_or(u16::MAX));
    let bucket = Bucket::from_bytes(number, row.try_get("entries")?);
    Ok((number, bucket.ok().map(|bucket| bucket.hash())))
}

async fn connection(readers: &Pool) -> Result<Object, WalkError> {
    let connection = readers.get().await;
    connection.map_err(|error| WalkError::Unavailable(error.into()))
}
