//! Why a command did not do its work.

use folio_core::StreamId;
use folio_projections::{
    BuildName, CreateError, DeadLetterError, MeasureError, ModelError, OperationError, ProveError,
    ShadowError,
};
use thiserror::Error;

use crate::replay::ReplayError;

/// Why a command did not do its work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The app has no projection of this name.
    #[error("there is no projection {name}; there is {}", known.join(", "))]
    NoProjection {
        /// The name that was given.
        name: String,
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// There is nothing to compare or to ask.
    #[error("{projection} has no build but the live one; rebuild it first")]
    OnlyLive {
        /// The projection.
        projection: &'static str,
    },
    /// No build is live.
    #[error("{projection} has no live build; start the program that runs it")]
    NoLive {
        /// The projection.
        projection: &'static str,
    },
    /// A build cannot be filled.
    #[error("{build} is not filled any more: {error}")]
    Stopped {
        /// The build.
        build: BuildName,
        /// What its runner failed with.
        error: String,
    },
    /// A build is gone that was being filled.
    #[error("{build} was dropped by somebody meanwhile")]
    Dropped {
        /// The build.
        build: BuildName,
    },
    /// Nothing of a stream is parked.
    #[error("nothing of {stream} is parked by {build}; list its dead letters")]
    NotParked {
        /// The stream.
        stream: StreamId,
        /// The build.
        build: BuildName,
    },
    /// Somebody has stopped it before there was an answer.
    #[error("interrupted; nothing was changed")]
    Interrupted,
    /// Nothing was replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A model was not replayed.
    #[error(transparent)]
    Shadow(#[from] ShadowError),
    /// The builds cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// How far the builds are cannot be told.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// A build was not made or not removed.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// Nothing was done to a build.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// A build cannot be compared with its source.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// Nothing became of dead letters.
    #[error(transparent)]
    DeadLetter(#[from] DeadLetterError),
    /// The answer cannot be written to where it should go.
    #[error("the answer cannot be written")]
    Output(#[from] std::io::Error),
}
