//! A time as people read it.

use std::fmt;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Microseconds since 1970-01-01 UTC, which read `2026-11-30 09:00:28.123456 UTC`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub(super) i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0.div_euclid(DAY));
        let micros = self.0.rem_euclid(DAY);
        let seconds = micros / SECOND;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let micros = micros % SECOND;
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} UTC"
        )
    }
}

/// The date that is so many days after 1970-01-01, in the Gregorian calendar. Years begin in March here, so that a leap day
/// ends one.
const fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    const FROM_YEAR_0_TO_1970: i64 = 719_468;
    let days = days + FROM_YEAR_0_TO_1970;
    let centuries = days.div_euclid(DAYS_OF_400_YEARS);
    let day = days.rem_euclid(DAYS_OF_400_YEARS);
    let leap_days = day / 1_460 - day / 36_524 + day / (DAYS_OF_400_YEARS - 1);
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + 400 * centuries;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_a_date_and_a_time() {
        let text = |micros| Moment(micros).to_string();
        assert_eq!(text(0), "1970-01-01 00:00:00.000000 UTC");
        assert_eq!(text(-1), "1969-12-31 23:59:59.999999 UTC");
        assert_eq!(
            text(1_700_000_000_123_456),
            "2023-11-14 22:13:20.123456 UTC"
        );
        assert!(text(i64::MAX).starts_with("294247-01-10 04:00:54.775807"));
        assert!(text(i64::MIN).ends_with(" UTC"));
    }

    #[test]
    fn every_day_of_five_centuries_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..500 * 365 {
            assert_eq!(date(days), (year, month, day));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 if is_leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
