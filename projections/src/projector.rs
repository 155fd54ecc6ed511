//! What an app writes to have a read model.

use std::fmt;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use folio_core::RecordedEvent;
use folio_core::event::DecodeError;
use thiserror::Error;

/// Turns events into the rows of a read model.
///
/// # Ordering
///
/// Batches come in position order, each event once: the model and the checkpoint commit together,
/// so after a crash the runner goes on where the model is. A projector therefore needs no
/// safeguards of its own against repeats.
#[async_trait]
pub trait Projector: Send + Sync + 'static {
    /// Its name and version. A new version starts from the first event.
    fn name(&self) -> ProjectionName;

    /// Writes what `events` mean for the model, in the transaction that also moves the checkpoint.
    ///
    /// It gets the events of all categories, and passes over those it is not about.
    ///
    /// # Errors
    ///
    /// [`ProjectorError`]; the transaction is rolled back. After a transient database error the
    /// batch is tried again, any other error does what the runner's [`Poison`](crate::Poison) says.
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &Transaction<'_>,
    ) -> Result<(), ProjectorError>;

    /// Empties the model, so that it can be filled again from the first event.
    ///
    /// # Errors
    ///
    /// [`ProjectorError`].
    async fn reset(&self, transaction: &Transaction<'_>) -> Result<(), ProjectorError>;
}

/// Names a projection, and the version of its code and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionName {
    /// Its name, for example `balances`.
    pub name: &'static str,
    /// Its version: 1, 2, 3 …
    pub version: i32,
}

impl fmt::Display for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.name, self.version)
    }
}

/// Why a batch could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProjectorError {
    /// An event cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The database refused.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The model contradicts the events.
    #[error("the read model contradicts the events: {0}")]
    Contradiction(String),
}
