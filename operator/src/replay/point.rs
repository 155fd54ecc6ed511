//! Up to where is replayed.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use folio_core::{Position, RecordedEvent, Timestamp};

/// Up to where what was recorded is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Up to this position in the store.
    Position(Position),
    /// Up to this moment.
    Moment(Timestamp),
}

/// Up to where a stream is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    End,
    Version(i64),
    Known(Known),
}

impl Point {
    /// Whether an event comes before it, or is at it.
    pub(super) fn admits(self, event: &RecordedEvent) -> bool {
        match self {
            Self::End => true,
            Self::Version(version) => event.version.number() <= version,
            Self::Known(Known::Position(position)) => event.position <= position,
            Self::Known(Known::Moment(moment)) => event.recorded_at <= moment,
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(position) => write!(f, "position {position}"),
            Self::Moment(moment) => f.write_str(&time(*moment)),
        }
    }
}

/// A moment as it is recorded: in UTC, to the microsecond.
pub(crate) fn time(at: Timestamp) -> String {
    DateTime::<Utc>::from_timestamp_micros(at.micros()).map_or_else(
        || format!("{} µs after 1970", at.micros()),
        |at| at.to_rfc3339_opts(SecondsFormat::Micros, true),
    )
}

pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let moment = DateTime::parse_from_rfc3339(text);
    let micros = moment.map(|moment| Timestamp::from_micros(moment.timestamp_micros()));
    micros.map_err(|_| "a moment looks like 2026-03-31T23:59:59Z".to_owned())
}

pub(super) fn known(text: &str) -> Result<Known, String> {
    if let Some(position) = text.parse().ok().and_then(Position::new) {
        return Ok(Known::Position(position));
    }
    let wrong = |_| "neither a position nor a moment such as 2026-03-31T23:59:59Z".to_owned();
    moment(text).map(Known::Moment).map_err(wrong)
}
