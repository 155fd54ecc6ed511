//! Moments of a clock that never goes back.

use std::time::Duration;

/// A moment, in nanoseconds since some beginning that stays the same. It must come from a monotonic
/// clock: what people do to the time of day shall open and close nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// How long after an earlier moment this is; zero where it is none.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment so much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    pub(super) const fn nanos(self) -> u64 {
        self.0
    }
}

impl From<Duration> for Tick {
    fn from(since_beginning: Duration) -> Self {
        Self(nanos(since_beginning))
    }
}

/// 584 years at most, which is longer than anything here lasts.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
