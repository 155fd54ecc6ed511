//! The public half of a key by which a witness cosigns, as <https://c2sp.org/tlog-cosignature> has it: `cosignature/v1`.

use std::fmt;
use std::str::FromStr;

use super::errors::{SignError, VerifyError};
use super::key_name::KeyName;
use super::key_text::Kind;
use super::signature::NoteSignature;
use super::signed_note::SignedNote;
use super::signing_key::SigningKey;
use super::verifying_key::{InvalidVerifyingKey, KeyId, VerifyingKey};

/// A key that verifies the cosignatures of a witness. Its text is `name+id+base64`, and no text of a key that signs notes: by
/// the one key, different things are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessKey(VerifyingKey);

/// A note that a witness has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    note: SignedNote,
    at_seconds: u64,
}

impl WitnessKey {
    /// The key of this name with these 32 bytes.
    #[must_use]
    pub fn new(name: KeyName, bytes: [u8; 32]) -> Self {
        Self(VerifyingKey::of_kind(Kind::Cosignature, name, bytes))
    }

    pub(super) fn of(key: &VerifyingKey) -> Self {
        Self(key.as_kind(Kind::Cosignature))
    }

    /// What the witness is called.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        self.0.name()
    }

    /// Which key of that name.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.0.id()
    }

    /// The note, if its witness has cosigned it.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub fn open(&self, note: SignedNote) -> Result<Cosigned, VerifyError> {
        let mut seen_at = None;
        for signature in note.signatures() {
            if (signature.name(), signature.id()) != (self.name(), self.id()) {
                continue;
            }
            let at = self.time_of(note.text(), signature.bytes());
            let at = at.ok_or_else(|| VerifyError::Forged {
                name: self.name().clone(),
                id: self.id(),
            })?;
            seen_at = seen_at.max(Some(at));
        }
        let Some(at_seconds) = seen_at else {
            let named = |one: &NoteSignature| (one.name().clone(), one.id());
            let signers = note.signatures().iter().map(named).collect();
            return Err(VerifyError::Unknown { signers });
        };
        let note = note.without(self.name(), self.id());
        Ok(Cosigned { note, at_seconds })
    }

    /// When the text was cosigned, if that is a cosignature of it.
    fn time_of(&self, text: &str, cosignature: &[u8]) -> Option<u64> {
        let (time, signature) = cosignature.split_first_chunk()?;
        let at_seconds = u64::from_be_bytes(*time);
        let is_good = self.0.accepts(&cosigned_text(text, at_seconds), signature);
        is_good.then_some(at_seconds)
    }
}

impl Cosigned {
    /// The note as its witness was given it: without the cosignature.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The same, for good.
    #[must_use]
    pub fn into_note(self) -> SignedNote {
        self.note
    }

    /// When its witness has seen it, in seconds since 1970 by the witness's clock.
    #[must_use]
    pub const fn at_seconds(&self) -> u64 {
        self.at_seconds
    }
}

impl FromStr for WitnessKey {
    type Err = InvalidVerifyingKey;

    fn from_str(text: &str) -> Result<Self, InvalidVerifyingKey> {
        VerifyingKey::parse(Kind::Cosignature, text).map(Self)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The cosignature of a text: the time, and the signature over both.
pub(super) fn cosignature(
    key: &SigningKey,
    text: &str,
    at_seconds: u64,
) -> Result<NoteSignature, SignError> {
    let signature = key.ed25519(&cosigned_text(text, at_seconds))?;
    let bytes = [at_seconds.to_be_bytes().as_slice(), &signature].concat();
    let id = key.witness_key().id();
    Ok(NoteSignature::new(key.name().clone(), id, bytes))
}

fn cosigned_text(text: &str, at_seconds: u64) -> String {
    format!("cosignature/v1\ntime {at_seconds}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by Python's `hashlib` and `cryptography`: the witness has the seed of 32 bytes 9, the log that of 32 bytes 3. The id
    // is SHA-256 of name, newline, 4 and the public key; the signature is of `cosignature/v1`, `time` and the text.
    const KEY: &str = "witness.example/1+68141046+BP0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY";
    const TEXT: &str = "ledger.example/a\n42\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
    const LOG_LINE: &str = "\u{2014} ledger.example/a kC6dOvQaBdnq3O47ugPE+l7eJD43Te1F/3zwvGybdpS+Ao6VlKUFjm5nYtnelm5XZiFrSfekH9IeOzLcu5X56Azb8A0=";
    const COSIGNATURE: &str = "\u{2014} witness.example/1 aBQQRgAAAABrDBiMCDpzhyG4mfIm0sY5PunffX9ZuagWNxvQHfBLrnqLdInCjVCtbdeGTGI6AwsQGq5Rz5eAARu0dh0LLSMOku+6BA==";
    const TIME: u64 = 1_795_954_828;

    fn log() -> SigningKey {
        SigningKey::from_seed("ledger.example/a".parse().unwrap(), &[3; 32]).unwrap()
    }

    fn witness() -> SigningKey {
        SigningKey::from_seed("witness.example/1".parse().unwrap(), &[9; 32]).unwrap()
    }

    fn cosigned() -> SignedNote {
        let note = log().sign(TEXT).unwrap();
        note.witnessed_by(&witness(), TIME).unwrap()
    }

    #[test]
    fn a_checkpoint_is_cosigned_as_others_compute_it() {
        assert_eq!(witness().witness_key().to_string(), KEY);
        assert_eq!(KEY.parse(), Ok(witness().witness_key()));
        let expected = format!("{TEXT}\n{LOG_LINE}\n{COSIGNATURE}\n");
        assert_eq!(cosigned().to_string(), expected);
        let opened = witness().witness_key().open(cosigned()).unwrap();
        assert_eq!(opened.at_seconds(), TIME);
        assert_eq!(opened.note(), &log().sign(TEXT).unwrap());
    }

    #[test]
    fn a_cosignature_is_of_the_text_and_of_the_time() {
        let whole = cosigned().to_string();
        let key = witness().witness_key();
        let at = whole.find(COSIGNATURE).unwrap() + "\u{2014} witness.example/1 ".len();
        // From behind the id on, all of it matters: the time and the signature.
        for (from, to) in [("AAAABr", "AAAABs"), ("BiMCD", "BiMCE"), ("ku+6B", "ku+7B")] {
            let line = whole[at..].replacen(from, to, 1);
            let changed = SignedNote::parse(format!("{}{line}", &whole[..at])).unwrap();
            assert_ne!(changed, cosigned());
            let refused = key.open(changed).unwrap_err();
            assert!(matches!(refused, VerifyError::Forged { .. }), "{refused}");
        }
        let changed = SignedNote::parse(whole.replacen("\n42\n", "\n43\n", 1)).unwrap();
        assert!(matches!(key.open(changed), Err(VerifyError::Forged { .. })));
    }

    #[test]
    fn what_a_witness_has_not_cosigned_is_not_opened() {
        let key = witness().witness_key();
        let unseen = key.open(log().sign(TEXT).unwrap()).unwrap_err();
        assert!(matches!(unseen, VerifyError::Unknown { .. }), "{unseen}");
        // Nor is a note that it signs as a log would.
        let as_log = witness().sign(TEXT).unwrap();
        assert!(matches!(key.open(as_log), Err(VerifyError::Unknown { .. })));
        let verifying = [witness().verifying_key().clone()];
        assert!(cosigned().verify(&verifying).is_err());
    }

    #[test]
    fn the_newest_of_several_cosignatures_tells_the_time() {
        let newer = cosigned().witnessed_by(&witness(), TIME + 5).unwrap();
        assert_eq!(newer.signatures().len(), 2, "the older one was replaced");
        let both = format!("{newer}{COSIGNATURE}\n");
        let opened = witness()
            .witness_key()
            .open(SignedNote::parse(both).unwrap());
        let opened = opened.unwrap();
        assert_eq!(opened.at_seconds(), TIME + 5);
        assert_eq!(opened.into_note().signatures().len(), 1);
    }

    #[test]
    fn keys_of_logs_and_of_witnesses_are_not_taken_for_each_other() {
        assert!(KEY.parse::<VerifyingKey>().is_err());
        let of_log = witness().verifying_key().to_string();
        assert_eq!(of_log.parse::<WitnessKey>(), Err(InvalidVerifyingKey::Form));
    }
}
