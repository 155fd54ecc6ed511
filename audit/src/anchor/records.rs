//! All checkpoints in a file, one after the other.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Take};
#[cfg(feature = "witness")]
use std::io::{Seek as _, SeekFrom};

use folio_proofs::note::SignedNote;

use super::AnchorError;
use super::file::{CUT_OFF, END, FileAnchor, damaged};

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
pub(super) struct Notes<R>(BufReader<R>);

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
        Self(BufReader::new(file))
    }

    /// The next record without its end. What stands behind the last end was not appended.
    fn record(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut record = Vec::new();
        while self.0.read_until(b'\n', &mut record)? > 0 {
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
}
