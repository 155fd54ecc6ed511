//! Reading a live model: as of one moment, knowing its position.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use folio_core::{Position, StoreId, StreamId};
use folio_postgres::{Pool, Transaction};
use thiserror::Error;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::dead_letters::parked_streams;
use crate::name::{BuildName, ProjectionName};
use crate::progress::{NotReached, Progress};

/// One snapshot for all questions of a reading: that of the first.
const OPENING: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
const LIVE: &str = include_str!("sql/live.sql");
/// Longest wait for another look where nothing of this process tells that the model has moved.
const POLL: Duration = Duration::from_millis(50);

/// Reads the live model of a projection.
#[derive(Debug, Clone)]
pub struct Reader {
    pool: Pool,
    name: ProjectionName,
    progress: Option<Progress>,
}

/// The live model as it is at one moment, for as long as one reads it.
///
/// Table names mean the tables of the build that is live. It [derefs](Deref) to the client.
pub struct Reading {
    transaction: Transaction,
    /// The build that is read.
    build: BuildName,
    position: Position,
    store_id: Option<StoreId>,
    parked: Vec<StreamId>,
}

impl Reader {
    /// Reads the projection `name` through a pool of the reader role. A program that runs the
    /// projection gets its reader from [it](crate::Projection::reader), which is woken at once.
    #[must_use]
    pub const fn new(pool: Pool, name: ProjectionName) -> Self {
        Self {
            pool,
            name,
            progress: None,
        }
    }

    pub(crate) fn woken_by(self, progress: Progress) -> Self {
        Self {
            progress: Some(progress),
            ..self
        }
    }

    /// The projection.
    #[must_use]
    pub const fn name(&self) -> ProjectionName {
        self.name
    }

    /// The model as it is now. [`Reading::position`] tells how far it has come.
    ///
    /// # Errors
    ///
    /// [`ReadModelError`].
    pub async fn read(&self) -> Result<Reading, ReadModelError> {
        match self.look().await {
            // Its build was removed in the moment between its name and its tables.
            Err(ReadModelError::Database(error))
                if error.code() == Some(&SqlState::UNDEFINED_TABLE) =>
            {
                self.look().await
            }
            looked => looked,
        }
    }

    /// The model once it has `position`, so that a reader sees what it has written. What is answered
    /// is never older, also when somebody goes back to another build meanwhile.
    ///
    /// # Errors
    ///
    /// [`ReadModelError::NotReached`] tells where it is when it is not there within `patience`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn read_at(
        &self,
        position: Position,
        patience: Duration,
    ) -> Result<Reading, ReadModelError> {
        let deadline = Instant::now() + patience;
        loop {
            let reading = self.read().await?;
            if reading.position >= position {
                return Ok(reading);
            }
            let reached = reading.position;
            reading.close().await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NotReached {
                    name: self.name,
                    wanted: position,
                    reached,
                }
                .into());
            }
            let wait = left.min(POLL);
            match &self.progress {
                // What this process knows is a hint. The model says what is true.
                Some(progress) if progress.position().is_none_or(|at| at < position) => {
                    let _ = progress.wait_for(position, wait).await;
                }
                _ => tokio::time::sleep(wait).await,
            }
        }
    }

    async fn look(&self) -> Result<Reading, ReadModelError> {
        let client = self.pool.get().await.map_err(ReadModelError::Pool)?;
        let statement = client.prepare_cached(LIVE).await?;
        let (transaction, rows) =
            Transaction::begin_with(client, OPENING, &statement, &[&self.name.name]).await?;
        let Some(row) = rows.first() else {
            return Err(ReadModelError::NoBuild {
                projection: self.name.name,
            });
        };
        let revision: i32 = row.try_get(1)?;
        if revision != self.name.revision {
            return Err(ReadModelError::OtherRevision {
                name: self.name,
                live: revision,
            });
        }
        let build = BuildName::new(self.name.name, row.try_get(0)?);
        let store_id: Option<Uuid> = row.try_get(3)?;
        let is_parking: bool = row.try_get(4)?;
        transaction
            .batch_execute(&format!("SET LOCAL search_path = \"{}\"", build.schema()))
            .await?;
        let parked = if is_parking {
            parked_streams(&transaction, &build).await?
        } else {
            Vec::new()
        };
        Ok(Reading {
            transaction,
            build,
            position: Position::START.plus(row.try_get(2)?),
            store_id: store_id.map(StoreId::from_uuid),
            parked,
        })
    }
}

impl Reading {
    /// All events up to and including this one are in the model, but those of
    /// [parked](Self::parked) streams.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The store that the position is in; none before its first event.
    #[must_use]
    pub const fn store_id(&self) -> Option<StoreId> {
        self.store_id
    }

    /// The build that is read.
    #[must_use]
    pub const fn build(&self) -> &BuildName {
        &self.build
    }

    /// The streams that are parked: what the model says of them is old.
    #[must_use]
    pub fn parked(&self) -> &[StreamId] {
        &self.parked
    }

    /// Ends it, and hands its connection back. Where it is dropped instead, the connection is closed.
    ///
    /// # Errors
    ///
    /// When the server is gone; what was read is right all the same.
    pub async fn close(self) -> Result<(), tokio_postgres::Error> {
        self.transaction.rollback().await
    }
}

impl Deref for Reading {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.transaction
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("build", &self.build)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Why a model cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadModelError {
    /// No connection.
    #[error("no connection to the read model's database")]
    Pool(#[source] deadpool_postgres::PoolError),
    /// The database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// There is no live build.
    #[error("projection {projection} has no live build; open the projection to make one")]
    NoBuild {
        /// The projection.
        projection: &'static str,
    },
    /// The live build is of another revision, whose tables this program does not know.
    #[error("the live build of {} is of revision {live}, this program reads revision {}", name.name, name.revision)]
    OtherRevision {
        /// The projection, with the revision of this program.
        name: ProjectionName,
        /// The live build's.
        live: i32,
    },
    /// The model is not there yet.
    #[error(transparent)]
    NotReached(#[from] NotReached),
}
