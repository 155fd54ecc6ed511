//! Why there is no proof, or not this one.

use crate::Hash;
use crate::merkle::Size;

/// The log has no such leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log of {size} leaves has no leaf {index}: the first is 0; ask again when it has grown")]
pub struct OutsideLog {
    /// The leaf.
    pub index: u64,
    /// The log's size.
    pub size: Size,
}

/// Why a proof does not show that the leaf is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InclusionError {
    /// It is a proof for another size of the log.
    #[error(
        "the proof is for a log of {proof} leaves and the head has {head}: ask for a proof for this head"
    )]
    OtherSize {
        /// The size in the proof.
        proof: Size,
        /// The size that is trusted.
        head: Size,
    },
    /// The log has no such leaf.
    #[error(transparent)]
    Outside(#[from] OutsideLog),
    /// The root is reached before the path ends.
    #[error(
        "the path of leaf {index} of {size} has {length} hashes, which is too many: the proof is damaged"
    )]
    TooLong {
        /// The leaf.
        index: u64,
        /// The log's size.
        size: Size,
        /// The hashes in the path.
        length: usize,
    },
    /// The path ends before the root is reached.
    #[error(
        "the path of leaf {index} of {size} has {length} hashes, which is too few: the proof is damaged"
    )]
    TooShort {
        /// The leaf.
        index: u64,
        /// The log's size.
        size: Size,
        /// The hashes in the path.
        length: usize,
    },
    /// It comes to another root: this is not the leaf at this place of the log.
    #[error(
        "leaf {index} of {size} comes to the root {computed} and the head has {root}: not this leaf, or not this log"
    )]
    OtherRoot {
        /// The leaf.
        index: u64,
        /// The log's size.
        size: Size,
        /// What leaf and path come to.
        computed: Hash,
        /// The root that is trusted.
        root: Hash,
    },
}
