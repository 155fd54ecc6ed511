//! When a breaker opens, for how long, and what a probe may take.

use std::time::Duration;

use thiserror::Error;

/// Most calls that can be remembered one by one.
const CALLS_MAX: u16 = 10_000;

/// A share of calls, from 1 to 100 in a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// So many in a hundred; none where that is not between 1 and 100.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        match percent {
            1..=100 => Some(Self(percent)),
            _ => None,
        }
    }

    /// Whether `some` of `all` calls are this share or more.
    #[must_use]
    pub(super) fn is_reached(self, some: u32, all: u32) -> bool {
        u64::from(some) * 100 >= u64::from(self.0) * u64::from(all)
    }
}

/// Which calls are the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latest {
    /// Those of so much time, in ten slices of which the oldest is forgotten at once.
    Within(Duration),
    /// So many, each of which takes the place of the oldest.
    Calls(u16),
}

/// When a breaker opens, for how long, and what a probe may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// What the shares are of.
    pub latest: Latest,
    /// With fewer calls than this among the latest, shares say nothing.
    pub calls_min: u32,
    /// Opens when this share of the latest calls has failed.
    pub failed: Option<Percent>,
    /// Opens when this share of the latest calls was slow, whether they have failed or not.
    pub slow: Option<Percent>,
    /// Opens when so many in a row have failed, however few there were.
    pub consecutive_failures: Option<u32>,
    /// From when on a call is slow.
    pub slow_after: Duration,
    /// How long it is open the first time; twice as long each time in a row. Up to half of it is taken off
    /// by chance, so that many breakers do not ask at the same moment.
    pub open_first: Duration,
    /// How long it is open at most.
    pub open_max: Duration,
    /// How many calls go through while it is half-open, all of which must succeed.
    pub probes: u32,
    /// By when a probe must have succeeded.
    pub probe_within: Duration,
}

impl Default for BreakerSettings {
    /// Half of at least 20 calls in 10 s failed, four fifths slow after 2 s, or 10 failures in a row; open for
    /// 0.5 to 1 s first and 30 s at most; one probe, for 5 s.
    fn default() -> Self {
        Self {
            latest: Latest::Within(Duration::from_secs(10)),
            calls_min: 20,
            failed: Percent::new(50),
            slow: Percent::new(80),
            consecutive_failures: Some(10),
            slow_after: Duration::from_secs(2),
            open_first: Duration::from_secs(1),
            open_max: Duration::from_secs(30),
            probes: 1,
            probe_within: Duration::from_secs(5),
        }
    }
}

impl BreakerSettings {
    /// Makes sure that a breaker can work by them.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`], which names the first one that is wrong.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        let times = [
            ("slow_after", self.slow_after),
            ("open_first", self.open_first),
            ("probe_within", self.probe_within),
        ];
        for (setting, time) in times {
            if time.is_zero() {
                return Err(InvalidSettings::Zero { setting });
            }
        }
        match self.latest {
            // A slice has at least a microsecond.
            Latest::Within(time) if time < Duration::from_micros(10) => {
                return Err(InvalidSettings::Zero { setting: "latest" });
            }
            Latest::Calls(0) => return Err(InvalidSettings::Zero { setting: "latest" }),
            Latest::Calls(calls) if calls > CALLS_MAX => {
                return Err(InvalidSettings::TooManyCalls { calls });
            }
            // Else it would never know enough.
            Latest::Calls(calls) if self.calls_min > u32::from(calls) => {
                return Err(InvalidSettings::NeverEnough {
                    calls_min: self.calls_min,
                    calls,
                });
            }
            Latest::Within(_) | Latest::Calls(_) => {}
        }
        let counts = [
            ("calls_min", Some(self.calls_min)),
            ("consecutive_failures", self.consecutive_failures),
            ("probes", Some(self.probes)),
        ];
        for (setting, count) in counts {
            if count == Some(0) {
                return Err(InvalidSettings::Zero { setting });
            }
        }
        if self.open_max < self.open_first {
            return Err(InvalidSettings::OpenMax {
                first: self.open_first,
                max: self.open_max,
            });
        }
        if self.failed.is_none() && self.slow.is_none() && self.consecutive_failures.is_none() {
            return Err(InvalidSettings::NeverOpens);
        }
        Ok(())
    }
}

/// Why a breaker cannot work by its settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// Nothing, or no time.
    #[error("the breaker's setting {setting} is zero")]
    Zero {
        /// Which one.
        setting: &'static str,
    },
    /// More calls than are remembered one by one.
    #[error("a breaker remembers at most {CALLS_MAX} calls one by one, not {calls}; use a time")]
    TooManyCalls {
        /// The refused number.
        calls: u16,
    },
    /// Shares would never be looked at.
    #[error("a breaker that remembers {calls} calls never has the {calls_min} that it waits for")]
    NeverEnough {
        /// Calls that it waits for.
        calls_min: u32,
        /// Calls that it remembers.
        calls: u16,
    },
    /// The longest time is shorter than the first one.
    #[error("the breaker's open_max {max:?} is shorter than its open_first {first:?}")]
    OpenMax {
        /// The first time.
        first: Duration,
        /// The longest time.
        max: Duration,
    },
    /// It has no reason to open.
    #[error("the breaker would never open: set failed, slow or consecutive_failures")]
    NeverOpens,
}
