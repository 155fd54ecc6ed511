//! Why a note was not made, not read or not believed.

use thiserror::Error;

use super::key_name::KeyName;
use super::verifying_key::KeyId;

/// Most bytes of a note with its signatures. A hundred post-quantum signatures have room.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// Most signatures of a note.
pub(super) const SIGNATURES_MAX: usize = 100;

/// Why a text was not signed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The last line is not ended.
    #[error("the text of a note ends in a newline; add one")]
    NoNewline,
    /// It has a character that notes do not have.
    #[error("the text of a note has no control characters but newlines; take out {character:?}")]
    Control {
        /// The first such character.
        character: char,
    },
    /// It is too long.
    #[error(
        "a note has at most {BYTES_MAX} bytes with its signatures, this one {bytes}; sign a hash of its text"
    )]
    TooLarge {
        /// How long the note would be.
        bytes: usize,
    },
    /// It has as many signatures as a note can have.
    #[error("a note has at most {SIGNATURES_MAX} signatures; that of {name} is one too many")]
    TooManySignatures {
        /// The key that was to sign.
        name: KeyName,
    },
    /// The cryptographic library refused.
    #[error("the key {name} has made no signature; the cryptographic library refused, try again")]
    NotSigned {
        /// The key that was to sign.
        name: KeyName,
    },
}

/// Why a text is no signed note.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseNoteError {
    /// It is too long.
    #[error("a signed note has at most {BYTES_MAX} bytes, this one {bytes}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// It is not UTF-8.
    #[error("a signed note is UTF-8; byte {at} of this one is not")]
    NotUtf8 {
        /// The first byte that is not, from 0.
        at: usize,
    },
    /// It has a character that notes do not have.
    #[error("a signed note has no control characters but newlines, this one has {character:?}")]
    Control {
        /// The first such character.
        character: char,
    },
    /// There are no signatures behind the last blank line.
    #[error(
        "a signed note is a text, a blank line and lines with signatures; this one has no signatures"
    )]
    NoSignatures,
    /// The last line is not ended.
    #[error("a signed note ends in a newline; this one was cut off, copy the whole of it")]
    NoNewline,
    /// It has too many signatures.
    #[error("a signed note has at most {SIGNATURES_MAX} signatures, this one {count}")]
    TooManySignatures {
        /// How many it has.
        count: usize,
    },
    /// A line is no signature.
    #[error("line {number} of the signatures is not an em dash, the name of a key and base64")]
    Signature {
        /// Which, from 1.
        number: usize,
    },
}

/// Why a note is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A known key has not signed this text, though it says so.
    #[error(
        "the signature of {name}+{id} is not of this text; the note was changed, or somebody else made it"
    )]
    Forged {
        /// The key's name.
        name: KeyName,
        /// Which of that name.
        id: KeyId,
    },
    /// No known key has signed.
    #[error(
        "no known key has signed the note; it was signed by {}",
        names(signers)
    )]
    Unknown {
        /// Who is said to have signed.
        signers: Vec<(KeyName, KeyId)>,
    },
}

fn names(signers: &[(KeyName, KeyId)]) -> String {
    let names: Vec<String> = signers
        .iter()
        .map(|(name, id)| format!("{name}+{id}"))
        .collect();
    names.join(", ")
}
