//! A shadow of a projection: its model, filled from the first event for whoever asks, and then removed.
//!
//! It is no build. Nobody reads it, no other process fills it further than it was asked for, and it has no
//! checkpoint to go on from: one process fills it to one position, looks, and removes it. It takes events in as a
//! runner does, by the same projector, in the same order, and parks what that parks.

use std::collections::BTreeMap;
use std::sync::Arc;

use folio_core::store::ReadError;
use folio_core::{BatchSize, HistoryError, Position, RecordedEvent, StreamId, error_chain};
use folio_postgres::{CommitError, Object, Pool, PoolError, Role, Transaction, commit};
use thiserror::Error;

use crate::build::{BuildState, ModelError};
use crate::lease::Terms;
use crate::model::ModelTransaction;
use crate::operations::OperationError;
use crate::projection::Projection;
use crate::projector::ProjectorError;
use crate::settings::Poison;
use crate::watch::Watch;

// One at a time: whoever has this owns the schema, and what a crash has left of it.
const LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
const UNLOCK: &str = "SELECT pg_advisory_unlock(hashtextextended($1, 0))";
const TABLES: &str = "SELECT format('%I', tablename) FROM pg_catalog.pg_tables \
                      WHERE schemaname = $1 ORDER BY tablename";

/// Connections: one keeps the lock, one fills, one compares.
const CONNECTIONS: usize = 3;

/// Events of one transaction where each is looked at alone: each is a part of its own in there, and a server is
/// slow with many.
const ALONE: BatchSize = match BatchSize::new(50) {
    Some(size) => size,
    None => BatchSize::ONE,
};

/// A model of a projection that nobody else sees. [Remove](Self::remove) it when it was looked at.
#[derive(Debug)]
pub struct Shadow {
    pub(crate) projection: Projection,
    pub(crate) pool: Pool,
    pub(crate) schema: String,
    at: Position,
    parked: BTreeMap<StreamId, String>,
    // Held for as long as the schema is ours. Where the shadow is not removed the lock goes with the connection.
    lock: Object,
}

/// How many rows a table of a shadow has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCount {
    /// The table.
    pub table: String,
    /// Its rows.
    pub rows: i64,
}

impl Projection {
    /// Makes an empty shadow of it, in a schema of its own beside the builds. What a crash has left of another one
    /// is removed first.
    ///
    /// # Errors
    ///
    /// [`ShadowError`]; there is one at a time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave an empty schema, which the next one removes.
    pub async fn shadow(&self) -> Result<Shadow, ShadowError> {
        let name = self.name().name;
        let pool = self.database.pool(Role::Owner, CONNECTIONS)?;
        let schema = format!("{name}_shadow");
        let lock = pool.get().await.map_err(ModelError::Pool)?;
        let is_ours: bool = lock.query_one(LOCK, &[&schema]).await?.try_get(0)?;
        if !is_ours {
            return Err(ShadowError::Busy { projection: name });
        }
        let shadow = Shadow {
            projection: self.clone(),
            pool,
            schema,
            at: Position::START,
            parked: BTreeMap::new(),
            lock,
        };
        shadow.begin_empty().await?;
        Ok(shadow)
    }
}

impl Shadow {
    /// All events up to and including this one are in it, but those of [parked](Self::parked) streams.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.at
    }

    /// The streams that could not be taken in to their end, each with what its first event failed with. There are
    /// none where the projection stops at what it cannot take in.
    #[must_use]
    pub const fn parked(&self) -> &BTreeMap<StreamId, String> {
        &self.parked
    }

    /// Fills it up to `position`, and tells how far it has come.
    ///
    /// # Errors
    ///
    /// [`ShadowError`]; it is as far then as [`position`](Self::position) says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it at a position between. [Remove](Self::remove) it.
    pub async fn fill_to(
        &mut self,
        position: Position,
        told: &(dyn Fn(Position) + Sync),
    ) -> Result<(), ShadowError> {
        let size = self.projection.shared.settings.batch;
        self.fill(position, size, None, told).await
    }

    /// How many rows each of its tables has, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`ShadowError`].
    pub async fn counts(&self) -> Result<Vec<RowCount>, ShadowError> {
        let mut client = self.pool.get().await.map_err(ModelError::Pool)?;
        let mut counts = Vec::new();
        for row in client.query(TABLES, &[&self.schema]).await? {
            let table: String = row.try_get(0)?;
            let count = format!("SELECT count(*) FROM \"{}\".{table}", self.schema);
            let rows = client.query_one(&count, &[]).await?.try_get(0)?;
            counts.push(RowCount { table, rows });
        }
        client.finished();
        Ok(counts)
    }

    /// Removes it, with its tables.
    ///
    /// # Errors
    ///
    /// [`ShadowError`]; then the next shadow of the projection removes them.
    pub async fn remove(mut self) -> Result<(), ShadowError> {
        let mut client = self.pool.get().await.map_err(ModelError::Pool)?;
        client.batch_execute(&dropping(&self.schema)).await?;
        client.finished();
        // Now, and not once the server has noticed that a session is over: whoever makes the next one would be told that there is one.
        self.lock.query_one(UNLOCK, &[&self.schema]).await?;
        self.lock.finished();
        Ok(())
    }

    /// Empties it, to be filled from the first event again.
    pub(crate) async fn begin_again(&mut self) -> Result<(), ShadowError> {
        self.begin_empty().await?;
        self.at = Position::START;
        self.parked.clear();
        Ok(())
    }

    /// Fills it event by event, and has `watch` look after each.
    pub(crate) async fn fill_watched(
        &mut self,
        position: Position,
        watch: &mut Watch,
        told: &(dyn Fn(Position) + Sync),
    ) -> Result<(), ShadowError> {
        self.fill(position, ALONE, Some(watch), told).await
    }

    async fn begin_empty(&self) -> Result<(), ShadowError> {
        let client = self.pool.get().await.map_err(ModelError::Pool)?;
        let schema = &self.schema;
        let opening = format!(
            "{}; CREATE SCHEMA \"{schema}\"; SET LOCAL search_path = \"{schema}\"",
            dropping(schema)
        );
        let transaction = Transaction::begin(client, &opening).await?;
        let tables = self.projection.shared.projector.tables();
        transaction.batch_execute(tables).await?;
        Ok(commit(transaction).await?)
    }

    async fn fill(
        &mut self,
        position: Position,
        size: BatchSize,
        mut watch: Option<&mut Watch>,
        told: &(dyn Fn(Position) + Sync),
    ) -> Result<(), ShadowError> {
        let shared = Arc::clone(&self.projection.shared);
        let wanted = shared.projector.wants();
        while self.at < position {
            let mut page = shared.source.read(&wanted.filter(), self.at, size).await?;
            let through = page.through.min(position);
            if through <= self.at {
                let at = self.at;
                return Err(ShadowError::Ends { at, position });
            }
            page.events
                .retain(|event| event.position <= through && wanted.admits(event));
            self.take_in(&page.events, watch.as_deref_mut()).await?;
            self.at = through;
            told(through);
        }
        Ok(())
    }

    /// Takes events in, in one transaction. Where that fails for good they are tried one by one, as a runner does.
    async fn take_in(
        &mut self,
        events: &[RecordedEvent],
        mut watch: Option<&mut Watch>,
    ) -> Result<(), ShadowError> {
        if events.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.projection.shared);
        let client = self.pool.get().await.map_err(ModelError::Pool)?;
        let transaction = Transaction::begin(client, &shared.opening_in(&self.schema)).await?;
        let mut model = ModelTransaction { transaction };
        let at_once = if watch.is_some() { 1 } else { events.len() };
        let mut parts: Vec<&[RecordedEvent]> = events.chunks(at_once).rev().collect();
        while let Some(part) = parts.pop() {
            let is_free = |event: &&RecordedEvent| !self.parked.contains_key(&event.stream);
            let free: Vec<RecordedEvent> = part.iter().filter(is_free).cloned().collect();
            let Some(last) = free.last() else {
                continue;
            };
            model.transaction.set_savepoint().await?;
            match shared.handle(&terms(), &free, &mut model).await {
                Ok(()) => {
                    model.transaction.release_savepoint().await?;
                    if let Some(watch) = watch.as_deref_mut() {
                        watch.look(&model, last).await?;
                    }
                }
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(_) if part.len() > 1 => {
                    model.transaction.undo_to_savepoint().await?;
                    parts.extend(part.chunks(1).rev());
                }
                Err(error) if shared.settings.poison == Poison::Park => {
                    model.transaction.undo_to_savepoint().await?;
                    self.parked.insert(last.stream.clone(), error_chain(&error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(commit(model.transaction).await?)
    }
}

fn dropping(schema: &str) -> String {
    format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE")
}

/// As a build that is not live: it has no effects.
const fn terms() -> Terms {
    Terms {
        checkpoint: None,
        state: BuildState::Building,
        effects_done: Vec::new(),
        events_per_second: None,
    }
}

/// Why a shadow is not there, or cannot be compared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShadowError {
    /// Somebody else has one.
    #[error("somebody else is replaying {projection}; wait until that has ended")]
    Busy {
        /// The projection.
        projection: &'static str,
    },
    /// No build is live.
    #[error("{projection} has no live build; start the program that runs it")]
    NoLive {
        /// The projection.
        projection: &'static str,
    },
    /// The source has no such position.
    #[error("the store ends at position {at}, before {position}")]
    Ends {
        /// Where it ends.
        at: Position,
        /// What was asked for.
        position: Position,
    },
    /// The live model was filled from another history.
    #[error("the live model is of another history than the store; point it to the right one")]
    History(#[from] HistoryError),
    /// The source cannot be read.
    #[error("the projection's source cannot be read")]
    Read(#[from] ReadError),
    /// The projector failed.
    #[error("the projector failed")]
    Projector(#[from] ProjectorError),
    /// The live build could not be brought to one position.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// No pool could be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The models' database gave no answer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The models' database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// A batch was not committed.
    #[error("the shadow's transaction failed")]
    Commit(#[from] CommitError),
}
