//! The server's log: made for its account, quoted in errors, kept from growing without end.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::OFlag;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::interval,
};
use tracing::warn;

use super::{account::Account, error::ClusterError};

/// The file the server writes its messages to.
#[derive(Debug, Clone)]
pub(super) struct ServerLog {
    path: PathBuf,
}

impl ServerLog {
    pub(super) fn new(data_folder: &Path) -> Self {
        Self {
            path: data_folder.join("postgres.log"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file writable for the account, which may make none in our folder.
    pub(super) fn prepare(&self, account: &Account) -> Result<(), ClusterError> {
        self.open_own()
            .map_err(ClusterError::io("make the log", &self.path))?;
        account.give(&self.path)
    }

    /// How much has been logged: a mark for [`tail_since`](Self::tail_since).
    pub(super) fn mark(&self) -> u64 {
        self.path.metadata().map_or(0, |it| it.len())
    }

    /// The last lines logged since a mark.
    pub(super) fn tail_since(&self, mark: u64) -> String {
        let text = self
            .read_tail(mark)
            .unwrap_or_else(|error| error.to_string());
        let lines = text.lines().collect::<Vec<_>>();
        let skipped = lines.len().saturating_sub(TAIL_LINES);
        let tail = lines
            .into_iter()
            .skip(skipped)
            .collect::<Vec<_>>()
            .join("\n");
        if tail.is_empty() {
            "(nothing)".to_owned()
        } else {
            tail
        }
    }

    /// Keeps the log bounded for as long as the returned set lives: a set ends its tasks when it
    /// is dropped.
    ///
    /// The server could rotate its log itself, but by age only: its limit on size starts a file
    /// of another name, and nothing deletes the old ones.
    pub(super) fn keep_bounded(&self) -> JoinSet<()> {
        let log = self.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut ticks = interval(LOOK_EVERY);
            loop {
                ticks.tick().await;
                let log = log.clone();
                // A panic in there is reported by the panic hook; the next look tries again.
                let _ = spawn_blocking(move || log.trim_or_warn()).await;
            }
        });
        tasks
    }

    fn trim_or_warn(&self) {
        if let Err(error) = self.trim(BYTES_MAX) {
            warn!(%error, log = %self.path.display(), "could not shorten the server's log");
        }
    }

    /// Moves what was logged to one older file if it is more than so many bytes.
    fn trim(&self, bytes_max: u64) -> io::Result<()> {
        if self.mark() <= bytes_max {
            return Ok(());
        }
        // The server holds the file open to append, so it has to be emptied in place: a rename
        // would take the server's writes along. A line logged between the copy and the cut is
        // lost, which a log of diagnostics can bear.
        let older = self.path.with_extension("log.older");
        match fs::remove_file(&older) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut log = self.open_own()?;
        let mut copy = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(older)?;
        io::copy(&mut (&mut log).take(bytes_max.saturating_mul(2)), &mut copy)?;
        log.set_len(0)
    }

    fn open_own(&self) -> io::Result<File> {
        File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            // As root we must not be led elsewhere.
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&self.path)
    }

    fn read_tail(&self, mark: u64) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let mark = if mark > length { 0 } else { mark };
        file.seek(SeekFrom::Start(mark.max(length.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

const TAIL_BYTES: u64 = 8 * 1024;
const TAIL_LINES: usize = 20;
const BYTES_MAX: u64 = 8 * 1024 * 1024;
const LOOK_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_tail_is_what_came_after_the_mark() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = ServerLog::new(folder.path());
        assert_eq!(log.mark(), 0);
        fs::write(log.path(), "old\n").expect("to log");
        let mark = log.mark();
        assert_eq!(log.tail_since(mark), "(nothing)");
        fs::write(log.path(), format!("old\n{}last\n", "x\n".repeat(30))).expect("to log");
        let tail = log.tail_since(mark);
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("x\nlast"), "{tail}");
    }

    #[test]
    fn a_long_log_is_emptied_under_the_writers_hands() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = ServerLog::new(folder.path());
        let mut writer = log.open_own().expect("the log");
        writer.write_all(b"first\n").expect("to log");
        log.trim(100).expect("to look");
        assert_eq!(log.mark(), 6, "short enough");
        log.trim(5).expect("to shorten");
        writer.write_all(b"second\n").expect("to log");
        let older = log.path().with_extension("log.older");
        assert_eq!(
            fs::read_to_string(older).expect("the older file"),
            "first\n"
        );
        assert_eq!(fs::read_to_string(log.path()).expect("the log"), "second\n");
    }
}
