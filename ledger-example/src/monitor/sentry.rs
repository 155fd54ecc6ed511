//! Tells what the monitor has found: in the log, and as a metric.

use std::sync::Arc;
use std::time::Duration;

use folio_core::{EventStore, error_chain};
use folio_postgres::PostgresStore;
use tokio::sync::watch;

use crate::monitor::InvariantsQueries;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// How many violations are written to the log at a time.
const TOLD: i64 = 10;

/// Looks at what the projection of invariants has found, whichever process runs it.
#[derive(Debug)]
pub(crate) struct Sentry {
    pub(crate) store: Arc<PostgresStore>,
    pub(crate) queries: InvariantsQueries,
}

impl Sentry {
    /// Works until told to stop. Whatever goes wrong is tried again.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut known = 0;
        loop {
            match self.look(known).await {
                Ok(count) => known = count,
                Err(error) => {
                    tracing::warn!(
                        cause = error_chain(&*error),
                        "the invariants were not looked at"
                    );
                }
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Answers how many violations there are.
    async fn look(&self, known: i64) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
        let invariants = self.queries.now().await?;
        let head = self.store.head().await?;
        let position = invariants.position();
        let found = invariants.found(head, TOLD).await?;
        invariants.close().await?;
        if found.count > known {
            for violation in &found.first {
                tracing::error!(
                    position = violation.position.number(),
                    stream = %violation.stream,
                    invariant = violation.invariant.as_str(),
                    what = violation.what,
                    "something is not as it must be"
                );
            }
        }
        // A gauge takes a float; the count ends at 1,000.
        let count = f64::from(u32::try_from(found.count).unwrap_or(u32::MAX));
        metrics::gauge!("folio_invariant_violations").set(count);
        tracing::trace!(%position, "the invariants were looked at");
        Ok(found.count)
    }
}
