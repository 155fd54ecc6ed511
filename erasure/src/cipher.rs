//! Seals and opens texts under the key of a subject.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use folio_core::{CommandId, Fingerprint};
use thiserror::Error;

use crate::personal::Personal;
use crate::sealed::{NONCE_BYTES, Sealed};
use crate::subject::SubjectId;

/// Of a key, in bytes.
pub(crate) const KEY_BYTES: usize = 32;

/// The key of one subject. It seals and opens what is about that one only, and is to be dropped after that.
pub struct SubjectKey {
    subject: SubjectId,
    key: LessSafeKey,
}

/// Why something was not sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CipherError {
    /// It was sealed for another field, subject or key, or was altered.
    #[error(
        "field {field} of subject {subject} does not open under the subject's key; it was altered, or the vault is of another book"
    )]
    NotOpened {
        /// The subject.
        subject: SubjectId,
        /// The field.
        field: &'static str,
    },
    /// The cipher is not to be had.
    #[error(
        "field {field} of subject {subject} could not be sealed; check the system's cryptography"
    )]
    NotSealed {
        /// The subject.
        subject: SubjectId,
        /// The field.
        field: &'static str,
    },
}

impl SubjectKey {
    /// The key of these bytes; none unless there are 32 of them.
    pub(crate) fn of(subject: SubjectId, bytes: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM_SIV, bytes).ok()?;
        let key = LessSafeKey::new(key);
        Some(Self { subject, key })
    }

    /// Seals a text that `command` brings in the field `field`, whose name never changes. The same text of the same
    /// command is the same again.
    ///
    /// # Errors
    ///
    /// [`CipherError::NotSealed`].
    pub fn seal(
        &self,
        field: &'static str,
        command: CommandId,
        text: &Personal,
    ) -> Result<Sealed, CipherError> {
        let nonce = nonce(field, command);
        let mut ciphertext = text.reveal().as_bytes().to_vec();
        let sealed = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            self.associated(field),
            &mut ciphertext,
        );
        match sealed {
            Ok(()) => Ok(Sealed { nonce, ciphertext }),
            Err(_) => Err(CipherError::NotSealed {
                subject: self.subject.clone(),
                field,
            }),
        }
    }

    /// Opens what was sealed for this field.
    ///
    /// # Errors
    ///
    /// [`CipherError::NotOpened`].
    pub fn open(&self, field: &'static str, sealed: &Sealed) -> Result<Personal, CipherError> {
        let mut bytes = sealed.ciphertext.clone();
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let opened = self
            .key
            .open_in_place(nonce, self.associated(field), &mut bytes);
        let text = opened.ok().map(|text| text.to_vec());
        let text = text.and_then(|text| String::from_utf8(text).ok());
        text.and_then(|text| text.try_into().ok())
            .ok_or_else(|| CipherError::NotOpened {
                subject: self.subject.clone(),
                field,
            })
    }

    /// What is not in the ciphertext and has to be the same when it is opened.
    fn associated(&self, field: &str) -> Aad<[u8; 32]> {
        let parts = [
            b"folio sealed 1".as_slice(),
            self.subject.as_str().as_bytes(),
            field.as_bytes(),
        ];
        Aad::from(*Fingerprint::of(&parts).as_bytes())
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectKey")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Of the command, so that the same one seals alike. A command that comes again with another text has the same nonce for
/// it, which this cipher bears: it only shows that the two are not the same.
fn nonce(field: &str, command: CommandId) -> [u8; NONCE_BYTES] {
    let command = command.as_uuid();
    let parts = [
        b"folio nonce 1".as_slice(),
        command.as_bytes(),
        field.as_bytes(),
    ];
    let hash = *Fingerprint::of(&parts).as_bytes();
    let mut nonce = [0; NONCE_BYTES];
    nonce.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    nonce
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const NAME: &str = "holder.name";

    fn key(subject: &str, byte: u8) -> SubjectKey {
        SubjectKey::of(subject.parse().unwrap(), &[byte; KEY_BYTES]).unwrap()
    }

    fn command(number: u128) -> CommandId {
        CommandId::from_uuid(Uuid::from_u128(number))
    }

    fn personal(text: &str) -> Personal {
        text.to_owned().try_into().unwrap()
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_as_it_was_and_nowhere_else(
            text in "[^\\p{Cc}]{1,200}", number: u128, byte: u8,
        ) {
            let (text, own) = (personal(&text), key("c-1", byte));
            let sealed = own.seal(NAME, command(number), &text).unwrap();
            prop_assert_eq!(own.open(NAME, &sealed).unwrap(), text);
            prop_assert!(own.open("holder.email", &sealed).is_err());
            prop_assert!(key("c-2", byte).open(NAME, &sealed).is_err());
            prop_assert!(key("c-1", !byte).open(NAME, &sealed).is_err());
        }

        #[test]
        fn what_was_altered_does_not_open(text in "[a-z ]{1,40}", number: u128, at: prop::sample::Index, bit in 0..8_u8) {
            let key = key("c-1", 1);
            let sealed = key.seal(NAME, command(number), &personal(&text)).unwrap();
            let mut altered = sealed.clone();
            let length = altered.ciphertext.len();
            match at.index(NONCE_BYTES + length) {
                place if place < length => altered.ciphertext[place] ^= 1 << bit,
                place => altered.nonce[place - length] ^= 1 << bit,
            }
            prop_assert!(key.open(NAME, &altered).is_err());
            let mut shorter = sealed;
            shorter.ciphertext.pop();
            prop_assert!(key.open(NAME, &shorter).is_err());
        }

        #[test]
        fn a_command_seals_alike_and_no_two_commands_do(text in "[a-z ]{1,40}", number: u128) {
            let (text, key) = (personal(&text), key("c-1", 1));
            let sealed = key.seal(NAME, command(number), &text).unwrap();
            prop_assert_eq!(&key.seal(NAME, command(number), &text).unwrap(), &sealed);
            let by_another = key.seal(NAME, command(number ^ 1), &text).unwrap();
            prop_assert_ne!(&by_another.nonce, &sealed.nonce);
            prop_assert_ne!(&by_another.ciphertext, &sealed.ciphertext);
            let elsewhere = key.seal("holder.email", command(number), &text).unwrap();
            prop_assert_ne!(&elsewhere.ciphertext, &sealed.ciphertext);
            let other = personal(&format!("{}!", text.reveal()));
            prop_assert_ne!(key.seal(NAME, command(number), &other).unwrap(), sealed);
        }
    }

    #[test]
    fn a_key_is_not_shown_by_debug_and_has_32_bytes() {
        assert_eq!(
            format!("{:?}", key("c-1", 65)),
            "SubjectKey { subject: SubjectId(\"c-1\"), .. }"
        );
        assert!(SubjectKey::of("c-1".parse().unwrap(), &[1; 31]).is_none());
    }
}
