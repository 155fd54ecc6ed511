//! Checkpoints in a file.
//!
//! ```text
//! file   = { record }
//! record = note %x0a %x0a
//!        | part-of-a-record "(cut off)" %x0a %x0a %x0a
//! ```
//!
//! A note has one blank line and ends its last one, so two blank lines stand between two notes only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use folio_proofs::merkle::ConsistencyProof;
use folio_proofs::note::SignedNote;
use tokio::task::spawn_blocking;

use super::records::FileRecords;
use super::{Anchor, AnchorError, Records};
use crate::checkpoints::LogState;

/// With what a record ends: the last line's end, and two blank lines.
pub(super) const END: &str = "\n\n\n";
/// Ends a record that a crash has cut off before it was appended.
pub(super) const CUT_OFF: &str = "(cut off)";
/// From how far before its end the file is read: more than a checkpoint has with all of its signatures.
pub(super) const TAIL_BYTES: u64 = 64 * 1024;

/// Checkpoints in a file that is only appended to, best on another machine's disk.
///
/// Several processes may have the same one. That nobody else changes it is up to the system, for example by
/// `chattr +a`.
#[derive(Debug, Clone)]
pub struct FileAnchor {
    path: Arc<Path>,
}

impl FileAnchor {
    /// The anchor in this file, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`AnchorError`], when it can neither be opened nor made.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, AnchorError> {
        let anchor = Self::at(path);
        anchor.blocking(make).await?;
        Ok(anchor)
    }

    /// The anchor in this file, of a log that was begun or was not. Once it was begun the file is not made: one that is gone would
    /// otherwise begin anew, and nobody would miss what it had. Who wants that makes it an empty file.
    ///
    /// # Errors
    ///
    /// [`AnchorError`].
    pub async fn of(path: impl Into<PathBuf>, log: LogState) -> Result<Self, AnchorError> {
        match log {
            LogState::NotBegun => Self::open(path).await,
            LogState::Begun => Self::existing(path).await,
        }
    }

    async fn existing(path: impl Into<PathBuf>) -> Result<Self, AnchorError> {
        let anchor = Self::at(path);
        let is_there = anchor.blocking(|path| path.try_exists()).await?;
        if is_there {
            Ok(anchor)
        } else {
            let anchor = anchor.place();
            Err(AnchorError::Gone { anchor })
        }
    }

    /// The anchor in this file, to read it. It is not made.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = Arc::from(path.into());
        Self { path }
    }

    /// Appends a note, whatever it says. When this returns, it is on the disk.
    ///
    /// # Errors
    ///
    /// [`AnchorError`]; it may be appended all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it to be appended.
    pub async fn keep(&self, note: &SignedNote) -> Result<(), AnchorError> {
        let note = note.to_string();
        self.blocking(move |path| append(path, &note)).await
    }

    /// Files are read and written on threads that may wait.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, AnchorError> {
        let path = Arc::clone(&self.path);
        let done = spawn_blocking(move || work(&path)).await;
        done.unwrap_or_else(|ended| Err(io::Error::other(ended)))
            .map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: io::Error) -> AnchorError {
        let anchor = self.path.display().to_string();
        let is_damaged = error.kind() == io::ErrorKind::InvalidData;
        let source = error.into();
        if is_damaged {
            AnchorError::Damaged { anchor, source }
        } else {
            AnchorError::Unreachable { anchor, source }
        }
    }
}

#[async_trait]
impl Anchor for FileAnchor {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    async fn last(&self) -> Result<Option<SignedNote>, AnchorError> {
        self.blocking(last).await
    }

    async fn append(
        &self,
        note: &SignedNote,
        _growth: &ConsistencyProof,
    ) -> Result<(), AnchorError> {
        self.keep(note).await
    }

    async fn records(&self) -> Result<Records, AnchorError> {
        Ok(Box::new(FileRecords::read(self.clone()).await?))
    }
}

fn make(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o644);
    options.open(path)?.sync_all()?;
    // The file's name is kept by its folder.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn last(path: &Path) -> io::Result<Option<SignedNote>> {
    // It is not made again where it is gone: what it has held is missed.
    let mut file = File::open(path)?;
    file.lock_shared()?;
    let (tail, is_all) = tail(&mut file)?;
    // What stands behind the last end is being written, or was when a crash came, and has not been appended.
    let mut records = tail.rsplit(END).skip(1).peekable();
    while let Some(record) = records.next() {
        if record.ends_with(CUT_OFF) {
            continue;
        }
        if records.peek().is_none() && !is_all {
            break;
        }
        let note = SignedNote::parse(format!("{record}\n"));
        return note.map(Some).map_err(damaged);
    }
    if is_all {
        return Ok(None);
    }
    Err(damaged(format!(
        "there is no checkpoint in its last {TAIL_BYTES} bytes"
    )))
}

fn append(path: &Path, note: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    file.lock()?;
    let (tail, _) = tail(&mut file)?;
    let is_whole = tail.is_empty() || tail.ends_with(END);
    let before = if is_whole {
        String::new()
    } else {
        // Without a newline, which could end the record before this.
        format!("{CUT_OFF}{END}")
    };
    // In one piece, so that a reader on another machine sees little of what is half-written.
    file.write_all(format!("{before}{note}\n\n").as_bytes())?;
    file.sync_all()
}

/// The end of a file, and whether that is all of it.
fn tail(file: &mut File) -> io::Result<(String, bool)> {
    let length = file.metadata()?.len();
    let begin = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // It may begin in the midst of a character, before the record that is looked for.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok((text, begin == 0))
}

pub(super) fn damaged(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use folio_proofs::note::SigningKey;
    use tempfile::TempDir;

    use super::*;

    struct Fixture {
        folder: TempDir,
        key: SigningKey,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
                key: SigningKey::from_seed("a".parse().unwrap(), &[1; 32]).unwrap(),
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("checkpoints")
        }

        async fn open(&self) -> FileAnchor {
            FileAnchor::open(self.path()).await.unwrap()
        }

        fn note(&self, number: u32) -> SignedNote {
            self.key.sign(format!("log\n{number}\n")).unwrap()
        }
    }

    #[tokio::test]
    async fn the_last_checkpoint_comes_back_after_all_before_it_were_kept() {
        let fixture = Fixture::new();
        let anchor = fixture.open().await;
        assert_eq!(anchor.last().await.unwrap(), None);
        let mut expected = String::new();
        for number in 0..400 {
            let note = fixture.note(number);
            anchor.keep(&note).await.unwrap();
            expected.push_str(&format!("{note}\n\n"));
            let anchor = fixture.open().await;
            assert_eq!(anchor.last().await.unwrap(), Some(note));
        }
        let text = fs::read_to_string(fixture.path()).unwrap();
        assert_eq!(text, expected);
        assert!(
            text.len() as u64 > TAIL_BYTES / 2,
            "the file is long enough to matter"
        );
    }

    #[tokio::test]
    async fn a_file_that_is_longer_than_what_is_read_of_it_has_a_last_checkpoint() {
        let fixture = Fixture::new();
        let anchor = fixture.open().await;
        let record = format!("{}\n\n", fixture.note(1));
        fs::write(fixture.path(), record.repeat(2_000)).unwrap();
        assert!(fs::metadata(fixture.path()).unwrap().len() > 2 * TAIL_BYTES);
        assert_eq!(anchor.last().await.unwrap(), Some(fixture.note(1)));
        anchor.keep(&fixture.note(2)).await.unwrap();
        assert_eq!(anchor.last().await.unwrap(), Some(fixture.note(2)));
    }

    #[tokio::test]
    async fn what_a_crash_has_cut_off_is_passed_over() {
        let fixture = Fixture::new();
        let whole = format!("{}\n\n", fixture.note(1));
        let second = format!("{}\n\n", fixture.note(2));
        for cut in 0..second.len() {
            let anchor = fixture.open().await;
            let torn = [whole.as_bytes(), &second.as_bytes()[..cut]].concat();
            fs::write(fixture.path(), torn).unwrap();
            assert_eq!(anchor.last().await.unwrap(), Some(fixture.note(1)), "{cut}");
            anchor.keep(&fixture.note(3)).await.unwrap();
            assert_eq!(anchor.last().await.unwrap(), Some(fixture.note(3)), "{cut}");
            // Behind another cut, it is looked for before both.
            let kept = fs::read(fixture.path()).unwrap();
            let third = fixture.note(3).to_string().len() + 2;
            fs::write(fixture.path(), &kept[..kept.len() - third]).unwrap();
            let last = anchor.last().await.unwrap();
            assert_eq!(last, Some(fixture.note(1)), "{cut}");
        }
    }

    #[tokio::test]
    async fn something_else_in_the_file_is_refused() {
        let fixture = Fixture::new();
        let anchor = fixture.open().await;
        for content in [
            format!("{}\n\nhello\n\n\n", fixture.note(1)),
            format!("{}\n\n", "x".repeat(100_000)),
            format!("{}\n\n\n", "x".repeat(100_000)),
        ] {
            fs::write(fixture.path(), content).unwrap();
            let refused = anchor.last().await.unwrap_err();
            assert!(matches!(refused, AnchorError::Damaged { .. }), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_not_made_again() {
        let fixture = Fixture::new();
        let anchor = fixture.open().await;
        fs::remove_file(fixture.path()).unwrap();
        let refused = anchor.keep(&fixture.note(1)).await.unwrap_err();
        assert!(
            matches!(refused, AnchorError::Unreachable { .. }),
            "{refused}"
        );
        assert!(anchor.last().await.is_err());
        assert!(!fixture.path().exists());
    }

    #[tokio::test]
    async fn a_file_that_is_gone_at_the_start_is_made_for_a_new_log_alone() {
        let fixture = Fixture::new();
        let open = |log| FileAnchor::of(fixture.path(), log);
        let refused = open(LogState::Begun).await.unwrap_err();
        assert!(matches!(refused, AnchorError::Gone { .. }), "{refused}");
        let path = fixture.path().display().to_string();
        assert!(refused.to_string().contains(&path), "{refused}");
        assert!(!fixture.path().exists());
        // Whoever means it says so.
        fs::write(fixture.path(), "").unwrap();
        open(LogState::Begun).await.unwrap();
        fs::remove_file(fixture.path()).unwrap();

        let first = open(LogState::NotBegun).await.unwrap();
        first.keep(&fixture.note(1)).await.unwrap();
        for log in [LogState::Begun, LogState::NotBegun] {
            let again = open(log).await.unwrap();
            assert_eq!(again.last().await.unwrap(), Some(fixture.note(1)));
        }
    }

    #[tokio::test]
    async fn everybody_may_read_it_and_only_its_owner_may_write() {
        let fixture = Fixture::new();
        fixture.open().await;
        let mode = fs::metadata(fixture.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o044, 0o600);
        assert_eq!(mode & 0o022, 0);
    }
}
