//! The two axes of time in a request: effective as of a day, known as at a position.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use folio_core::{Position, StoreId, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::position::PositionToken;
use crate::http::problem::Problem;

/// Longest wait for a position that the model does not have yet.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What a read of the model may ask.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ModelParams {
    /// The book, where several have what is asked for.
    pub(crate) book: Option<String>,
    /// Waits until the model has this position: the `Folio-Position` of a write.
    pub(crate) min_position: Option<String>,
}

impl ModelParams {
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            min_position: self.min_position.as_deref(),
            ..Asked::default()
        }
    }
}

/// Which past, and how much of it: what an answer shall be reproducible by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) effective: Option<NaiveDate>,
    pub(crate) known_at: Option<&'a str>,
    pub(crate) min_position: Option<&'a str>,
}

/// The last day that an entry can take effect on.
pub(crate) const LAST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day,
    None => NaiveDate::MAX,
};

/// The first one.
pub(crate) const FIRST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(1, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};

/// The one before it: nothing has taken effect by then.
pub(crate) const NO_DAY: NaiveDate = match FIRST_DAY.pred_opt() {
    Some(day) => day,
    None => NaiveDate::MIN,
};

/// Up to where what was recorded is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownAt {
    Position(Position),
    Moment(Timestamp),
}

impl KnownAt {
    /// What a text says of this store.
    pub(crate) fn parse(text: &str, store_id: StoreId) -> Result<Self, Problem> {
        if let Some(position) = text.parse().ok().and_then(Position::new) {
            return Ok(Self::Position(position));
        }
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            let moment = Timestamp::from_micros(moment.timestamp_micros());
            return Ok(Self::Moment(moment));
        }
        PositionToken::decode(text)
            .and_then(|token| token.position_in(store_id))
            .map(Self::Position)
            .ok_or_else(|| {
                Problem::unprocessable(
                    "invalid_known_at",
                    "Not a position or moment of this book",
                    "known_at is a position, the value of a Folio-Position header, or a moment such as \
                     2026-03-31T23:59:59Z",
                )
            })
    }
}

pub(crate) fn ahead(detail: String) -> Problem {
    Problem::unprocessable("known_at_ahead", "Not known yet", detail)
}

/// A moment as text: RFC 3339 in UTC, to the microsecond that is stored.
pub(crate) fn time_text(time: Timestamp) -> String {
    DateTime::<Utc>::from_timestamp_micros(time.micros()).map_or_else(String::new, |time| {
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    })
}
