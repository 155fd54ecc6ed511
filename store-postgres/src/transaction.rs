//! The one place that commits an explicit transaction.

use thiserror::Error;

use crate::sqlstate::Effect;

/// Commits.
///
/// Everything in the workspace that needs more than one statement commits here, so that there is
/// one answer to what a failed commit means. (An append is one statement and needs none.)
///
/// # Errors
///
/// [`CommitError::RolledBack`] when the server said that nothing was committed,
/// [`CommitError::Unknown`] when it said nothing.
///
/// # Cancel safety
///
/// Dropping the future leaves open whether the server commits.
pub async fn commit(transaction: deadpool_postgres::Transaction<'_>) -> Result<(), CommitError> {
    // In a transaction that has failed, COMMIT rolls back and reports success. Any query is refused
    // there, so with this one a swallowed error cannot pass for a commit.
    transaction
        .batch_execute("SELECT")
        .await
        .map_err(CommitError::RolledBack)?;
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    transaction.commit().await.map_err(CommitError::from)
}

/// Keeps what was done since a savepoint, as a part of the transaction around it. Whether that is
/// committed is still open.
///
/// # Errors
///
/// When the server refuses, or is gone; the transaction cannot go on then.
pub async fn release(
    savepoint: deadpool_postgres::Transaction<'_>,
) -> Result<(), tokio_postgres::Error> {
    #[expect(clippy::disallowed_methods, reason = "of a savepoint it is no commit")]
    savepoint.commit().await
}

/// A commit that did not succeed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Nothing was committed.
    #[error("the transaction was rolled back")]
    RolledBack(#[source] tokio_postgres::Error),
    /// The connection broke first; it may have been committed.
    #[error("the connection broke before the commit was confirmed")]
    Unknown(#[source] tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for CommitError {
    fn from(error: tokio_postgres::Error) -> Self {
        match Effect::of(&error) {
            Effect::None | Effect::NoneYet => Self::RolledBack(error),
            Effect::Unknown => Self::Unknown(error),
        }
    }
}
