//! By what a book is asked for, where several are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of a book: 1 to 32 lower-case letters, digits and `_`, the first a letter. It is a part of the
/// names of databases and projections, and of clearing accounts, so `balances`, `rail` and what ends in `_models` or
/// `_vault` are not for books.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BookName(String);

/// A text that is no name of a book.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is no name of a book: 1 to 32 lower-case letters, digits and _, the first a letter; not \
     balances or rail, and without _models or _vault at its end"
)]
pub struct InvalidBookName {
    text: String,
}

impl BookName {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BookName {
    type Error = InvalidBookName;

    fn try_from(text: String) -> Result<Self, InvalidBookName> {
        text.parse()
    }
}

impl From<BookName> for String {
    fn from(book: BookName) -> Self {
        book.0
    }
}

impl FromStr for BookName {
    type Err = InvalidBookName;

    fn from_str(text: &str) -> Result<Self, InvalidBookName> {
        let goes_on_well = text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        let is_taken = ["balances", "rail"].contains(&text)
            || text.ends_with("_models")
            || text.ends_with("_vault");
        if starts_well && goes_on_well && text.len() <= 32 && !is_taken {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidBookName {
                text: text.to_owned(),
            })
        }
    }
}

impl fmt::Display for BookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_those_of_databases_and_projections() {
        for text in ["a", "b2", "retail_eu", &"x".repeat(32)] {
            assert_eq!(text.parse::<BookName>().unwrap().as_str(), text);
        }
        for text in ["balances", "rail", "a_models", "a_vault"] {
            assert!(text.parse::<BookName>().is_err(), "{text}");
        }
        for text in ["", "A", "2b", "_a", "a-b", "a b", "ä", &"x".repeat(33)] {
            assert!(text.parse::<BookName>().is_err(), "{text}");
        }
    }
}
