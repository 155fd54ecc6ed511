//! All checkpoints in a file, one after the other.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Take};
#[cfg(feature = "witness")]
use std::io::{Seek as _, SeekFrom};

use folio_proofs::note::SignedNote;

use super::AnchorError;
use super::file::{CUT_OFF, END, FileAnchor, TAIL_BYTES, damaged};

/// Most bytes of a record, as much as is looked through for the last one. Whoever keeps them may be somebody else, and whatever
/// is read to its end would be in memory.
const RECORD_MAX: u64 = TAIL_BYTES;
/// Bytes that are read of a file at once, for whoever is elsewhere.
#[cfg(feature = "witness")]
const PIECE_BYTES: u64 = 1 << 20;

/// The checkpoints that a file had when it was opened, in the order in which they were appended.
#[derive(Debug)]
pub(super) struct FileRecords {
    anchor: FileAnchor,
    notes: Notes<Take<File>>,
}

/// The notes in what a file of checkpoints has, wherever that is read from.
#[derive(Debug)]
pub(super) struct Notes<R> {
    file: BufReader<R>,
    rest: Rest,
}

/// Whether it is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Unread,
    /// A record has no end: nobody knows where the next one begins.
    Endless,
}

/// A part of what a file has, which may begin and end within a record.
#[cfg(feature = "witness")]
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// How long the file is.
    pub(crate) end: u64,
}

impl FileRecords {
    /// All of them. They are read from the disk as they are asked for.
    pub(super) async fn read(anchor: FileAnchor) -> Result<Self, AnchorError> {
        let open = |path: &std::path::Path| {
            let (file, length) = whole_records(path)?;
            Ok(Notes::of(file.take(length)))
        };
        let notes = anchor.blocking(open).await?;
        Ok(Self { anchor, notes })
    }
}

impl Iterator for FileRecords {
    type Item = Result<SignedNote, AnchorError>;

    fn next(&mut self) -> Option<Self::Item> {
        let note = self.notes.next()?;
        Some(note.map_err(|error| self.anchor.failed(error)))
    }
}

impl<R: Read> Notes<R> {
    pub(super) fn of(file: R) -> Self {
        Self {
            file: BufReader::new(file),
            rest: Rest::Unread,
        }
    }

    /// The next record without its end. What stands behind the last end was not appended.
    fn record(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut record = Vec::new();
        while self.rest == Rest::Unread {
            let room = RECORD_MAX.saturating_sub(record.len() as u64);
            if room == 0 {
                self.rest = Rest::Endless;
                let what = format!(
                    "a record has more than {RECORD_MAX} bytes; what comes after it is not read"
                );
                return Err(damaged(what));
            }
            let mut file = self.file.by_ref().take(room);
            if file.read_until(b'\n', &mut record)? == 0 {
                break;
            }
            if let Some(text) = record.strip_suffix(END.as_bytes())
                && !text.ends_with(CUT_OFF.as_bytes())
            {
                return Ok(Some(text.to_vec()));
            }
            if record.ends_with(END.as_bytes()) {
                record.clear();
            }
        }
        Ok(None)
    }
}

impl<R: Read> Iterator for Notes<R> {
    type Item = io::Result<SignedNote>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.record().transpose()?;
        Some(record.and_then(|mut record| {
            record.push(b'\n');
            SignedNote::parse(record).map_err(damaged)
        }))
    }
}

#[cfg(feature = "witness")]
impl FileAnchor {
    /// What the file has from this byte on, or a part of that.
    pub(crate) async fn piece(&self, from: u64) -> Result<Piece, AnchorError> {
        self.blocking(move |path| {
            let (mut file, end) = whole_records(path)?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            let rest = end.saturating_sub(from);
            file.take(rest.min(PIECE_BYTES)).read_to_end(&mut bytes)?;
            Ok(Piece { bytes, end })
        })
        .await
    }
}

/// The file, and how long it is while nobody appends to it. Of a file that is only appended to, what is there stays.
fn whole_records(path: &std::path::Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    file.lock_shared()?;
    let length = file.metadata()?.len();
    file.unlock()?;
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use folio_proofs::note::SigningKey;

    use super::*;
    use crate::anchor::Anchor as _;

    #[tokio::test]
    async fn all_checkpoints_come_back_in_their_order_without_what_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let key = SigningKey::from_seed("a".parse().unwrap(), &[1; 32]).unwrap();
        let note = |number: u32| key.sign(format!("log\n{number}\n")).unwrap();
        let anchor = FileAnchor::open(&path).await.unwrap();
        anchor.keep(&note(1)).await.unwrap();
        anchor.keep(&note(2)).await.unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 20]).unwrap();
        anchor.keep(&note(3)).await.unwrap();
        fs::write(&path, [&fs::read(&path).unwrap(), &whole[..20]].concat()).unwrap();
        let records = anchor.records().await.unwrap();
        anchor.keep(&note(4)).await.unwrap();
        let read: Result<Vec<_>, _> = records.collect();
        assert_eq!(read.unwrap(), [note(1), note(3)]);
    }

    #[tokio::test]
    async fn something_else_is_told_and_what_comes_after_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let key = SigningKey::from_seed("a".parse().unwrap(), &[1; 32]).unwrap();
        let note = key.sign("log\n1\n".to_owned()).unwrap();
        fs::write(&path, format!("hello\n\n\n{note}\n\n")).unwrap();
        let records = FileAnchor::at(&path).records().await.unwrap();
        let read: Vec<_> = records.collect();
        assert!(matches!(read[0], Err(AnchorError::Damaged { .. })));
        assert_eq!(read[1].as_ref().unwrap(), &note);
        assert_eq!(read.len(), 2);
        let gone = FileAnchor::at(folder.path().join("none")).records().await;
        assert!(matches!(gone, Err(AnchorError::Unreachable { .. })));
    }
    #[test]
    fn a_record_without_an_end_is_told_before_it_fills_the_memory() {
        let key = SigningKey::from_seed("a".parse().unwrap(), &[1; 32]).unwrap();
        let note = key.sign("log\n1\n".to_owned()).unwrap();
        for endless in ["x", "x\n"] {
            let mut read = 0;
            let begun = io::Cursor::new(format!("{note}\n\n"));
            let endless = endless.as_bytes().iter().copied().cycle();
            let mut notes = Notes::of(begun.chain(Endless {
                bytes: endless,
                read: &mut read,
            }));
            assert_eq!(notes.next().unwrap().unwrap(), note);
            let told = notes.next().unwrap().unwrap_err();
            assert_eq!(told.kind(), io::ErrorKind::InvalidData);
            assert!(notes.next().is_none());
            assert!(read <= 2 * TAIL_BYTES, "{read} bytes were read");
        }
    }

    /// Gives bytes for as long as somebody asks, up to what a test may take.
    struct Endless<'a, B> {
        bytes: B,
        read: &'a mut u64,
    }

    impl<B: Iterator<Item = u8>> Read for Endless<'_, B> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if *self.read > 64 << 20 {
                return Ok(0);
            }
            for (into, byte) in into.iter_mut().zip(&mut self.bytes) {
                *into = byte;
            }
            *self.read += into.len() as u64;
            Ok(into.len())
        }
    }
}
