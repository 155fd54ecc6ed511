//! How often and how much is sealed at once.

use std::time::Duration;

use folio_core::BatchSize;

/// How often and how much is sealed at once, and when somebody has to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealerSettings {
    /// Between two seals, once everything is sealed. The first wait after a failure too; it doubles with each further one,
    /// up to 32 times this.
    pub every: Duration,
    /// Most leaves in one seal.
    pub batch: BatchSize,
    /// When something has waited for so long to be sealed, it is logged as an error.
    pub alarm_after: Duration,
}

/// How often a wait doubles at most, after failures.
const DOUBLED_MAX: u32 = 5;

impl SealerSettings {
    /// How long to wait after so many failures before this one.
    pub(crate) fn wait_after(&self, failures: u32) -> Duration {
        self.every * 2_u32.saturating_pow(failures.min(DOUBLED_MAX))
    }
}

impl Default for SealerSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            // As many as there can be: what a seal costs besides its events is spread over more of them.
            batch: BatchSize::new(u16::MAX).unwrap_or_default(),
            alarm_after: Duration::from_secs(60),
        }
    }
}
