//! A breaker that callers share.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use folio_core::breaker::{
    Breaker, BreakerSettings, CallOutcome, Counts, InvalidSettings, Mode, Permit, Phase, Refused,
    Tick, Transition,
};
use metrics::Counter;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::cell::BreakerCell;

/// Transitions that are kept for who listens to them and is slow.
const KEPT: usize = 64;

/// A circuit breaker around something that is called. Clones are the same one.
///
/// It has one for each thing that fails by itself: a service, or an instance of one. Its name stands in
/// the log and in the metrics `folio_breaker_phase` (0 closed, 1 half-open, 2 open; 3 and 4 when forced
/// closed and open), `folio_breaker_transitions_total` and `folio_breaker_refused_total`.
#[derive(Debug, Clone)]
pub struct CircuitBreaker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    cell: BreakerCell,
    began: Instant,
    transitions: broadcast::Sender<Transition>,
    refused: Counter,
}

/// The right to one call. Whoever drops it has gone without an answer, which is a failure of what was called
/// if it was slow by then, or if there was a panic.
#[derive(Debug)]
#[must_use = "a permit that is dropped is a caller that has gone"]
pub struct CallPermit {
    breaker: CircuitBreaker,
    permit: Option<Permit>,
}

impl CircuitBreaker {
    /// A closed breaker around what has this name.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`].
    pub fn new(
        name: impl Into<String>,
        settings: BreakerSettings,
    ) -> Result<Self, InvalidSettings> {
        let name = name.into();
        // Keys of hashing are the randomness that the standard library has.
        let seed = RandomState::new().hash_one(&name);
        let refused = metrics::counter!("folio_breaker_refused_total", "breaker" => name.clone());
        let shared = Shared {
            cell: BreakerCell::new(Breaker::new(settings, seed)?),
            began: Instant::now(),
            transitions: broadcast::Sender::new(KEPT),
            refused,
            name,
        };
        publish(&shared.name, Phase::Closed);
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// What it is around.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Asks to call.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn ask(&self) -> Result<CallPermit, Refused> {
        self.ask_at(Instant::now())
    }

    /// The same, by who knows what time it is.
    pub(crate) fn ask_at(&self, now: Instant) -> Result<CallPermit, Refused> {
        let (asked, transition) = self.shared.cell.ask(self.tick(now));
        self.tell(transition);
        match asked {
            Ok(permit) => Ok(CallPermit {
                breaker: self.clone(),
                permit: Some(permit),
            }),
            Err(refused) => {
                self.shared.refused.increment(1);
                Err(refused)
            }
        }
    }

    /// What it does with calls.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.shared.cell.lock().phase()
    }

    /// What became of the latest calls.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let now = self.now();
        self.shared.cell.lock().counts(now)
    }

    /// Lets somebody else decide: an operator, or the calls again.
    pub fn set_mode(&self, mode: Mode) {
        let now = self.now();
        let set = |breaker: &mut Breaker| ((), breaker.set_mode(mode, now));
        let ((), transition) = self.shared.cell.change(set);
        self.tell(transition);
    }

    /// Every transition from now on. Who is more than 64 behind misses the oldest.
    #[must_use]
    pub fn transitions(&self) -> broadcast::Receiver<Transition> {
        self.shared.transitions.subscribe()
    }

    fn record(&self, permit: Permit, outcome: CallOutcome, now: Instant) {
        let now = self.tick(now);
        self.tell(self.shared.cell.record(permit, outcome, now));
    }

    fn now(&self) -> Tick {
        self.tick(Instant::now())
    }

    fn tick(&self, now: Instant) -> Tick {
        Tick::from(now.saturating_duration_since(self.shared.began))
    }

    /// Tells what has changed, if anything has. Not under the lock.
    fn tell(&self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        let name = &self.shared.name;
        tracing::warn!(breaker = name, from = ?transition.from, to = ?transition.to, cause = ?transition.cause, "a circuit breaker has changed");
        metrics::counter!("folio_breaker_transitions_total", "breaker" => name.clone(), "to" => word(transition.to))
            .increment(1);
        // Not what the transition says: another one may have been told before it.
        publish(name, self.phase());
        // Maybe nobody listens.
        let _ = self.shared.transitions.send(transition);
    }
}

impl CallPermit {
    /// Gives it back, with what became of the call.
    pub fn record(self, outcome: CallOutcome) {
        self.record_at(outcome, Instant::now());
    }

    /// The same, by who knows what time it is.
    pub(crate) fn record_at(mut self, outcome: CallOutcome, now: Instant) {
        if let Some(permit) = self.permit.take() {
            self.breaker.record(permit, outcome, now);
        }
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let outcome = if std::thread::panicking() {
                CallOutcome::Failure
            } else {
                CallOutcome::Abandoned
            };
            self.breaker.record(permit, outcome, Instant::now());
        }
    }
}

fn publish(name: &str, phase: Phase) {
    let number = match phase {
        Phase::Closed => 0.0,
        Phase::HalfOpen => 1.0,
        Phase::Open => 2.0,
        Phase::ForcedClosed => 3.0,
        Phase::ForcedOpen => 4.0,
    };
    metrics::gauge!("folio_breaker_phase", "breaker" => name.to_owned()).set(number);
}

const fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Closed => "closed",
        Phase::HalfOpen => "half_open",
        Phase::Open => "open",
        Phase::ForcedClosed => "forced_closed",
        Phase::ForcedOpen => "forced_open",
    }
}
