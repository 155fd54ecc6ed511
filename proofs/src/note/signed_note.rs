//! A text and who has signed it.

use std::fmt;

use super::errors::{BYTES_MAX, ParseNoteError, SIGNATURES_MAX, SignError, VerifyError};
use super::key_name::KeyName;
use super::signature::NoteSignature;
use super::signing_key::SigningKey;
use super::verifying_key::{KeyId, VerifyingKey};
use super::witness_key;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A note with its signatures, of which none need be a good one: what it says is had from [`verify`](Self::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A note that keys have signed which whoever asks knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<'a> {
    text: &'a str,
    signers: Vec<&'a VerifyingKey>,
}

impl SignedNote {
    /// Reads a note. Nothing is said of its signatures yet.
    ///
    /// # Errors
    ///
    /// [`ParseNoteError`].
    pub fn parse(note: impl AsRef<[u8]>) -> Result<Self, ParseNoteError> {
        let note = note.as_ref();
        if note.len() > BYTES_MAX {
            return Err(ParseNoteError::TooLarge { bytes: note.len() });
        }
        let note = str::from_utf8(note).map_err(|error| ParseNoteError::NotUtf8 {
            at: error.valid_up_to(),
        })?;
        if let Some(character) = control(note) {
            return Err(ParseNoteError::Control { character });
        }
        let none = ParseNoteError::NoSignatures;
        // The text may have blank lines too: the last one counts.
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(none.clone())?;
        if signatures.is_empty() {
            return Err(none);
        }
        let lines = signatures.strip_suffix('\n');
        let lines = lines.ok_or(ParseNoteError::NoNewline)?.split('\n');
        let count = lines.clone().count();
        if count > SIGNATURES_MAX {
            return Err(ParseNoteError::TooManySignatures { count });
        }
        let read =
            |(line, number)| NoteSignature::parse(line).ok_or(ParseNoteError::Signature { number });
        Ok(Self {
            text: format!("{text}\n"),
            signatures: lines.zip(1..).map(read).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn signed_by(key: &SigningKey, text: String) -> Result<Self, SignError> {
        if !text.ends_with('\n') {
            return Err(SignError::NoNewline);
        }
        if let Some(character) = control(&text) {
            return Err(SignError::Control { character });
        }
        let unsigned = Self {
            text,
            signatures: Vec::new(),
        };
        unsigned.cosigned_by(key)
    }

    /// The note with one more signature, behind the others. One that the same key has made before is replaced.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn cosigned_by(self, key: &SigningKey) -> Result<Self, SignError> {
        let signature = key.signature_of(&self.text)?;
        self.with(signature)
    }

    /// The note with the cosignature of a witness, which says that it has seen it at this time, in seconds since 1970. One that
    /// the same key has made before is replaced.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn witnessed_by(self, key: &SigningKey, at_seconds: u64) -> Result<Self, SignError> {
        let signature = witness_key::cosignature(key, &self.text, at_seconds)?;
        self.with(signature)
    }

    /// The note with the signatures of these keys alone.
    #[must_use]
    pub fn only_by(mut self, known: &[VerifyingKey]) -> Self {
        let is_known = |held: &NoteSignature| known.iter().any(|key| is_by(held, key));
        self.signatures.retain(is_known);
        self
    }

    fn with(mut self, signature: NoteSignature) -> Result<Self, SignError> {
        let (name, id) = (signature.name().clone(), signature.id());
        self = self.without(&name, id);
        if self.signatures.len() >= SIGNATURES_MAX {
            return Err(SignError::TooManySignatures { name });
        }
        self.signatures.push(signature);
        let bytes = self.to_string().len();
        if bytes > BYTES_MAX {
            return Err(SignError::TooLarge { bytes });
        }
        Ok(self)
    }

    pub(super) fn without(mut self, name: &KeyName, id: KeyId) -> Self {
        let is_other = |held: &NoteSignature| (held.name(), held.id()) != (name, id);
        self.signatures.retain(is_other);
        self
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Who is said to have signed, in the order of the lines.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// What the note says, if at least one of the `known` keys has signed it, and none of them is said to have that has
    /// not. Signatures of other keys count for nothing.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub fn verify<'a>(&'a self, known: &'a [VerifyingKey]) -> Result<Verified<'a>, VerifyError> {
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let Some(key) = known.iter().find(|key| is_by(signature, key)) else {
                continue;
            };
            if !key.accepts(&self.text, signature.bytes()) {
                let (name, id) = (key.name().clone(), key.id());
                return Err(VerifyError::Forged { name, id });
            }
            if !signers.contains(&key) {
                signers.push(key);
            }
        }
        if signers.is_empty() {
            let named = |one: &NoteSignature| (one.name().clone(), one.id());
            let signers = self.signatures.iter().map(named).collect();
            return Err(VerifyError::Unknown { signers });
        }
        let text = &self.text;
        Ok(Verified { text, signers })
    }
}

impl<'a> Verified<'a> {
    /// What it says, with the newline at its end.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// The known keys that have signed it, each once.
    #[must_use]
    pub fn signers(&self) -> &[&'a VerifyingKey] {
        &self.signers
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Serialize for SignedNote {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SignedNote {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let note = String::deserialize(deserializer)?;
        Self::parse(note).map_err(serde::de::Error::custom)
    }
}

fn is_by(signature: &NoteSignature, key: &VerifyingKey) -> bool {
    signature.id() == key.id() && signature.name() == key.name()
}

/// The first character that a note cannot have.
fn control(text: &str) -> Option<char> {
    text.chars().find(|&c| c < ' ' && c != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    const LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";

    fn neumann() -> SigningKey {
        SECRET.parse().unwrap()
    }

    fn key(seed: u8) -> SigningKey {
        let name = format!("witness.example/{seed}").parse().unwrap();
        SigningKey::from_seed(name, &[seed; 32]).unwrap()
    }

    fn public(key: &SigningKey) -> [VerifyingKey; 1] {
        [key.verifying_key().clone()]
    }

    #[test]
    fn a_note_is_signed_as_other_tools_do() {
        let note = neumann().sign(TEXT).unwrap();
        assert_eq!(note.to_string(), format!("{TEXT}\n{LINE}\n"));
    }

    #[test]
    fn a_note_of_another_tool_is_verified() {
        let note = SignedNote::parse(format!("{TEXT}\n{LINE}\n")).unwrap();
        let known = public(&neumann());
        let verified = note.verify(&known).unwrap();
        assert_eq!(verified.text(), TEXT);
        assert_eq!(verified.signers(), [&known[0]]);
    }

    #[test]
    fn a_note_that_was_changed_anywhere_is_not_verified() {
        let note = neumann().sign("a\nb\n").unwrap().to_string();
        let known = public(&neumann());
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let is_verified =
                    SignedNote::parse(&bytes).is_ok_and(|read| read.verify(&known).is_ok());
                assert!(!is_verified, "bit {bit} of byte {at}");
            }
        }
        let cut_or_longer = [
            note.replacen("a\n", "", 1),
            format!("more\n{note}"),
            note.replacen("b\n", "b\n\n", 1),
        ];
        for changed in cut_or_longer {
            let read = SignedNote::parse(changed).unwrap();
            let refused = read.verify(&known).unwrap_err();
            assert!(matches!(refused, VerifyError::Forged { .. }), "{refused}");
        }
    }

    #[test]
    fn a_text_may_have_blank_lines() {
        for text in ["\n", "a\n\n", "\n\na\n\nb\n", "a\n\n\u{2014} b AAAAAAA=\n"] {
            let note = neumann().sign(text).unwrap();
            let read = SignedNote::parse(note.to_string()).unwrap();
            assert_eq!(read, note);
            assert_eq!(read.verify(&public(&neumann())).unwrap().text(), text);
        }
    }

    #[test]
    fn signatures_of_unknown_keys_count_for_nothing() {
        let note = key(1).sign(TEXT).unwrap().cosigned_by(&neumann()).unwrap();
        // One that is of no kind that is known here.
        let note = format!("{note}\u{2014} strange AAAAAAA=\n");
        let note = SignedNote::parse(note).unwrap();
        assert_eq!(note.signatures().len(), 3);
        assert_eq!(note.verify(&public(&neumann())).unwrap().signers().len(), 1);
        let refused = note.verify(&public(&key(2))).unwrap_err();
        assert!(
            refused.to_string().contains("PeterNeumann+c74f20a3"),
            "{refused}"
        );
        assert!(matches!(
            note.verify(&[]).unwrap_err(),
            VerifyError::Unknown { .. }
        ));
    }

    #[test]
    fn a_key_that_shares_only_a_name_or_only_an_id_is_unknown() {
        let namesake = SigningKey::from_seed(neumann().name().clone(), &[9; 32]).unwrap();
        let note = namesake.sign(TEXT).unwrap();
        let refused = note.verify(&public(&neumann())).unwrap_err();
        assert!(matches!(refused, VerifyError::Unknown { .. }), "{refused}");
        let renamed = LINE.replacen("PeterNeumann", "PeterNewman", 1);
        let note = SignedNote::parse(format!("{TEXT}\n{renamed}\n")).unwrap();
        let refused = note.verify(&public(&neumann())).unwrap_err();
        assert!(matches!(refused, VerifyError::Unknown { .. }), "{refused}");
    }

    #[test]
    fn one_forged_signature_of_a_known_key_spoils_the_note() {
        let good = key(1).sign(TEXT).unwrap();
        let other = neumann().sign("another text\n").unwrap().to_string();
        let (_, line) = other.split_once("\n\n").unwrap();
        let known = [
            key(1).verifying_key().clone(),
            neumann().verifying_key().clone(),
        ];
        let note = SignedNote::parse(format!("{good}{line}")).unwrap();
        let refused = note.verify(&known).unwrap_err();
        assert!(
            matches!(&refused, VerifyError::Forged { name, .. } if name.as_str() == "PeterNeumann")
        );
        assert!(note.verify(&known[..1]).is_ok());
        // A second line of a key that has signed well is looked at too.
        let twice = format!("{}{line}", neumann().sign(TEXT).unwrap());
        let note = SignedNote::parse(twice).unwrap();
        assert!(note.verify(&known).is_err());
        // The right key, with a signature that has no length for one.
        let short = format!("{TEXT}\n\u{2014} PeterNeumann x08gowA=\n");
        let refused = SignedNote::parse(short)
            .unwrap()
            .verify(&known)
            .unwrap_err();
        assert!(matches!(refused, VerifyError::Forged { .. }), "{refused}");
    }

    #[test]
    fn a_note_is_cosigned_once_by_a_key() {
        let note = neumann().sign(TEXT).unwrap().cosigned_by(&key(1)).unwrap();
        let again = note.clone().cosigned_by(&key(1)).unwrap();
        assert_eq!(again, note);
        let known = [
            neumann().verifying_key().clone(),
            key(1).verifying_key().clone(),
        ];
        assert_eq!(note.verify(&known).unwrap().signers().len(), 2);
        // A line that stands twice makes no two witnesses.
        let twice = format!("{}{LINE}\n", neumann().sign(TEXT).unwrap());
        let note = SignedNote::parse(twice).unwrap();
        assert_eq!(note.signatures().len(), 2);
        assert_eq!(note.verify(&known).unwrap().signers(), [&known[0]]);
    }

    #[test]
    fn a_note_has_at_most_a_hundred_signatures() {
        let mut note = neumann().sign(TEXT).unwrap();
        for seed in 1..100 {
            note = note.cosigned_by(&key(seed)).unwrap();
        }
        assert_eq!(SignedNote::parse(note.to_string()).unwrap(), note);
        let longer = format!("{note}{LINE}\n");
        assert_eq!(
            SignedNote::parse(longer).unwrap_err(),
            ParseNoteError::TooManySignatures { count: 101 }
        );
        let refused = note.clone().cosigned_by(&key(100)).unwrap_err();
        assert!(matches!(refused, SignError::TooManySignatures { .. }));
        // One of its keys may still sign again.
        assert!(note.cosigned_by(&key(1)).is_ok());
    }

    #[test]
    fn texts_that_notes_cannot_have_are_not_signed() {
        let refused = |text: &str| neumann().sign(text).unwrap_err();
        assert_eq!(refused(""), SignError::NoNewline);
        assert_eq!(refused("a"), SignError::NoNewline);
        assert_eq!(refused("a\r\n"), SignError::Control { character: '\r' });
        let long = format!("{}\n", "a".repeat(BYTES_MAX));
        assert!(matches!(refused(&long), SignError::TooLarge { .. }));
    }

    #[test]
    fn what_is_no_signed_note_is_refused() {
        use ParseNoteError as No;
        let refused = |note: &[u8]| SignedNote::parse(note).unwrap_err();
        let note = format!("{TEXT}\n{LINE}\n");
        assert_eq!(refused(b""), No::NoSignatures);
        assert_eq!(refused(TEXT.as_bytes()), No::NoSignatures);
        assert_eq!(refused(format!("{TEXT}\n").as_bytes()), No::NoSignatures);
        assert_eq!(refused(format!("{note}\n").as_bytes()), No::NoSignatures);
        assert_eq!(refused(format!("{TEXT}\n{LINE}").as_bytes()), No::NoNewline);
        assert_eq!(refused(b"a\n\xff"), No::NotUtf8 { at: 2 });
        let windows = note.replace('\n', "\r\n");
        assert_eq!(refused(windows.as_bytes()), No::Control { character: '\r' });
        let bytes = BYTES_MAX + 1;
        assert_eq!(refused(&vec![b'a'; bytes]), No::TooLarge { bytes });
        for line in [
            "not a signature",
            "- PeterNeumann x08gowA=",
            "\u{2014} PeterNeumann",
            "\u{2014}  x08gowA=",
            "\u{2014} Peter+Neumann x08gowA=",
            "\u{2014} PeterNeumann x08gow",
            "\u{2014} PeterNeumann x08gow==",
            "\u{2014} PeterNeumann x08gowB=",
            "\u{2014} PeterNeumann  x08gowA=",
            "\u{2014} PeterNeumann x08gowA= ",
        ] {
            assert_eq!(
                refused(format!("{note}{line}\n").as_bytes()),
                No::Signature { number: 2 },
                "{line}"
            );
        }
    }

    #[test]
    fn a_note_stands_in_json_as_its_text() {
        let note = neumann().sign(TEXT).unwrap();
        let json = serde_json::to_string(&note).unwrap();
        assert_eq!(json, serde_json::to_string(&note.to_string()).unwrap());
        assert_eq!(serde_json::from_str::<SignedNote>(&json).unwrap(), note);
        assert!(serde_json::from_str::<SignedNote>("\"a\"").is_err());
    }
}
