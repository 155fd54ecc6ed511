//! The breaker under a lock, and the way past the lock while it is closed.
//!
//! Most calls come while it is closed, and are let through by one number, which is read without the lock: the
//! epoch, of which the permit is. What has become of the breaker meanwhile shows when the permit comes back, under
//! the lock: one of another epoch counts for nothing.

use folio_core::breaker::{Breaker, CallOutcome, Permit, Refused, Tick, Transition};

// The standard library's; those of a model checker in tests.
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError};

/// A breaker that threads share.
#[derive(Debug)]
pub(super) struct BreakerCell {
    breaker: Mutex<Breaker>,
    /// One more than the epoch in which it is closed; 0 while it is not. Written under the lock.
    closed: AtomicU64,
}

impl BreakerCell {
    pub(super) fn new(breaker: Breaker) -> Self {
        Self {
            closed: AtomicU64::new(told(&breaker)),
            breaker: Mutex::new(breaker),
        }
    }

    /// Asks to call. What has changed by asking has to be told.
    pub(super) fn ask(&self, now: Tick) -> (Result<Permit, Refused>, Option<Transition>) {
        if let Some(epoch) = self.closed.load(Ordering::Acquire).checked_sub(1) {
            return (Ok(Permit::of_closed(epoch, now)), None);
        }
        self.change(|breaker| {
            let asked = breaker.admit(now);
            (asked.answer, asked.transition)
        })
    }

    /// Gives a permit back. What has changed by that has to be told.
    pub(super) fn record(
        &self,
        permit: Permit,
        outcome: CallOutcome,
        now: Tick,
    ) -> Option<Transition> {
        let ((), transition) = self.change(|breaker| ((), breaker.record(permit, outcome, now)));
        transition
    }

    /// Has something done under the lock. Whoever is let past it from then on knows what has changed by it.
    pub(super) fn change<T>(
        &self,
        act: impl FnOnce(&mut Breaker) -> (T, Option<Transition>),
    ) -> (T, Option<Transition>) {
        let mut breaker = self.lock();
        let (answer, transition) = act(&mut breaker);
        if transition.is_some() {
            self.closed.store(told(&breaker), Ordering::Release);
        }
        (answer, transition)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Breaker> {
        // Nothing panics under this lock.
        let lock = self.breaker.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(breaker: &Breaker) -> u64 {
    let epoch = breaker.closed_epoch();
    epoch.map_or(0, |epoch| epoch.wrapping_add(1))
}
