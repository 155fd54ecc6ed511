//! What became of the latest calls.

use super::settings::Latest;
use super::tick::{Tick, nanos};

/// Slices of a window of time: with ten, what is forgotten at once is a tenth.
const SLICES: usize = 10;

/// How many calls there were, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls.
    pub calls: u32,
    /// Of them, how many have failed.
    pub failed: u32,
    /// Of them, how many were slow, whether they have failed or not.
    pub slow: u32,
}

/// What became of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) has_failed: bool,
    pub(super) was_slow: bool,
}

/// What became of the latest calls. Adding one takes the same time however many there are.
#[derive(Debug, Clone)]
pub(super) struct Window {
    sum: Counts,
    kept: Kept,
}

#[derive(Debug, Clone)]
enum Kept {
    Slices {
        nanos: u64,
        /// The number of the slice that the last call fell into, counted from the clock's beginning.
        last: u64,
        slices: [Counts; SLICES],
    },
    Ring {
        samples: Box<[Sample]>,
        /// The place of the next one, which is that of the oldest once the ring is full.
        next: usize,
    },
}

impl Counts {
    const fn add(&mut self, sample: Sample) {
        self.calls = self.calls.saturating_add(1);
        self.failed = self.failed.saturating_add(sample.has_failed as u32);
        self.slow = self.slow.saturating_add(sample.was_slow as u32);
    }

    const fn take_off(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failed = self.failed.saturating_sub(other.failed);
        self.slow = self.slow.saturating_sub(other.slow);
    }
}

impl Window {
    pub(super) fn new(latest: Latest) -> Self {
        let kept = match latest {
            Latest::Within(time) => Kept::Slices {
                nanos: nanos(time) / SLICES as u64,
                last: 0,
                slices: [Counts::default(); SLICES],
            },
            Latest::Calls(calls) => Kept::Ring {
                samples: vec![Sample::default(); usize::from(calls)].into_boxed_slice(),
                next: 0,
            },
        };
        Self {
            sum: Counts::default(),
            kept,
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.sum = Counts::default();
        match &mut self.kept {
            Kept::Slices { slices, .. } => *slices = [Counts::default(); SLICES],
            Kept::Ring { next, .. } => *next = 0,
        }
    }

    /// What there is at this moment.
    pub(super) fn at(&mut self, now: Tick) -> Counts {
        self.forget_before(now);
        self.sum
    }

    /// Adds a call that ended now. Answers what there is with it.
    pub(super) fn add(&mut self, sample: Sample, now: Tick) -> Counts {
        self.forget_before(now);
        match &mut self.kept {
            Kept::Slices { last, slices, .. } => {
                if let Some(slice) = slices.get_mut(place(*last)) {
                    slice.add(sample);
                }
            }
            Kept::Ring { samples, next } => {
                let is_full = self.sum.calls as usize >= samples.len();
                if let Some(oldest) = samples.get_mut(*next) {
                    if is_full {
                        let mut gone = Counts::default();
                        gone.add(*oldest);
                        self.sum.take_off(gone);
                    }
                    *oldest = sample;
                }
                *next = (*next + 1) % samples.len();
            }
        }
        self.sum.add(sample);
        self.sum
    }

    fn forget_before(&mut self, now: Tick) {
        let Kept::Slices {
            nanos,
            last,
            slices,
        } = &mut self.kept
        else {
            return;
        };
        let current = now.nanos() / *nanos;
        if current <= *last {
            return;
        }
        // After a window without a call all are forgotten, and none twice.
        for number in *last + 1..=current.min(*last + SLICES as u64) {
            if let Some(slice) = slices.get_mut(place(number)) {
                self.sum.take_off(std::mem::take(slice));
            }
        }
        *last = current;
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % SLICES as u64).unwrap_or(0)
}
