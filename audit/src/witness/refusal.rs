//! Why a witness signs nothing.

use folio_proofs::Hash;
use folio_proofs::checkpoint::OpenCheckpointError;
use folio_proofs::merkle::{ConsistencyError, Size};
use folio_proofs::witness::ParseAddCheckpointError;
use thiserror::Error;

use crate::error::Source;

/// Why a witness signs nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no request.
    #[error(transparent)]
    NotARequest(#[from] ParseAddCheckpointError),
    /// The log is none that it knows.
    #[error("the log {origin} is not known here; start the witness with its public key")]
    UnknownLog {
        /// What the log is called.
        origin: String,
    },
    /// It is not signed by the log, or no checkpoint.
    #[error(transparent)]
    NotBelieved(#[from] OpenCheckpointError),
    /// The proof would be of a log that gets smaller.
    #[error("the old size {old} is larger than that of the checkpoint, {new}")]
    OldIsLarger {
        /// The old size.
        old: Size,
        /// The size of the checkpoint.
        new: Size,
    },
    /// It has seen another checkpoint last.
    #[error("the checkpoint that was seen last has {size} leaves")]
    Stale {
        /// Its size.
        size: Size,
    },
    /// It has seen another log of this size.
    #[error("of {size} leaves, the root {seen} was seen, and not {new}")]
    Forked {
        /// The size of both.
        size: Size,
        /// The root that was seen.
        seen: Hash,
        /// The root of the checkpoint.
        new: Hash,
    },
    /// The log does not begin with the one that it has seen, or that is not proven.
    #[error("it is not proven that the log has only grown")]
    NotGrown(#[source] ConsistencyError),
    /// What it keeps cannot be read or written, or nothing be signed.
    #[error("what the witness keeps cannot be read or written; see its log")]
    State(#[source] Source),
    /// It does not know what time it is.
    #[error("the witness does not know what time it is; set its clock")]
    Clock,
}

impl Refusal {
    pub(super) fn state(source: impl Into<Source>) -> Self {
        Self::State(source.into())
    }
}
