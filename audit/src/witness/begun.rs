//! Which logs a witness has begun to see.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use folio_proofs::checkpoint::Origin;

use super::OpenWitnessError;
use crate::checkpoints::LogState;

/// The logs of which a witness has a file, by their names, one a line in a file of its own. The file of a log that is gone cannot
/// be told from that of a new log by anything else.
#[derive(Debug)]
pub(super) struct BegunLogs {
    path: PathBuf,
    origins: BTreeSet<String>,
}

impl BegunLogs {
    pub(super) fn read(folder: &Path) -> Result<Self, OpenWitnessError> {
        let path = folder.join("logs");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(OpenWitnessError::Begun { path, source }),
            Ok(text) => text,
        };
        let origins = text.lines().map(str::to_owned).collect();
        Ok(Self { path, origins })
    }

    pub(super) fn state(&self, log: &Origin) -> LogState {
        if self.origins.contains(log.as_str()) {
            LogState::Begun
        } else {
            LogState::NotBegun
        }
    }

    /// The file of this log is there.
    pub(super) fn add(&mut self, log: &Origin) -> Result<(), OpenWitnessError> {
        if self.origins.insert(log.as_str().to_owned()) {
            self.write().map_err(|source| OpenWitnessError::Begun {
                path: self.path.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        let lines: String = self.origins.iter().map(|log| format!("{log}\n")).collect();
        // Beside it first: a crash leaves the one or the other.
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use folio_proofs::note::SigningKey;
    use tempfile::TempDir;

    use super::super::{OpenWitnessError, Witness};
    use crate::trusted::TrustedLog;

    fn log(name: &str) -> TrustedLog {
        let key = SigningKey::from_seed(name.parse().unwrap(), &[1; 32]).unwrap();
        TrustedLog::new(key.name().into(), key.verifying_key().clone())
    }

    async fn open(folder: &TempDir, logs: &[&str]) -> Result<Witness, OpenWitnessError> {
        let name = "witness.example".parse().unwrap();
        Witness::open(folder.path(), &name, logs.iter().map(|name| log(name))).await
    }

    #[tokio::test]
    async fn a_witness_does_not_begin_anew_with_a_log_that_it_has_seen() {
        let folder = tempfile::tempdir().unwrap();
        open(&folder, &["log/a"]).await.unwrap();
        // Again, and with one more.
        open(&folder, &["log/a", "log/b"]).await.unwrap();
        let path = folder.path().join("log%2fa.checkpoints");
        std::fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            let refused = open(&folder, &["log/b", "log/a"]).await.unwrap_err();
            let OpenWitnessError::Gone { path: named } = &refused else {
                panic!("{refused}");
            };
            assert_eq!(named, &path);
            assert!(refused.to_string().contains("put it back"), "{refused}");
            assert!(!path.exists());
        }
        open(&folder, &["log/b"]).await.unwrap();
        std::fs::write(&path, "").unwrap();
        open(&folder, &["log/a"]).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_witness_of_before_has_seen_is_written_down_when_it_starts() {
        let folder = tempfile::tempdir().unwrap();
        open(&folder, &["log/a"]).await.unwrap();
        std::fs::remove_file(folder.path().join("logs")).unwrap();
        open(&folder, &["log/a"]).await.unwrap();
        std::fs::remove_file(folder.path().join("log%2fa.checkpoints")).unwrap();
        let refused = open(&folder, &["log/a"]).await.unwrap_err();
        assert!(
            matches!(refused, OpenWitnessError::Gone { .. }),
            "{refused}"
        );
    }
}
