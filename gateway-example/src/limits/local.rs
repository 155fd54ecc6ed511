//! The limit that one process keeps by itself.

use std::num::NonZeroUsize;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};

use super::key::LimitKey;
use super::keys::Keys;
use super::policy::LimitPolicy;
use super::standing::Standing;

/// A limit for each key, of a bounded number of them, kept in the memory of this process.
///
/// When there is no room for another key and none can be forgotten without giving it something, new keys are counted
/// together until there is.
#[derive(Debug)]
pub struct LocalLimiter<C: Clock = DefaultClock> {
    policy: Arc<LimitPolicy>,
    keys: Keys,
    limiter: RateLimiter<LimitKey, Keys, C, StateInformationMiddleware>,
}

impl LocalLimiter {
    /// By the clock of this machine.
    #[must_use]
    pub fn new(policy: Arc<LimitPolicy>, keys_max: NonZeroUsize) -> Self {
        Self::with_clock(policy, keys_max, DefaultClock::default())
    }
}

impl<C: Clock> LocalLimiter<C> {
    /// By this clock.
    #[must_use]
    pub fn with_clock(policy: Arc<LimitPolicy>, keys_max: NonZeroUsize, clock: C) -> Self {
        let keys = Keys::new(keys_max, policy.interval());
        // An interval is at least a microsecond.
        let quota = Quota::with_period(policy.interval())
            .unwrap_or_else(|| Quota::per_second(policy.quota()))
            .allow_burst(policy.burst());
        Self {
            limiter: RateLimiter::new(quota, keys.clone(), clock),
            policy,
            keys,
        }
    }

    /// Counts one request of this key.
    ///
    /// # Errors
    ///
    /// How it stands, with the time until the next is admitted, when it is over the limit.
    pub fn check(&self, key: &LimitKey) -> Result<Standing, Standing> {
        let standing = |remaining, reset| Standing {
            policy: Arc::clone(&self.policy),
            remaining,
            reset,
        };
        match self.limiter.check_key(key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let missing = self.policy.burst().get().saturating_sub(remaining);
                Ok(standing(remaining, self.policy.time_of(missing)))
            }
            Err(until) => {
                let now = self.limiter.clock().now();
                Err(standing(0, until.wait_time_from(now)))
            }
        }
    }

    /// How many keys are known.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.count()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(
        (quota, window_s, burst): (u32, u64, u32),
        keys_max: usize,
    ) -> (LocalLimiter<FakeRelativeClock>, FakeRelativeClock) {
        let window = Duration::from_secs(window_s);
        let policy = LimitPolicy::new("test", quota, window, burst).unwrap();
        let clock = FakeRelativeClock::default();
        let keys_max = NonZeroUsize::new(keys_max).unwrap();
        let limiter = LocalLimiter::with_clock(Arc::new(policy), keys_max, clock.clone());
        (limiter, clock)
    }

    fn key(number: u32) -> LimitKey {
        LimitKey::address(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn admitted(limiter: &LocalLimiter<FakeRelativeClock>, of: &LimitKey, asked: u32) -> usize {
        (0..asked).filter(|_| limiter.check(of).is_ok()).count()
    }

    #[test]
    fn a_burst_is_admitted_and_then_one_in_each_interval() {
        let (limiter, clock) = limiter((10, 1, 5), 10);
        assert_eq!(limiter.check(&key(1)).unwrap().remaining, 4);
        assert_eq!(admitted(&limiter, &key(1), 10), 4);
        assert_eq!(limiter.check(&key(1)).unwrap_err().reset, SECOND / 10);
        clock.advance(SECOND / 10);
        assert_eq!(admitted(&limiter, &key(1), 10), 1);
        // Whoever else asks has its own.
        assert_eq!(admitted(&limiter, &key(2), 10), 5);
    }

    #[test]
    fn no_two_bursts_meet_at_the_edge_of_a_window() {
        let (limiter, clock) = limiter((100, 60, 100), 10);
        clock.advance(Duration::from_millis(59_900));
        assert_eq!(admitted(&limiter, &key(1), 200), 100);
        clock.advance(Duration::from_millis(200));
        assert_eq!(admitted(&limiter, &key(1), 200), 0);
        clock.advance(Duration::from_secs(30));
        assert_eq!(admitted(&limiter, &key(1), 200), 50);
    }

    #[test]
    fn a_million_keys_leave_the_store_within_its_bound() {
        const MOST: usize = 100_000;
        let (limiter, clock) = limiter((1, 3_600, 2), MOST);
        for number in 0..1_000_000 {
            let _ = limiter.check(&key(number));
            if number % 10_000 == 0 {
                assert!(limiter.keys() <= MOST, "after {number} keys");
            }
        }
        assert!((MOST * 9 / 10..=MOST).contains(&limiter.keys()));
        // When all tokens are back, newcomers take the places.
        clock.advance(Duration::from_secs(7_200));
        for number in 2_000_000..2_200_000 {
            let _ = limiter.check(&key(number));
        }
        assert!((MOST * 9 / 10..=MOST).contains(&limiter.keys()));
        assert_eq!(limiter.check(&key(2_000_000)).unwrap().remaining, 0);
    }

    #[test]
    fn a_key_over_its_limit_is_not_forgotten_for_others() {
        let (limiter, clock) = limiter((1, 3_600, 2), 100);
        assert_eq!(admitted(&limiter, &key(0), 3), 2);
        for number in 1..100_000 {
            let _ = limiter.check(&key(number));
        }
        assert_eq!(admitted(&limiter, &key(0), 3), 0);
        // Its first token is back in an hour, as it would be without the others.
        clock.advance(Duration::from_secs(3_599));
        assert_eq!(admitted(&limiter, &key(0), 3), 0);
        clock.advance(SECOND);
        assert_eq!(admitted(&limiter, &key(0), 3), 1);
    }

    #[test]
    fn keys_without_a_place_share_what_one_may_have() {
        let (limiter, clock) = limiter((1, 3_600, 5), 10);
        let known = (0..10).filter(|number| limiter.check(&key(*number)).is_ok());
        assert_eq!(known.count(), 10);
        let crowd = (10..1_000).filter(|number| limiter.check(&key(*number)).is_ok());
        assert_eq!(crowd.count(), 5);
        // Those with a place have the rest of theirs.
        assert_eq!(admitted(&limiter, &key(0), 10), 4);
        // One of them that has all its tokens back makes room, though the one before it in the row has not.
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(limiter.check(&key(5_000)).unwrap().remaining, 4);
        assert_eq!(limiter.keys(), 10);
    }

    proptest! {
        #[test]
        fn no_schedule_gets_more_than_the_burst_and_what_comes_back(
            quota in 1_u32..1_000,
            window_s in 1_u64..100,
            burst in 1_u32..200,
            steps in proptest::collection::vec((0_u64..3_000, 1_u32..300), 1..60),
        ) {
            let (limiter, clock) = limiter((quota, window_s, burst), 10);
            let window_ms = u128::from(window_s) * 1_000;
            let mut now_ms = 0_u64;
            let mut admissions: VecDeque<(u64, u64)> = VecDeque::new();
            for (pause_ms, asked) in steps {
                clock.advance(Duration::from_millis(pause_ms));
                now_ms += pause_ms;
                let got = u64::try_from(admitted(&limiter, &key(1), asked)).unwrap();
                admissions.push_back((now_ms, got));
                // Since each moment at which something was admitted.
                let mut sum = 0;
                for (then_ms, then) in admissions.iter().rev() {
                    sum += then;
                    let came_back = u128::from(quota) * u128::from(now_ms - then_ms) / window_ms;
                    let allowed = u128::from(burst) + came_back;
                    prop_assert!(u128::from(sum) <= allowed, "{sum} since {then_ms} ms, {allowed} allowed");
                }
            }
        }
    }
}
