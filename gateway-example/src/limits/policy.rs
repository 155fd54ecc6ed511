//! How often somebody may ask, as it is configured.

use std::num::NonZeroU32;
use std::time::Duration;

use hyper::header::HeaderValue;
use serde::Deserialize;
use thiserror::Error;

use super::fields::policy_field;

/// Most that a policy counts to, and most that comes in one burst. What is computed of them fits 64 bits.
const COUNT_MAX: u32 = 10_000_000;
/// Longest window, and longest time that a whole burst takes to come back.
const WINDOW_MAX: Duration = Duration::from_secs(86_400);
/// Most a second: a token in the shared table is worth at least a microsecond.
const PER_SECOND_MAX: u64 = 1_000_000;
const NAME_BYTES_MAX: usize = 64;

/// So many requests in a window, and so many at once.
///
/// It is kept by the generic cell rate algorithm: tokens come back one by one, at `quota` in each `window`, and
/// `burst` of them can be had at once. In any stretch of time `t` at most `burst + quota * t / window` are admitted,
/// and there is no edge of a window at which two bursts meet.
///
/// In TOML: `name`, `quota`, `window_s`, and maybe `burst` (as large as the quota if it is missing) and `mode`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PolicyText")]
pub struct LimitPolicy {
    name: String,
    quota: NonZeroU32,
    window: Duration,
    burst: NonZeroU32,
    mode: PolicyMode,
    // Said with every answer, so it is written once.
    field: HeaderValue,
}

/// What a policy does with what is over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// Refuses it.
    #[default]
    Enforced,
    /// Counts it, and lets it through.
    Shadow,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyText {
    name: String,
    quota: u32,
    window_s: u64,
    burst: Option<u32>,
    #[serde(default)]
    mode: PolicyMode,
}

impl LimitPolicy {
    /// `quota` in each `window`, `burst` of them at once.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicy`], which names the first thing that is wrong.
    pub fn new(
        name: impl Into<String>,
        quota: u32,
        window: Duration,
        burst: u32,
    ) -> Result<Self, InvalidPolicy> {
        let name = name.into();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_plain) {
            return Err(InvalidPolicy::Name { name });
        }
        let refuse = |what| InvalidPolicy::Count {
            name: name.clone(),
            what,
        };
        let count = |count: u32| NonZeroU32::new(count).filter(|count| count.get() <= COUNT_MAX);
        let quota = count(quota).ok_or_else(|| refuse("quota"))?;
        let burst = count(burst).ok_or_else(|| refuse("burst"))?;
        if window.is_zero() || window.subsec_nanos() != 0 || window > WINDOW_MAX {
            return Err(InvalidPolicy::Window { name, window });
        }
        if u64::from(quota.get()) > window.as_secs().saturating_mul(PER_SECOND_MAX) {
            return Err(InvalidPolicy::TooFast { name });
        }
        let field = HeaderValue::try_from(policy_field(&name, quota, window));
        let Ok(field) = field else {
            return Err(InvalidPolicy::Name { name });
        };
        let policy = Self {
            name,
            quota,
            window,
            burst,
            mode: PolicyMode::Enforced,
            field,
        };
        if policy.time_of(burst.get()) > WINDOW_MAX {
            return Err(InvalidPolicy::TooSlow { name: policy.name });
        }
        Ok(policy)
    }

    /// The same, which only counts what is over it.
    #[must_use]
    pub fn in_shadow(self) -> Self {
        Self {
            mode: PolicyMode::Shadow,
            ..self
        }
    }

    /// Its name, in header fields and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many come back in a window.
    #[must_use]
    pub const fn quota(&self) -> NonZeroU32 {
        self.quota
    }

    /// The time in which they come back: whole seconds.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// How many can be had at once.
    #[must_use]
    pub const fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// What it does with what is over it.
    #[must_use]
    pub const fn mode(&self) -> PolicyMode {
        self.mode
    }

    /// What answers [say of it](super::RATE_LIMIT_POLICY).
    #[must_use]
    pub const fn field(&self) -> &HeaderValue {
        &self.field
    }

    /// How long one token takes to come back. Rounded up, so that no more come back than the quota.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let nanos = self.window.as_nanos().div_ceil(self.quota.get().into());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How long so many tokens take to come back.
    #[must_use]
    pub fn time_of(&self, tokens: u32) -> Duration {
        self.interval().saturating_mul(tokens)
    }
}

impl TryFrom<PolicyText> for LimitPolicy {
    type Error = InvalidPolicy;

    fn try_from(text: PolicyText) -> Result<Self, InvalidPolicy> {
        let window = Duration::from_secs(text.window_s);
        let burst = text.burst.unwrap_or(text.quota);
        let policy = Self::new(text.name, text.quota, window, burst)?;
        Ok(Self {
            mode: text.mode,
            ..policy
        })
    }
}

/// Why a policy cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPolicy {
    /// Its name is not plain.
    #[error(
        "the name of a limit {name:?} is not lower-case letters, digits, - and _ within 64 bytes"
    )]
    Name {
        /// The refused name.
        name: String,
    },
    /// It counts to nothing, or too far.
    #[error("limit {name}: {what} is not between 1 and 10,000,000")]
    Count {
        /// The policy.
        name: String,
        /// `quota` or `burst`.
        what: &'static str,
    },
    /// Its window is none.
    #[error("limit {name}: a window of {window:?} is not whole seconds between 1 and 86,400")]
    Window {
        /// The policy.
        name: String,
        /// The refused window.
        window: Duration,
    },
    /// Its tokens come back faster than can be counted.
    #[error("limit {name}: more than 1,000,000 a second; lower the quota or leave the limit out")]
    TooFast {
        /// The policy.
        name: String,
    },
    /// Its burst takes too long to come back.
    #[error("limit {name}: its burst takes more than a day to come back; lower the burst")]
    TooSlow {
        /// The policy.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_policy_that_cannot_be_kept_is_refused_by_name() {
        let refused = |quota, window, burst| LimitPolicy::new("a", quota, window, burst).err();
        let count = |what| {
            let name = "a".to_owned();
            Some(InvalidPolicy::Count { name, what })
        };
        assert_eq!(refused(0, MINUTE, 1), count("quota"));
        assert_eq!(refused(1, MINUTE, 0), count("burst"));
        assert_eq!(refused(COUNT_MAX + 1, WINDOW_MAX, 1), count("quota"));
        for window in [0, 1_500, 86_401_000].map(Duration::from_millis) {
            let name = "a".to_owned();
            let expected = InvalidPolicy::Window { name, window };
            assert_eq!(refused(1, window, 1), Some(expected));
        }
        let name = "a".to_owned();
        let too_fast = refused(1_000_001, Duration::from_secs(1), 1);
        assert_eq!(too_fast, Some(InvalidPolicy::TooFast { name }));
        let name = "a".to_owned();
        let too_slow = refused(1, Duration::from_secs(43_200), 3);
        assert_eq!(too_slow, Some(InvalidPolicy::TooSlow { name }));
        for name in ["", "A", "a\"b", "a b", &"x".repeat(65)] {
            let refused = LimitPolicy::new(name, 1, MINUTE, 1);
            assert!(matches!(refused, Err(InvalidPolicy::Name { .. })), "{name}");
        }
    }

    #[test]
    fn a_policy_is_read_from_toml_and_checked() {
        let text = "name = 'principal'\nquota = 100\nwindow_s = 60";
        let policy: LimitPolicy = toml::from_str(text).unwrap();
        assert_eq!(
            policy,
            LimitPolicy::new("principal", 100, MINUTE, 100).unwrap()
        );
        let shadow: LimitPolicy =
            toml::from_str(&format!("{text}\nburst = 5\nmode = 'shadow'")).unwrap();
        assert_eq!(
            (shadow.burst().get(), shadow.mode()),
            (5, PolicyMode::Shadow)
        );
        for wrong in [
            "quota = 0\nwindow_s = 60",
            "quota = 1\nwindow_s = 0",
            "quota = 1\nwindow_s = 1\nbrust = 2",
        ] {
            let refused = toml::from_str::<LimitPolicy>(&format!("name = 'a'\n{wrong}"));
            assert!(refused.is_err(), "{wrong}");
        }
    }

    #[test]
    fn tokens_come_back_no_faster_than_the_quota() {
        let third = LimitPolicy::new("a", 3, Duration::from_secs(1), 3).unwrap();
        assert_eq!(third.interval(), Duration::from_nanos(333_333_334));
        assert!(third.time_of(3) >= third.window());
    }
}
