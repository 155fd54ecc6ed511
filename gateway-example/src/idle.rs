//! Connections on which nothing is asked, or of whose answers nothing is taken.
//!
//! The server's own timeout begins with the first byte of a request, so a connection on which nothing ever comes would be
//! held for ever, and so would one of HTTP/2 that has no streams. And whoever takes nothing of an answer would hold that for ever, with
//! its place among all requests: the time in which it has to be through is only looked at while it is taken.

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
    requests: Vec<State>,
    /// When there was something last.
    last: Instant,
}

/// How it is with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is over: another one may have its place.
    Over,
    /// It is worked on: who asks waits for us.
    WorkedOn,
    /// There is something of an answer since then that who asks has not taken.
    Offered(Instant),
}

/// Why a connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unused {
    /// Nothing is asked on it.
    Idle,
    /// Of no answer on it anything is taken.
    Stalled,
}

/// A request that is under way, to the last byte of its answer.
#[derive(Debug)]
pub(crate) struct Busy {
    activity: Activity,
    place: usize,
}

impl Activity {
    /// Of a connection that is accepted now.
    pub(crate) fn begin() -> Self {
        let seen = Seen {
            requests: Vec::new(),
            last: Instant::now(),
        };
        Self {
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    pub(crate) fn busy(&self) -> Busy {
        let mut seen = self.seen();
        let requests = &mut seen.requests;
        let free = requests.iter().position(|state| *state == State::Over);
        let place = free.unwrap_or_else(|| {
            requests.push(State::Over);
            requests.len().saturating_sub(1)
        });
        seen.put(place, State::WorkedOn);
        drop(seen);
        Busy {
            activity: self.clone(),
            place,
        }
    }

    /// Begins to be idle now, if nothing is under way.
    pub(crate) fn touch(&self) {
        self.seen().last = Instant::now();
    }

    /// Completes when nothing has been under way for that long, or nothing taken of all answers that there are.
    pub(crate) async fn unused_for(&self, time: Duration) -> Unused {
        self.has_been_so_for(time, Seen::unused_since).await
    }

    /// Completes when there is an answer of which nothing has been taken for that long, whatever else is under way.
    pub(crate) async fn stalls_for(&self, time: Duration) {
        self.has_been_so_for(time, |seen, now| (seen.stalls_since(now), ()))
            .await;
    }

    async fn has_been_so_for<T>(
        &self,
        time: Duration,
        since: impl Fn(&Seen, Instant) -> (Instant, T),
    ) -> T {
        loop {
            let now = Instant::now();
            let (since, so) = since(&self.seen(), now);
            if now.saturating_duration_since(since) >= time {
                return so;
            }
            sleep_until(since + time).await;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics under this lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn put(&mut self, place: usize, state: State) {
        if let Some(held) = self.requests.get_mut(place) {
            *held = state;
        }
    }

    /// Since when it is not used; since now where it is.
    fn unused_since(&self, now: Instant) -> (Instant, Unused) {
        if self.requests.contains(&State::WorkedOn) {
            return (now, Unused::Idle);
        }
        match self.offered().max() {
            Some(since) => (since, Unused::Stalled),
            None => (self.last, Unused::Idle),
        }
    }

    /// Since when nothing is taken of the answer that is taken least; since now where there is none.
    fn stalls_since(&self, now: Instant) -> Instant {
        self.offered().min().unwrap_or(now)
    }

    fn offered(&self) -> impl Iterator<Item = Instant> {
        self.requests.iter().filter_map(|state| match state {
            State::Offered(since) => Some(*since),
            State::Over | State::WorkedOn => None,
        })
    }
}

impl Busy {
    /// From now on who asks has to take something of the answer.
    pub(crate) fn offered(&self) {
        let now = Instant::now();
        self.activity.seen().put(self.place, State::Offered(now));
    }

    /// It was taken, and there is no more of the answer yet.
    pub(crate) fn is_worked_on(&self) {
        self.activity.seen().put(self.place, State::WorkedOn);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut seen = self.activity.seen();
        seen.put(self.place, State::Over);
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
            timeout(100 * SECOND, activity.unused_for(SECOND))
                .await
                .is_err()
        );
        let another = activity.busy();
        drop(busy);
        assert!(
            timeout(100 * SECOND, activity.unused_for(SECOND))
                .await
                .is_err()
        );
        drop(another);
        let began = Instant::now();
        assert_eq!(activity.unused_for(SECOND).await, Unused::Idle);
        assert_eq!(began.elapsed(), SECOND);
        advance(SECOND).await;
        assert_eq!(activity.unused_for(SECOND).await, Unused::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_stalled_while_an_answer_is_not_taken_whatever_else_is_asked() {
        let activity = Activity::begin();
        let (stalled, other) = (activity.busy(), activity.busy());
        stalled.offered();
        let began = Instant::now();
        for _ in 0..3 {
            advance(SECOND).await;
            drop(activity.busy());
            other.offered();
            other.is_worked_on();
        }
        activity.stalls_for(5 * SECOND).await;
        assert_eq!(began.elapsed(), 5 * SECOND);
        // The other one is worked on, and would be broken off with it.
        let unused = timeout(100 * SECOND, activity.unused_for(5 * SECOND));
        assert!(unused.await.is_err());
        let began = Instant::now();
        other.offered();
        assert_eq!(activity.unused_for(5 * SECOND).await, Unused::Stalled);
        assert_eq!(began.elapsed(), 5 * SECOND);
        stalled.offered();
        stalled.is_worked_on();
        drop(other);
        let unused = timeout(100 * SECOND, activity.unused_for(5 * SECOND));
        assert!(unused.await.is_err());
        let stalls = timeout(100 * SECOND, activity.stalls_for(5 * SECOND));
        assert!(stalls.await.is_err());
    }
}
