//! Moments: as people write them, as they are shown, and where in a store they are.

use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use folio_core::{BatchSize, EventStore, Position, ReadError, Timestamp};

/// What people are told who have written something else.
const WANTED: &str = "a moment is 2026-11-29T17:05:00Z, 2026-11-29 17:05:00 or 2026-11-29, in UTC, or how long ago it \
                      was: 90s, 15m, 2h, 3d";

/// The moment that an argument says.
pub(crate) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    parse(text, SystemTime::now().into()).ok_or(WANTED)
}

fn parse(text: &str, now: DateTime<Utc>) -> Option<Timestamp> {
    let at = |moment: DateTime<Utc>| Some(Timestamp::from_micros(moment.timestamp_micros()));
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return at(moment.to_utc());
    }
    if let Ok(moment) = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f") {
        return at(moment.and_utc());
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return at(day.and_hms_opt(0, 0, 0)?.and_utc());
    }
    let unit = text.chars().last()?;
    let number = text.strip_suffix(unit)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| number.parse().ok()).flatten()?;
    let ago = match unit {
        's' => TimeDelta::try_seconds(number),
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        _ => None,
    };
    at(now.checked_sub_signed(ago?)?)
}

/// A moment for programs, to the microsecond that is stored.
pub(crate) fn exact(time: Timestamp) -> String {
    of(time).map_or_else(String::new, |time| {
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    })
}

/// A moment for people.
pub(crate) fn short(time: Timestamp) -> String {
    of(time).map_or_else(String::new, |time| {
        time.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
    })
}

fn of(time: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(time.micros())
}

/// How many of the first `head` events were recorded before a moment: the position of the last of them. Moments never
/// decrease along a store, so that few events have to be looked at.
pub(crate) async fn last_before(
    store: &dyn EventStore,
    moment: Timestamp,
    head: Position,
) -> Result<Position, ReadError> {
    // What is known to be before it, and the first one that is known not to be.
    let (mut before, mut not) = (Position::START, head.plus(1));
    while not.events_since(before) > 1 {
        let middle = before.plus(not.events_since(before) / 2);
        let previous = Position::START.plus(middle.number().saturating_sub(1));
        let events = store.read_all(previous, BatchSize::ONE).await?;
        let event = events.first().ok_or_else(|| ReadError::Corrupt {
            position: middle,
            what: "it is missing".to_owned(),
        })?;
        if event.recorded_at < moment {
            before = middle;
        } else {
            not = middle;
        }
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Written, store_of};

    #[test]
    fn a_moment_is_read_as_people_write_it() {
        let now = DateTime::from_timestamp_micros(100_000_000_000_000).unwrap();
        let day = 86_400_000_000;
        for (text, micros) in [
            ("1970-01-02", day),
            ("1970-01-02 00:00:01", day + 1_000_000),
            ("1970-01-02 00:00:00.000001", day + 1),
            ("1970-01-02T00:00:00.5Z", day + 500_000),
            ("1970-01-02T01:00:00+01:00", day),
            ("90s", 100_000_000_000_000 - 90_000_000),
            ("15m", 100_000_000_000_000 - 900_000_000),
            ("2h", 100_000_000_000_000 - 7_200_000_000),
            ("3d", 100_000_000_000_000 - 3 * day),
        ] {
            assert_eq!(
                parse(text, now),
                Some(Timestamp::from_micros(micros)),
                "{text}"
            );
        }
        for text in [
            "",
            "m",
            "yesterday",
            "1970-13-01",
            "-5m",
            "+5m",
            "5w",
            "1é",
            "99999999999999999d",
            "1970-01-02T00:00:00",
        ] {
            assert_eq!(parse(text, now), None, "{text}");
        }
    }

    #[test]
    fn a_moment_is_shown_in_utc() {
        let time = Timestamp::from_micros(86_400_123_456);
        assert_eq!(exact(time), "1970-01-02T00:00:00.123456Z");
        assert_eq!(short(time), "1970-01-02 00:00:00.123");
    }

    #[tokio::test]
    async fn a_moment_is_found_in_a_store_whose_events_share_moments() {
        let times = [5, 5, 7, 9, 9, 9, 12];
        let written = times.map(|micros| Written {
            micros,
            ..Written::default()
        });
        let store = store_of(1, &written).await;
        for head in 0..=times.len() {
            for moment in 0..15 {
                let expected = times[..head].iter().filter(|time| **time < moment).count();
                let head = Position::START.plus(i64::try_from(head).unwrap());
                let found = last_before(&store, Timestamp::from_micros(moment), head).await;
                let found = usize::try_from(found.unwrap().number()).unwrap();
                assert_eq!(found, expected, "{moment} in {head}");
            }
        }
    }
}
