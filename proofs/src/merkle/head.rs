//! What is known of a log: how many leaves it has, and its root.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Hash;

/// How many leaves a log has.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Size(u64);

/// A log's size with its root (RFC 9162, section 2.1.1). A root means nothing without the size: one path can fit two
/// leaves of logs of different sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeHead {
    /// The leaves that are in it.
    pub size: Size,
    /// Their hash.
    pub root: Hash,
}

impl Size {
    /// Of a log without leaves.
    pub const EMPTY: Self = Self(0);

    /// A log of so many leaves.
    #[must_use]
    pub const fn new(leaves: u64) -> Self {
        Self(leaves)
    }

    /// How many they are.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// With a leaf more. No log gets to where this stops.
    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
