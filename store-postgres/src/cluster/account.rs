//! The operating-system account that runs the server.

use std::{
    env,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, User};

use super::error::ClusterError;

/// The account every process of PostgreSQL runs as.
///
/// It is our own, unless we are root: PostgreSQL refuses to run as root, so root's server runs as
/// an unprivileged account that owns the data and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
    name: String,
    /// We are root, and this is someone else.
    stepped_down: bool,
}

impl Account {
    /// The account for a cluster that does not exist yet.
    pub(super) fn unprivileged() -> Result<Self, ClusterError> {
        let uid = Uid::effective();
        if !uid.is_root() {
            let (uid, gid) = (uid.as_raw(), Gid::effective().as_raw());
            return Ok(Self {
                uid,
                gid,
                name: uid.to_string(),
                stepped_down: false,
            });
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                name: user.name,
                stepped_down: true,
            })
            .ok_or(ClusterError::NoAccount)
    }

    /// The account for the cluster in a folder, which may not exist yet.
    ///
    /// Data that exists decides: PostgreSQL runs only as the owner of its data, and which account
    /// root would pick today may differ from the one that made the data.
    pub(super) fn for_cluster(cluster_folder: &Path) -> Result<Self, ClusterError> {
        let preferred = Self::unprivileged()?;
        let exists = cluster_folder.try_exists().map_err(ClusterError::io(
            "look for the cluster folder",
            cluster_folder,
        ))?;
        if !exists {
            return Ok(preferred);
        }
        let found = cluster_folder
            .metadata()
            .map_err(ClusterError::io("read the owner of", cluster_folder))?;
        if found.uid() == preferred.uid {
            return Ok(preferred);
        }
        if !preferred.stepped_down || found.uid() == 0 {
            return Err(ClusterError::ForeignData {
                cluster_folder: cluster_folder.to_owned(),
                owner: found.uid(),
            });
        }
        Ok(Self {
            uid: found.uid(),
            gid: found.gid(),
            name: found.uid().to_string(),
            stepped_down: true,
        })
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the account is not the one this program runs as.
    pub(super) fn is_stepped_down(&self) -> bool {
        self.stepped_down
    }

    /// A command that runs a program as this account, apart from us.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // The server outlives us, and its environment is readable by its owner: it gets none of
        // ours, where passwords may stand, and none of the PG* variables that would steer it.
        command.env_clear().env("LC_ALL", "C");
        for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        // Our own working folder may be closed to the account.
        command.current_dir("/").stdin(Stdio::null());
        // Ctrl-C in a terminal goes to the whole foreground group. What becomes of the server is
        // this program's decision, so nothing we run for it shall hear that signal.
        command.process_group(0);
        if self.stepped_down {
            // Setting the user as root also drops root's supplementary groups.
            command.gid(self.gid).uid(self.uid);
        }
        command
    }

    /// Hands a file or folder over to the account.
    pub(super) fn give(&self, path: &Path) -> Result<(), ClusterError> {
        if !self.stepped_down {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid))
            .map_err(ClusterError::io("change the owner of", path))
    }

    /// Whether the account may enter a folder with this mode and owner.
    pub(super) fn may_enter(&self, mode: u32, uid: u32, gid: u32) -> bool {
        let bit = match () {
            () if uid == self.uid => 0o100,
            () if gid == self.gid => 0o010,
            () => 0o001,
        };
        mode & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entering_takes_the_bit_of_the_first_class_that_fits() {
        let account = Account {
            uid: 7,
            gid: 8,
            name: "x".to_owned(),
            stepped_down: true,
        };
        assert!(account.may_enter(0o100, 7, 8));
        assert!(
            !account.may_enter(0o011, 7, 8),
            "an owner has only the owner's bit"
        );
        assert!(account.may_enter(0o010, 0, 8));
        assert!(
            !account.may_enter(0o001, 0, 8),
            "a group member has only the group's bit"
        );
        assert!(account.may_enter(0o711, 0, 0));
        assert!(!account.may_enter(0o700, 0, 0));
    }

    #[test]
    fn root_never_runs_the_server_itself() {
        let account = Account::unprivileged().expect("an account");
        assert_ne!(account.uid(), 0);
        assert_eq!(account.is_stepped_down(), Uid::effective().is_root());
    }
}
