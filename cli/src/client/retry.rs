//! How often and how patiently a request is repeated.

use std::{
    hash::{BuildHasher, RandomState},
    iter,
    time::Duration,
};

/// How often and how patiently a request is repeated.
///
/// The wait doubles from one repeat to the next, up to a bound. Half of it is left to chance, so
/// that clients that lost the same server do not all come back to it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times a request is sent again.
    pub repeats_max: usize,
    /// The wait before it is first sent again, at most.
    pub first_wait: Duration,
    /// The longest wait.
    pub wait_max: Duration,
}

impl Default for RetryPolicy {
    /// Gives a ledger that restarts about a quarter of a minute.
    fn default() -> Self {
        Self {
            repeats_max: 9,
            first_wait: Duration::from_millis(100),
            wait_max: Duration::from_secs(4),
        }
    }
}

impl RetryPolicy {
    /// The waits before the repeats of one request.
    pub fn delays(self) -> impl Iterator<Item = Duration> {
        let doubled = move |wait: &Duration| Some(wait.saturating_mul(2).min(self.wait_max));
        iter::successors(Some(self.first_wait.min(self.wait_max)), doubled)
            .take(self.repeats_max)
            .map(with_chance)
    }
}

/// Between half of `wait` and all of it.
fn with_chance(wait: Duration) -> Duration {
    // A new hash state is random; the hash of anything is then a random number.
    let chance = RandomState::new().hash_one(()) % 1_000;
    let half = wait / 2;
    let part = half / 1_000;
    u32::try_from(chance).map_or(wait, |chance| {
        half.saturating_add(part.saturating_mul(chance))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound_and_end() {
        let policy = RetryPolicy {
            repeats_max: 6,
            first_wait: Duration::from_millis(100),
            wait_max: Duration::from_millis(1_000),
        };
        let waits: Vec<_> = policy.delays().collect();
        let full = [100, 200, 400, 800, 1_000, 1_000].map(Duration::from_millis);
        assert_eq!(waits.len(), full.len());
        for (wait, full) in waits.into_iter().zip(full) {
            assert!(full / 2 <= wait && wait <= full, "{wait:?} of {full:?}");
        }
    }

    #[test]
    fn waits_are_left_to_chance() {
        let wait = Duration::from_secs(1);
        let first = with_chance(wait);
        assert!((0..100).any(|_| with_chance(wait) != first));
    }

    #[test]
    fn no_repeats_means_no_waits() {
        let policy = RetryPolicy {
            repeats_max: 0,
            ..RetryPolicy::default()
        };
        assert_eq!(policy.delays().count(), 0);
    }
}
