//! How far a projection has come, kept in the model's own database.

use deadpool_postgres::Transaction;
use folio_core::{Checkpoint, EventHash, EventStore, HistoryError, Position, StoreId};
use thiserror::Error;
use tokio_postgres::GenericClient;

use crate::projector::ProjectionName;

const READ: &str = "SELECT store_id, position, event_hash FROM projections.checkpoints \
                    WHERE projection = $1 AND version = $2";
const START: &str = "INSERT INTO projections.checkpoints \
                     (projection, version, store_id, position, event_hash) \
                     VALUES ($1, $2, $3, 0, $4) ON CONFLICT DO NOTHING";
// Compare and set: the row lock makes a second runner wait, and then find that the position has
// moved on, before it can write anything twice.
const LOCK: &str = "SELECT position FROM projections.checkpoints \
                    WHERE projection = $1 AND version = $2 AND store_id = $3 FOR UPDATE";
const MOVE: &str = "UPDATE projections.checkpoints \
                    SET position = $3, event_hash = $4, updated_at = now() \
                    WHERE projection = $1 AND version = $2";

/// Reads a projection's checkpoint, in whatever transaction `client` is in: all events of the store
/// up to and including its position are in the model. None before its first run.
///
/// # Errors
///
/// When the database fails.
pub async fn read_checkpoint(
    client: &impl GenericClient,
    name: ProjectionName,
) -> Result<Option<Checkpoint>, tokio_postgres::Error> {
    Ok(read(client, name).await?.map(|stored| stored.checkpoint))
}

/// Reads the checkpoint, and makes one before the first event if there is none. Makes sure that the
/// store still has the history that the model was filled from.
pub(crate) async fn read_or_start(
    client: &impl GenericClient,
    name: ProjectionName,
    store: &impl EventStore,
) -> Result<Checkpoint, CheckpointError> {
    let start = Checkpoint::start(store.store_id());
    let (store_id, none) = (start.store_id.as_uuid(), start.event.as_bytes().as_slice());
    client
        .execute(START, &[&name.name, &name.version, &store_id, &none])
        .await?;
    let stored = read(client, name)
        .await?
        .ok_or(CheckpointError::Vanished { name })?;
    let history = |source| CheckpointError::History { name, source };
    if stored.has_hash {
        stored.checkpoint.verify(store).await.map_err(history)?;
    } else if stored.checkpoint.store_id != store.store_id() {
        return Err(history(HistoryError::OtherStore {
            checkpoint: stored.checkpoint,
            store_id: store.store_id(),
        }));
    }
    Ok(stored.checkpoint)
}

/// Locks the checkpoint until the transaction ends, and makes sure that it is this one still.
pub(crate) async fn lock(
    transaction: &Transaction<'_>,
    name: ProjectionName,
    checkpoint: Checkpoint,
) -> Result<(), CheckpointError> {
    let store_id = checkpoint.store_id.as_uuid();
    let statement = transaction.prepare_cached(LOCK).await?;
    let row = transaction
        .query_opt(&statement, &[&name.name, &name.version, &store_id])
        .await?
        .ok_or(CheckpointError::Vanished { name })?;
    let found = Position::START.plus(row.try_get(0)?);
    if found == checkpoint.position {
        Ok(())
    } else {
        Err(CheckpointError::Moved {
            name,
            expected: checkpoint.position,
            found,
        })
    }
}

/// Moves the locked checkpoint to `to`.
pub(crate) async fn advance(
    transaction: &Transaction<'_>,
    name: ProjectionName,
    to: Checkpoint,
) -> Result<(), CheckpointError> {
    let (position, event) = (to.position.number(), to.event.as_bytes().as_slice());
    let statement = transaction.prepare_cached(MOVE).await?;
    transaction
        .execute(&statement, &[&name.name, &name.version, &position, &event])
        .await?;
    Ok(())
}

struct Stored {
    checkpoint: Checkpoint,
    has_hash: bool,
}

async fn read(
    client: &impl GenericClient,
    name: ProjectionName,
) -> Result<Option<Stored>, tokio_postgres::Error> {
    let row = client.query_opt(READ, &[&name.name, &name.version]).await?;
    row.map(|row| {
        let hash: Option<&[u8]> = row.try_get(2)?;
        let hash = hash.and_then(EventHash::from_slice);
        Ok(Stored {
            checkpoint: Checkpoint {
                store_id: StoreId::from_uuid(row.try_get(0)?),
                position: Position::START.plus(row.try_get(1)?),
                event: hash.unwrap_or(EventHash::NONE),
            },
            has_hash: hash.is_some(),
        })
    })
    .transpose()
}

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The store is not, or not any more, the one that the model was filled from.
    #[error("projection {name} cannot go on; point it to the right store or rebuild it")]
    History {
        /// The projection.
        name: ProjectionName,
        /// In what they differ.
        source: HistoryError,
    },
    /// Another runner of the same projection has written in the meantime.
    #[error("another runner has moved projection {name} from position {expected} to {found}")]
    Moved {
        /// The projection.
        name: ProjectionName,
        /// Where this runner thought it was.
        expected: Position,
        /// Where it is.
        found: Position,
    },
    /// Another runner has taken the projection over.
    #[error("another runner has taken over projection {name}")]
    Deposed {
        /// The projection.
        name: ProjectionName,
    },
    /// The row is gone.
    #[error("the checkpoint of projection {name} has been removed; start it again to rebuild")]
    Vanished {
        /// The projection.
        name: ProjectionName,
    },
}
