//! An instance, as it is asked from here.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use folio_core::breaker::{BreakerSettings, CallOutcome, InvalidSettings, Phase};
use tokio::time::Instant;

use super::load::Load;
use crate::breaker::{CallPermit, CircuitBreaker};
use crate::discovery::Instance;

/// An instance with its load and its breaker.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) instance: Instance,
    pub(super) breaker: CircuitBreaker,
    seen: Arc<Seen>,
}

/// What is seen of an instance, whatever it says of its status.
#[derive(Debug)]
struct Seen {
    // The std mutex: it is held for a few additions.
    load: Mutex<Load>,
    under_way: AtomicU32,
    penalty: Duration,
}

/// How an instance looks from here.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointState {
    /// Which.
    pub instance: Instance,
    /// What its breaker does with calls.
    pub phase: Phase,
    /// Calls under way.
    pub under_way: u32,
    /// What answers take, in seconds, a failure counted as long.
    pub load_seconds: f64,
}

/// A call of an instance that was picked. Whoever drops it has gone without an answer.
#[derive(Debug)]
#[must_use = "a call that is dropped is a caller that has gone"]
pub struct InstanceCall {
    endpoint: Arc<Endpoint>,
    /// None where it is asked although its breaker would not have it.
    permit: Option<CallPermit>,
    began: Instant,
    /// Whether how long it takes is known, or is up to who takes the answer by now.
    is_timed: bool,
}

impl Endpoint {
    pub(super) fn new(
        instance: Instance,
        breaker: BreakerSettings,
        load: Load,
        penalty: Duration,
    ) -> Result<Self, InvalidSettings> {
        let name = format!("{}/{}", instance.service, instance.id);
        Ok(Self {
            breaker: CircuitBreaker::new(name, breaker)?,
            instance,
            seen: Arc::new(Seen {
                load: Mutex::new(load),
                under_way: AtomicU32::new(0),
                penalty,
            }),
        })
    }

    /// The same one, which says something else of itself.
    pub(super) fn now(&self, instance: Instance) -> Self {
        Self {
            instance,
            breaker: self.breaker.clone(),
            seen: Arc::clone(&self.seen),
        }
    }

    pub(super) fn cost(&self, now: Instant) -> f64 {
        let under_way = self.under_way();
        self.load().cost(under_way, now)
    }

    pub(super) fn state(&self) -> EndpointState {
        EndpointState {
            instance: self.instance.clone(),
            phase: self.breaker.phase(),
            under_way: self.under_way(),
            load_seconds: self.load().seconds(),
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.load().seconds()
    }

    fn under_way(&self) -> u32 {
        self.seen.under_way.load(Ordering::Relaxed)
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        // Nothing panics under this lock.
        self.seen
            .load
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl InstanceCall {
    pub(super) fn begin(
        endpoint: Arc<Endpoint>,
        permit: Option<CallPermit>,
        began: Instant,
    ) -> Self {
        endpoint.seen.under_way.fetch_add(1, Ordering::Relaxed);
        Self {
            endpoint,
            permit,
            began,
            is_timed: false,
        }
    }

    /// When it was picked.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// Which instance is called.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.endpoint.instance
    }

    /// Says what became of it. Of an answer that comes in pieces that is known with the last one.
    pub fn record(mut self, outcome: CallOutcome) {
        let (now, endpoint) = (Instant::now(), &self.endpoint);
        let took = now.saturating_duration_since(self.began);
        let was_away = endpoint.breaker.phase() != Phase::Closed;
        match outcome {
            CallOutcome::Success if was_away => endpoint.load().begin_again(took, now),
            CallOutcome::Success => endpoint.load().measure(took, now),
            CallOutcome::Failure => endpoint
                .load()
                .measure(took.max(endpoint.seen.penalty), now),
            CallOutcome::Abandoned if !self.is_timed => endpoint.load().awaited(took, now),
            // Whoever is told to wait, or takes an answer slowly, says nothing of how quick it is.
            CallOutcome::Ignored | CallOutcome::Abandoned => {}
        }
        self.is_timed = true;
        if let Some(permit) = self.permit.take() {
            permit.record_at(outcome, now);
        }
    }

    /// Says that the answer has begun: from now on it is as slow as who takes it.
    pub fn has_answered(&mut self) {
        self.is_timed = true;
    }
}

impl Drop for InstanceCall {
    fn drop(&mut self) {
        // Clients that give up before an instance does would keep one that hangs the quickest of all.
        if !self.is_timed {
            let now = Instant::now();
            let waited = now.saturating_duration_since(self.began);
            self.endpoint.load().awaited(waited, now);
        }
        let seen = &self.endpoint.seen;
        seen.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
