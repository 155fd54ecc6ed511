//! The name of a key.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What a key is called: a URL without its scheme by custom, such as `ledger.example/accounts-a`.
///
/// It is not empty and has no spaces, `+` or control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// A text that names no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a key cannot be called {text:?}; use a URL without its scheme, without spaces, + and control characters"
)]
pub struct InvalidKeyName {
    text: String,
}

impl KeyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a key can be called this.
    pub(super) fn admits(text: &str) -> bool {
        let is_wrong = |c: char| c.is_whitespace() || c == '+' || c < ' ';
        !text.is_empty() && !text.contains(is_wrong)
    }
}

impl FromStr for KeyName {
    type Err = InvalidKeyName;

    fn from_str(text: &str) -> Result<Self, InvalidKeyName> {
        let text = text.to_owned();
        if Self::admits(&text) {
            Ok(Self(text))
        } else {
            Err(InvalidKeyName { text })
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_spaces_plus_or_control_characters() {
        for name in ["PeterNeumann", "ledger.example/accounts-a", "küche"] {
            assert_eq!(name.parse::<KeyName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "a b",
            "a+b",
            "a\nb",
            "a\u{a0}b",
            "a\u{2003}b",
            "a\u{1}b",
        ] {
            let refused = name.parse::<KeyName>().unwrap_err();
            assert!(refused.to_string().contains(&format!("{name:?}")));
        }
    }
}
