//! What tokens name: who somebody is, what they may, and which key signed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Most bytes of a name.
const BYTES_MAX: usize = 128;

/// Who somebody is: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

/// Something that somebody may, like `ledger:read`: 1 to 128 characters that may stand in a list of scopes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

/// Which of several keys signed: 1 to 128 visible ASCII characters. It is compared, and never a path or an
/// address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

/// A text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a {of} is 1 to 128 visible ASCII characters{but}")]
pub struct InvalidName {
    of: &'static str,
    but: &'static str,
}

impl Subject {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Scope {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a list of them, with a space between two.
    ///
    /// # Errors
    ///
    /// When one of them is none.
    pub fn parse_all(list: &str) -> Result<BTreeSet<Self>, InvalidName> {
        let pieces = list.split(' ').filter(|piece| !piece.is_empty());
        pieces.map(str::parse).collect()
    }

    /// The list of them, as [`parse_all`](Self::parse_all) reads it.
    #[must_use]
    pub fn list(scopes: &BTreeSet<Self>) -> String {
        let names: Vec<&str> = scopes.iter().map(Self::as_str).collect();
        names.join(" ")
    }
}

impl KeyId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (of, but) = ("subject", "");
        is_visible(text)
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidName { of, but })
    }
}

impl FromStr for Scope {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (of, but) = ("scope", " without quotes and backslashes");
        let is_scope = is_visible(text) && !text.contains(['"', '\\']);
        is_scope
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidName { of, but })
    }
}

impl FromStr for KeyId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (of, but) = ("key id", "");
        is_visible(text)
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidName { of, but })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_visible(text: &str) -> bool {
    (1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_visible_and_short() {
        for good in ["a", "folio|user-7", "../../etc/passwd", &"x".repeat(128)] {
            assert!(good.parse::<Subject>().is_ok(), "{good}");
            assert!(good.parse::<KeyId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\nb", "a\0b", "ä", &"x".repeat(129)] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?}");
            assert!(bad.parse::<KeyId>().is_err(), "{bad:?}");
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
        assert!("a\"b".parse::<Scope>().is_err());
    }

    #[test]
    fn a_list_of_scopes_is_read_as_it_is_written() {
        let scopes = Scope::parse_all("ledger:write  ledger:read ledger:read").unwrap();
        assert_eq!(Scope::list(&scopes), "ledger:read ledger:write");
        assert_eq!(Scope::parse_all(&Scope::list(&scopes)), Ok(scopes));
        assert_eq!(Scope::parse_all(""), Ok(BTreeSet::new()));
        assert!(Scope::parse_all("ledger:read\tops:admin").is_err());
    }
}
