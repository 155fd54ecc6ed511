//! Running a workload for a while, and what comes of it.

use std::time::{Duration, Instant};

/// What one run of a workload came to.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Units of work a second.
    pub(crate) rate: u64,
    /// How long each call took, sorted, in microseconds; empty where calls are not the unit.
    pub(crate) calls_us: Vec<u32>,
}

impl Measured {
    pub(crate) fn rate(units: u64, elapsed: Duration) -> Self {
        Self {
            rate: per_second(units, elapsed),
            calls_us: Vec::new(),
        }
    }

    /// The call below which `percent` of a hundred lie.
    pub(crate) fn percentile_us(&self, percent: usize) -> Option<u32> {
        let index = self.calls_us.len().checked_sub(1)? * percent / 100;
        self.calls_us.get(index).copied()
    }
}

/// The run in the middle of several.
pub(crate) fn median(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by_key(|run| run.rate);
    runs.swap_remove(runs.len() / 2)
}

pub(crate) fn seconds() -> Duration {
    Duration::from_secs(setting("FOLIO_BENCH_SECONDS", 3))
}

pub(crate) fn runs() -> usize {
    usize::try_from(setting("FOLIO_BENCH_RUNS", 3)).unwrap()
}

/// Whether rows with so many callers are wanted: all are, or those of the number that is set.
pub(crate) fn are_wanted(callers: usize) -> bool {
    let only = usize::try_from(setting("FOLIO_BENCH_CALLERS", 0)).unwrap();
    only == 0 || only == callers
}

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

pub(crate) fn per_second(units: u64, elapsed: Duration) -> u64 {
    let rate = u128::from(units) * 1_000_000 / elapsed.as_micros().max(1);
    u64::try_from(rate).unwrap()
}

/// Runs `work` from several callers for the set time. Its results are units of work.
pub(crate) async fn run<F: Future<Output = u64> + Send + 'static>(
    callers: usize,
    work: impl Fn(usize) -> F + Send + Sync + Clone + 'static,
) -> Measured {
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let work = work.clone();
            tokio::spawn(async move {
                let (mut units, mut calls_us) = (0, Vec::new());
                while started.elapsed() < seconds() {
                    let call = Instant::now();
                    units += work(caller).await;
                    calls_us.push(u32::try_from(call.elapsed().as_micros()).unwrap());
                }
                (units, calls_us)
            })
        })
        .collect();
    let (mut units, mut calls_us) = (0, Vec::new());
    for task in tasks {
        let (done, calls) = task.await.unwrap();
        units += done;
        calls_us.extend(calls);
    }
    let elapsed = started.elapsed();
    calls_us.sort_unstable();
    Measured {
        rate: per_second(units, elapsed),
        calls_us,
    }
}
