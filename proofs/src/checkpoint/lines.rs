//! The lines of a checkpoint behind the root of the log.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::parse::decimal;
use crate::Hash;

/// What begins the line with the root of the map.
pub(super) const MAP: &str = "folio-map";
/// What begins the line that says up to where the store is in the log.
pub(super) const THROUGH: &str = "folio-through";
/// What begins the line with the time.
pub(super) const SEALED_AT: &str = "folio-sealed-at";

/// Up to where a store is in its log: the last position of an event and the last number of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Through {
    position: i64,
    outcome: i64,
}

/// A line of others, of which nothing is known here. It is not empty, has no control characters and does not begin as
/// one of the lines that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionLine(String);

/// A text that is no line of others.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} cannot be an extension line of a checkpoint; use one line of text that begins with none of {MAP}, {THROUGH} and {SEALED_AT}"
)]
pub struct InvalidExtensionLine {
    text: String,
}

impl Through {
    /// Up to these, 0 where there are none yet; none when one is negative.
    #[must_use]
    pub const fn new(position: i64, outcome: i64) -> Option<Self> {
        if position < 0 || outcome < 0 {
            return None;
        }
        Some(Self { position, outcome })
    }

    /// The position of the last event in the log.
    #[must_use]
    pub const fn position(self) -> i64 {
        self.position
    }

    /// The number of the last outcome in the log.
    #[must_use]
    pub const fn outcome(self) -> i64 {
        self.outcome
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (position, outcome) = text.split_once(' ')?;
        Self::new(decimal(position)?, decimal(outcome)?)
    }
}

impl FromStr for ExtensionLine {
    type Err = InvalidExtensionLine;

    fn from_str(text: &str) -> Result<Self, InvalidExtensionLine> {
        let text = text.to_owned();
        let is_known = [MAP, THROUGH, SEALED_AT].contains(&first_word(&text));
        if is_line(&text) && !is_known {
            Ok(Self(text))
        } else {
            Err(InvalidExtensionLine { text })
        }
    }
}

impl fmt::Display for ExtensionLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn map_line(root: Hash) -> String {
    format!("{MAP} {root}")
}

pub(super) fn through_line(through: Through) -> String {
    format!("{THROUGH} {} {}", through.position, through.outcome)
}

pub(super) fn sealed_at_line(micros: i64) -> String {
    format!("{SEALED_AT} {micros}")
}

/// Whether this can be a line of a note.
pub(super) fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c| c < ' ')
}

pub(super) fn first_word(line: &str) -> &str {
    line.split_once(' ').map_or(line, |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_others_does_not_begin_as_a_known_one() {
        for line in [
            "x",
            " folio-map x",
            "folio-maps x",
            "folio-other 1",
            "\u{2014} a b",
        ] {
            assert_eq!(line.parse::<ExtensionLine>().unwrap().to_string(), line);
        }
        for line in [
            "",
            "a\nb",
            "a\t",
            "folio-map",
            "folio-through x",
            "folio-sealed-at 1",
        ] {
            assert!(line.parse::<ExtensionLine>().is_err(), "{line:?}");
        }
    }

    #[test]
    fn nothing_is_before_the_first_event() {
        assert_eq!(Through::new(0, 0).unwrap().position(), 0);
        assert_eq!(Through::new(-1, 0), None);
        assert_eq!(Through::new(0, -1), None);
    }
}
