//! What a log asks of a witness: the body of `add-checkpoint`, as <https://c2sp.org/tlog-witness> has it.
//!
//! ```text
//! old 20852014                                    leaves of the log that the witness has seen
//! PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=    the proof that the log has only grown since, a hash a line
//!
//! ledger.example/accounts-a                       the new checkpoint, signed
//! …
//! ```

use std::fmt;

use thiserror::Error;

use crate::Hash;
use crate::checkpoint::decimal;
use crate::merkle::{ConsistencyProof, Size};
use crate::note::{ParseNoteError, SignedNote};

/// Begins the first line.
const OLD: &str = "old ";

/// A new checkpoint, and the proof that the log has only grown since the one that the witness has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// How many leaves the log had that the witness has seen.
    pub old: Size,
    /// The hashes of the proof, from `old` on to the new checkpoint.
    pub path: Vec<Hash>,
    /// The new checkpoint, signed by the log.
    pub note: SignedNote,
}

/// A text that asks nothing of a witness.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseAddCheckpointError {
    /// It is not UTF-8.
    #[error("a request to a witness is UTF-8; byte {at} of this one is not")]
    NotUtf8 {
        /// The first byte that is not, from 0.
        at: usize,
    },
    /// The first line is another one.
    #[error("the first line should be `old`, a space and a number of leaves in decimal")]
    Old,
    /// A line is no hash.
    #[error("line {line} should be a hash of the proof, 32 bytes in base64")]
    Path {
        /// Which line, from 1.
        line: usize,
    },
    /// There are more hashes than a log of any size needs.
    #[error(
        "a proof has at most {} hashes, this one {count}",
        AddCheckpoint::PATH_MAX
    )]
    TooLong {
        /// How many there are.
        count: usize,
    },
    /// No empty line ends the proof.
    #[error("an empty line should stand between the proof and the checkpoint")]
    NoCheckpoint,
    /// What follows is no signed note.
    #[error(transparent)]
    Note(#[from] ParseNoteError),
}

impl AddCheckpoint {
    /// Most hashes of a proof.
    pub const PATH_MAX: usize = 63;

    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// [`ParseAddCheckpointError`].
    pub fn parse(body: impl AsRef<[u8]>) -> Result<Self, ParseAddCheckpointError> {
        let body = str::from_utf8(body.as_ref());
        let body = body.map_err(|error| ParseAddCheckpointError::NotUtf8 {
            at: error.valid_up_to(),
        })?;
        let (head, note) = body
            .split_once("\n\n")
            .ok_or(ParseAddCheckpointError::NoCheckpoint)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix(OLD));
        let old = old.and_then(decimal).ok_or(ParseAddCheckpointError::Old)?;
        let count = lines.clone().count();
        if count > Self::PATH_MAX {
            return Err(ParseAddCheckpointError::TooLong { count });
        }
        let hash =
            |(text, line)| Hash::from_base64(text).ok_or(ParseAddCheckpointError::Path { line });
        Ok(Self {
            old: Size::new(old),
            path: lines.zip(2..).map(hash).collect::<Result<_, _>>()?,
            note: SignedNote::parse(note)?,
        })
    }

    /// That the log of the size `to` begins with the one that the witness has seen.
    #[must_use]
    pub fn growth(&self, to: Size) -> ConsistencyProof {
        ConsistencyProof {
            from: self.old,
            to,
            path: self.path.clone(),
        }
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{OLD}{}", self.old)?;
        self.path
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.note)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::note::SigningKey;

    fn note(text: &str) -> SignedNote {
        let key = SigningKey::from_seed("ledger.example/a".parse().unwrap(), &[3; 32]).unwrap();
        key.sign(text).unwrap()
    }

    /// A request with this head.
    fn body(head: &str) -> String {
        format!("{head}\n{}", note("log\n1\n"))
    }

    // The example of the specification, with a checkpoint of ours.
    const HEAD: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n";

    #[test]
    fn a_request_has_the_lines_that_are_documented() {
        let request = AddCheckpoint::parse(body(HEAD)).unwrap();
        assert_eq!(request.old, Size::new(20_852_014));
        assert_eq!(request.path.len(), 4);
        assert_eq!(request.note, note("log\n1\n"));
        assert_eq!(request.to_string(), body(HEAD));
        let growth = request.growth(Size::new(20_852_163));
        assert_eq!((growth.from, growth.path), (request.old, request.path));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        use ParseAddCheckpointError as Fault;
        let refused = |body: &str| AddCheckpoint::parse(body).unwrap_err();
        for old in [
            "", "old\n", "old 01\n", "old -1\n", "old  1\n", "Old 1\n", "old 1 \n",
        ] {
            assert_eq!(refused(&body(old)), Fault::Old, "{old:?}");
        }
        assert_eq!(refused(&body("old 1\nx\n")), Fault::Path { line: 2 });
        // The last bits of the base64 are not of the hash.
        let loose = HEAD.replacen("Kj/0=", "Kj/1=", 1);
        assert_eq!(refused(&body(&loose)), Fault::Path { line: 5 });
        assert_eq!(refused("old 1\n"), Fault::NoCheckpoint);
        assert!(matches!(refused("old 1\n\nlog\n"), Fault::Note(_)));
        let not_utf8 = AddCheckpoint::parse(b"old 1\n\xff").unwrap_err();
        assert_eq!(not_utf8, Fault::NotUtf8 { at: 6 });
        let hash = HEAD.lines().nth(1).unwrap();
        let longest = format!("old 1\n{}", format!("{hash}\n").repeat(63));
        assert!(AddCheckpoint::parse(body(&longest)).is_ok());
        let longer = format!("{longest}{hash}\n");
        assert_eq!(refused(&body(&longer)), Fault::TooLong { count: 64 });
    }

    proptest! {
        #[test]
        fn every_request_is_read_as_it_was_written(
            old: u64,
            path in proptest::collection::vec(any::<[u8; 32]>(), 0..=AddCheckpoint::PATH_MAX),
            text in "[ -~]{1,20}\n([ -~]{0,9}\n){0,3}",
        ) {
            let path = path.into_iter().map(Hash::from_bytes).collect();
            let request = AddCheckpoint { old: Size::new(old), path, note: note(&text) };
            prop_assert_eq!(AddCheckpoint::parse(request.to_string()), Ok(request));
        }

        #[test]
        fn a_body_that_is_read_is_written_the_same(at: prop::sample::Index, character in "[ -~\n]") {
            let mut body = body(HEAD);
            let at = at.index(body.len());
            if body.is_char_boundary(at) && body.is_char_boundary(at + 1) {
                body.replace_range(at..=at, &character);
            }
            if let Ok(read) = AddCheckpoint::parse(&body) {
                // The base64 of a signature has bits that are of nothing, which its own reader judges.
                prop_assert_eq!(read.to_string(), body);
            }
        }
    }
}
