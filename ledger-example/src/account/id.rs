//! The id of an account, chosen by whoever opens it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest id, in characters.
const CHARS_MAX: usize = 64;

/// 1 to 64 characters out of letters, digits, `.`, `_` and `-`, the first a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl AccountId {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountId {
    type Error = InvalidAccountId;

    fn try_from(text: String) -> Result<Self, InvalidAccountId> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let goes_on_well = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if starts_well && goes_on_well && text.len() <= CHARS_MAX {
            Ok(Self(text))
        } else {
            Err(InvalidAccountId)
        }
    }
}

impl FromStr for AccountId {
    type Err = InvalidAccountId;

    fn from_str(text: &str) -> Result<Self, InvalidAccountId> {
        Self::try_from(text.to_owned())
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot be an account's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "an account id is 1 to {CHARS_MAX} letters, digits, '.', '_' or '-', the first a letter or a digit"
)]
pub struct InvalidAccountId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain() {
        for text in ["1", "704", "savings.eur-1", "A_b"] {
            assert!(text.parse::<AccountId>().is_ok(), "{text}");
        }
        let long = "x".repeat(65);
        for text in [
            "",
            ".a",
            "-",
            "a b",
            "a/b",
            "ä",
            "x' OR '1'='1",
            "a\0",
            &long,
        ] {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
    }
}
