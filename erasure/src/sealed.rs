//! What is recorded in place of a text about a person.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::personal;

/// Says how it is sealed: AES-256-GCM-SIV.
const VERSION: &str = "1";
/// Of its nonce, in bytes.
pub(crate) const NONCE_BYTES: usize = 12;
/// Of its tag, in bytes.
const TAG_BYTES: usize = 16;
/// Of the longest text with its tag, in bytes: a character has at most four.
const CIPHERTEXT_BYTES_MAX: usize = personal::CHARS_MAX * 4 + TAG_BYTES;

/// A [`Personal`](crate::Personal) that was sealed. As text it is `1.`, the nonce, `.` and the ciphertext with its tag, both
/// in base64url without padding.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sealed {
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) ciphertext: Vec<u8>,
}

/// A text that is nothing sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("what is sealed is written {VERSION}.NONCE.CIPHERTEXT, in base64url")]
pub struct InvalidSealed;

impl Sealed {
    /// Bytes on the heap.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.ciphertext.len()
    }
}

impl TryFrom<String> for Sealed {
    type Error = InvalidSealed;

    fn try_from(text: String) -> Result<Self, InvalidSealed> {
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidSealed);
        let mut parts = text.split('.');
        let (Some(VERSION), Some(nonce), Some(ciphertext), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidSealed);
        };
        let nonce = decoded(nonce)?.try_into().map_err(|_| InvalidSealed)?;
        let ciphertext = decoded(ciphertext)?;
        if (TAG_BYTES + 1..=CIPHERTEXT_BYTES_MAX).contains(&ciphertext.len()) {
            Ok(Self { nonce, ciphertext })
        } else {
            Err(InvalidSealed)
        }
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> Self {
        sealed.to_string()
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        write!(
            f,
            "{VERSION}.{}.{}",
            encoded(&self.nonce),
            encoded(&self.ciphertext)
        )
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_comes_back_as_it_was_written() {
        let sealed = Sealed {
            nonce: [7; NONCE_BYTES],
            ciphertext: vec![9; 20],
        };
        let json = serde_json::to_string(&sealed).unwrap();
        assert_eq!(json, "\"1.BwcHBwcHBwcHBwcH.CQkJCQkJCQkJCQkJCQkJCQkJCQk\"");
        assert_eq!(serde_json::from_str::<Sealed>(&json).unwrap(), sealed);
    }

    #[test]
    fn plain_text_passes_for_nothing_sealed() {
        let too_short = format!("1.BwcHBwcHBwcHBwcH.{}", URL_SAFE_NO_PAD.encode([9; 16]));
        let too_long = URL_SAFE_NO_PAD.encode([9; CIPHERTEXT_BYTES_MAX + 1]);
        let too_long = format!("1.BwcHBwcHBwcHBwcH.{too_long}");
        for text in [
            "",
            "Ada Lovelace",
            "2.BwcHBwcHBwcHBwcH.CQkJCQkJCQkJCQkJCQkJCQkJCQk",
            "1.BwcH.CQkJCQkJCQkJCQkJCQkJCQkJCQk",
            "1.BwcHBwcHBwcHBwcH.CQkJCQkJCQkJCQkJCQkJCQkJCQk.",
            "1.BwcHBwcHBwcHBwcH.CQkJCQkJCQkJCQkJCQkJCQkJCQk=",
            &too_short,
            &too_long,
        ] {
            assert_eq!(
                Sealed::try_from(text.to_owned()),
                Err(InvalidSealed),
                "{text}"
            );
        }
    }
}
