//! The breaker itself.

use std::time::Duration;

use thiserror::Error;

use super::settings::{BreakerSettings, InvalidSettings};
use super::tick::Tick;
use super::window::{Counts, Sample, Window};

/// A circuit breaker. See the [module](super).
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    mode: Mode,
    state: State,
    /// Counts the transitions.
    epoch: u64,
    /// Which probes are under way, by their numbers, the one that began first in front.
    probes: Vec<(u32, Tick)>,
    window: Window,
    failures_in_a_row: u32,
    /// How often it has opened in a row.
    openings: u32,
    /// When it closed, and how long it had been open for: what opens again sooner opens in a row.
    closed: Option<(Tick, Duration)>,
    /// The latest moment that it was told of.
    now: Tick,
    chance: Chance,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open {
        until: Tick,
        time: Duration,
    },
    HalfOpen {
        /// How long it was open before.
        time: Duration,
        /// Probes that have begun.
        begun: u32,
        succeeded: u32,
    },
}

/// What a breaker does with calls, as far as that can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It lets them through.
    Closed,
    /// It refuses them.
    Open,
    /// It lets probes through.
    HalfOpen,
    /// It refuses them until somebody says otherwise.
    ForcedOpen,
    /// It lets them through whatever becomes of them, until somebody says otherwise.
    ForcedClosed,
}

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// What becomes of the calls.
    Automatic,
    /// What becomes of the calls; but what would be refused is let through. Shows what a breaker would do.
    Observing,
    /// Somebody: no call.
    ForcedOpen,
    /// Somebody: every call.
    ForcedClosed,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// It was answered.
    Success,
    /// What was called has failed: no connection, no answer in time, an answer that says so, a panic.
    Failure,
    /// It says nothing of what was called: the caller's own mistake, a refusal by the rules of the
    /// business, no room to call at all.
    Ignored,
    /// The caller has gone. If the call was slow already, or past the deadline of a probe, that is why:
    /// it has failed. Else a caller that hangs up at once could open the breaker for everybody.
    Abandoned,
}

/// The right to one call. It must be given back, by [`Breaker::record`]: a probe that is not keeps its place
/// until its deadline.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not given back counts as a probe that hangs"]
pub struct Permit {
    epoch: u64,
    began: Tick,
    what: Call,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Counted,
    Probe {
        number: u32,
    },
    /// What becomes of it changes nothing.
    Uncounted,
}

/// The answer of a breaker to whoever wants to call.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the permit has to be given back"]
pub struct Asked {
    /// The permit, or that there is none.
    pub answer: Result<Permit, Refused>,
    /// What has changed by asking.
    pub transition: Option<Transition>,
}

/// A breaker lets nobody through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the circuit breaker is open")]
pub struct Refused {
    /// When asking again may help; none while it is [forced open](Mode::ForcedOpen).
    pub retry_after: Option<Duration>,
}

/// A breaker has begun to do something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// What it did.
    pub from: Phase,
    /// What it does.
    pub to: Phase,
    /// Why.
    pub cause: Cause,
    /// How many transitions there were, with this one.
    pub epoch: u64,
}

/// Why a breaker has begun to do something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Too many of the latest calls have failed.
    Failed(Counts),
    /// Too many of the latest calls were slow.
    Slow(Counts),
    /// So many have failed one after another.
    InARow(u32),
    /// It was open for long enough.
    TimeIsUp,
    /// A probe has failed, or was slow.
    ProbeFailed,
    /// A probe has not ended in time.
    ProbeHung,
    /// The probes have succeeded.
    ProbesSucceeded,
    /// Somebody has said so.
    Told,
}

impl Breaker {
    /// A closed breaker. `seed` decides by how much the times that it is open are shortened; no two
    /// breakers should have the same.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`].
    pub fn new(settings: BreakerSettings, seed: u64) -> Result<Self, InvalidSettings> {
        settings.check()?;
        Ok(Self {
            settings,
            mode: Mode::Automatic,
            state: State::Closed,
            epoch: 0,
            probes: Vec::new(),
            window: Window::new(settings.latest),
            failures_in_a_row: 0,
            openings: 0,
            closed: None,
            now: Tick::default(),
            chance: Chance(seed),
        })
    }

    /// What it does with calls.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match (self.mode, self.state) {
            (Mode::ForcedOpen, _) => Phase::ForcedOpen,
            (Mode::ForcedClosed, _) => Phase::ForcedClosed,
            (Mode::Automatic | Mode::Observing, State::Closed) => Phase::Closed,
            (Mode::Automatic | Mode::Observing, State::Open { .. }) => Phase::Open,
            (Mode::Automatic | Mode::Observing, State::HalfOpen { .. }) => Phase::HalfOpen,
        }
    }

    /// While it lets calls through and counts them, the epoch in which it does so: enough for a
    /// [permit](Permit::of_closed) without asking the breaker itself.
    #[must_use]
    pub const fn closed_epoch(&self) -> Option<u64> {
        match self.phase() {
            Phase::Closed => Some(self.epoch),
            Phase::Open | Phase::HalfOpen | Phase::ForcedOpen | Phase::ForcedClosed => None,
        }
    }

    /// What became of the latest calls.
    pub fn counts(&mut self, now: Tick) -> Counts {
        let now = self.told(now);
        self.window.at(now)
    }

    /// Asks to call.
    pub fn admit(&mut self, now: Tick) -> Asked {
        let now = self.told(now);
        match self.mode {
            Mode::ForcedOpen => return Asked::refused(None, None),
            Mode::ForcedClosed => return self.asked(Call::Uncounted, None),
            Mode::Automatic | Mode::Observing => {}
        }
        let transition = self.look(now);
        let retry_after = match &mut self.state {
            State::Closed => return self.asked(Call::Counted, transition),
            State::Open { until, .. } => until.since(now),
            State::HalfOpen {
                begun, succeeded, ..
            } => {
                let under_way = u32::try_from(self.probes.len()).unwrap_or(u32::MAX);
                if under_way.saturating_add(*succeeded) < self.settings.probes {
                    let number = *begun;
                    *begun = begun.wrapping_add(1);
                    self.probes.push((number, now));
                    return self.asked(Call::Probe { number }, transition);
                }
                self.deadline().map_or(Duration::ZERO, |at| at.since(now))
            }
        };
        match self.mode {
            Mode::Observing => self.asked(Call::Uncounted, transition),
            Mode::Automatic | Mode::ForcedOpen | Mode::ForcedClosed => {
                Asked::refused(Some(retry_after), transition)
            }
        }
    }

    /// Gives a permit back, with what became of the call. Answers what that has changed.
    pub fn record(
        &mut self,
        permit: Permit,
        outcome: CallOutcome,
        now: Tick,
    ) -> Option<Transition> {
        let now = self.told(now);
        if permit.epoch != self.epoch {
            return None;
        }
        let took = now.since(permit.began);
        match permit.what {
            Call::Uncounted => None,
            Call::Counted => self.record_call(outcome, took, now),
            Call::Probe { number } => self.record_probe(number, outcome, took, now),
        }
    }

    /// Lets somebody else decide. What is under way counts no more, and what was counted is forgotten.
    pub fn set_mode(&mut self, mode: Mode, now: Tick) -> Option<Transition> {
        self.told(now);
        let from = self.phase();
        // Those who are only shown what would happen see it go on.
        let goes_on = |mode| matches!(mode, Mode::Automatic | Mode::Observing);
        if goes_on(self.mode) && goes_on(mode) {
            self.mode = mode;
            return None;
        }
        if self.mode == mode {
            return None;
        }
        self.mode = mode;
        self.state = State::Closed;
        self.openings = 0;
        self.closed = None;
        self.forget();
        self.changed(from, Cause::Told)
    }

    /// Does what the time alone brings about.
    fn look(&mut self, now: Tick) -> Option<Transition> {
        match self.state {
            State::Open { until, time } if until <= now => {
                self.state = State::HalfOpen {
                    time,
                    begun: 0,
                    succeeded: 0,
                };
                self.changed(Phase::Open, Cause::TimeIsUp)
            }
            State::HalfOpen { .. } if self.deadline().is_some_and(|at| at <= now) => {
                self.open(Cause::ProbeHung, now)
            }
            State::Closed | State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// By when the probe that has been under way for longest must have ended.
    fn deadline(&self) -> Option<Tick> {
        let (_, began) = self.probes.first()?;
        Some(began.plus(self.settings.probe_within))
    }

    fn record_call(
        &mut self,
        outcome: CallOutcome,
        took: Duration,
        now: Tick,
    ) -> Option<Transition> {
        let settings = self.settings;
        let was_slow = took >= settings.slow_after;
        let has_failed = match outcome {
            CallOutcome::Success => false,
            CallOutcome::Failure => true,
            CallOutcome::Abandoned if was_slow => true,
            CallOutcome::Abandoned | CallOutcome::Ignored => return None,
        };
        let sample = Sample {
            has_failed,
            was_slow,
        };
        let counts = self.window.add(sample, now);
        self.failures_in_a_row = if has_failed {
            self.failures_in_a_row.saturating_add(1)
        } else {
            0
        };
        if settings
            .consecutive_failures
            .is_some_and(|most| self.failures_in_a_row >= most)
        {
            return self.open(Cause::InARow(self.failures_in_a_row), now);
        }
        if counts.calls < settings.calls_min {
            return None;
        }
        let is_reached = |share: Option<super::Percent>, some| {
            share.is_some_and(|share| share.is_reached(some, counts.calls))
        };
        if has_failed && is_reached(settings.failed, counts.failed) {
            self.open(Cause::Failed(counts), now)
        } else if was_slow && is_reached(settings.slow, counts.slow) {
            self.open(Cause::Slow(counts), now)
        } else {
            None
        }
    }

    fn record_probe(
        &mut self,
        number: u32,
        outcome: CallOutcome,
        took: Duration,
        now: Tick,
    ) -> Option<Transition> {
        self.probes.retain(|(probe, _)| *probe != number);
        let State::HalfOpen {
            time, succeeded, ..
        } = &mut self.state
        else {
            return None;
        };
        let settings = &self.settings;
        let is_late = took >= settings.probe_within;
        let is_slow = settings.slow.is_some() && took >= settings.slow_after;
        let has_failed = match outcome {
            CallOutcome::Ignored => return None,
            CallOutcome::Abandoned if !is_late && took < settings.slow_after => return None,
            CallOutcome::Abandoned | CallOutcome::Failure => true,
            CallOutcome::Success => is_late || is_slow,
        };
        if has_failed {
            return self.open(Cause::ProbeFailed, now);
        }
        *succeeded = succeeded.saturating_add(1);
        if *succeeded < settings.probes {
            return None;
        }
        self.closed = Some((now, *time));
        self.state = State::Closed;
        self.forget();
        self.changed(Phase::HalfOpen, Cause::ProbesSucceeded)
    }

    fn open(&mut self, cause: Cause, now: Tick) -> Option<Transition> {
        let from = self.phase();
        // What was closed for no longer than it had been open before has not recovered.
        let in_a_row = match (self.state, self.closed) {
            (State::HalfOpen { .. }, _) => true,
            (_, Some((closed, time))) => now.since(closed) <= time,
            (_, None) => false,
        };
        self.openings = if in_a_row {
            self.openings.saturating_add(1)
        } else {
            1
        };
        let longest = self
            .settings
            .open_first
            .saturating_mul(1 << self.openings.saturating_sub(1).min(31))
            .min(self.settings.open_max);
        let time = self.chance.up_to_half_off(longest);
        self.state = State::Open {
            until: now.plus(time),
            time: longest,
        };
        self.forget();
        self.changed(from, cause)
    }

    fn forget(&mut self) {
        self.window.clear();
        self.probes.clear();
        self.failures_in_a_row = 0;
    }

    fn changed(&mut self, from: Phase, cause: Cause) -> Option<Transition> {
        self.epoch = self.epoch.wrapping_add(1);
        Some(Transition {
            from,
            to: self.phase(),
            cause,
            epoch: self.epoch,
        })
    }

    /// Callers look at the clock before they wait for each other: what comes later may be of earlier.
    fn told(&mut self, now: Tick) -> Tick {
        self.now = self.now.max(now);
        self.now
    }

    const fn asked(&self, what: Call, transition: Option<Transition>) -> Asked {
        let permit = Permit {
            epoch: self.epoch,
            began: self.now,
            what,
        };
        Asked {
            answer: Ok(permit),
            transition,
        }
    }
}

impl Permit {
    /// The permit that a breaker gives which is [closed in this epoch](Breaker::closed_epoch). Who reads that
    /// just before the breaker opens has a call of before, whose outcome is ignored.
    pub const fn of_closed(epoch: u64, now: Tick) -> Self {
        Self {
            epoch,
            began: now,
            what: Call::Counted,
        }
    }
}

impl Asked {
    const fn refused(retry_after: Option<Duration>, transition: Option<Transition>) -> Self {
        Self {
            answer: Err(Refused { retry_after }),
            transition,
        }
    }
}

/// What comes by chance, by the generator of Vigna's `splitmix64`.
#[derive(Debug, Clone)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Something between half of the time and all of it.
    pub(super) fn up_to_half_off(&mut self, time: Duration) -> Duration {
        let half = super::tick::nanos(time) / 2;
        let off = self.next() % half.max(1);
        time.saturating_sub(Duration::from_nanos(off))
    }
}
