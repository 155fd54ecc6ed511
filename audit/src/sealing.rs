//! Seals for as long as a service runs.

use std::sync::Arc;
use std::time::Duration;

use folio_core::error_chain;
use folio_postgres::{Database, Role};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::anchor::Anchors;
use crate::error::SealError;
use crate::fresh::FreshLeaves;
use crate::keys::LogKeys;
use crate::lag::{Alarm, Lag};
use crate::sealer::Sealer;
use crate::settings::SealerSettings;

/// How long after somebody had to look after it it is tried again: what they have mended is noticed without a restart.
const RETRY: Duration = Duration::from_secs(30);
/// How long it may take to find out how far the log is behind.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it takes to seal a store, by its own service.
///
/// A service whose store cannot be sealed goes on: nothing of it depends on seals. That it is not sealed is in the log, and
/// in the metric `folio_sealing`, which is 1 while it is and 0 while somebody has to look after it.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// The store's database, which was [prepared](crate::prepare).
    pub database: Database,
    /// By which key it is signed.
    pub keys: LogKeys,
    /// How often and how much.
    pub settings: SealerSettings,
    /// Where checkpoints are kept outside of the database.
    pub anchors: Anchors,
    /// Leaves of what this process commits, if it does: the store's
    /// [`observe_commits`](folio_postgres::PostgresStore::observe_commits) fills them.
    pub fresh: Option<Arc<FreshLeaves>>,
}

impl Sealing {
    /// Seals until `stop` is true or its sender is gone.
    ///
    /// # Cancel safety
    ///
    /// As [`Sealer::seal_once`].
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut alarm = Alarm::Silent;
        while let Err(error) = self.seal(stop.clone()).await {
            self.publish(0);
            let log = self.keys.log.origin();
            tracing::error!(%log, error = error_chain(&error), "the store is not sealed; it is tried again");
            // Whoever watches how far the log is behind, and nothing else, has to notice too.
            match timeout(PATIENCE, self.measure()).await {
                Ok(Ok(lag)) => alarm = alarm.hear(log, lag, self.settings.alarm_after),
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(%log, "nobody knows how far the log is behind")
                }
            }
            tokio::select! {
                () = sleep(RETRY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn seal(&self, mut stop: watch::Receiver<bool>) -> Result<(), SealError> {
        let opening = Sealer::open(
            &self.database,
            Arc::clone(&self.keys.signing),
            self.keys.log.clone(),
            self.settings,
            self.anchors.clone(),
        );
        let mut sealer = tokio::select! {
            sealer = opening => sealer?,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        if let Some(fresh) = &self.fresh {
            sealer = sealer.with_fresh(Arc::clone(fresh));
        }
        self.publish(1);
        sealer.run(stop).await
    }

    async fn measure(&self) -> Result<Lag, SealError> {
        let sealers = self.database.pool(Role::Sealer, 1)?;
        Lag::told(&sealers, self.keys.log.origin()).await
    }

    fn publish(&self, sealing: u8) {
        let log = self.keys.log.origin().to_string();
        metrics::gauge!("folio_sealing", "log" => log).set(f64::from(sealing));
    }
}
