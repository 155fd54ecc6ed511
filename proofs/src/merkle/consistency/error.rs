//! Why there is no proof, or not this one.

use crate::Hash;
use crate::merkle::Size;

/// A log does not get smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log of {from} leaves does not become one of {to}: give the older size first")]
pub struct LogShrinks {
    /// The old size.
    pub from: Size,
    /// The new size.
    pub to: Size,
}

/// Why a proof does not show that the log has only grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsistencyError {
    /// It is a proof between other sizes.
    #[error(
        "the proof is from {from} to {to} leaves and the heads have {old} and {new}: ask for a proof between these"
    )]
    OtherSizes {
        /// The old size in the proof.
        from: Size,
        /// The new size in the proof.
        to: Size,
        /// The size of the old head.
        old: Size,
        /// The size of the new head.
        new: Size,
    },
    /// The new head is the smaller one.
    #[error(transparent)]
    Shrinks(#[from] LogShrinks),
    /// The root is reached before the path ends.
    #[error(
        "the path from {from} to {to} leaves has {length} hashes, which is too many: the proof is damaged"
    )]
    TooLong {
        /// The old size.
        from: Size,
        /// The new size.
        to: Size,
        /// The hashes in the path.
        length: usize,
    },
    /// The path ends before the root is reached.
    #[error(
        "the path from {from} to {to} leaves has {length} hashes, which is too few: the proof is damaged"
    )]
    TooShort {
        /// The old size.
        from: Size,
        /// The new size.
        to: Size,
        /// The hashes in the path.
        length: usize,
    },
    /// Two heads of one size.
    #[error(
        "of {size} leaves, one head has the root {old} and one {new}: the log was rewritten, or is shown in two ways"
    )]
    Forked {
        /// The size of both.
        size: Size,
        /// The root of the old head.
        old: Hash,
        /// The root of the new head.
        new: Hash,
    },
    /// The path does not come to the old root.
    #[error(
        "the path comes to the old root {computed} and the head of {size} leaves has {root}: the log was rewritten, or the proof is damaged"
    )]
    OldRoot {
        /// The old size.
        size: Size,
        /// What the path comes to.
        computed: Hash,
        /// The root of the old head.
        root: Hash,
    },
    /// The path does not come to the new root.
    #[error(
        "the path comes to the new root {computed} and the head of {size} leaves has {root}: the log was rewritten, or the proof is damaged"
    )]
    NewRoot {
        /// The new size.
        size: Size,
        /// What the path comes to.
        computed: Hash,
        /// The root of the new head.
        root: Hash,
    },
}
