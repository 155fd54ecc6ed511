//! How much, and how often, may go out of an account within a window of time.

use folio_core::{Amount, Money, MoneyError, Timestamp};
use serde::{Deserialize, Serialize};

/// Longest window: a year of 366 days.
const WINDOW_SECONDS_MAX: u32 = 366 * 86_400;

/// A bound on what goes out within one window.
///
/// Windows lie end to end, counted from 1970-01-01 00:00:00 UTC by the store's clock: a window of
/// 86,400 seconds is a day in UTC. So it is known when a limit is free again, and an account keeps one
/// count a limit; in the two windows beside a border together, twice the limit may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VelocityLimit {
    /// How long a window is, in seconds.
    pub window_seconds: u32,
    /// The most that may go out, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// The most times that something may go out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

impl VelocityLimit {
    /// Whether it bounds something, within a window that can be.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        let bounds = self.amount.is_some() || self.count.is_some();
        bounds && self.window_seconds >= 1 && self.window_seconds <= WINDOW_SECONDS_MAX
    }

    fn window_micros(&self) -> i64 {
        i64::from(self.window_seconds).saturating_mul(1_000_000)
    }

    /// The number of the window that a moment falls in.
    fn window_at(&self, at: Timestamp) -> i64 {
        at.micros().div_euclid(self.window_micros().max(1))
    }

    /// When the window of a moment ends.
    fn end_of_window(&self, at: Timestamp) -> Timestamp {
        let next = self.window_at(at).saturating_add(1);
        Timestamp::from_micros(next.saturating_mul(self.window_micros()))
    }
}

/// A limit with what has gone out in its current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The limit.
    pub limit: VelocityLimit,
    window: i64,
    amount: Money,
    count: u32,
}

/// What a limit says to one more debit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Velocity {
    Within,
    /// It would be passed; it is free again then.
    Exceeded(Timestamp),
}

impl Usage {
    /// Nothing has gone out yet. `zero` is of the account's currency.
    #[must_use]
    pub const fn new(limit: VelocityLimit, zero: Money) -> Self {
        Self {
            limit,
            window: i64::MIN,
            amount: zero,
            count: 0,
        }
    }

    /// What has gone out in the window of this limit, as far as others with windows of that length have counted it.
    pub(crate) fn of(limit: VelocityLimit, others: &[Self]) -> Option<Self> {
        let of_that_length = others
            .iter()
            .filter(|usage| usage.limit.window_seconds == limit.window_seconds);
        let most = of_that_length.max_by_key(|usage| (usage.window, usage.count));
        most.map(|usage| Self { limit, ..*usage })
    }

    /// With one more going out. A clock that stands before the window counts in it: a step back gives
    /// nothing free.
    pub(crate) fn with(self, amount: Amount, at: Timestamp) -> Result<Self, MoneyError> {
        let window = self.limit.window_at(at).max(self.window);
        let (before, count) = if window == self.window {
            (self.amount, self.count)
        } else {
            (Money::zero(self.amount.currency()), 0)
        };
        Ok(Self {
            window,
            amount: before.checked_add(amount.money())?,
            count: count.saturating_add(1),
            ..self
        })
    }

    /// Whether one more may go out.
    pub(crate) fn check(self, amount: Amount, at: Timestamp) -> Result<Velocity, MoneyError> {
        let after = self.with(amount, at)?;
        let too_much = match self.limit.amount {
            Some(most) => after.amount.compare(&most.money())?.is_gt(),
            None => false,
        };
        let too_often = self.limit.count.is_some_and(|most| after.count > most);
        Ok(if too_much || too_often {
            Velocity::Exceeded(self.limit.end_of_window(at))
        } else {
            Velocity::Within
        })
    }
}
