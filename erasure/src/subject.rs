//! Whom something is recorded about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest id, in characters.
const CHARS_MAX: usize = 64;

/// Names a person, by a pseudonym: it is recorded as it is, and stays when the person is forgotten. A number that only
/// your own list of customers gives a meaning is one; a name, a mail address or a passport's number is none.
///
/// 1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectId(String);

/// A text that cannot be the id of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a subject is 1 to {CHARS_MAX} letters, digits, '.', '_' or '-', the first a letter or a digit"
)]
pub struct InvalidSubjectId;

impl SubjectId {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SubjectId {
    type Error = InvalidSubjectId;

    fn try_from(text: String) -> Result<Self, InvalidSubjectId> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let goes_on_well = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if starts_well && goes_on_well && text.len() <= CHARS_MAX {
            Ok(Self(text))
        } else {
            Err(InvalidSubjectId)
        }
    }
}

impl FromStr for SubjectId {
    type Err = InvalidSubjectId;

    fn from_str(text: &str) -> Result<Self, InvalidSubjectId> {
        Self::try_from(text.to_owned())
    }
}

impl From<SubjectId> for String {
    fn from(subject: SubjectId) -> Self {
        subject.0
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_named_by_a_plain_id() {
        for text in ["1", "c-4711", "018f.ab_C"] {
            assert_eq!(text.parse::<SubjectId>().unwrap().as_str(), text);
        }
        let long = "x".repeat(65);
        for text in ["", "-1", "Ada Lovelace", "ada@example.org", "ä", &long] {
            assert_eq!(text.parse::<SubjectId>(), Err(InvalidSubjectId), "{text}");
        }
    }
}
