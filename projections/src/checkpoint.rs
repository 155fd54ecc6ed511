//! How far a projection has come, kept in the model's own database.

use deadpool_postgres::{GenericClient, Transaction};
use folio_core::{Position, StoreId};
use thiserror::Error;

use crate::projector::ProjectionName;

const READ: &str = "SELECT store_id, position FROM projections.checkpoints \
                    WHERE projection = $1 AND version = $2";
const START: &str = "INSERT INTO projections.checkpoints (projection, version, store_id, position) \
                     VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING";
// Compare and set: the row lock makes a second runner wait, and then find that the position has
// moved on, before it can write anything twice.
const LOCK: &str = "SELECT position FROM projections.checkpoints \
                    WHERE projection = $1 AND version = $2 AND store_id = $3 FOR UPDATE";
const MOVE: &str = "UPDATE projections.checkpoints SET position = $3, updated_at = now() \
                    WHERE projection = $1 AND version = $2";

/// All events of the store up to and including the position are in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The store that the position belongs to.
    pub store_id: StoreId,
    /// The last event that is in the model.
    pub position: Position,
}

impl Checkpoint {
    /// Reads a projection's checkpoint, in whatever transaction `client` is in. None before its
    /// first run.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn read(
        client: &impl GenericClient,
        name: ProjectionName,
    ) -> Result<Option<Self>, tokio_postgres::Error> {
        let row = client.query_opt(READ, &[&name.name, &name.version]).await?;
        row.map(|row| {
            Ok(Self {
                store_id: StoreId::from_uuid(row.try_get(0)?),
                position: Position::START.plus(row.try_get(1)?),
            })
        })
        .transpose()
    }

    /// Reads the checkpoint, and makes one before the first event if there is none.
    pub(crate) async fn read_or_start(
        client: &impl GenericClient,
        name: ProjectionName,
        store_id: StoreId,
    ) -> Result<Self, CheckpointError> {
        client
            .execute(START, &[&name.name, &name.version, &store_id.as_uuid()])
            .await?;
        match Self::read(client, name).await? {
            Some(checkpoint) if checkpoint.store_id == store_id => Ok(checkpoint),
            Some(checkpoint) => Err(CheckpointError::OtherStore {
                name,
                checkpoint,
                store_id,
            }),
            None => Err(CheckpointError::Vanished { name }),
        }
    }

    /// Locks the checkpoint until the transaction ends, and makes sure that it is this one still.
    pub(crate) async fn lock(
        self,
        transaction: &Transaction<'_>,
        name: ProjectionName,
    ) -> Result<(), CheckpointError> {
        let row = transaction
            .query_opt(LOCK, &[&name.name, &name.version, &self.store_id.as_uuid()])
            .await?
            .ok_or(CheckpointError::Vanished { name })?;
        let found = Position::START.plus(row.try_get(0)?);
        if found == self.position {
            Ok(())
        } else {
            Err(CheckpointError::Moved {
                name,
                expected: self.position,
                found,
            })
        }
    }

    /// Moves the locked checkpoint to `position`.
    pub(crate) async fn advance(
        self,
        transaction: &Transaction<'_>,
        name: ProjectionName,
        position: Position,
    ) -> Result<Self, CheckpointError> {
        transaction
            .execute(MOVE, &[&name.name, &name.version, &position.number()])
            .await?;
        Ok(Self { position, ..self })
    }
}

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The model was filled from another store.
    #[error(
        "projection {name} was filled from store {} up to position {}, this is store {store_id}; \
         point it to the right store or reset the projection",
        checkpoint.store_id, checkpoint.position
    )]
    OtherStore {
        /// The projection.
        name: ProjectionName,
        /// Where it stands.
        checkpoint: Checkpoint,
        /// The store that it was to read.
        store_id: StoreId,
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
    /// The row is gone.
    #[error("the checkpoint of projection {name} has been removed; start it again to rebuild")]
    Vanished {
        /// The projection.
        name: ProjectionName,
    },
}
