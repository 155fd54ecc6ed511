//! The time of a line, whose second is written once.

use std::cell::RefCell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{self, FormatTime};

/// Bytes of a time as far as its second, with the point behind it.
const SECOND: usize = "2026-11-29T12:00:00.".len();

/// The system's time, as `tracing-subscriber` writes it: `2026-11-29T12:00:00.123456Z`.
///
/// All but the part of the second is the same for all lines of it, of which there may be thousands, so each thread keeps it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seconds;

/// A second since 1970, and how it is written.
type Written = (u64, String);

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        thread_local! {
            static LAST: RefCell<Written> = const { RefCell::new((u64::MAX, String::new())) };
        }
        let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else {
            return time::SystemTime.format_time(writer);
        };
        LAST.with_borrow_mut(|last| {
            if last.0 != now.as_secs() {
                *last = written(now.as_secs())?;
            }
            if last.0 != now.as_secs() {
                return time::SystemTime.format_time(writer);
            }
            writer.write_str(&last.1)?;
            writer.write_str(&micros(now.subsec_micros()))
        })
    }
}

/// Of this second, or of the next one if that has begun.
fn written(second: u64) -> Result<Written, fmt::Error> {
    let mut text = String::new();
    time::SystemTime.format_time(&mut Writer::new(&mut text))?;
    text.truncate(SECOND);
    let by_now = SystemTime::now().duration_since(UNIX_EPOCH);
    let is_over = by_now.map_or(true, |by_now| by_now.as_secs() != second);
    // It is not known which of the two it was.
    Ok((if is_over { u64::MAX } else { second }, text))
}

/// Six digits, and what stands at the end of a time.
fn micros(micros: u32) -> String {
    // A million more, for the zeros in front.
    let mut text = micros.saturating_add(1_000_000).to_string();
    text.remove(0);
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(timer: impl FormatTime) -> String {
        let mut text = String::new();
        timer.format_time(&mut Writer::new(&mut text)).unwrap();
        text
    }

    #[test]
    fn a_time_is_written_as_it_is_by_default() {
        // Each is between two that are written by default, of which the text grows with the time.
        for _ in 0..1_000 {
            let times = [now(time::SystemTime), now(Seconds), now(time::SystemTime)];
            assert!(times.is_sorted(), "{times:?}");
            assert!(
                times
                    .iter()
                    .all(|time| time.len() == SECOND + "123456Z".len())
            );
        }
    }

    #[test]
    fn the_part_of_a_second_has_six_digits() {
        let written = [0, 7, 120_000, 999_999].map(micros);
        assert_eq!(written, ["000000Z", "000007Z", "120000Z", "999999Z"]);
    }

    /// What was written of another second is not taken for this one.
    #[test]
    fn the_next_second_is_written_anew() {
        let began = now(Seconds);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let times = [now(time::SystemTime), now(Seconds), now(time::SystemTime)];
            assert!(times.is_sorted(), "{times:?}");
            if times[1].get(..SECOND) != began.get(..SECOND) {
                return;
            }
            assert!(std::time::Instant::now() < deadline);
        }
    }
}
