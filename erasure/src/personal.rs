//! A text about a person.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

/// Longest text, in characters.
pub(crate) const CHARS_MAX: usize = 200;

/// A text about a person: 1 to 200 characters, no control characters.
///
/// It can be read out of a request, sealed, and [revealed](Self::reveal) in an answer. It has no `Serialize` and its
/// `Debug` does not show it, so it gets into no event, no refusal and no log by accident.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Personal(String);

/// A text that is too long or empty, or has control characters. It is not told which, so that the text is not either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a personal text has 1 to {CHARS_MAX} characters and no control characters")]
pub struct InvalidPersonal;

impl Personal {
    /// The text itself, for whoever may read it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Personal {
    type Error = InvalidPersonal;

    fn try_from(text: String) -> Result<Self, InvalidPersonal> {
        let fits = (1..=CHARS_MAX).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(InvalidPersonal)
        }
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_personal_text_is_not_shown_by_debug() {
        let name = Personal::try_from("Ada Lovelace".to_owned()).unwrap();
        assert_eq!(name.reveal(), "Ada Lovelace");
        assert!(!format!("{name:?}").contains("Ada"));
    }

    #[test]
    fn what_is_no_text_is_refused_without_being_told() {
        for text in [
            String::new(),
            "Ada\nLovelace".to_owned(),
            format!("Ada{}", "x".repeat(200)),
        ] {
            let refused = Personal::try_from(text).unwrap_err();
            assert!(!refused.to_string().contains("Ada"), "{refused}");
        }
        assert!(Personal::try_from("ž".repeat(200)).is_ok());
    }
}
