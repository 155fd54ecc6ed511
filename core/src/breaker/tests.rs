//! Cases, each with the moment at which everything happens.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn at(ms: u64) -> Tick {
    Tick::from(Duration::from_millis(ms))
}

fn breaker(settings: BreakerSettings) -> Breaker {
    Breaker::new(settings, 7).unwrap()
}

/// Opens after three failures in a row, for one second, with one probe.
fn three_in_a_row() -> BreakerSettings {
    BreakerSettings {
        failed: None,
        slow: None,
        consecutive_failures: Some(3),
        open_max: SECOND,
        ..BreakerSettings::default()
    }
}

fn call(breaker: &mut Breaker, outcome: CallOutcome, now: Tick) -> Option<Transition> {
    let asked = breaker.admit(now);
    let recorded = breaker.record(asked.answer.unwrap(), outcome, now);
    asked.transition.or(recorded)
}

fn opened(settings: BreakerSettings, now: Tick) -> Breaker {
    let mut breaker = breaker(settings);
    while breaker.phase() == Phase::Closed {
        call(&mut breaker, CallOutcome::Failure, now);
    }
    breaker
}

#[test]
fn after_a_million_successes_an_outage_opens_it_within_the_window() {
    for (latest, most) in [
        (Latest::Calls(100), 50),
        // The slice of the outage and those before it have 1,000 calls at most.
        (Latest::Within(10 * SECOND), 500),
    ] {
        let settings = BreakerSettings {
            latest,
            consecutive_failures: None,
            ..BreakerSettings::default()
        };
        let mut breaker = breaker(settings);
        for number in 0..1_000_000 {
            call(&mut breaker, CallOutcome::Success, at(number * 10));
        }
        let mut failures = 0;
        while breaker.phase() == Phase::Closed {
            failures += 1;
            call(
                &mut breaker,
                CallOutcome::Failure,
                at(10_000_000 + failures * 10),
            );
        }
        assert!(failures <= most + 1, "{latest:?}: {failures}");
    }
}

#[test]
fn when_its_time_is_over_the_probes_go_through_and_nobody_else() {
    let settings = BreakerSettings {
        probes: 3,
        ..three_in_a_row()
    };
    let mut breaker = opened(settings, at(0));
    assert_eq!(breaker.phase(), Phase::Open);
    let asked: Vec<Asked> = (0..1_000).map(|_| breaker.admit(at(1_000))).collect();
    let transitions: Vec<_> = asked.iter().filter_map(|asked| asked.transition).collect();
    assert_eq!(transitions.len(), 1);
    assert_eq!(transitions[0].cause, Cause::TimeIsUp);
    let (permits, refused): (Vec<_>, Vec<_>) = asked
        .into_iter()
        .map(|asked| asked.answer)
        .partition(Result::is_ok);
    assert_eq!(permits.len(), 3);
    let retry_after = settings.probe_within;
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().retry_after, Some(retry_after));
    }
    let transitions: Vec<_> = permits
        .into_iter()
        .map(|permit| breaker.record(permit.unwrap(), CallOutcome::Success, at(1_001)))
        .collect();
    assert_eq!((transitions[0], transitions[1]), (None, None));
    let closed = transitions[2].unwrap();
    assert_eq!(
        (closed.from, closed.to, closed.cause),
        (Phase::HalfOpen, Phase::Closed, Cause::ProbesSucceeded)
    );
}

/// The defect of breakers that take any success for that of their probe.
#[test]
fn what_began_before_a_transition_changes_nothing_after_it() {
    let mut breaker = breaker(three_in_a_row());
    let early: Vec<Permit> = (0..4)
        .map(|_| breaker.admit(at(0)).answer.unwrap())
        .collect();
    for _ in 0..3 {
        call(&mut breaker, CallOutcome::Failure, at(1));
    }
    let probe = breaker.admit(at(1_500)).answer.unwrap();
    assert_eq!(breaker.phase(), Phase::HalfOpen);
    let mut early = early.into_iter();
    for outcome in [
        CallOutcome::Success,
        CallOutcome::Failure,
        CallOutcome::Abandoned,
    ] {
        assert_eq!(
            breaker.record(early.next().unwrap(), outcome, at(1_501)),
            None
        );
        assert_eq!(breaker.phase(), Phase::HalfOpen);
    }
    breaker.record(probe, CallOutcome::Success, at(1_502));
    assert_eq!(breaker.phase(), Phase::Closed);
    assert_eq!(
        breaker.record(early.next().unwrap(), CallOutcome::Failure, at(1_503)),
        None
    );
    assert_eq!(breaker.counts(at(1_503)), Counts::default());
}

#[test]
fn a_call_that_is_cut_when_it_is_slow_has_failed_and_a_caller_that_hangs_up_has_not() {
    let mut breaker = breaker(three_in_a_row());
    for number in 0..1_000 {
        call(&mut breaker, CallOutcome::Abandoned, at(number));
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    let cut: Vec<_> = (0..3)
        .map(|_| breaker.admit(at(1_000)).answer.unwrap())
        .collect();
    for permit in cut {
        breaker.record(permit, CallOutcome::Abandoned, at(3_000));
    }
    assert_eq!(breaker.phase(), Phase::Open);

    // A probe is no different, and gives its place back.
    let probe = breaker.admit(at(5_000)).answer.unwrap();
    assert_eq!(
        breaker.record(probe, CallOutcome::Abandoned, at(5_001)),
        None
    );
    let probe = breaker.admit(at(5_002)).answer.unwrap();
    let reopened = breaker
        .record(probe, CallOutcome::Abandoned, at(7_500))
        .unwrap();
    assert_eq!(reopened.cause, Cause::ProbeFailed);
}

#[test]
fn a_probe_that_hangs_does_not_keep_it_half_open() {
    let settings = BreakerSettings {
        probes: 2,
        ..three_in_a_row()
    };
    let mut breaker = opened(settings, at(0));
    let hangs = breaker.admit(at(1_000)).answer.unwrap();
    // Others come and go, and do not give it more time.
    for later in 1..5 {
        let probe = breaker.admit(at(1_000 + later * 1_000)).answer.unwrap();
        breaker.record(probe, CallOutcome::Ignored, at(1_001 + later * 1_000));
    }
    let asked = breaker.admit(at(6_000));
    assert_eq!(asked.transition.unwrap().cause, Cause::ProbeHung);
    assert!(asked.answer.is_err());
    assert_eq!(breaker.phase(), Phase::Open);
    assert_eq!(breaker.record(hangs, CallOutcome::Success, at(6_001)), None);
    assert_eq!(breaker.phase(), Phase::Open);
    let again = breaker.admit(at(7_000));
    assert_eq!(again.transition.unwrap().cause, Cause::TimeIsUp);
    assert!(again.answer.is_ok());
}

#[test]
fn an_outcome_that_says_nothing_gives_the_place_of_a_probe_back() {
    let mut breaker = opened(three_in_a_row(), at(0));
    for number in 0..100 {
        let probe = breaker.admit(at(1_000 + number)).answer.unwrap();
        assert_eq!(
            breaker.record(probe, CallOutcome::Ignored, at(1_000 + number)),
            None
        );
    }
    assert_eq!(breaker.phase(), Phase::HalfOpen);
    call(&mut breaker, CallOutcome::Success, at(1_200));
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn it_opens_for_failures_for_slowness_and_not_for_refusals() {
    let settings = BreakerSettings {
        failed: Percent::new(30),
        slow: Percent::new(60),
        consecutive_failures: None,
        calls_min: 10,
        ..BreakerSettings::default()
    };
    let mut of_failures = breaker(settings);
    let outcomes = [
        CallOutcome::Success,
        CallOutcome::Success,
        CallOutcome::Failure,
    ];
    let mut last = None;
    for outcome in outcomes.into_iter().cycle().take(12) {
        last = last.or(call(&mut of_failures, outcome, at(0)));
    }
    let counts = Counts {
        calls: 12,
        failed: 4,
        slow: 0,
    };
    assert_eq!(last.unwrap().cause, Cause::Failed(counts));

    let mut of_refusals = breaker(settings);
    for number in 0..1_000 {
        call(&mut of_refusals, CallOutcome::Ignored, at(number));
    }
    assert_eq!(of_refusals.phase(), Phase::Closed);
    assert_eq!(of_refusals.counts(at(1_000)).calls, 0);

    let mut of_slowness = breaker(settings);
    let permits: Vec<_> = (0..10)
        .map(|_| of_slowness.admit(at(0)).answer.unwrap())
        .collect();
    let transitions: Vec<_> = permits
        .into_iter()
        .filter_map(|permit| of_slowness.record(permit, CallOutcome::Success, at(2_000)))
        .collect();
    assert_eq!(transitions.len(), 1);
    assert!(matches!(transitions[0].cause, Cause::Slow(counts) if counts.slow == 10));
}

#[test]
fn it_stays_open_for_longer_each_time_in_a_row() {
    let settings = BreakerSettings {
        open_max: 8 * SECOND,
        ..three_in_a_row()
    };
    let mut breaker = opened(settings, at(0));
    let mut now = at(0);
    let mut times = BTreeSet::new();
    for longest in [1, 2, 4, 8, 8, 8] {
        let refused = breaker.admit(now).answer.unwrap_err();
        let time = refused.retry_after.unwrap();
        let longest = longest * SECOND;
        assert!(
            time > longest / 2 && time <= longest,
            "{time:?} of {longest:?}"
        );
        times.insert(time);
        now = now.plus(time);
        call(&mut breaker, CallOutcome::Failure, now);
        assert_eq!(breaker.phase(), Phase::Open);
    }
    assert_eq!(times.len(), 6, "no two are the same by chance");
    // Closed for longer than it was open: that was another time.
    now = now.plus(8 * SECOND);
    call(&mut breaker, CallOutcome::Success, now);
    assert_eq!(breaker.phase(), Phase::Closed);
    now = now.plus(9 * SECOND);
    while breaker.phase() == Phase::Closed {
        call(&mut breaker, CallOutcome::Failure, now);
    }
    let refused = breaker.admit(now).answer.unwrap_err();
    assert!(refused.retry_after.unwrap() <= SECOND);
}

#[test]
fn a_moment_that_comes_late_takes_nothing_back() {
    let mut breaker = breaker(three_in_a_row());
    call(&mut breaker, CallOutcome::Failure, at(10_000));
    // Callers look at the clock before they wait for each other.
    call(&mut breaker, CallOutcome::Failure, at(0));
    call(&mut breaker, CallOutcome::Failure, at(0));
    assert_eq!(breaker.phase(), Phase::Open);
    assert!(breaker.admit(at(10_400)).answer.is_err());
    let probe = breaker.admit(at(11_000)).answer.unwrap();
    assert!(breaker.admit(at(9_000)).answer.is_err());
    breaker.record(probe, CallOutcome::Success, at(10_500));
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn somebody_may_force_it_open_or_closed() {
    let mut breaker = breaker(three_in_a_row());
    let under_way = breaker.admit(at(0)).answer.unwrap();
    let told = breaker.set_mode(Mode::ForcedOpen, at(1)).unwrap();
    assert_eq!(
        (told.from, told.to, told.cause),
        (Phase::Closed, Phase::ForcedOpen, Cause::Told)
    );
    assert_eq!(breaker.set_mode(Mode::ForcedOpen, at(1)), None);
    let refused = breaker.admit(at(100_000)).answer.unwrap_err();
    assert_eq!(refused.retry_after, None);
    assert_eq!(
        breaker.record(under_way, CallOutcome::Failure, at(100_000)),
        None
    );

    breaker.set_mode(Mode::ForcedClosed, at(100_001)).unwrap();
    for _ in 0..1_000 {
        assert_eq!(call(&mut breaker, CallOutcome::Failure, at(100_001)), None);
    }
    let told = breaker.set_mode(Mode::Automatic, at(100_002)).unwrap();
    assert_eq!((told.from, told.to), (Phase::ForcedClosed, Phase::Closed));
    // Nothing of before counts.
    assert_eq!(breaker.counts(at(100_002)), Counts::default());
    call(&mut breaker, CallOutcome::Failure, at(100_003));
    call(&mut breaker, CallOutcome::Failure, at(100_003));
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn one_that_observes_refuses_nothing_and_tells_what_it_would_do() {
    let mut breaker = breaker(three_in_a_row());
    assert_eq!(breaker.set_mode(Mode::Observing, at(0)), None);
    let transitions: Vec<_> = (0..100)
        .filter_map(|_| call(&mut breaker, CallOutcome::Failure, at(0)))
        .collect();
    assert_eq!(transitions.len(), 1);
    assert_eq!(transitions[0].cause, Cause::InARow(3));
    assert_eq!(breaker.phase(), Phase::Open);
    let half_open = call(&mut breaker, CallOutcome::Success, at(1_000));
    assert_eq!(half_open.unwrap().cause, Cause::TimeIsUp);
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = BreakerSettings::default();
    assert_eq!(good.check(), Ok(()));
    let zero = Duration::ZERO;
    let wrong = [
        (
            "slow_after",
            BreakerSettings {
                slow_after: zero,
                ..good
            },
        ),
        (
            "open_first",
            BreakerSettings {
                open_first: zero,
                ..good
            },
        ),
        (
            "probe_within",
            BreakerSettings {
                probe_within: zero,
                ..good
            },
        ),
        (
            "latest",
            BreakerSettings {
                latest: Latest::Within(zero),
                ..good
            },
        ),
        (
            "latest",
            BreakerSettings {
                latest: Latest::Calls(0),
                ..good
            },
        ),
        (
            "10001",
            BreakerSettings {
                latest: Latest::Calls(10_001),
                ..good
            },
        ),
        (
            "never has the 20",
            BreakerSettings {
                latest: Latest::Calls(19),
                ..good
            },
        ),
        (
            "calls_min",
            BreakerSettings {
                calls_min: 0,
                ..good
            },
        ),
        (
            "consecutive_failures",
            BreakerSettings {
                consecutive_failures: Some(0),
                ..good
            },
        ),
        ("probes", BreakerSettings { probes: 0, ..good }),
        (
            "open_max",
            BreakerSettings {
                open_max: SECOND / 2,
                ..good
            },
        ),
        (
            "never open",
            BreakerSettings {
                failed: None,
                slow: None,
                consecutive_failures: None,
                ..good
            },
        ),
    ];
    for (what, settings) in wrong {
        let error = Breaker::new(settings, 0).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(Percent::new(0), None);
    assert_eq!(Percent::new(101), None);
}
