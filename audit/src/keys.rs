//! The keys of a log or a witness, in a folder.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use folio_proofs::note::{InvalidVerifyingKey, KeyError, KeyName, SigningKey, VerifyingKey};
use thiserror::Error;

use crate::trusted::TrustedLog;

/// By which key a log is signed from now on, and whose checkpoints of it are believed.
///
/// A folder has two files. `secret` is the key that signs, which nobody but its owner may read. `public` is for everybody:
/// the public halves of all keys that ever signed, one a line. To replace the key, delete `secret`: a new one is made, and
/// what the old one has signed is still believed.
#[derive(Debug, Clone)]
pub struct LogKeys {
    /// The key that signs.
    pub signing: Arc<SigningKey>,
    /// The log that is called as the key is, with all keys that are believed.
    pub log: TrustedLog,
}

/// Why there are no keys.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogKeysError {
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the secret.
    #[error("{} can be read by others; run chmod 600 on it, and delete it if they may have, for a new one to be made", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The secret is none.
    #[error("{} holds no signing key of this name; put the right one there, or delete it for a new one to be made", path.display())]
    NotASecret {
        /// The file.
        path: PathBuf,
    },
    /// A line is no public key.
    #[error("line {line} of {} is no public key", path.display())]
    NotPublic {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: InvalidVerifyingKey,
    },
    /// There is no public key.
    #[error("{} holds no public key; whoever signs writes it when it starts", path.display())]
    NoneKnown {
        /// The file.
        path: PathBuf,
    },
    /// No key can be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl LogKeys {
    /// The file with the key that signs.
    pub const SECRET_FILE: &str = "secret";
    /// The file with the public keys.
    pub const PUBLIC_FILE: &str = "public";

    /// The keys in this folder, of the log of this name. A key is made where there is none.
    ///
    /// Several processes may ask at once: all get the same key.
    ///
    /// # Errors
    ///
    /// [`LogKeysError`].
    pub fn in_folder(folder: &Path, name: &KeyName) -> Result<Self, LogKeysError> {
        let signing = Arc::new(signing_key(folder, name)?);
        let keys = publish(folder, signing.verifying_key())?;
        let path = folder.join(Self::PUBLIC_FILE);
        let log = trusted(name, &keys).ok_or(LogKeysError::NoneKnown { path })?;
        Ok(Self { signing, log })
    }

    /// The public keys in this file, one a line. Empty lines and those that begin with `#` are none.
    ///
    /// # Errors
    ///
    /// [`LogKeysError`], also when there is none.
    pub fn public(path: &Path) -> Result<Vec<VerifyingKey>, LogKeysError> {
        public(path)
    }

    /// The log whose public keys are in this file. It is called as the first of them is.
    ///
    /// # Errors
    ///
    /// [`LogKeysError`].
    pub fn trusted(path: &Path) -> Result<TrustedLog, LogKeysError> {
        let keys = Self::public(path)?;
        let log = keys.first().and_then(|key| trusted(key.name(), &keys));
        log.ok_or_else(|| LogKeysError::NoneKnown {
            path: path.to_owned(),
        })
    }
}

/// The key that signs, in this folder. It is made where there is none.
pub(crate) fn signing_key(folder: &Path, name: &KeyName) -> Result<SigningKey, LogKeysError> {
    let secret = folder.join(LogKeys::SECRET_FILE);
    if !secret.exists() {
        fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        make(&secret, name)?;
    }
    read_secret(&secret, name)
}

/// Writes a public key into this folder, below those of before. Answers with all of them.
pub(crate) fn publish<K>(folder: &Path, key: &K) -> Result<Vec<K>, LogKeysError>
where
    K: FromStr<Err = InvalidVerifyingKey> + Display + Clone + PartialEq,
{
    let public = folder.join(LogKeys::PUBLIC_FILE);
    let mut keys = match read_public(&public) {
        Ok(keys) => keys,
        Err(LogKeysError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    if !keys.contains(key) {
        keys.push(key.clone());
        let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
        let written = write_beside(&public, lines.as_bytes(), 0o644)?;
        fs::rename(&written, &public).map_err(|source| failed(&public, source))?;
    }
    Ok(keys)
}

/// The public keys in this file, of which there must be one.
pub(crate) fn public<K>(path: &Path) -> Result<Vec<K>, LogKeysError>
where
    K: FromStr<Err = InvalidVerifyingKey>,
{
    let keys = read_public(path)?;
    if keys.is_empty() {
        let path = path.to_owned();
        return Err(LogKeysError::NoneKnown { path });
    }
    Ok(keys)
}

fn trusted(name: &KeyName, keys: &[VerifyingKey]) -> Option<TrustedLog> {
    let (first, others) = keys.split_first()?;
    let log = TrustedLog::new(name.into(), first.clone());
    Some(
        others
            .iter()
            .fold(log, |log, key| log.also_signed_by(key.clone())),
    )
}

fn read_secret(path: &Path, name: &KeyName) -> Result<SigningKey, LogKeysError> {
    let mode = fs::metadata(path)
        .map_err(|source| failed(path, source))?
        .permissions()
        .mode();
    let path_buf = path.to_owned();
    if mode & 0o077 != 0 {
        return Err(LogKeysError::Exposed { path: path_buf });
    }
    let text = fs::read_to_string(path).map_err(|source| failed(path, source))?;
    let key: Option<SigningKey> = text.trim().parse().ok();
    key.filter(|key| key.name() == name)
        .ok_or(LogKeysError::NotASecret { path: path_buf })
}

fn read_public<K>(path: &Path) -> Result<Vec<K>, LogKeysError>
where
    K: FromStr<Err = InvalidVerifyingKey>,
{
    let text = fs::read_to_string(path).map_err(|source| failed(path, source))?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    keys.map(|(line, text)| {
        text.parse().map_err(|source| LogKeysError::NotPublic {
            path: path.to_owned(),
            line,
            source,
        })
    })
    .collect()
}

/// Makes a key, unless somebody else makes one at the same time.
fn make(path: &Path, name: &KeyName) -> Result<(), LogKeysError> {
    let text = SigningKey::generate(name.clone())?.secret_text()?;
    let written = write_beside(path, format!("{text}\n").as_bytes(), 0o600)?;
    // Other than a rename, this leaves a key that is there. It comes whole or not at all.
    let linked = fs::hard_link(&written, path);
    let removed = fs::remove_file(&written);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => removed,
    }
    .map_err(|source| failed(path, source))
}

/// Writes a file beside this one, of a name that nobody else has.
fn write_beside(path: &Path, text: &[u8], mode: u32) -> Result<PathBuf, LogKeysError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("{}-{number}.new", std::process::id()));
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(&beside)?;
        file.write_all(text)?;
        file.sync_all()
    };
    write().map_err(|source| failed(&beside, source))?;
    Ok(beside)
}

fn failed(path: &Path, source: io::Error) -> LogKeysError {
    LogKeysError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name() -> KeyName {
        "ledger.example/a".parse().unwrap()
    }

    #[test]
    fn all_who_ask_at_once_get_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("sealer");
        let ask = || LogKeys::in_folder(&below, &name()).unwrap().signing;
        let keys: BTreeSet<String> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            let keys = asking.into_iter().map(|one| one.join().unwrap());
            keys.map(|key| key.verifying_key().to_string()).collect()
        });
        assert_eq!(keys.len(), 1);
        let public = LogKeys::public(&below.join(LogKeys::PUBLIC_FILE)).unwrap();
        assert_eq!(public.len(), 1);
        assert!(keys.contains(&public[0].to_string()));
    }

    #[test]
    fn what_the_key_of_before_has_signed_is_still_believed() {
        let folder = tempfile::tempdir().unwrap();
        let before = LogKeys::in_folder(folder.path(), &name()).unwrap();
        fs::remove_file(folder.path().join(LogKeys::SECRET_FILE)).unwrap();
        let after = LogKeys::in_folder(folder.path(), &name()).unwrap();
        assert_ne!(
            before.signing.verifying_key(),
            after.signing.verifying_key()
        );
        let public = LogKeys::public(&folder.path().join(LogKeys::PUBLIC_FILE)).unwrap();
        let both = [before.signing, after.signing].map(|key| key.verifying_key().clone());
        assert_eq!(public, both);
    }

    #[test]
    fn a_secret_that_others_can_read_or_that_is_of_another_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        LogKeys::in_folder(folder.path(), &name()).unwrap();
        let other = LogKeys::in_folder(folder.path(), &"ledger.example/b".parse().unwrap());
        assert!(matches!(other, Err(LogKeysError::NotASecret { .. })));
        let secret = folder.path().join(LogKeys::SECRET_FILE);
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
        let exposed = LogKeys::in_folder(folder.path(), &name());
        assert!(matches!(exposed, Err(LogKeysError::Exposed { .. })));
    }

    #[test]
    fn a_line_that_is_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("public");
        fs::write(&path, "# the keys\n\nnone\n").unwrap();
        let refused = LogKeys::public(&path).unwrap_err();
        assert!(matches!(refused, LogKeysError::NotPublic { line: 3, .. }));
        fs::write(&path, "# none yet\n").unwrap();
        let empty = LogKeys::public(&path).unwrap_err();
        assert!(matches!(empty, LogKeysError::NoneKnown { .. }));
    }
}
