//! Seals again and again.

use std::time::Duration;

use folio_core::error_chain;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::error::SealError;
use crate::sealer::Sealer;

/// How long a seal may take. Past that something hangs, and the next one has a connection of its own.
const PATIENCE: Duration = Duration::from_secs(120);

impl Sealer {
    /// Seals until `stop` is true or its sender is gone: without a pause until everything is sealed, then as often as the
    /// settings say. After a failure it waits, and tries again.
    ///
    /// # Errors
    ///
    /// [`SealError`], when [somebody has to look after it](SealError::is_final).
    ///
    /// # Cancel safety
    ///
    /// As [`seal_once`](Self::seal_once).
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), SealError> {
        let error = tokio::select! {
            error = self.follow() => error,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let chain = error_chain(&error);
        tracing::error!(log = %self.log.origin(), error = chain, "nothing is sealed any more");
        Err(error)
    }

    async fn follow(&mut self) -> SealError {
        let mut failures = 0;
        loop {
            let sealed = timeout(PATIENCE, self.seal_once()).await;
            let wait = match sealed.unwrap_or(Err(SealError::TimedOut)) {
                Ok(sealed) => {
                    failures = 0;
                    let most = self.settings.batch.events().unsigned_abs();
                    // With as much as fits, or as many outcomes as fit, there is most likely more.
                    let is_full = sealed.leaves() >= most || sealed.outcomes >= most.div_ceil(2);
                    if is_full {
                        Duration::ZERO
                    } else {
                        self.settings.every
                    }
                }
                Err(error) if error.is_final() => return error,
                Err(error) => self.wait_after(&error, &mut failures),
            };
            let measured = timeout(PATIENCE, self.measure()).await;
            if let Err(error) = measured.unwrap_or(Err(SealError::TimedOut)) {
                let error = error_chain(&error);
                tracing::warn!(log = %self.log.origin(), error, "nobody knows how far the log is behind");
            }
            sleep(wait).await;
        }
    }

    fn wait_after(&self, error: &SealError, failures: &mut u32) -> Duration {
        let wait = self.settings.wait_after(*failures);
        *failures = failures.saturating_add(1);
        let error = error_chain(error);
        tracing::error!(log = %self.log.origin(), error, ?wait, "sealing waits to try again");
        wait
    }
}
