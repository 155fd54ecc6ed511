//! The public keys of a file that changes while they are used.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::names::KeyId;
use super::public_keys::{PublicKey, PublicKeys};
use super::signing_key::KeyFileError;

/// How old what was read may become: for as long a key is believed that is in the file no more.
const FRESH: Duration = Duration::from_secs(60);
/// How often an id that is not there has the file read: anybody can make up ids.
const UNKNOWN_EACH: Duration = Duration::from_secs(1);

/// A JWK set in a file, read again when it is old, and when somebody names a key that it does not have.
///
/// Where it cannot be read any more, the keys of before are good: a service that knows nobody helps nobody.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    // The std mutex, and the file is read under it: it is short, and whoever else asks meanwhile would read the same.
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    keys: PublicKeys,
    read: Instant,
}

impl KeyFile {
    pub(super) fn open(path: &Path) -> Result<Self, KeyFileError> {
        let held = Held {
            keys: PublicKeys::from_file(path)?,
            read: Instant::now(),
        };
        Ok(Self {
            path: path.to_owned(),
            held: Mutex::new(held),
        })
    }

    /// The key of this id.
    pub(super) fn key(&self, id: &KeyId) -> Option<PublicKey> {
        // Nothing panics under this lock.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let good_for = match held.keys.key(id) {
            Some(_) => FRESH,
            None => UNKNOWN_EACH,
        };
        if held.read.elapsed() >= good_for {
            self.read_again(&mut held);
        }
        held.keys.key(id).cloned()
    }

    fn read_again(&self, held: &mut Held) {
        // Also where it fails, or each request would try.
        held.read = Instant::now();
        match PublicKeys::from_file(&self.path) {
            Ok(keys) => held.keys = keys,
            Err(error) => {
                let cause = folio_core::error_chain(&error);
                tracing::warn!(cause, "the keys of before are believed on");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::advance;

    use super::super::SigningKey;
    use super::*;

    const PUBLIC: &str = SigningKey::PUBLIC_FILE;

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_new_is_known_as_soon_as_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let first = SigningKey::in_folder(folder.path()).unwrap();
        let file = KeyFile::open(&folder.path().join(PUBLIC)).unwrap();
        fs::remove_file(folder.path().join(SigningKey::PRIVATE_FILE)).unwrap();
        let second = SigningKey::in_folder(folder.path()).unwrap();
        // It was read just before, and whoever makes up ids does not have it read each time.
        assert!(file.key(second.id()).is_none());
        advance(UNKNOWN_EACH).await;
        assert!(file.key(second.id()).is_some());
        assert!(file.key(first.id()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_gone_is_believed_no_longer_than_for_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let first = SigningKey::in_folder(folder.path()).unwrap();
        let file = KeyFile::open(&folder.path().join(PUBLIC)).unwrap();
        fs::remove_file(folder.path().join(SigningKey::PRIVATE_FILE)).unwrap();
        fs::remove_file(folder.path().join(PUBLIC)).unwrap();
        SigningKey::in_folder(folder.path()).unwrap();
        advance(FRESH - Duration::from_millis(1)).await;
        assert!(file.key(first.id()).is_some());
        advance(Duration::from_millis(1)).await;
        assert!(file.key(first.id()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_read_leaves_the_keys_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::in_folder(folder.path()).unwrap();
        let path = folder.path().join(PUBLIC);
        let file = KeyFile::open(&path).unwrap();
        for wrong in [Some("{"), None] {
            match wrong {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            advance(FRESH * 2).await;
            assert!(file.key(key.id()).is_some(), "{wrong:?}");
        }
    }
}
