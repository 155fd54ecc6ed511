//! Events that a build could not take in, and what becomes of them.
//!
//! A stream with an open letter is parked: its later events become letters too, behind the first, so
//! that the order on the stream stays. [`retry`](crate::Projection::retry) takes them in, in order,
//! when what was wrong has been mended; [`skip`](crate::Projection::skip) passes one over for good,
//! for a reason that is recorded.

use folio_core::filter::Member;
use folio_core::store::ReadError;
use folio_core::stream::InvalidStreamId;
use folio_core::{Actor, BatchSize, Filter, Position, RecordedEvent, StreamId, error_chain};
use folio_postgres::{CommitError, Transaction, commit};
use thiserror::Error;
use tokio_postgres::{Error, GenericClient, Row};

use crate::build::BuildState;
use crate::given::Given;
use crate::lease::{Terms, checkpoint};
use crate::model::ModelTransaction;
use crate::name::BuildName;
use crate::operations::record;
use crate::projector::ProjectorError;
use crate::shared::Shared;
use crate::taken::record_late;

const OPEN_STREAMS: &str = "SELECT category, stream_id FROM projections.dead_letters \
     WHERE projection = $1 AND build = $2 AND resolution IS NULL GROUP BY category, stream_id";
const PARK: &str = "INSERT INTO projections.dead_letters \
     (projection, build, position, category, stream_id, error, attempts) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
const OPEN: &str = "SELECT position, category, stream_id, error, attempts \
     FROM projections.dead_letters \
     WHERE projection = $1 AND build = $2 AND resolution IS NULL ORDER BY position";
const OPEN_OF_STREAM: &str = "SELECT position FROM projections.dead_letters \
     WHERE projection = $1 AND build = $2 AND category = $3 AND stream_id = $4 \
       AND resolution IS NULL ORDER BY position";
const RESOLVE: &str = "UPDATE projections.dead_letters \
     SET resolution = $4, resolved_by = $5, reason = $6, resolved_at = now(), \
         attempts = attempts + $7 \
     WHERE projection = $1 AND build = $2 AND position = $3 AND resolution IS NULL";
const FAILED_AGAIN: &str = "UPDATE projections.dead_letters \
     SET error = $4, attempts = attempts + 1 \
     WHERE projection = $1 AND build = $2 AND position = $3";
// The runner's batches move the same row first. So nothing is parked behind the last letter of a stream
// while that one is taken in.
const LOCK: &str = "SELECT b.state, b.effects_done, c.store_id, c.position, c.event_hash \
     FROM projections.builds b JOIN projections.checkpoints c USING (projection, build) \
     WHERE b.projection = $1 AND b.build = $2 AND c.partition = $3 FOR UPDATE OF c";
// A question of its own, after the lock: that may have waited for who was pausing it.
const PAUSED: &str =
    "SELECT paused_at IS NOT NULL FROM projections.builds WHERE projection = $1 AND build = $2";
const SIZE: &str = "SELECT partitions FROM projections.builds WHERE projection = $1 AND build = $2";

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

/// The open letters of a build, in position order.
///
/// # Errors
///
/// [`DeadLetterError`] when the database fails.
pub async fn dead_letters(
    client: &impl GenericClient,
    build: &BuildName,
) -> Result<Vec<DeadLetter>, DeadLetterError> {
    let rows = client
        .query(OPEN, &[&build.projection, &build.build])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(DeadLetter {
                position: Position::START.plus(row.try_get(0)?),
                stream: stream(row, 1)?,
                error: row.try_get(3)?,
                attempts: row.try_get(4)?,
            })
        })
        .collect()
}

/// Takes in what is parked of a stream, in order, up to the first event that fails again.
pub(crate) async fn retry(
    shared: &Shared,
    build: &BuildName,
    parked: &StreamId,
    by: &Actor,
) -> Result<usize, DeadLetterError> {
    let client = shared.models.get().await.map_err(DeadLetterError::Pool)?;
    let transaction = Transaction::begin(client, &shared.opening(build)).await?;
    let mut model = ModelTransaction { transaction };
    let terms = lock(&model, build, parked).await?;
    let open = model
        .query(
            OPEN_OF_STREAM,
            &[
                &build.projection,
                &build.build,
                &parked.category(),
                &parked.id(),
            ],
        )
        .await?;
    let (mut projected, mut failed) = (0_usize, None);
    for row in &open {
        let number: i64 = row.try_get(0)?;
        let before = Position::START.plus(number.saturating_sub(1));
        let page = shared
            .source
            .read(&Filter::all(), before, BatchSize::ONE)
            .await?;
        let position = Position::START.plus(number);
        let Some(event) = page.events.into_iter().next() else {
            return Err(DeadLetterError::Gone { position });
        };
        let given = Given::late(event);
        model.transaction.set_savepoint().await?;
        record_late(&model, build, &given).await?;
        match shared.handle(&terms, given.events(), &mut model).await {
            Ok(()) => {
                model.transaction.release_savepoint().await?;
                resolve(&model, build, number, "projected", by, None, 1).await?;
                projected = projected.saturating_add(1);
            }
            Err(source) => {
                model.transaction.undo_to_savepoint().await?;
                let error = error_chain(&source);
                model
                    .execute(
                        FAILED_AGAIN,
                        &[&build.projection, &build.build, &number, &error],
                    )
                    .await?;
                failed = Some(DeadLetterError::StillFails { position, source });
                break;
            }
        }
    }
    let what = format!("{parked}: {projected} of {} events taken in", open.len());
    record(&model, build, "retry", by, &what).await?;
    commit(model.transaction).await?;
    failed.map_or(Ok(projected), Err)
}

/// Passes an event over for good.
pub(crate) async fn skip(
    shared: &Shared,
    build: &BuildName,
    position: Position,
    by: &Actor,
    reason: &str,
) -> Result<(), DeadLetterError> {
    if reason.trim().is_empty() {
        return Err(DeadLetterError::NoReason);
    }
    let client = shared.models.get().await.map_err(DeadLetterError::Pool)?;
    let transaction = Transaction::begin(client, "").await?;
    let number = position.number();
    let skipped = resolve(&transaction, build, number, "skipped", by, Some(reason), 0).await?;
    if skipped == 0 {
        transaction.rollback().await?;
        return Err(DeadLetterError::NotParked {
            build: build.clone(),
            position,
        });
    }
    let what = format!("position {position}: {reason}");
    record(&transaction, build, "skip", by, &what).await?;
    commit(transaction).await?;
    Ok(())
}

/// The streams of a build that are parked.
pub(crate) async fn parked_streams(
    client: &tokio_postgres::Client,
    build: &BuildName,
) -> Result<Vec<StreamId>, Error> {
    let rows = client
        .query(OPEN_STREAMS, &[&build.projection, &build.build])
        .await?;
    // What is in the table was a stream once, so none is left out here.
    Ok(rows.iter().filter_map(|row| stream(row, 0).ok()).collect())
}

/// Parks an event: with the error that it failed with, or behind another of its stream.
pub(crate) async fn park(
    client: &tokio_postgres::Client,
    build: &BuildName,
    event: &RecordedEvent,
    error: Option<&str>,
) -> Result<(), Error> {
    let (position, attempts) = (event.position.number(), i32::from(error.is_some()));
    client
        .execute(
            PARK,
            &[
                &build.projection,
                &build.build,
                &position,
                &event.stream.category(),
                &event.stream.id(),
                &error,
                &attempts,
            ],
        )
        .await?;
    Ok(())
}

/// Keeps the runner of the stream's partition from writing until the transaction ends.
async fn lock(
    model: &ModelTransaction,
    build: &BuildName,
    stream: &StreamId,
) -> Result<Terms, DeadLetterError> {
    let gone = || DeadLetterError::NoBuild {
        build: build.clone(),
    };
    let (projection, number) = (&build.projection, build.build);
    let size: i16 = model
        .query_opt(SIZE, &[projection, &number])
        .await?
        .ok_or_else(gone)?
        .try_get(0)?;
    let partition = Member::of_stream(stream, u16::try_from(size).unwrap_or(1));
    let partition = i16::try_from(partition).unwrap_or(i16::MAX);
    let row = model
        .query_opt(LOCK, &[projection, &number, &partition])
        .await?
        .ok_or_else(gone)?;
    let paused = model.query_opt(PAUSED, &[projection, &number]).await?;
    if paused.ok_or_else(gone)?.try_get(0)? {
        return Err(DeadLetterError::Paused {
            build: build.clone(),
        });
    }
    Ok(Terms {
        state: BuildState::of(row.try_get(0)?),
        effects_done: row.try_get(1)?,
        checkpoint: checkpoint(&row, 2)?,
        events_per_second: None,
    })
}

async fn resolve(
    client: &tokio_postgres::Client,
    build: &BuildName,
    position: i64,
    resolution: &str,
    by: &Actor,
    reason: Option<&str>,
    attempts: i32,
) -> Result<u64, Error> {
    client
        .execute(
            RESOLVE,
            &[
                &build.projection,
                &build.build,
                &position,
                &resolution,
                &by.name(),
                &reason,
                &attempts,
            ],
        )
        .await
}

fn stream(row: &Row, first: usize) -> Result<StreamId, DeadLetterError> {
    let category: String = row.try_get(first)?;
    let id: String = row.try_get(first.saturating_add(1))?;
    Ok(StreamId::new(category, id)?)
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
    Database(#[from] Error),
    /// The transaction did not commit, or it is not known whether it did.
    #[error("the transaction failed; list the dead letters to see what has become of them")]
    Commit(#[from] CommitError),
    /// The event cannot be read.
    #[error("the event cannot be read")]
    Read(#[from] ReadError),
    /// A letter names no stream.
    #[error("a dead letter names no stream")]
    Stream(#[from] InvalidStreamId),
    /// The event is not in the store any more.
    #[error("position {position} is not in the store any more; was it restored?")]
    Gone {
        /// Where it stood.
        position: Position,
    },
    /// There is no such build.
    #[error("there is no {build}")]
    NoBuild {
        /// Its name.
        build: BuildName,
    },
    /// It is paused.
    #[error("{build} is paused; resume it first")]
    Paused {
        /// The build.
        build: BuildName,
    },
    /// It fails again; those before it are in the model.
    #[error("position {position} fails again; mend the projector, or skip it with a reason")]
    StillFails {
        /// Where it stands.
        position: Position,
        /// Why it failed.
        source: ProjectorError,
    },
    /// It is no open letter.
    #[error("position {position} is not parked by {build}")]
    NotParked {
        /// The build.
        build: BuildName,
        /// The position that was given.
        position: Position,
    },
    /// Nobody could later tell why.
    #[error("to skip an event takes a reason")]
    NoReason,
}
