//! The one place that begins and commits explicit transactions.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use futures_util::future::join;
use thiserror::Error;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use crate::pool::Object;
use crate::sqlstate::Effect;

/// A transaction that owns its pooled connection.
///
/// Statements go through the connection that it [derefs](Deref) to. Where it is dropped without an
/// end, the connection is closed, and the server rolls back: nobody is handed a session in the middle
/// of somebody else's transaction.
pub struct Transaction {
    // Shared with its own beginning, for as long as that is under way.
    connection: Arc<Object>,
}

impl Transaction {
    /// Begins. `opening` is what else is said of it first, such as `SET LOCAL …`; it may be empty.
    ///
    /// # Errors
    ///
    /// When the server refuses, or is gone.
    pub async fn begin(connection: Object, opening: &str) -> Result<Self, Error> {
        connection
            .batch_execute(&format!("BEGIN; {opening}"))
            .await?;
        let connection = Arc::new(connection);
        Ok(Self { connection })
    }

    /// Begins, and runs the first statement in the same round trip. The statement must have been
    /// prepared on `connection`.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin). The statement is never carried out outside of the transaction: where
    /// beginning fails, what follows is refused.
    pub async fn begin_with(
        connection: Object,
        opening: &str,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<(Self, Vec<Row>), Error> {
        let (transaction, rows) = Self::beginning(connection, opening, statement, parameters);
        Ok((transaction, rows.await?))
    }

    /// As [`begin_with`](Self::begin_with), for who does not wait for the first answer. The future that
    /// gives it has to be polled before anything else is sent; whatever is sent after that is carried
    /// out after it.
    pub fn beginning<'a>(
        connection: Object,
        opening: &str,
        statement: &'a Statement,
        parameters: &'a [&(dyn ToSql + Sync)],
    ) -> (Self, impl Future<Output = Result<Vec<Row>, Error>> + 'a) {
        let connection = Arc::new(connection);
        let opening = format!("BEGIN; {opening}");
        let begun = Arc::clone(&connection);
        let rows = async move {
            // Polled in this order, and sent in the order in which they are polled.
            let (begun, rows) = join(
                begun.batch_execute(&opening),
                begun.query(statement, parameters),
            )
            .await;
            begun?;
            rows
        };
        (Self { connection }, rows)
    }

    /// Begins a part that can be undone alone. One at a time.
    ///
    /// # Errors
    ///
    /// When the server refuses, or is gone.
    pub async fn set_savepoint(&self) -> Result<(), Error> {
        self.connection.batch_execute("SAVEPOINT part").await
    }

    /// Keeps what was done since the savepoint. Whether that is committed is still open.
    ///
    /// # Errors
    ///
    /// As [`set_savepoint`](Self::set_savepoint).
    pub async fn release_savepoint(&self) -> Result<(), Error> {
        self.connection.batch_execute("RELEASE part").await
    }

    /// Undoes what was done since the savepoint.
    ///
    /// # Errors
    ///
    /// As [`set_savepoint`](Self::set_savepoint).
    pub async fn undo_to_savepoint(&self) -> Result<(), Error> {
        self.connection
            .batch_execute("ROLLBACK TO part; RELEASE part")
            .await
    }

    /// Ends it without effect, and hands the connection back to its pool.
    ///
    /// # Errors
    ///
    /// When the server is gone; there is no effect then either.
    pub async fn rollback(self) -> Result<(), Error> {
        self.connection.batch_execute("ROLLBACK").await?;
        self.hand_back();
        Ok(())
    }

    fn hand_back(mut self) {
        if let Some(connection) = Arc::get_mut(&mut self.connection) {
            connection.finished();
        }
    }
}

impl Deref for Transaction {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.connection
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

/// Commits, and hands the connection back to its pool.
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
pub async fn commit(transaction: Transaction) -> Result<(), CommitError> {
    // In a transaction that has failed, COMMIT rolls back and reports success. Any query is refused
    // there, and what comes after it in the same message is not looked at, so with this one a
    // swallowed error cannot pass for a commit.
    transaction
        .connection
        .batch_execute("SELECT; COMMIT")
        .await
        .map_err(CommitError::from)?;
    transaction.hand_back();
    Ok(())
}

/// A commit that did not succeed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Nothing was committed.
    #[error("the transaction was rolled back")]
    RolledBack(#[source] Error),
    /// The connection broke first; it may have been committed.
    #[error("the connection broke before the commit was confirmed")]
    Unknown(#[source] Error),
}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        match Effect::of(&error) {
            Effect::None | Effect::NoneYet | Effect::NotHere => Self::RolledBack(error),
            Effect::Unknown => Self::Unknown(error),
        }
    }
}
