//! Reads what is walked from the database, a page ahead of who walks it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{SystemTime, UNIX_EPOCH};

use folio_postgres::{Object, Pool, Transaction};
use folio_proofs::Hash;
use folio_proofs::map::{Bucket, BucketNumber};
use folio_proofs::merkle::{TileId, Tiles};
use futures_util::TryStreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::ahead::{Ahead, Paging};
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
// cleaning up. Where the walk ends is no part of it: of a table whose statistics are old, the server expects few rows
// between two numbers, and sorts all that there are for each page. With ties, as somebody who may change rows may also drop
// the key by which no two have one number.
const EVENTS: &str = "SELECT position, version, recorded_at, event_id, command_id, command_events, \
     schema_version, category, stream_id, event_type, fingerprint, payload, metadata \
     FROM store.events WHERE position > $1 ORDER BY position FETCH FIRST $2 ROWS WITH TIES";
const OUTCOMES: &str = "SELECT number, command_id, recorded_at, fingerprint, refusal, metadata \
     FROM store.outcomes WHERE number > $1 ORDER BY number FETCH FIRST $2 ROWS WITH TIES";
const CHECKPOINTS: &str = "SELECT size, events, outcomes, sealed_at, note FROM audit.checkpoints \
     WHERE size > $1 ORDER BY size FETCH FIRST $2 ROWS WITH TIES";
const PAGES_OF_EVENTS: Pages = Pages {
    statement: EVENTS,
    rows: 4_096,
    ahead: 2,
};
const PAGES_OF_OUTCOMES: Pages = Pages {
    statement: OUTCOMES,
    rows: 4_096,
    ahead: 1,
};
/// Few, as the signatures of a page are verified while nothing else is done.
const PAGES_OF_CHECKPOINTS: Pages = Pages {
    statement: CHECKPOINTS,
    rows: 64,
    ahead: 1,
};
/// Pages that have been read and nobody has taken.
const UNTAKEN: usize = 1;

/// How the rows of a table are read, which begin with a number by which they are in order.
#[derive(Debug, Clone, Copy)]
struct Pages {
    statement: &'static str,
    rows: i64,
    /// How many pages are asked for at once: then the server reads the next one while one is taken in.
    ahead: usize,
}

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
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_micros = since_1970.map_or(0, |since| since.as_micros());
        let mut moment = Self {
            at_micros: i64::try_from(at_micros).unwrap_or(i64::MAX),
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
            events: PAGES_OF_EVENTS.read(readers, moment.head, Ok),
            outcomes: PAGES_OF_OUTCOMES.read(readers, moment.outcomes, Ok),
            checkpoints: PAGES_OF_CHECKPOINTS.read(readers, size, believe),
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

impl Pages {
    /// Begins to read the rows up to the number `last`.
    fn read<T: Send + 'static>(
        self,
        readers: &Pool,
        last: i64,
        read: impl Fn(Row) -> Result<T, tokio_postgres::Error> + Send + 'static,
    ) -> mpsc::Receiver<Result<Vec<T>, WalkError>> {
        let (pages, taken) = mpsc::channel(UNTAKEN);
        let readers = readers.clone();
        tokio::spawn(async move {
            if let Err(error) = self.send(&readers, last, read, &pages).await {
                // Nobody takes it where nobody walks any more.
                let _ = pages.send(Err(error)).await;
            }
        });
        taken
    }

    async fn send<T>(
        self,
        readers: &Pool,
        last: i64,
        read: impl Fn(Row) -> Result<T, tokio_postgres::Error>,
        pages: &mpsc::Sender<Result<Vec<T>, WalkError>>,
    ) -> Result<(), WalkError> {
        let mut client = connection(readers).await?;
        let types = [Type::INT8, Type::INT8];
        let statement = client.prepare_typed_cached(self.statement, &types).await?;
        let (connected, statement) = (&client, &statement);
        let paging = Paging {
            rows: self.rows,
            ahead: self.ahead,
            last,
        };
        let mut ahead = Ahead::of(paging, |after: i64| async move {
            let parameters: [&(dyn ToSql + Sync); 2] = [&after, &self.rows];
            let rows = connected.query(statement, &parameters).await?;
            let numbered = rows.into_iter().map(|row| Ok((row.try_get(0)?, row)));
            numbered.collect::<Result<Vec<(i64, Row)>, tokio_postgres::Error>>()
        });
        while let Some(rows) = ahead.next().await? {
            let page: Vec<T> = rows.into_iter().map(&read).collect::<Result<_, _>>()?;
            if !page.is_empty() && pages.send(Ok(page)).await.is_err() {
                // The server may be reading for nobody: the connection is not one for others.
                return Ok(());
            }
        }
        drop(ahead);
        client.finished();
        Ok(())
    }
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
