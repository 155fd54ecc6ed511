//! A file for a log, of which no more is kept than there is room for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// When it is longer it is set aside, and the one that was set aside before is gone.
const BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// What the one that was set aside is called, behind the file's own name.
const OLDER: &str = ".older";

/// A file for a log, at whose end is written. Past 64 MiB it is set aside as `NAME.older`, in whose place: so the last 64 MiB and more
/// are kept, and 128 MiB at most.
///
/// It has one writer at a time: of several, all but one would go on in what was set aside.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl LogFile {
    /// Opens it, or makes it.
    ///
    /// # Errors
    ///
    /// When that cannot be.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::with_bytes_max(path, BYTES_MAX)
    }

    fn with_bytes_max(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let file = opened(path)?;
        Ok(Self {
            path: path.to_owned(),
            bytes: file.metadata()?.len(),
            file,
            bytes_max,
        })
    }

    fn set_aside(&mut self) -> io::Result<()> {
        let mut older = OsString::from(&self.path);
        older.push(OLDER);
        fs::rename(&self.path, older)?;
        self.file = opened(&self.path)?;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        let more = u64::try_from(written).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(more);
        Ok(written)
    }

    /// What was written so far ends with a whole line.
    fn flush(&mut self) -> io::Result<()> {
        if self.bytes > self.bytes_max {
            // Where it cannot be, all is written on as before, and it is tried again as much later.
            self.bytes = 0;
            if let Err(error) = self.set_aside() {
                let file = self.path.display();
                tracing::warn!(%error, %file, "a log cannot be set aside, and grows on");
            }
        }
        Ok(())
    }
}

fn opened(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_not_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let older = folder.path().join("access.log.older");
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let mut written = String::new();
        for number in 0..100 {
            // Opened anew each time, as by a process that is started again.
            let mut file = LogFile::with_bytes_max(&path, 50).unwrap();
            let line = format!("line {number}\n");
            file.write_all(line.as_bytes()).unwrap();
            file.flush().unwrap();
            written.push_str(&line);
            let kept = read(&older) + &read(&path);
            assert!(written.ends_with(&kept), "{kept}");
            assert!(kept.len() <= 120 && kept.len() >= written.len().min(50));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_set_aside_is_written_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        // What stands in the way has something in it, so that it cannot be replaced.
        fs::create_dir_all(folder.path().join("access.log.older/x")).unwrap();
        let mut file = LogFile::with_bytes_max(&path, 10).unwrap();
        for _ in 0..5 {
            file.write_all(b"a line of it\n").unwrap();
            file.flush().unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 5);
    }
}
