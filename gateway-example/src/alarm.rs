//! A timer that is set for every request and hardly ever rings.
//!
//! To set one of the runtime's timers, and to take it back, is work under a lock, for each request and several times. This one
//! leaves the timer where it is when it is set for later, and looks when that rings whether the time has come.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time;

use hyper::rt::Timer;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is moved often. It belongs to one task at a time.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    at: Option<Instant>,
    // Rings at that time or earlier, and in vain then.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Rings then, and not when it was set for before.
    pub(crate) const fn set(&mut self, at: Instant) {
        self.at = Some(at);
    }

    /// Does not ring any more.
    pub(crate) const fn take_back(&mut self) {
        self.at = None;
    }

    /// Whether it rings.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let sleep = &mut self.sleep;
        let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        while sleep.deadline() < at {
            ready!(sleep.as_mut().poll(task));
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(task)
    }
}

/// The alarm of a connection, as its server sets it. Clones are the same one, so one of them is set at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionTimer(Arc<Mutex<Alarm>>);

/// A time that is waited for by the alarm of a connection.
struct Waiting {
    alarm: Arc<Mutex<Alarm>>,
    until: Instant,
}

impl Timer for ConnectionTimer {
    fn sleep(&self, time: time::Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + time)
    }

    fn sleep_until(&self, until: time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Waiting {
            alarm: Arc::clone(&self.0),
            until: until.into(),
        })
    }

    fn now(&self) -> time::Instant {
        Instant::now().into_std()
    }
}

impl hyper::rt::Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        // Nothing panics under this lock.
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        alarm.set(self.until);
        alarm.poll(task)
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_it_was_set_for_last_and_not_before() {
        let (mut alarm, began) = (Alarm::default(), Instant::now());
        for (first, last) in [(1, 5), (9, 6), (7, 7)] {
            alarm.set(began + first * SECOND);
            let early = timeout(SECOND / 2, poll_fn(|task| alarm.poll(task))).await;
            assert!(early.is_err(), "{first}");
            alarm.set(began + last * SECOND);
            poll_fn(|task| alarm.poll(task)).await;
            assert_eq!(began.elapsed(), last * SECOND);
        }
        alarm.set(began + 8 * SECOND);
        alarm.take_back();
        let rings = poll_fn(|task| alarm.poll(task));
        assert!(timeout(100 * SECOND, rings).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_waits_for_one_time_after_the_other() {
        let (timer, began) = (ConnectionTimer::default(), Instant::now());
        // As a server does: it lets go of one when a request has come, and waits anew for the next.
        for _ in 0..3 {
            let waits = timer.sleep(2 * SECOND);
            assert!(timeout(SECOND, waits).await.is_err());
        }
        timer.sleep(2 * SECOND).await;
        assert_eq!(began.elapsed(), 5 * SECOND);
    }
}
