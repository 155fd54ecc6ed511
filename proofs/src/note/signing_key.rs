//! The secret half of a key.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use thiserror::Error;

use super::errors::SignError;
use super::key_name::KeyName;
use super::key_text::{self, Kind};
use super::signature::NoteSignature;
use super::signed_note::SignedNote;
use super::verifying_key::VerifyingKey;
use super::witness_key::WitnessKey;

/// What stands before a secret key, so that nobody takes it for the other half.
const SECRET: &str = "PRIVATE+KEY+";

/// An Ed25519 key that signs notes.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

/// A text that is no signing key. It may still be a secret, so it is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "this is no signing key; one is PRIVATE+KEY+name+id+base64, the last part of 0x01 and the 32 bytes of an Ed25519 seed, the id that of its verifying key"
)]
pub struct InvalidSigningKey;

/// A key that was not made, or not written down.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the cryptographic library gives no key for {name}; see whether the system has random numbers"
)]
pub struct KeyError {
    name: KeyName,
}

impl SigningKey {
    /// A new key of this name.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn generate(name: KeyName) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().ok();
        let key = pair.and_then(|pair| Self::of(name.clone(), pair));
        key.ok_or(KeyError { name })
    }

    /// The key of this name that grows from a seed.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok();
        let key = pair.and_then(|pair| Self::of(name.clone(), pair));
        key.ok_or(KeyError { name })
    }

    fn of(name: KeyName, pair: Ed25519KeyPair) -> Option<Self> {
        let bytes = pair.public_key().as_ref().try_into().ok()?;
        let public = VerifyingKey::new(name, bytes);
        Some(Self { pair, public })
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        self.public.name()
    }

    /// Its public half.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Its public half where it cosigns what others have signed.
    #[must_use]
    pub fn witness_key(&self) -> WitnessKey {
        WitnessKey::of(&self.public)
    }

    /// Its text, by which whoever has it signs in its name: `PRIVATE+KEY+name+id+base64`.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn secret_text(&self) -> Result<String, KeyError> {
        let failed = || KeyError {
            name: self.name().clone(),
        };
        let seed = self.pair.seed().map_err(|_| failed())?;
        let seed = seed.as_be_bytes().map_err(|_| failed())?;
        let seed = seed.as_ref().try_into().map_err(|_| failed())?;
        let text = key_text::write(Kind::Note, self.name(), self.public.id(), seed);
        Ok(format!("{SECRET}{text}"))
    }

    /// Signs a text.
    ///
    /// # Errors
    ///
    /// [`SignError`], when it cannot be the text of a note.
    pub fn sign(&self, text: impl Into<String>) -> Result<SignedNote, SignError> {
        SignedNote::signed_by(self, text.into())
    }

    pub(super) fn signature_of(&self, text: &str) -> Result<NoteSignature, SignError> {
        let bytes = self.ed25519(text)?;
        let name = self.name().clone();
        Ok(NoteSignature::new(name, self.public.id(), bytes))
    }

    pub(super) fn ed25519(&self, text: &str) -> Result<Vec<u8>, SignError> {
        let made = self.pair.try_sign(text.as_bytes());
        let made = made.map_err(|_| SignError::NotSigned {
            name: self.name().clone(),
        })?;
        Ok(made.as_ref().to_vec())
    }
}

impl FromStr for SigningKey {
    type Err = InvalidSigningKey;

    fn from_str(text: &str) -> Result<Self, InvalidSigningKey> {
        let text = text.strip_prefix(SECRET).ok_or(InvalidSigningKey)?;
        let (name, id, seed) = key_text::read(Kind::Note, text).ok_or(InvalidSigningKey)?;
        let key = Self::from_seed(name, &seed).map_err(|_| InvalidSigningKey)?;
        if key.public.id() == id {
            Ok(key)
        } else {
            Err(InvalidSigningKey)
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const SECRET_TEXT: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PUBLIC_TEXT: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn a_key_is_read_and_written_as_other_tools_do() {
        let key: SigningKey = SECRET_TEXT.parse().unwrap();
        assert_eq!(key.secret_text().unwrap(), SECRET_TEXT);
        assert_eq!(key.verifying_key().to_string(), PUBLIC_TEXT);
    }

    #[test]
    fn a_seed_is_the_same_key_every_time_and_a_generated_one_never() {
        let name: KeyName = "log".parse().unwrap();
        let text = |key: SigningKey| key.secret_text().unwrap();
        let grown = || SigningKey::from_seed(name.clone(), &[7; 32]).unwrap();
        assert_eq!(text(grown()), text(grown()));
        let made = || SigningKey::generate(name.clone()).unwrap();
        assert_ne!(text(made()), text(made()));
        let read: SigningKey = text(grown()).parse().unwrap();
        assert_eq!(read.verifying_key(), grown().verifying_key());
    }

    #[test]
    fn a_key_whose_seed_is_of_another_key_is_refused() {
        let another_seed = SECRET_TEXT.replacen("AYEK", "AYEL", 1);
        let another_name = SECRET_TEXT.replacen("Neumann", "Newman", 1);
        let short = SECRET_TEXT.replacen("KDFz", "", 1);
        for text in [another_seed, another_name, short, PUBLIC_TEXT.to_owned()] {
            assert!(text.parse::<SigningKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let key: SigningKey = SECRET_TEXT.parse().unwrap();
        let secret = SECRET_TEXT.rsplit_once("+AYEK").unwrap().1;
        let seed = STANDARD.decode(format!("AYEK{secret}")).unwrap();
        let bytes = format!("{:?}", &seed[1..]);
        let bytes = bytes.trim_matches(['[', ']']);
        let hex: String = seed[1..].iter().map(|b| format!("{b:02x}")).collect();
        let shown = format!("{key:?}");
        assert!(shown.contains("PeterNeumann"), "{shown}");
        for form in [secret, bytes, &hex] {
            assert!(!shown.contains(form), "{shown}");
        }
    }
}
