//! Why something was not sealed, or not proven.

use std::error::Error;
use std::fmt;

use folio_core::{CommandId, Position, StreamId};
use folio_postgres::{CommitError, PoolError};
use folio_proofs::checkpoint::{Checkpoint, OpenCheckpointError};
use folio_proofs::merkle::{LogShrinks, Size};
use folio_proofs::note::SignError;
use thiserror::Error;

use crate::altered::Altered;
use crate::anchor::AnchorError;
use crate::copied::NotAsCopied;

/// Whatever lies beneath.
pub(crate) type Source = Box<dyn Error + Send + Sync>;

/// Why nothing was sealed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// There is no pool of connections.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database gives no connection.
    #[error("the database gives the sealer no connection")]
    Unavailable(#[source] Source),
    /// A statement failed.
    #[error("the database has refused a statement of the sealer, or is gone")]
    Database(#[from] tokio_postgres::Error),
    /// What was read are no events.
    #[error(
        "the database has sent what are no events; see that its version is one that is supported"
    )]
    NoEvents,
    /// It was not committed, or nobody knows.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It took too long.
    #[error("sealing has taken longer than a seal may take; it is begun again")]
    TimedOut,
    /// A position of the store is empty.
    #[error("the event at position {position} is missing; the next one is {next}")]
    Missing {
        /// The position.
        position: Position,
        /// The next one that has an event.
        next: Position,
    },
    /// What was sealed is not as it was.
    #[error(
        "what was sealed is not as it was; find out what was changed, and restore a copy from before"
    )]
    Altered(#[from] Altered),
    /// What was anchored is not in the log.
    #[error(transparent)]
    NotAsAnchored(#[from] Box<NotAsAnchored>),
    /// The anchor has a checkpoint that is not to be believed.
    #[error(
        "the anchor's last checkpoint is not to be believed; see that it is the anchor of this log"
    )]
    ForeignAnchor(#[source] Box<OpenCheckpointError>),
    /// The anchor cannot be read or written.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The checkpoint was not signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The log in the database is not the one that was anchored: it was restored from an older copy, has lost its end, or was
/// made anew.
#[derive(Debug)]
pub struct NotAsAnchored {
    /// The anchor's last checkpoint.
    pub anchored: Checkpoint,
    /// What the database has of the same size.
    pub found: Option<Checkpoint>,
    /// The last checkpoint in the database.
    pub last: Option<Checkpoint>,
}

/// Why there is no proof.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The database gives no connection.
    #[error("the database gives no connection to prove with")]
    Unavailable(#[source] Source),
    /// A statement failed.
    #[error("the database has refused to read a proof, or is gone")]
    Database(#[from] tokio_postgres::Error),
    /// Nothing was sealed yet.
    #[error("nothing was sealed yet; ask again when the sealer has run")]
    NothingSealed,
    /// There is no checkpoint of this size.
    #[error("there is no checkpoint of {size} leaves; ask for the proof of one that there is")]
    NoCheckpoint {
        /// The size that was asked for.
        size: Size,
    },
    /// The event is not in the log yet.
    #[error(
        "position {position} is not in the log, which goes up to {sealed}; ask again in a moment"
    )]
    NotSealed {
        /// The position that was asked for.
        position: Position,
        /// The last one in the log.
        sealed: Position,
    },
    /// The stream has more events than are proven at once.
    #[error(
        "{stream} has more than {most} events, too many to prove over this way; make the bundle with the command `bundle`"
    )]
    TooLong {
        /// The stream.
        stream: StreamId,
        /// Most events.
        most: usize,
    },
    /// The command has no outcome that is a leaf of its own.
    #[error("no outcome without events is sealed of command {command}")]
    NoOutcome {
        /// The command.
        command: CommandId,
    },
    /// A proof from the larger to the smaller log was asked for.
    #[error(transparent)]
    Shrinks(#[from] LogShrinks),
    /// What was sealed is not as it was.
    #[error("what was sealed is not as it was, so nothing is proven by it")]
    Altered(#[from] Altered),
}

/// What both have in common.
#[derive(Debug)]
pub(crate) enum Fault {
    Database(tokio_postgres::Error),
    Altered(Altered),
}

impl SealError {
    /// Whether trying again is of no use, because somebody has to look after it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Altered(_) | Self::NotAsAnchored(_) | Self::ForeignAnchor(_)
        )
    }
}

impl fmt::Display for NotAsAnchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checkpoint { size, root, .. } = &self.anchored;
        write!(
            f,
            "a checkpoint of {size} leaves with the root {root} was anchored, and the database has "
        )?;
        match (&self.found, &self.last) {
            (Some(found), _) => {
                write!(f, "another one of that size, with the root {}", found.root)?
            }
            (None, Some(last)) => write!(f, "none of that size, its last one has {}", last.size)?,
            (None, None) => f.write_str("none at all")?,
        }
        f.write_str(": it was restored from an older copy, or the log was made anew")
    }
}

impl Error for NotAsAnchored {}

impl From<Altered> for Fault {
    fn from(altered: Altered) -> Self {
        Self::Altered(altered)
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl From<NotAsCopied> for SealError {
    fn from(_: NotAsCopied) -> Self {
        Self::NoEvents
    }
}

impl From<Fault> for SealError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Database(error) => Self::Database(error),
            Fault::Altered(altered) => Self::Altered(altered),
        }
    }
}

impl From<Fault> for ProveError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Database(error) => Self::Database(error),
            Fault::Altered(altered) => Self::Altered(altered),
        }
    }
}
