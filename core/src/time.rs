//! Time as it is recorded: integer microseconds, never ordered by.

use serde::{Deserialize, Serialize};

/// A moment in microseconds since 1970-01-01 00:00:00 UTC.
///
/// It tells a person when something was recorded. Order is told by [`Position`](crate::Position):
/// two events may carry the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }
}
