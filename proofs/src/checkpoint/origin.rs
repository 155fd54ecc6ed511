//! Which log it is.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::note::KeyName;

/// What a log is called, by custom as the key is that signs for it. It is not empty and has no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

/// A text that names no log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a log cannot be called {text:?}; use one line of text, such as a URL without its scheme")]
pub struct InvalidOrigin {
    text: String,
}

impl Origin {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&KeyName> for Origin {
    fn from(name: &KeyName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let text = text.to_owned();
        if super::lines::is_line(&text) {
            Ok(Self(text))
        } else {
            Err(InvalidOrigin { text })
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_line_of_text() {
        let origin: Origin = "go.sum database tree".parse().unwrap();
        assert_eq!(origin.to_string(), "go.sum database tree");
        for text in ["", "a\n", "a\nb", "a\r"] {
            assert!(text.parse::<Origin>().is_err(), "{text:?}");
        }
    }
}
