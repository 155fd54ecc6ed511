//! Signed notes: a text, and below it a line for each signature, as <https://c2sp.org/signed-note> has them.
//!
//! Keys are Ed25519 and have the texts that Go's `golang.org/x/mod/sumdb/note` gives them, so that tools of
//! transparency logs read what is signed here.

mod errors;
mod key_name;
mod key_text;
mod signature;
mod signed_note;
mod signing_key;
mod verifying_key;
mod witness_key;

pub use errors::{ParseNoteError, SignError, VerifyError};
pub use key_name::{InvalidKeyName, KeyName};
pub use signature::NoteSignature;
pub use signed_note::{SignedNote, Verified};
pub use signing_key::{InvalidSigningKey, KeyError, SigningKey};
pub use verifying_key::{InvalidVerifyingKey, KeyId, VerifyingKey};
pub use witness_key::{Cosigned, WitnessKey};
