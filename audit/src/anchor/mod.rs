//! Where checkpoints are kept outside of the database.

mod database;
mod file;
mod records;

use std::fmt;

use async_trait::async_trait;
use folio_proofs::note::SignedNote;
use thiserror::Error;

pub use database::DatabaseAnchor;
pub use file::FileAnchor;

use crate::error::Source;

/// Keeps checkpoints where whoever can write to the database cannot change them.
///
/// What was once appended is believed more than the database.
#[async_trait]
pub trait Anchor: fmt::Debug + Send + Sync + 'static {
    /// The checkpoint that was appended last, if any was.
    ///
    /// # Errors
    ///
    /// [`AnchorError`].
    async fn last(&self) -> Result<Option<SignedNote>, AnchorError>;

    /// Appends a checkpoint. When this returns, it is kept for good.
    ///
    /// # Errors
    ///
    /// [`AnchorError`]; it may be appended all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether it is appended.
    async fn append(&self, note: &SignedNote) -> Result<(), AnchorError>;

    /// All that are in it by now, for a thread that may wait.
    ///
    /// # Errors
    ///
    /// [`AnchorError`].
    async fn records(&self) -> Result<Records, AnchorError>;
}

/// Checkpoints of an anchor, in the order in which they were appended. They are read as they are asked for, which blocks and
/// may panic on a thread that runs futures: take them on one for blocking work.
pub type Records = Box<dyn Iterator<Item = Result<SignedNote, AnchorError>> + Send>;

/// Why an anchor was not read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// It is not there, or refuses.
    #[error(
        "the anchor {anchor} cannot be read or written; see that it is there and may be written"
    )]
    Unreachable {
        /// Where it is.
        anchor: String,
        /// What went wrong.
        source: Source,
    },
    /// What is in it cannot be read.
    #[error(
        "the anchor {anchor} does not end in a checkpoint; somebody has written something else into it"
    )]
    Damaged {
        /// Where it is.
        anchor: String,
        /// What is wrong.
        source: Source,
    },
}
