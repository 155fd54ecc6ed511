//! The cell of a breaker under every schedule of threads that a model checker comes to, out of 10,000 each.

use std::sync::Arc;

use folio_core::breaker::{Breaker, BreakerSettings, CallOutcome, Phase, Tick};
use shuttle::{check_pct, check_random, thread};

mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicU64, Ordering};
    pub(super) use shuttle::sync::{Mutex, MutexGuard};
    pub(super) use std::sync::PoisonError;
}

// The very file, with the model checker's locks in place of the standard library's.
#[path = "cell.rs"]
#[allow(
    clippy::duplicate_mod,
    reason = "what is checked must be what runs, with other locks"
)]
mod cell;

use cell::BreakerCell;

const SCHEDULES: usize = 10_000;
/// How many changes of the running thread are placed where they may do harm.
const DEPTH: usize = 3;

fn at(ms: u64) -> Tick {
    Tick::from(std::time::Duration::from_millis(ms))
}

fn cell(probes: u32) -> Arc<BreakerCell> {
    let settings = BreakerSettings {
        consecutive_failures: Some(2),
        probes,
        ..BreakerSettings::default()
    };
    Arc::new(BreakerCell::new(Breaker::new(settings, 7).unwrap()))
}

fn in_every_schedule(run: impl Fn() + Send + Sync + Clone + 'static) {
    check_random(run.clone(), SCHEDULES);
    check_pct(run, SCHEDULES, DEPTH);
}

/// Calls, and fails. Answers how many transitions that was told of.
fn fails(cell: &BreakerCell, now: Tick) -> usize {
    let (asked, first) = cell.ask(now);
    let permit = asked.ok();
    let second = permit.and_then(|permit| cell.record(permit, CallOutcome::Failure, now));
    [first, second].into_iter().flatten().count()
}

/// What the number says that is read without the lock is what the breaker does, once all is still.
fn is_of_one_mind(cell: &BreakerCell, now: Tick) {
    let phase = cell.lock().phase();
    let (asked, _) = cell.ask(now);
    match phase {
        Phase::Closed => assert!(asked.is_ok()),
        Phase::Open | Phase::HalfOpen | Phase::ForcedOpen | Phase::ForcedClosed => {}
    }
    if phase == Phase::Open {
        assert!(
            asked.is_err(),
            "it is open, and somebody was let past the lock"
        );
    }
    if let Ok(permit) = asked {
        cell.record(permit, CallOutcome::Ignored, now);
    }
}

#[test]
fn callers_that_fail_at_once_open_it_once() {
    in_every_schedule(|| {
        let cell = cell(1);
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || fails(&cell, at(1)))
            })
            .collect();
        let told = callers.into_iter().map(|caller| caller.join().unwrap());
        assert_eq!(told.sum::<usize>(), 1);
        assert_eq!(cell.lock().phase(), Phase::Open);
        is_of_one_mind(&cell, at(2));
    });
}

#[test]
fn of_many_callers_after_its_time_as_many_are_let_through_as_there_are_probes() {
    in_every_schedule(|| {
        let cell = cell(2);
        fails(&cell, at(1));
        fails(&cell, at(1));
        let callers: Vec<_> = (0..5)
            .map(|_| {
                let cell = Arc::clone(&cell);
                // Their permits do not come back.
                thread::spawn(move || cell.ask(at(5_000)).0.is_ok())
            })
            .collect();
        let through = callers.into_iter().map(|caller| caller.join().unwrap());
        assert_eq!(through.filter(|is_through| *is_through).count(), 2);
    });
}

/// A caller that was let past the lock before it opened comes back after it was closed again: what it says is of
/// then, and changes nothing.
#[test]
fn what_a_call_of_before_comes_to_says_nothing_of_now() {
    in_every_schedule(|| {
        let cell = cell(1);
        let (before, _) = cell.ask(at(1));
        let opens_and_closes = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                fails(&cell, at(1));
                fails(&cell, at(1));
                let (probe, _) = cell.ask(at(5_000));
                cell.record(probe.unwrap(), CallOutcome::Success, at(5_001));
                // One failure of now: with one of before, it would be two in a row.
                fails(&cell, at(5_002));
            })
        };
        let comes_back = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                cell.record(before.unwrap(), CallOutcome::Failure, at(1));
            })
        };
        opens_and_closes.join().unwrap();
        comes_back.join().unwrap();
        assert_eq!(cell.lock().phase(), Phase::Closed);
        is_of_one_mind(&cell, at(5_003));
    });
}
