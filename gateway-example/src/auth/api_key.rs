//! What an API key looks like: `folio_<prefix>_<secret>`.
//!
//! The prefix is public: it stands in lists and logs, and a key is found by it. The secret are 256 random bits, and is
//! shown once.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

const BEGINS: &str = "folio_";
const PREFIX_LENGTH: usize = 8;
const SECRET_BYTES: usize = 32;
/// As many characters as five bits can tell apart, and none that looks like another.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The public part of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix(String);

/// A whole key. Its secret is in no text of it but the one that is [shown](Self::reveal).
#[derive(Clone)]
pub struct ApiKey {
    prefix: KeyPrefix,
    secret: [u8; SECRET_BYTES],
}

/// A text that is no key, or no prefix of one. It does not say what the text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an API key is folio_, eight letters or digits, _ and 43 characters in base64url")]
pub struct InvalidApiKey;

impl KeyPrefix {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ApiKey {
    /// A new one. None when the system gives no random numbers.
    pub(super) fn random() -> Option<Self> {
        let (mut prefix, mut secret) = ([0; PREFIX_LENGTH], [0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(&mut prefix).ok()?;
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        let letter = |byte: u8| ALPHABET.get(usize::from(byte % 32)).map(|c| char::from(*c));
        let prefix = prefix.into_iter().filter_map(letter).collect();
        Some(Self {
            prefix: KeyPrefix(prefix),
            secret,
        })
    }

    /// By what it is found.
    #[must_use]
    pub const fn prefix(&self) -> &KeyPrefix {
        &self.prefix
    }

    /// The whole text, for whoever the key is made for.
    #[must_use]
    pub fn reveal(&self) -> String {
        let secret = URL_SAFE_NO_PAD.encode(self.secret);
        format!("{BEGINS}{}_{secret}", self.prefix)
    }

    /// What is kept of it.
    pub(super) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }
}

impl FromStr for KeyPrefix {
    type Err = InvalidApiKey;

    fn from_str(text: &str) -> Result<Self, InvalidApiKey> {
        let is_prefix =
            text.len() == PREFIX_LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
        is_prefix
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidApiKey)
    }
}

impl FromStr for ApiKey {
    type Err = InvalidApiKey;

    fn from_str(text: &str) -> Result<Self, InvalidApiKey> {
        let rest = text.strip_prefix(BEGINS).ok_or(InvalidApiKey)?;
        // A secret may have an underscore too.
        let (prefix, secret) = rest.split_once('_').ok_or(InvalidApiKey)?;
        let secret = URL_SAFE_NO_PAD.decode(secret).map_err(|_| InvalidApiKey)?;
        Ok(Self {
            prefix: prefix.parse()?,
            secret: secret.try_into().map_err(|_| InvalidApiKey)?,
        })
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({BEGINS}{}_..)", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_shown() {
        for _ in 0..100 {
            let key = ApiKey::random().unwrap();
            let text = key.reveal();
            assert_eq!(text.len(), 6 + 8 + 1 + 43);
            let read: ApiKey = text.parse().unwrap();
            assert_eq!(read.reveal(), text);
            assert_eq!(read.sha256(), key.sha256());
        }
    }

    #[test]
    fn two_keys_have_nothing_in_common() {
        let (one, other) = (ApiKey::random().unwrap(), ApiKey::random().unwrap());
        assert_ne!(one.prefix(), other.prefix());
        assert_ne!(one.sha256(), other.sha256());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let secret = "A".repeat(43);
        for text in [
            String::new(),
            "folio_".to_owned(),
            format!("folio_abcdefgh{secret}"),
            format!("folio_abcdefg_{secret}"),
            format!("folio_abcdefg1_{secret}"),
            format!("folio_ABCDEFGH_{secret}"),
            format!("folio_abcdefgh_{secret}A"),
            format!("folio_abcdefgh_{secret}="),
            format!("folio_abcdefgh_{}B", "A".repeat(42)),
            format!("folio_abcdefgh_{}", "A".repeat(42)),
            format!("FOLIO_abcdefgh_{secret}"),
            format!("folio_abcdefgh_{secret} "),
        ] {
            assert!(text.parse::<ApiKey>().is_err(), "{text}");
        }
        assert!(format!("folio_abcdefgh_{secret}").parse::<ApiKey>().is_ok());
    }

    #[test]
    fn a_secret_is_not_shown() {
        let key = ApiKey::random().unwrap();
        let text = key.reveal();
        let (_, secret) = text.split_at(15);
        let shown = format!("{key:?} {key:#?} {:?}", Some(&key));
        assert!(!shown.contains(secret), "{shown}");
        assert!(!shown.contains(&format!("{:?}", key.secret)), "{shown}");
        let refused = format!("{text}x").parse::<ApiKey>().unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains(secret));
    }
}
