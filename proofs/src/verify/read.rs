//! Reads what is to be checked.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Most bytes that are read of a file. They are held in memory.
const BYTES_MAX: u64 = 1 << 30;

/// Why a file is not checked.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Both are said to be in standard input.
    #[error(
        "standard input cannot be both what is checked and the checkpoint that you kept; name a file for one of them"
    )]
    Twice,
    /// It is too large.
    #[error("{} has more than {bytes_max} bytes, which are held in memory; have the whole book walked in its place, by ledger verify", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How many it may have.
        bytes_max: u64,
    },
}

/// Whether this is standard input.
pub(super) fn is_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// What is in the file, or in standard input if it is called `-`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    let bytes = if is_input(path) {
        read_up_to(BYTES_MAX, io::stdin().lock())
    } else {
        File::open(path).and_then(|file| read_up_to(BYTES_MAX, file))
    };
    let bytes = bytes.map_err(|source| ReadError::Io {
        path: path.to_owned(),
        source,
    })?;
    bytes.ok_or_else(|| ReadError::TooLarge {
        path: path.to_owned(),
        bytes_max: BYTES_MAX,
    })
}

/// All bytes, or none if they are more.
fn read_up_to(bytes_max: u64, source: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    source.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_not_read_to_its_end() {
        let bytes = |count| [7; 10].get(..count).unwrap().to_vec();
        for count in 0..=9 {
            let read = read_up_to(9, bytes(count).as_slice()).unwrap();
            assert_eq!(read, Some(bytes(count)));
        }
        assert_eq!(read_up_to(9, bytes(10).as_slice()).unwrap(), None);
        assert_eq!(read_up_to(9, io::repeat(7)).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let refused = read(Path::new("/nowhere/bundle.json")).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.starts_with("/nowhere/bundle.json cannot be read"),
            "{text}"
        );
    }
}
