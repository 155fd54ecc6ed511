//! Why a walk has come to no end.

use thiserror::Error;

use crate::anchor::AnchorError;
use crate::error::Source;

/// Why a walk has come to no end. What it has found until then is so.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The database gives no connection.
    #[error("the database gives no connection to read with")]
    Unavailable(#[source] Source),
    /// A statement failed.
    #[error(
        "the database has refused to be read, or is gone; see that the store was prepared to be sealed"
    )]
    Database(#[from] tokio_postgres::Error),
    /// An anchor cannot be read.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// Whoever wanted to know is gone, or a thread has ended.
    #[error("the walk was stopped before its end")]
    Stopped,
}
