//! The event store on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use folio_core::store::{Append, AppendError, Appended, EventStore, Outcome, ReadError};
use folio_core::{
    BatchSize, CommandId, Filter, Page, Position, RecordedEvent, Snapshot, StoreId, StreamId,
    Timestamp, Version,
};
use thiserror::Error;
use tokio::sync::watch;

use crate::append::{AppendSettings, Appends, CommitObserver, Heard, Observed};
use crate::checks::{self, UnfitServer};
use crate::database::{Database, PoolError, Role};
use crate::pool::Pool;
use crate::read;
use crate::signal::{self, Hints};

const STORE_ID: &str = "SELECT store_id FROM store.identity";

/// An [`EventStore`] in a PostgreSQL database.
///
/// Appends of all callers are gathered and go through one connection of their own; reads take one
/// each from a pool.
#[derive(Debug)]
pub struct PostgresStore {
    store_id: StoreId,
    appends: Appends,
    readers: Pool,
    /// Keeping a snapshot is a write, and the role that reads may not.
    snapshots: Pool,
    appended: watch::Sender<Position>,
    observed: Observed,
}

impl PostgresStore {
    /// Opens the store in `database`, which must have been [migrated](crate::migrate()).
    ///
    /// `connections` is the size of its pool for reading. Appending takes one more.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the database cannot be reached or holds no store.
    pub async fn open(database: &Database, connections: usize) -> Result<Self, OpenError> {
        Self::open_with(database, connections, AppendSettings::default()).await
    }

    /// As [`open`](Self::open), with other settings for appending.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(
        database: &Database,
        connections: usize,
        settings: AppendSettings,
    ) -> Result<Self, OpenError> {
        let readers = database.pool(Role::Reader, connections)?;
        let snapshots = database.pool(Role::Appender, 1)?;
        checks::check(database).await?;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Database {
            database: database.name().to_owned(),
            source,
        };
        let mut client = readers
            .get()
            .await
            .map_err(|error| failed(Box::new(error)))?;
        let row = client
            .query_one(STORE_ID, &[])
            .await
            .map_err(|error| failed(Box::new(error)))?;
        let store_id = StoreId::from_uuid(row.try_get(0).map_err(|error| failed(Box::new(error)))?);
        client.finished();
        drop(client);
        let appended = watch::Sender::new(Position::START);
        let here = watch::Sender::new(Position::START);
        tokio::spawn(signal::exchange(
            database.clone(),
            here.subscribe(),
            appended.clone(),
        ));
        let observed = Observed::default();
        let heard = Heard {
            hints: Hints {
                here,
                appended: appended.clone(),
            },
            observed: observed.clone(),
        };
        let appends = Appends::start(database.clone(), readers.clone(), settings, heard);
        Ok(Self {
            store_id,
            appends,
            readers,
            snapshots,
            appended,
            observed,
        })
    }

    /// Tells this observer what is committed from now on, in place of any before; or nobody.
    pub fn observe_commits(&self, observer: Option<Arc<dyn CommitObserver>>) {
        self.observed.by(observer);
    }

    /// What time it is by the server's clock, by which events are recorded.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the server does not answer.
    pub async fn clock(&self) -> Result<Timestamp, ReadError> {
        read::clock(&self.readers).await
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    fn store_id(&self) -> StoreId {
        self.store_id
    }

    async fn append(&self, request: Append) -> Result<Appended, AppendError> {
        self.appends.append(request).await
    }

    async fn outcome(&self, command: CommandId) -> Result<Option<Outcome>, ReadError> {
        read::outcome(&self.readers, command).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        read::stream(&self.readers, stream, after, limit).await
    }

    async fn read_stream_backwards(
        &self,
        stream: &StreamId,
        before: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        read::stream_backwards(&self.readers, stream, before, limit).await
    }

    async fn read_all(
        &self,
        after: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        read::all(&self.readers, after, limit).await
    }

    async fn read_all_backwards(
        &self,
        before: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        read::all_backwards(&self.readers, before, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        read::head(&self.readers).await
    }

    async fn read_filtered(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        read::filtered(&self.readers, filter, after, limit).await
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        state_version: u16,
    ) -> Result<Option<Snapshot>, ReadError> {
        read::snapshot(&self.readers, stream, state_version).await
    }

    async fn keep_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), ReadError> {
        read::keep_snapshot(&self.snapshots, stream, &snapshot).await
    }

    fn appended(&self) -> watch::Receiver<Position> {
        self.appended.subscribe()
    }

    fn connections_opened(&self) -> u64 {
        self.readers.opened()
    }
}

/// Why a store could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server, the way to it or the database's level is not fit for a store.
    #[error(transparent)]
    Unfit(#[from] UnfitServer),
    /// No pool could be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database cannot be reached or holds no store.
    #[error("database {database} cannot be opened as an event store; was it migrated?")]
    Database {
        /// The database.
        database: String,
        /// What the driver said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
