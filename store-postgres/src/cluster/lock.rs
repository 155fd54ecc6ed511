//! The lock on a data folder.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process,
};

use nix::fcntl::OFlag;

use super::{account::Account, error::ClusterError};

/// The right to manage a data folder, which one program at a time has.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl FolderLock {
    pub(super) fn take(data_folder: &Path, account: &Account) -> Result<Self, ClusterError> {
        let path = data_folder.join("folio.lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .map_err(ClusterError::io("open the lock file", &path))?;
        // A lock of the kernel's, not a file that merely exists: it goes when its holder dies,
        // however that happens, and never has to be guessed stale.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                return Err(ClusterError::InUse {
                    data_folder: data_folder.to_owned(),
                    pid: read.ok().and_then(|_| holder.trim().parse().ok()),
                });
            }
            Err(TryLockError::Error(error)) => {
                return Err(ClusterError::io("lock", &path)(error));
            }
        }
        // Root may manage a cluster of the account's now and then: the account must still get in.
        account.give(&path)?;
        // For the message above; the lock is the file's, not the number's.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", process::id()))
            .map_err(ClusterError::io("write", &path))?;
        Ok(Self(file))
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing alone would be late: a child that another thread is starting right now shares
        // the open file until it has become its program.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_one_programs_and_names_it() {
        let root = tempfile::tempdir().expect("a folder");
        let account = Account::unprivileged().expect("an account");
        let lock = FolderLock::take(root.path(), &account).expect("the lock");
        let error = FolderLock::take(root.path(), &account).expect_err("taken");
        let ClusterError::InUse { pid, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(pid, Some(process::id()));
        drop(lock);
        FolderLock::take(root.path(), &account).expect("the lock again");
    }
}
