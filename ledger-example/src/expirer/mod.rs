//! Ends holds whose time is over.

use std::sync::Arc;
use std::time::Duration;

use folio_core::{Actor, CommandContext, CommandId, error_chain};
use folio_postgres::PostgresStore;
use folio_projections::Reader;
use folio_runtime::Executor;
use tokio::sync::watch;

use crate::clock::StoreClock;
use crate::expirer::due_holds::DueHolds;
use crate::hold::ExpireHold;

mod due_holds;

pub(crate) use due_holds::DueHoldsProjector;

/// How often it is looked for them. A hold cannot be captured from its end on, whether it was found by
/// then or not; what it holds is free again when it was.
const EVERY: Duration = Duration::from_secs(1);
/// How many are ended in one go.
const AT_ONCE: i64 = 500;

/// As whom it asks.
const ACTOR: &str = "folio-expirer";
const HOUR_MICROS: i64 = 3_600_000_000;

/// Finds holds by a model of its own, and ends each by a command: the model may be behind, and another
/// process may be faster, so it is the hold itself that decides.
#[derive(Debug)]
pub(crate) struct Expirer {
    executor: Executor<Arc<PostgresStore>>,
    holds: DueHolds,
    clock: Arc<StoreClock>,
}

impl Expirer {
    /// Finds them by a reader of the projection of due holds.
    pub(crate) const fn new(
        executor: Executor<Arc<PostgresStore>>,
        due: Reader,
        clock: Arc<StoreClock>,
    ) -> Self {
        Self {
            executor,
            holds: DueHolds::new(due),
            clock,
        }
    }

    /// Works until told to stop. Whatever goes wrong is tried again.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.expire().await {
                tracing::warn!(cause = error_chain(&*error), "expired holds were not ended");
            }
        }
    }

    async fn expire(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let now = self.clock.now().await?;
        for due in self.holds.due(now.0, AT_ONCE).await? {
            let command = ExpireHold {
                hold: due.hold,
                account: due.account,
                now,
            };
            // The same name for an hour: a hold that the model still calls open, since it is behind, is
            // refused once and not on record each second; what is refused now says nothing of later.
            let hour = now.0.micros().div_euclid(HOUR_MICROS).to_string();
            let id = CommandId::derived(&[ACTOR, command.hold.as_str(), &hour]);
            let context = CommandContext::new(id, Actor::new(ACTOR)?);
            self.executor.record_jointly(&command, context).await?;
        }
        Ok(())
    }
}
