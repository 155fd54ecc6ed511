//! Why a command has no verdict.

use folio_core::event::{DecodeError, EncodeError};
use folio_core::joint::Undeclared;
use folio_core::store::{AppendError, ReadError};
use folio_core::stream::InvalidStreamId;
use folio_core::{CommandId, StreamId, Version};
use thiserror::Error;

/// Why a command has no verdict.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The id cannot name a stream.
    #[error(transparent)]
    InvalidStream(#[from] InvalidStreamId),
    /// The command's id was used before, for something else.
    #[error("command {command} was used before for a different request")]
    CommandReused {
        /// The command id.
        command: CommandId,
    },
    /// Others were faster, every time. Nothing was recorded.
    #[error(
        "stream {stream} changed {retries} times while the command was decided; it is at version {version}"
    )]
    Contended {
        /// The stream.
        stream: StreamId,
        /// How often the command was decided again.
        retries: u32,
        /// The version that the last try met.
        version: Version,
    },
    /// The command's code is wrong.
    #[error(transparent)]
    Undeclared(#[from] Undeclared),
    /// The store did not record an outcome, or it is not known whether it did.
    #[error("the outcome was not recorded")]
    Append(#[source] AppendError),
    /// The store could not be read.
    #[error("the aggregate cannot be loaded")]
    Read(#[from] ReadError),
    /// A stored event cannot be read.
    #[error("the aggregate cannot be replayed")]
    Decode(#[from] DecodeError),
    /// A stream has a hole.
    #[error("stream {stream} has version {found} where {expected} belongs")]
    Gap {
        /// The stream.
        stream: StreamId,
        /// The version that is missing.
        expected: Version,
        /// What stands in its place.
        found: Version,
    },
    /// A decided event cannot be stored.
    #[error("a decided event cannot be stored")]
    Encode(#[from] EncodeError),
    /// A command cannot be serialised, so it has no fingerprint.
    #[error("the command cannot be serialised")]
    Command(#[source] serde_json::Error),
    /// A refusal cannot be stored or read back.
    #[error("the refusal cannot be stored or read back")]
    Refusal(#[source] serde_json::Error),
}

impl From<AppendError> for ExecuteError {
    fn from(error: AppendError) -> Self {
        if let AppendError::CommandReused { command } = error {
            Self::CommandReused { command }
        } else {
            Self::Append(error)
        }
    }
}
