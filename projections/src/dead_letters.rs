//! Events that a projection could not take in, and what becomes of them.
//!
//! A stream with an open letter is parked: its later events become letters too, behind the first, so
//! that the order on the stream stays. [`retry`] takes them in, in order, when what was wrong has been
//! mended; [`skip`] passes one over for good, for a reason that is recorded.

use std::collections::HashSet;

use deadpool_postgres::Transaction;
use folio_core::store::ReadError;
use folio_core::stream::InvalidStreamId;
use folio_core::{Actor, BatchSize, EventStore, Position, RecordedEvent, StreamId, error_chain};
use folio_postgres::{CommitError, Pool, commit, release};
use thiserror::Error;
use tokio_postgres::GenericClient;

use crate::projector::{ProjectionName, Projector, ProjectorError};

const OPEN_STREAMS: &str = "SELECT category, stream_id FROM projections.dead_letters \
     WHERE projection = $1 AND version = $2 AND resolution IS NULL GROUP BY category, stream_id";
const PARK: &str = "INSERT INTO projections.dead_letters \
     (projection, version, position, category, stream_id, error, attempts) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
const OPEN: &str = "SELECT position, category, stream_id, error, attempts \
     FROM projections.dead_letters \
     WHERE projection = $1 AND version = $2 AND resolution IS NULL ORDER BY position";
const OPEN_OF_STREAM: &str = "SELECT position FROM projections.dead_letters \
     WHERE projection = $1 AND version = $2 AND category = $3 AND stream_id = $4 \
       AND resolution IS NULL ORDER BY position";
const RESOLVE: &str = "UPDATE projections.dead_letters \
     SET resolution = $4, resolved_by = $5, reason = $6, resolved_at = now(), \
         attempts = attempts + $7 \
     WHERE projection = $1 AND version = $2 AND position = $3 AND resolution IS NULL";
const FAILED_AGAIN: &str = "UPDATE projections.dead_letters \
     SET error = $4, attempts = attempts + 1 \
     WHERE projection = $1 AND version = $2 AND position = $3";
// The runner's batches lock the same row first. So nothing is parked behind the last letter of a stream
// while that one is taken in.
const LOCK: &str = "SELECT FROM projections.checkpoints \
     WHERE projection = $1 AND version = $2 FOR UPDATE";

/// An event that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it stands in the store.
    pub position: Position,
    /// Its stream, which is parked with it.
    pub stream: StreamId,
    /// Why it could not be taken in the last time; none when it only waits behind another.
    pub error: Option<String>,
    /// How often that was tried.
    pub attempts: i32,
}

/// The open letters of a projection, in position order.
///
/// # Errors
///
/// [`DeadLetterError`] when the database fails.
pub async fn dead_letters(
    client: &impl GenericClient,
    name: ProjectionName,
) -> Result<Vec<DeadLetter>, DeadLetterError> {
    let rows = client.query(OPEN, &[&name.name, &name.version]).await?;
    rows.iter()
        .map(|row| {
            Ok(DeadLetter {
                position: Position::START.plus(row.try_get(0)?),
                stream: StreamId::new(row.try_get::<_, &str>(1)?, row.try_get::<_, &str>(2)?)?,
                error: row.try_get(3)?,
                attempts: row.try_get(4)?,
            })
        })
        .collect()
}

/// Takes in what is parked of a stream, in order, up to the first event that fails again. Answers how
/// many were taken in. When it was all of them, the stream is parked no more.
///
/// # Errors
///
/// [`DeadLetterError::StillFails`] names the event that failed again; those before it are in the
/// model.
///
/// # Cancel safety
///
/// Dropping the future leaves the letters as they were, or resolved.
pub async fn retry<P: Projector>(
    projector: &P,
    store: &impl EventStore,
    models: &Pool,
    stream: &StreamId,
    by: &Actor,
) -> Result<usize, DeadLetterError> {
    let name = projector.name();
    let mut client = models.get().await.map_err(DeadLetterError::Pool)?;
    let mut transaction = client.transaction().await?;
    transaction
        .query(LOCK, &[&name.name, &name.version])
        .await?;
    let open = transaction
        .query(
            OPEN_OF_STREAM,
            &[&name.name, &name.version, &stream.category(), &stream.id()],
        )
        .await?;
    let (mut projected, mut failed) = (0_usize, None);
    for row in &open {
        let number: i64 = row.try_get(0)?;
        let before = Position::START.plus(number.saturating_sub(1));
        let events = store.read_all(before, BatchSize::ONE).await?;
        if events.is_empty() {
            return Err(DeadLetterError::Gone {
                position: Position::START.plus(number),
            });
        }
        let savepoint = transaction.transaction().await?;
        match projector.handle(&events, &savepoint).await {
            Ok(()) => {
                release(savepoint).await?;
                resolve(&*transaction, name, number, "projected", by, None, 1).await?;
                projected = projected.saturating_add(1);
            }
            Err(source) => {
                savepoint.rollback().await?;
                let error = error_chain(&source);
                transaction
                    .execute(FAILED_AGAIN, &[&name.name, &name.version, &number, &error])
                    .await?;
                let position = Position::START.plus(number);
                failed = Some(DeadLetterError::StillFails { position, source });
                break;
            }
        }
    }
    commit(transaction).await?;
    client.finished();
    failed.map_or(Ok(projected), Err)
}

/// Passes an event over for good. Those behind it on its stream stay parked until they are
/// [retried](retry).
///
/// # Errors
///
/// [`DeadLetterError::NotParked`] when it is no open letter, [`DeadLetterError::NoReason`] when the
/// reason is empty.
pub async fn skip(
    client: &impl GenericClient,
    name: ProjectionName,
    position: Position,
    by: &Actor,
    reason: &str,
) -> Result<(), DeadLetterError> {
    if reason.trim().is_empty() {
        return Err(DeadLetterError::NoReason);
    }
    let number = position.number();
    match resolve(client, name, number, "skipped", by, Some(reason), 0).await? {
        0 => Err(DeadLetterError::NotParked { name, position }),
        _ => Ok(()),
    }
}

/// The streams that are parked.
pub(crate) async fn parked_streams(
    transaction: &Transaction<'_>,
    name: ProjectionName,
) -> Result<HashSet<(String, String)>, tokio_postgres::Error> {
    let statement = transaction.prepare_cached(OPEN_STREAMS).await?;
    let rows = transaction
        .query(&statement, &[&name.name, &name.version])
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// Parks an event: with the error that it failed with, or behind another of its stream.
pub(crate) async fn park(
    transaction: &Transaction<'_>,
    name: ProjectionName,
    event: &RecordedEvent,
    error: Option<&str>,
) -> Result<(), tokio_postgres::Error> {
    let (category, id) = (event.stream.category(), event.stream.id());
    let (position, attempts) = (event.position.number(), i32::from(error.is_some()));
    transaction
        .execute(
            PARK,
            &[
                &name.name,
                &name.version,
                &position,
                &category,
                &id,
                &error,
                &attempts,
            ],
        )
        .await?;
    Ok(())
}

async fn resolve(
    client: &impl GenericClient,
    name: ProjectionName,
    position: i64,
    resolution: &str,
    by: &Actor,
    reason: Option<&str>,
    attempts: i32,
) -> Result<u64, tokio_postgres::Error> {
    client
        .execute(
            RESOLVE,
            &[
                &name.name,
                &name.version,
                &position,
                &resolution,
                &by.name(),
                &reason,
                &attempts,
            ],
        )
        .await
}

/// Why nothing became of a letter.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// No connection to the model's database.
    #[error("no connection to the read model's database")]
    Pool(#[source] deadpool_postgres::PoolError),
    /// The database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The transaction did not commit.
    #[error("the transaction failed")]
    Commit(#[from] CommitError),
    /// The event cannot be read.
    #[error("the parked event cannot be read")]
    Read(#[from] ReadError),
    /// The store does not have it any more: it is not the one that the model was filled from.
    #[error("the store has no event at position {position}, which is parked; is it another store?")]
    Gone {
        /// Where it should be.
        position: Position,
    },
    /// A letter names no stream.
    #[error("a parked event names no stream")]
    Stream(#[from] InvalidStreamId),
    /// It could not be taken in this time either.
    #[error("the event at position {position} fails again, and stays parked")]
    StillFails {
        /// The event.
        position: Position,
        /// Why.
        source: ProjectorError,
    },
    /// There is no such letter.
    #[error("projection {name} has no parked event at position {position}; list what is parked")]
    NotParked {
        /// The projection.
        name: ProjectionName,
        /// What was asked for.
        position: Position,
    },
    /// A reason has to be given.
    #[error("an event is passed over for a reason only; give one")]
    NoReason,
}
