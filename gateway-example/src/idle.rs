//! Connections on which nothing is asked.
//!
//! The server's own timeout begins with the first byte of a request, so a connection on which nothing ever comes would be
//! held for ever, and so would one of HTTP/2 that has no streams.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What is asked on a connection. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Activity {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug)]
struct Seen {
    under_way: u32,
    /// When there was something last.
    last: Instant,
}

/// A request that is under way, to the last byte of its answer.
#[derive(Debug)]
pub(crate) struct Busy(Activity);

impl Activity {
    /// Of a connection that is accepted now.
    pub(crate) fn begin() -> Self {
        let seen = Seen {
            under_way: 0,
            last: Instant::now(),
        };
        Self {
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    pub(crate) fn busy(&self) -> Busy {
        let mut seen = self.seen();
        seen.under_way = seen.under_way.saturating_add(1);
        drop(seen);
        Busy(self.clone())
    }

    /// Begins to be idle now, if nothing is under way.
    pub(crate) fn touch(&self) {
        self.seen().last = Instant::now();
    }

    /// Completes when nothing has been under way for that long.
    pub(crate) async fn idle_for(&self, time: Duration) {
        loop {
            let (under_way, last) = {
                let seen = self.seen();
                (seen.under_way, seen.last)
            };
            let now = Instant::now();
            let since = if under_way > 0 { now } else { last };
            if now.saturating_duration_since(since) >= time {
                return;
            }
            sleep_until(since + time).await;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics under this lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        seen.under_way = seen.under_way.saturating_sub(1);
        seen.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_after_its_last_request_and_not_in_it() {
        let activity = Activity::begin();
        let busy = activity.busy();
        assert!(
            timeout(100 * SECOND, activity.idle_for(SECOND))
                .await
                .is_err()
        );
        let another = activity.busy();
        drop(busy);
        assert!(
            timeout(100 * SECOND, activity.idle_for(SECOND))
                .await
                .is_err()
        );
        drop(another);
        let began = Instant::now();
        activity.idle_for(SECOND).await;
        assert_eq!(began.elapsed(), SECOND);
        advance(SECOND).await;
        activity.idle_for(SECOND).await;
    }
}
