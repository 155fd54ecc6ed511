//! When something is decided, by the store's clock.

use chrono::{DateTime, NaiveDate, Utc};
use folio_core::Timestamp;

/// A moment, passed into decisions, which have no clock. It is no part of what makes two commands the
/// same: a command that is sent again is sent later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl Default for Moment {
    fn default() -> Self {
        Self(Timestamp::from_micros(0))
    }
}

impl Moment {
    /// The day in UTC.
    #[must_use]
    pub fn date(self) -> NaiveDate {
        let time = DateTime::<Utc>::from_timestamp_micros(self.0.micros());
        time.map_or_else(NaiveDate::default, |time| time.date_naive())
    }

    /// So many seconds later.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Timestamp {
        let micros = (seconds as i64).saturating_mul(1_000_000);
        Timestamp::from_micros(self.0.micros().saturating_add(micros))
    }
}
