//! Checkpoints: what a log says of itself at one moment, in the text of <https://c2sp.org/tlog-checkpoint>.
//!
//! Behind the three lines that every log has come those of this one, each at most once and in this order:
//!
//! ```text
//! ledger.example/accounts-a                       origin
//! 20852163                                        leaves of the log
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=    root of the log
//! folio-map 1Sf0QZM0mOSEqvJJRNtyePDVyWgYHBm…      root of the map of streams
//! folio-through 20852000 163                      last position, last number of an outcome
//! folio-sealed-at 1795954828000000                when, in microseconds since 1970
//! ```
//!
//! Lines of others may follow. They are kept as they are.

mod lines;
mod origin;
mod parse;

use thiserror::Error;

pub use lines::{ExtensionLine, InvalidExtensionLine, Through};
pub use origin::{InvalidOrigin, Origin};
pub use parse::{CheckpointFault, ParseCheckpointError};

pub(crate) use parse::decimal;

use crate::Hash;
use crate::note::{ParseNoteError, SignError, SignedNote, SigningKey, VerifyError, VerifyingKey};

/// The state of a log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log it is.
    pub origin: Origin,
    /// How many leaves the log has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The root of the map of streams.
    pub map_root: Option<Hash>,
    /// Up to where the store is in the log.
    pub through: Option<Through>,
    /// When it was made, in microseconds since 1970.
    pub sealed_at_micros: Option<i64>,
    /// Lines of others.
    pub extensions: Vec<ExtensionLine>,
}

/// Why a signed checkpoint is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenCheckpointError {
    /// It is no signed note.
    #[error(transparent)]
    Note(#[from] ParseNoteError),
    /// It is not signed by the key.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// It is signed, and no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] ParseCheckpointError),
    /// It is the checkpoint of another log.
    #[error("the checkpoint is of the log {actual}, not of {expected}; ask for that one's")]
    Origin {
        /// The log that was asked for.
        expected: Origin,
        /// The log that it is of.
        actual: Origin,
    },
}

impl Checkpoint {
    /// Its text, which [`parse`](Self::parse) reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        let own = [
            self.map_root.map(lines::map_line),
            self.through.map(lines::through_line),
            self.sealed_at_micros.map(lines::sealed_at_line),
        ];
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root);
        let others = self.extensions.iter().map(ToString::to_string);
        for line in own.into_iter().flatten().chain(others) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Reads the text of a checkpoint. Whoever signed it is not looked at.
    ///
    /// # Errors
    ///
    /// [`ParseCheckpointError`], which names the line. A text that is read is the one that [`to_text`](Self::to_text)
    /// writes again.
    pub fn parse(text: &str) -> Result<Self, ParseCheckpointError> {
        parse::parse(text)
    }

    /// Signs it.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn sign(&self, key: &SigningKey) -> Result<SignedNote, SignError> {
        key.sign(self.to_text())
    }

    /// What a signed checkpoint says, if this key has signed it and the log is called as the key is.
    ///
    /// # Errors
    ///
    /// [`OpenCheckpointError`].
    pub fn open(note: impl AsRef<[u8]>, key: &VerifyingKey) -> Result<Self, OpenCheckpointError> {
        Self::open_of(&Origin::from(key.name()), note, key)
    }

    /// What a signed checkpoint says, if this key has signed it and it is of this log.
    ///
    /// # Errors
    ///
    /// [`OpenCheckpointError`].
    pub fn open_of(
        origin: &Origin,
        note: impl AsRef<[u8]>,
        key: &VerifyingKey,
    ) -> Result<Self, OpenCheckpointError> {
        let note = SignedNote::parse(note)?;
        let verified = note.verify(std::slice::from_ref(key))?;
        let checkpoint = Self::parse(verified.text())?;
        if checkpoint.origin == *origin {
            return Ok(checkpoint);
        }
        Err(OpenCheckpointError::Origin {
            expected: origin.clone(),
            actual: checkpoint.origin,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(name.parse().unwrap(), &[3; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "ledger.example/a".parse().unwrap(),
            size: 42,
            root: Hash::from_bytes([1; 32]),
            map_root: Some(Hash::from_bytes([2; 32])),
            through: Through::new(40, 2),
            sealed_at_micros: Some(1_795_954_828_000_000),
            extensions: vec!["witnessed daily".parse().unwrap()],
        }
    }

    #[test]
    fn a_checkpoint_has_the_lines_that_are_documented() {
        let expected = "ledger.example/a\n42\n\
            AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
            folio-map AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n\
            folio-through 40 2\n\
            folio-sealed-at 1795954828000000\n\
            witnessed daily\n";
        assert_eq!(checkpoint().to_text(), expected);
        assert_eq!(Checkpoint::parse(expected).unwrap(), checkpoint());
    }

    #[test]
    fn the_key_of_the_log_opens_what_it_has_signed() {
        let key = key("ledger.example/a");
        let note = checkpoint().sign(&key).unwrap().to_string();
        let opened = Checkpoint::open(&note, key.verifying_key()).unwrap();
        assert_eq!(opened, checkpoint());
        let changed = note.replacen("\n42\n", "\n43\n", 1);
        let refused = Checkpoint::open(changed, key.verifying_key()).unwrap_err();
        assert!(
            matches!(
                refused,
                OpenCheckpointError::Signature(VerifyError::Forged { .. })
            ),
            "{refused}"
        );
    }

    #[test]
    fn a_checkpoint_of_another_log_is_refused() {
        let key = key("ledger.example/b");
        let note = checkpoint().sign(&key).unwrap().to_string();
        let refused = Checkpoint::open(&note, key.verifying_key()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the checkpoint is of the log ledger.example/a, not of ledger.example/b; ask for that one's"
        );
        let expected = checkpoint().origin;
        let opened = Checkpoint::open_of(&expected, &note, key.verifying_key());
        assert_eq!(opened.unwrap(), checkpoint());
    }

    #[test]
    fn a_signed_text_that_is_no_checkpoint_is_refused() {
        let key = key("ledger.example/a");
        let note = key.sign("ledger.example/a\n042\n").unwrap().to_string();
        let refused = Checkpoint::open(note, key.verifying_key()).unwrap_err();
        assert!(
            matches!(refused, OpenCheckpointError::Checkpoint(_)),
            "{refused}"
        );
        let refused = Checkpoint::open("nothing", key.verifying_key()).unwrap_err();
        assert!(matches!(refused, OpenCheckpointError::Note(_)), "{refused}");
    }

    prop_compose! {
        fn any_checkpoint()(
            origin in "[a-z][ -~]{0,20}",
            size: u64,
            root: [u8; 32],
            map_root in proptest::option::of(any::<[u8; 32]>()),
            through in proptest::option::of((0..i64::MAX, 0..i64::MAX)),
            sealed_at_micros: Option<i64>,
            extensions in proptest::collection::vec("[ -~]{1,20}", 0..3),
        ) -> Checkpoint {
            Checkpoint {
                origin: origin.parse().unwrap(),
                size,
                root: Hash::from_bytes(root),
                map_root: map_root.map(Hash::from_bytes),
                through: through.and_then(|(position, outcome)| Through::new(position, outcome)),
                sealed_at_micros,
                extensions: extensions.iter().map(|line| line.parse().unwrap()).collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn every_checkpoint_is_read_as_it_was_written(checkpoint in any_checkpoint()) {
            prop_assert_eq!(Checkpoint::parse(&checkpoint.to_text()), Ok(checkpoint));
        }

        #[test]
        fn a_text_that_is_read_is_written_the_same(
            checkpoint in any_checkpoint(),
            at: prop::sample::Index,
            character in "[ -~\n]",
        ) {
            let mut text = checkpoint.to_text();
            let at = at.index(text.len());
            text.replace_range(at..=at, &character);
            if let Ok(read) = Checkpoint::parse(&text) {
                prop_assert_eq!(read.to_text(), text);
            }
        }
    }
}
