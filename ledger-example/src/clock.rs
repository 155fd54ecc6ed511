//! The store's clock, without asking the server each time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use folio_core::{ReadError, Timestamp};
use folio_postgres::PostgresStore;
use tokio::time::Instant;

use crate::moment::Moment;

/// How long the server's answer is gone on with. Two machines' clocks drift apart by less than a tenth
/// of a millisecond meanwhile.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Tells the time by the clock of the server that records the events: limits of velocity and the ends of
/// holds are the same whichever process decides on them. It never goes back.
#[derive(Debug)]
pub struct StoreClock {
    store: Arc<PostgresStore>,
    // The std mutex: it is never held across an await.
    told: Mutex<Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    time: Timestamp,
    at: Option<Instant>,
    latest: Timestamp,
}

impl StoreClock {
    /// The clock of this store.
    #[must_use]
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        let zero = Timestamp::from_micros(0);
        let told = Told {
            time: zero,
            at: None,
            latest: zero,
        };
        Self {
            store,
            told: Mutex::new(told),
        }
    }

    /// What time it is.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the server does not answer.
    pub async fn now(&self) -> Result<Moment, ReadError> {
        if let Some(now) = self.told(|told| told.now()) {
            return Ok(now);
        }
        let time = self.store.clock().await?;
        let at = Some(Instant::now());
        Ok(self.told(|told| {
            (told.time, told.at) = (time, at);
            told.at_least(time)
        }))
    }

    fn told<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Told {
    fn now(&mut self) -> Option<Moment> {
        let elapsed = self.at?.elapsed();
        if elapsed > GOOD_FOR {
            return None;
        }
        let micros = i64::try_from(elapsed.as_micros()).ok()?;
        let time = Timestamp::from_micros(self.time.micros().saturating_add(micros));
        Some(self.at_least(time))
    }

    fn at_least(&mut self, time: Timestamp) -> Moment {
        self.latest = self.latest.max(time);
        Moment(self.latest)
    }
}
