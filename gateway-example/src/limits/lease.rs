//! Tokens of one key that were taken ahead, and how many to take next.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::policy::LimitPolicy;

/// Of a burst, and of a window's quota, the parts that are taken ahead at most.
const OF_BURST: u32 = 8;
const OF_QUOTA: u32 = 16;
/// Longest time that tokens are kept which nobody spends.
const HOLD_MAX: Duration = Duration::from_secs(2);

/// How a policy is kept by several gateways.
///
/// What is taken ahead may be spent a little later than it was counted. So that this does not add to the limit, as much as
/// comes back in that little while is kept back from the burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Most that is taken at once.
    pub(super) block: u32,
    /// How long that may be spent.
    pub(super) hold: Duration,
    /// What can be had at once of all together.
    pub(super) burst: u32,
    /// How long one token takes to come back.
    interval: Duration,
}

/// What a source of tokens has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// How many may be spent: as many as were wanted, or fewer.
    pub granted: u32,
    /// How many are left to be taken.
    pub left: u32,
    /// When everything is back that was taken.
    pub full_in: Duration,
}

/// Tokens of one key.
#[derive(Debug, Default)]
pub(super) struct Lease {
    tokens: u32,
    asked: u32,
    granted: u32,
    expires: Option<Instant>,
    /// Before then asking is in vain.
    ask_at: Option<Instant>,
    refused: Demand,
    left: u32,
    full_at: Option<Instant>,
}

/// Whether there was somebody since the last grant for whom it was not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Demand {
    #[default]
    Met,
    Unmet,
}

/// What may still be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) remaining: u32,
    pub(super) reset: Duration,
}

/// What comes of wanting a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spend {
    Spent(Left),
    /// There is none, and none to be had before this time has passed.
    Refused(Duration),
    /// There is none here.
    Ask,
}

impl Terms {
    pub(super) fn of(policy: &LimitPolicy) -> Self {
        let (quota, burst) = (policy.quota().get(), policy.burst().get());
        let interval = policy.interval();
        let block = (burst / OF_BURST).min(quota / OF_QUOTA).max(1);
        let hold = HOLD_MAX
            .min(policy.window() / 10)
            .min(policy.time_of(burst / OF_BURST));
        // A single token is spent by who has asked for it.
        let hold = if block == 1 { Duration::ZERO } else { hold };
        let kept_back = hold.as_nanos().div_ceil(interval.as_nanos().max(1));
        let kept_back = u32::try_from(kept_back).unwrap_or(u32::MAX);
        Self {
            block,
            hold,
            burst: burst.saturating_sub(kept_back).max(1),
            interval,
        }
    }
}

impl Lease {
    /// Spends a token, if there is one.
    pub(super) fn spend(&mut self, now: Instant) -> Spend {
        let lasts = self.expires.is_some_and(|expires| now < expires);
        if let (true, Some(rest)) = (lasts, self.tokens.checked_sub(1)) {
            self.tokens = rest;
            return Spend::Spent(self.left(now));
        }
        match self.refused_for(now) {
            Some(time) => {
                self.refused = Demand::Unmet;
                Spend::Refused(time)
            }
            None => Spend::Ask,
        }
    }

    /// For how long there is nothing to be had, as far as is known.
    pub(super) fn refused_for(&self, now: Instant) -> Option<Duration> {
        let lasts = self.expires.is_some_and(|expires| now < expires);
        if lasts && self.tokens > 0 {
            return None;
        }
        let time = self.ask_at?.saturating_duration_since(now);
        (!time.is_zero()).then_some(time)
    }

    /// How many to take now that so many wait for it: as many as were spent of the last ones, or some more if those were
    /// not enough. Who asks seldom takes one at a time, and wastes none.
    pub(super) fn wanted(&self, now: Instant, waiting: u32, block: u32) -> u32 {
        let lasts = self.expires.is_some_and(|expires| now < expires);
        let by_demand = match self.refused {
            Demand::Unmet => self.asked,
            Demand::Met if self.tokens == 0 && lasts => {
                let asked = self.asked;
                asked.saturating_add(asked / 4).saturating_add(1)
            }
            Demand::Met => self.granted.saturating_sub(self.tokens),
        };
        by_demand.max(waiting).clamp(1, block)
    }

    /// Takes in what was granted on being asked for `asked` at the moment `sent`, and spends one of it.
    pub(super) fn take_in(
        &mut self,
        (sent, now): (Instant, Instant),
        asked: NonZeroU32,
        grant: Grant,
        terms: &Terms,
    ) -> Spend {
        let asked = asked.get();
        let full_at = now.checked_add(grant.full_in);
        // By then as many have come back as are wanted. Those who ask one by one would each get one.
        let missing = asked.saturating_sub(grant.left);
        let in_vain = grant.granted < asked;
        let wait = terms.interval.saturating_mul(missing);
        *self = Self {
            tokens: grant.granted.saturating_sub(1),
            asked,
            granted: grant.granted,
            // Of the moment it was sent: it was counted later than that.
            expires: sent.checked_add(terms.hold),
            ask_at: in_vain.then(|| now.checked_add(wait)).flatten(),
            refused: Demand::Met,
            left: grant.left,
            full_at,
        };
        if grant.granted > 0 {
            return Spend::Spent(self.left(now));
        }
        self.refused = Demand::Unmet;
        Spend::Refused(wait)
    }

    fn left(&self, now: Instant) -> Left {
        let full_at = self.full_at.unwrap_or(now);
        Left {
            remaining: self.tokens.saturating_add(self.left),
            reset: full_at.saturating_duration_since(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn terms(quota: u32, window_s: u64, burst: u32) -> Terms {
        let window = Duration::from_secs(window_s);
        Terms::of(&LimitPolicy::new("a", quota, window, burst).unwrap())
    }

    fn grant(granted: u32, left: u32) -> Grant {
        let full_in = SECOND;
        Grant {
            granted,
            left,
            full_in,
        }
    }

    fn count(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn spent(lease: &mut Lease, now: Instant, most: u32) -> u32 {
        let spends = |_: &u32| matches!(lease.spend(now), Spend::Spent(_));
        let spent = (0..most).take_while(spends).count();
        u32::try_from(spent).unwrap()
    }

    #[test]
    fn what_is_held_and_what_can_be_had_at_once_are_the_burst_together() {
        for (quota, window_s, burst) in [
            (1_000, 1, 1_000),
            (100, 60, 100),
            (10_000, 3_600, 16),
            (32, 1, 10_000),
        ] {
            let terms = terms(quota, window_s, burst);
            assert!(terms.block >= 2, "{terms:?}");
            let back = terms.hold.as_nanos() * u128::from(quota)
                / SECOND.as_nanos()
                / u128::from(window_s);
            let together = u128::from(terms.burst) + back;
            assert!(together <= u128::from(burst), "{terms:?}");
            assert!(terms.burst >= burst - burst / 8, "{terms:?}");
            assert!(terms.hold <= HOLD_MAX.min(SECOND * u32::try_from(window_s).unwrap() / 10));
        }
    }

    #[test]
    fn of_a_small_limit_single_tokens_are_taken_and_none_is_held() {
        for small in [terms(1, 1, 1), terms(31, 60, 1_000), terms(1_000, 1, 15)] {
            assert_eq!((small.block, small.hold), (1, Duration::ZERO));
        }
        assert_eq!(terms(31, 60, 1_000).burst, 1_000);
    }

    #[test]
    fn tokens_are_spent_until_they_are_gone_or_too_old() {
        let terms = terms(1_000, 1, 800);
        let mut lease = Lease::default();
        let began = Instant::now();
        assert_eq!(lease.spend(began), Spend::Ask);
        let first = lease.take_in((began, began), count(5), grant(5, 90), &terms);
        let Spend::Spent(left) = first else {
            panic!("{first:?}")
        };
        assert_eq!(left.remaining, 94);
        assert_eq!(spent(&mut lease, began, 2), 2);
        assert_eq!(lease.spend(began + terms.hold), Spend::Ask);
        // Three were spent, so three are wanted.
        assert_eq!(lease.wanted(began + terms.hold, 1, terms.block), 3);
    }

    #[test]
    fn more_are_taken_the_sooner_they_are_gone() {
        let terms = terms(10_000, 1, 8_000);
        let mut lease = Lease::default();
        let now = Instant::now();
        let mut taken = Vec::new();
        for _ in 0..30 {
            let wanted = lease.wanted(now, 1, terms.block);
            taken.push(wanted);
            lease.take_in((now, now), count(wanted), grant(wanted, 9), &terms);
            assert_eq!(spent(&mut lease, now, u32::MAX), wanted - 1);
        }
        assert_eq!(taken[..5], [1, 2, 3, 4, 6]);
        assert_eq!(taken.last(), Some(&terms.block));
        // Who is heard of once in a while takes one at a time.
        let later = now + SECOND * 60;
        let mut lease = Lease::default();
        lease.take_in((now, now), count(1), grant(1, 9), &terms);
        assert_eq!(lease.wanted(later, 1, terms.block), 1);
        // Those who wait are known to want it.
        assert_eq!(lease.wanted(later, 40, terms.block), 40);
    }

    #[test]
    fn nobody_asks_before_there_is_what_is_wanted() {
        let terms = terms(1_000, 1, 1_000);
        let mut lease = Lease::default();
        let now = Instant::now();
        let refused = lease.take_in((now, now), count(50), grant(0, 0), &terms);
        let wait = Duration::from_millis(50);
        assert_eq!(refused, Spend::Refused(wait));
        let almost = now + wait - Duration::from_millis(1);
        assert_eq!(
            lease.spend(almost),
            Spend::Refused(Duration::from_millis(1))
        );
        assert_eq!(lease.spend(now + wait), Spend::Ask);
        assert_eq!(lease.wanted(now + wait, 1, terms.block), 50);
        // A part of it is spent first.
        lease.take_in((now, now), count(50), grant(2, 0), &terms);
        assert_eq!(lease.refused_for(now), None);
        assert_eq!(spent(&mut lease, now, 5), 1);
        assert_eq!(lease.refused_for(now), Some(wait));
    }
}
