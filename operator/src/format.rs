//! How an answer is written: as a table for people, as JSON for programs.

use std::io::{self, Write};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;
use serde::Serialize;

use crate::answers::Answers;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// An aligned table.
    Table,
    /// JSON, and nothing else.
    Json,
}

/// Writes an answer.
pub(crate) fn answer(out: &mut (dyn Write + Send), text: &str) -> io::Result<()> {
    let mut out = Answers(out);
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes an answer as JSON.
pub(crate) fn json(out: &mut (dyn Write + Send), body: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(body)?;
    text.push('\n');
    answer(out, &text)
}

/// A moment for people, in UTC.
pub(crate) fn moment(at: SystemTime) -> String {
    DateTime::<Utc>::from(at)
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// A moment for programs, in UTC.
pub(crate) fn exact_moment(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A number of things: `1 event`, `2 events`.
pub(crate) fn count(number: i64, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_moment_is_told_in_utc() {
        let at = UNIX_EPOCH + Duration::from_micros(86_400_000_001);
        assert_eq!(moment(at), "1970-01-02 00:00:00");
        assert_eq!(exact_moment(at), "1970-01-02T00:00:00.000001Z");
    }

    #[test]
    fn one_thing_is_no_plural() {
        let counts = [0, 1, 2].map(|number| count(number, "row"));
        assert_eq!(counts, ["0 rows", "1 row", "2 rows"]);
    }
}
