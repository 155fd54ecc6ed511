//! A breaker beside a reference that keeps everything, in a million random steps.

use std::collections::BTreeSet;
use std::time::Duration;

use super::machine::Chance;
use super::tests::at;
use super::*;

/// What a breaker shall do, in the plainest words: everything that happened since the last transition is
/// kept, and looked through again each time.
struct Reference {
    settings: BreakerSettings,
    phase: Phase,
    observing: bool,
    calls: Vec<(Tick, bool, bool)>,
    probes: Vec<(usize, Tick)>,
    succeeded: u32,
    until: Tick,
    time: Duration,
    closed: Option<(Tick, Duration)>,
    openings: u32,
    chance: Chance,
}

impl Reference {
    fn counted(&self, now: Tick) -> Vec<(Tick, bool, bool)> {
        match self.settings.latest {
            Latest::Calls(calls) => {
                let from = self.calls.len().saturating_sub(usize::from(calls));
                self.calls[from..].to_vec()
            }
            Latest::Within(time) => {
                let slice = u64::try_from(time.as_nanos()).unwrap() / 10;
                let number = |tick: Tick| tick.nanos() / slice;
                let all = self.calls.iter();
                all.filter(|(at, ..)| number(*at) + 10 > number(now))
                    .copied()
                    .collect()
            }
        }
    }

    fn open(&mut self, now: Tick) {
        let in_a_row = self.phase == Phase::HalfOpen
            || self.closed.is_some_and(|(at, time)| now.since(at) <= time);
        self.openings = if in_a_row { self.openings + 1 } else { 1 };
        let mut time = self.settings.open_first;
        for _ in 1..self.openings {
            time = (time * 2).min(self.settings.open_max);
        }
        self.time = time;
        self.until = now.plus(self.chance.up_to_half_off(time));
        self.become_(Phase::Open);
    }

    fn become_(&mut self, phase: Phase) {
        self.phase = phase;
        self.calls.clear();
        self.probes.clear();
        self.succeeded = 0;
    }

    /// Whether a call goes through, and is counted.
    fn admit(&mut self, name: usize, now: Tick) -> (bool, bool) {
        match self.phase {
            Phase::ForcedOpen => return (false, false),
            Phase::ForcedClosed => return (true, false),
            Phase::Closed => return (true, true),
            Phase::Open if self.until <= now => self.become_(Phase::HalfOpen),
            Phase::Open | Phase::HalfOpen => {}
        }
        let within = self.settings.probe_within;
        if self
            .probes
            .iter()
            .any(|(_, began)| began.plus(within) <= now)
        {
            self.open(now);
        }
        if self.phase == Phase::HalfOpen
            && self.probes.len() + (self.succeeded as usize) < self.settings.probes as usize
        {
            self.probes.push((name, now));
            return (true, true);
        }
        (self.observing, false)
    }

    fn record(&mut self, name: usize, began: Tick, outcome: CallOutcome, now: Tick) {
        let took = now.since(began);
        let slow = took >= self.settings.slow_after;
        if self.phase == Phase::HalfOpen {
            let late = took >= self.settings.probe_within;
            let too_slow = slow && self.settings.slow.is_some();
            self.probes.retain(|(probe, _)| *probe != name);
            match outcome {
                CallOutcome::Ignored => {}
                CallOutcome::Abandoned if !slow && !late => {}
                CallOutcome::Success if !late && !too_slow => {
                    self.succeeded += 1;
                    if self.succeeded == self.settings.probes {
                        self.closed = Some((now, self.time));
                        self.become_(Phase::Closed);
                    }
                }
                CallOutcome::Success | CallOutcome::Failure | CallOutcome::Abandoned => {
                    self.open(now)
                }
            }
            return;
        }
        if outcome == CallOutcome::Ignored || (outcome == CallOutcome::Abandoned && !slow) {
            return;
        }
        let failed = outcome != CallOutcome::Success;
        self.calls.push((now, failed, slow));
        let row = self
            .calls
            .iter()
            .rev()
            .take_while(|(_, failed, _)| *failed)
            .count();
        let counted = self.counted(now);
        let share = |some: usize, percent: Percent| {
            let all = u32::try_from(counted.len()).unwrap();
            percent.is_reached(u32::try_from(some).unwrap(), all)
        };
        let enough = counted.len() >= self.settings.calls_min as usize;
        let all_failed = counted.iter().filter(|(_, failed, _)| *failed).count();
        let all_slow = counted.iter().filter(|(.., slow)| *slow).count();
        let by_row = self
            .settings
            .consecutive_failures
            .is_some_and(|most| row >= most as usize);
        let by_failed =
            failed && enough && self.settings.failed.is_some_and(|p| share(all_failed, p));
        let by_slow = slow && enough && self.settings.slow.is_some_and(|p| share(all_slow, p));
        if by_row || by_failed || by_slow {
            self.open(now);
        }
    }
}

/// A million random steps, under settings of all kinds: the breaker and its reference are always in the same
/// phase, let the same calls through, and count the same.
#[test]
fn a_million_steps_are_those_of_the_reference() {
    let mut seen = BTreeSet::new();
    let mut transitions = 0_u64;
    for seed in 0..100_u64 {
        let mut chance = Chance(seed);
        let mut below = |most: u64| chance.next() % most;
        let percent = |some: u64| Percent::new(u8::try_from(10 + some).unwrap());
        let settings = BreakerSettings {
            latest: if below(2) == 0 {
                Latest::Calls(u16::try_from(5 + below(60)).unwrap())
            } else {
                Latest::Within(Duration::from_millis(50 + below(3_000)))
            },
            calls_min: u32::try_from(1 + below(5)).unwrap(),
            failed: percent(below(90)),
            slow: if below(2) == 0 {
                percent(below(90))
            } else {
                None
            },
            consecutive_failures: (below(2) == 0).then_some(4),
            slow_after: Duration::from_millis(5 + below(50)),
            open_first: Duration::from_millis(20 + below(50)),
            open_max: Duration::from_millis(200),
            probes: u32::try_from(1 + below(4)).unwrap(),
            probe_within: Duration::from_millis(10 + below(100)),
        };
        let mut breaker = Breaker::new(settings, seed).unwrap();
        let mut reference = Reference {
            settings,
            phase: Phase::Closed,
            observing: false,
            calls: Vec::new(),
            probes: Vec::new(),
            succeeded: 0,
            until: at(0),
            time: Duration::ZERO,
            closed: None,
            openings: 0,
            chance: Chance(seed),
        };
        let (mut now, mut epoch) = (at(1_000), 0);
        // Those under way, with what the reference knows of them.
        let mut under_way: Vec<(usize, Permit, Tick, u64, bool)> = Vec::new();
        for step in 0..10_000 {
            now = now.plus(Duration::from_micros(below(6_000)));
            let before = breaker.phase();
            let transition = if below(500) == 0 {
                let mode = match below(5) {
                    0 => Mode::ForcedOpen,
                    1 => Mode::ForcedClosed,
                    2 => Mode::Observing,
                    _ => Mode::Automatic,
                };
                let was_forced = matches!(reference.phase, Phase::ForcedOpen | Phase::ForcedClosed);
                let forced = match mode {
                    Mode::ForcedOpen => Some(Phase::ForcedOpen),
                    Mode::ForcedClosed => Some(Phase::ForcedClosed),
                    Mode::Automatic | Mode::Observing => was_forced.then_some(Phase::Closed),
                };
                if let Some(phase) = forced.filter(|phase| *phase != reference.phase) {
                    reference.become_(phase);
                    reference.openings = 0;
                    reference.closed = None;
                }
                reference.observing = mode == Mode::Observing;
                breaker.set_mode(mode, now)
            } else if under_way.is_empty() || below(2) == 0 {
                let asked = breaker.admit(now);
                let (goes_through, is_counted) = reference.admit(step, now);
                assert_eq!(
                    asked.answer.is_ok(),
                    goes_through,
                    "seed {seed}, step {step}"
                );
                if let Ok(permit) = asked.answer {
                    let epoch = asked
                        .transition
                        .map_or(epoch, |transition| transition.epoch);
                    under_way.push((step, permit, now, epoch, is_counted));
                }
                asked.transition
            } else {
                let which = usize::try_from(below(under_way.len() as u64)).unwrap();
                let (name, permit, began, of_epoch, is_counted) = under_way.swap_remove(which);
                let outcome = match below(10) {
                    0..=3 => CallOutcome::Success,
                    4..=6 => CallOutcome::Failure,
                    7 => CallOutcome::Ignored,
                    _ => CallOutcome::Abandoned,
                };
                if of_epoch == epoch && is_counted {
                    reference.record(name, began, outcome, now);
                }
                breaker.record(permit, outcome, now)
            };
            if let Some(transition) = transition {
                assert_eq!(transition.from, before);
                assert_eq!(transition.epoch, epoch + 1);
                epoch = transition.epoch;
                transitions += 1;
                seen.insert(format!("{:?} to {:?}", transition.from, transition.to));
            }
            assert_eq!(breaker.phase(), reference.phase, "seed {seed}, step {step}");
            if reference.phase == Phase::Closed {
                let counted = reference.counted(now);
                let counts = breaker.counts(now);
                assert_eq!(
                    counts.calls as usize,
                    counted.len(),
                    "seed {seed}, step {step}"
                );
                let failed = counted.iter().filter(|(_, failed, _)| *failed).count();
                assert_eq!(counts.failed as usize, failed);
            }
        }
    }
    assert!(transitions > 10_000, "{transitions}");
    for way in [
        "Closed to Open",
        "Open to HalfOpen",
        "HalfOpen to Open",
        "HalfOpen to Closed",
    ] {
        assert!(seen.contains(way), "{seen:?}");
    }
}
