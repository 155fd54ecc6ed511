//! The public half of a key.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519 as ALGORITHM, UnparsedPublicKey};
use thiserror::Error;

use super::key_name::KeyName;
use super::key_text::{self, Kind};
use crate::Hash;

/// Which of several keys of a name: the first four bytes of a hash over the name and the key. It tells keys apart
/// and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

/// A key that verifies what its other half has signed. Its text is `name+id+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    kind: Kind,
    name: KeyName,
    id: KeyId,
    bytes: [u8; 32],
}

/// A text that is no verifying key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidVerifyingKey {
    /// It is something else. It may be a secret, so it is not shown.
    #[error(
        "this is no verifying key; one is name+id+base64, the last part of 0x01, or 0x04 for a witness, and the 32 bytes of an Ed25519 key"
    )]
    Form,
    /// Its parts do not belong together.
    #[error(
        "the verifying key of {name} says that its id is {said}, but it is {actual}; copy the whole text again"
    )]
    Id {
        /// The key's name.
        name: KeyName,
        /// The id in the text.
        said: KeyId,
        /// The id of that name and key.
        actual: KeyId,
    },
}

impl KeyId {
    pub(super) const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// The id of eight digits of lower-case hex.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = u32::from_str_radix(text, 16).ok()?;
        let id = Self(number.to_be_bytes());
        (id.to_string() == text).then_some(id)
    }
}

impl VerifyingKey {
    /// The key of this name with these 32 bytes.
    #[must_use]
    pub fn new(name: KeyName, bytes: [u8; 32]) -> Self {
        Self::of_kind(Kind::Note, name, bytes)
    }

    pub(super) fn of_kind(kind: Kind, name: KeyName, bytes: [u8; 32]) -> Self {
        let hash = Hash::of(&[name.as_str().as_bytes(), b"\n", &[kind.byte()], &bytes]);
        let [a, b, c, d, ..] = *hash.as_bytes();
        let id = KeyId([a, b, c, d]);
        Self {
            kind,
            name,
            id,
            bytes,
        }
    }

    pub(super) fn parse(kind: Kind, text: &str) -> Result<Self, InvalidVerifyingKey> {
        let (name, said, bytes) = key_text::read(kind, text).ok_or(InvalidVerifyingKey::Form)?;
        let key = Self::of_kind(kind, name, bytes);
        if key.id == said {
            return Ok(key);
        }
        Err(InvalidVerifyingKey::Id {
            name: key.name,
            said,
            actual: key.id,
        })
    }

    /// The same key, by which its other half signs something of this kind.
    pub(super) fn as_kind(&self, kind: Kind) -> Self {
        Self::of_kind(kind, self.name.clone(), self.bytes)
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Which of that name it is.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whether its other half has made this signature of the text.
    pub(super) fn accepts(&self, text: &str, signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ALGORITHM, &self.bytes);
        key.verify(text.as_bytes(), signature).is_ok()
    }
}

impl FromStr for VerifyingKey {
    type Err = InvalidVerifyingKey;

    fn from_str(text: &str) -> Result<Self, InvalidVerifyingKey> {
        Self::parse(Kind::Note, text)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&key_text::write(
            self.kind,
            &self.name,
            self.id,
            &self.bytes,
        ))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn a_key_has_the_text_and_id_that_other_tools_give_it() {
        let key: VerifyingKey = NEUMANN.parse().unwrap();
        assert_eq!(key.to_string(), NEUMANN);
        assert_eq!(key.name().as_str(), "PeterNeumann");
        assert_eq!(key.id().to_string(), "c74f20a3");
    }

    #[test]
    fn a_key_whose_id_is_not_its_own_is_refused() {
        let another_name = NEUMANN.replacen("Neumann", "Newman", 1);
        let another_id = NEUMANN.replacen("c74f20a3", "c74f20a4", 1);
        let another_key = NEUMANN.replacen("ARpc", "ARpd", 1);
        for text in [another_name, another_id, another_key] {
            let refused = text.parse::<VerifyingKey>().unwrap_err();
            assert!(
                matches!(refused, InvalidVerifyingKey::Id { .. }),
                "{text}: {refused}"
            );
        }
    }

    #[test]
    fn what_has_another_form_is_no_key() {
        let secret =
            "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let of_another_kind = NEUMANN.replacen("ARpc", "Ahpc", 1);
        let short = NEUMANN.replacen("10TW", "", 1);
        for text in [
            "",
            "PeterNeumann",
            "PeterNeumann+c74f20a3",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            secret,
            &of_another_kind,
            &short,
            &format!("{NEUMANN}\n"),
        ] {
            let refused = text.parse::<VerifyingKey>().unwrap_err();
            assert_eq!(refused, InvalidVerifyingKey::Form, "{text}");
        }
    }
}
