//! Where checkpoints are kept outside of the database.

mod database;
mod file;
mod records;
#[cfg(feature = "witness")]
mod witness;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use folio_proofs::merkle::{ConsistencyProof, Size};
use folio_proofs::note::SignedNote;
use thiserror::Error;

pub use database::DatabaseAnchor;
pub use file::FileAnchor;
#[cfg(feature = "witness")]
pub(crate) use records::Piece;
#[cfg(feature = "witness")]
pub use witness::{WitnessAddressError, WitnessAnchor};

use crate::error::Source;

/// Keeps checkpoints where whoever can write to the database cannot change them.
///
/// What was once appended is believed more than the database.
#[async_trait]
pub trait Anchor: fmt::Debug + Send + Sync + 'static {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// The checkpoint that was appended last, if any was.
    ///
    /// # Errors
    ///
    /// [`AnchorError`].
    async fn last(&self) -> Result<Option<SignedNote>, AnchorError>;

    /// Appends a checkpoint. When this returns, it is kept for good. `growth` proves that the log has only grown since the
    /// one that was appended last, to whoever does not take that on trust.
    ///
    /// # Errors
    ///
    /// [`AnchorError`]; it may be appended all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether it is appended.
    async fn append(&self, note: &SignedNote, growth: &ConsistencyProof)
    -> Result<(), AnchorError>;

    /// All that are in it by now, for a thread that may wait.
    ///
    /// # Errors
    ///
    /// [`AnchorError`].
    async fn records(&self) -> Result<Records, AnchorError>;
}

/// All anchors of a log, of which there is at least one.
#[derive(Debug, Clone)]
pub struct Anchors(Vec<Arc<dyn Anchor>>);

impl Anchors {
    /// Only this one.
    #[must_use]
    pub fn new(anchor: Arc<dyn Anchor>) -> Self {
        Self(vec![anchor])
    }

    /// The same, and this one.
    #[must_use]
    pub fn and(mut self, anchor: Arc<dyn Anchor>) -> Self {
        self.0.push(anchor);
        self
    }
}

impl IntoIterator for Anchors {
    type Item = Arc<dyn Anchor>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Arc<dyn Anchor>> for Anchors {
    fn from(anchor: Arc<dyn Anchor>) -> Self {
        Self::new(anchor)
    }
}

impl<A: Anchor> From<Arc<A>> for Anchors {
    fn from(anchor: Arc<A>) -> Self {
        Self::new(anchor)
    }
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
    /// There is no such file, and something was anchored already.
    #[error(
        "there is no file {anchor}, and the log that is anchored there was begun: put the file back, as it was last, if it is gone; \
         if this is a new anchor of the log, or what it had is lost, make it an empty file"
    )]
    Gone {
        /// Where it was.
        anchor: String,
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
    /// Somebody else has appended to it since it was asked.
    #[error("the anchor {anchor} has a checkpoint of {size} leaves by now; ask it again")]
    Overtaken {
        /// Where it is.
        anchor: String,
        /// The leaves of the checkpoint that it has.
        size: Size,
    },
    /// It does not take the checkpoint.
    #[error("the anchor {anchor} refuses: {why}")]
    Refused {
        /// Where it is.
        anchor: String,
        /// What it says.
        why: String,
    },
    /// Somebody answers in its place, or it has another key by now.
    #[error(
        "what the anchor {anchor} answers is not signed by its key; see that this is still its key"
    )]
    NotItself {
        /// Where it is.
        anchor: String,
        /// What is wrong.
        source: Source,
    },
}
