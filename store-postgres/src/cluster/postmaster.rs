//! Telling whether a server runs in a cluster folder, and which process it is.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{error::ClusterError, process};

/// A running server, as its `postmaster.pid` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: i32,
    pub(super) port: u16,
    /// Empty while the server has not yet opened its socket.
    pub(super) socket_folder: PathBuf,
    /// It has finished starting and is not stopping.
    pub(super) is_ready: bool,
}

impl Postmaster {
    /// Finds the server of a cluster folder, or `None` if none runs there.
    ///
    /// The file alone proves nothing: a server that was killed leaves it behind, and its number
    /// may since have gone to any other process, which must never be sent a signal.
    pub(super) fn find(cluster_folder: &Path) -> Result<Option<Self>, ClusterError> {
        let pid_file = cluster_folder.join("postmaster.pid");
        let text = match fs::read_to_string(&pid_file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(ClusterError::io("read", &pid_file))?,
        };
        let Some(found) = Self::parse(&text) else {
            // Half written: by a server that is just starting or died at it. Either way PostgreSQL
            // itself decides when one is started.
            return Ok(None);
        };
        let Some(process) = process::look(found.pid) else {
            return Ok(None);
        };
        let folder = cluster_folder.display().to_string();
        if process.command_line.contains("postgres") && process.command_line.contains(&folder) {
            return Ok(Some(found));
        }
        let owner = cluster_folder.metadata().map(|it| it.uid());
        if owner.is_ok_and(|owner| owner != process.uid) {
            // PostgreSQL sees that it cannot be one of its own, and starts.
            return Ok(None);
        }
        // PostgreSQL would refuse to start. Deleting the file for the user would be wrong: it also
        // guards against children of a killed server that still write to the data.
        Err(ClusterError::PidTaken {
            pid_file,
            pid: found.pid,
        })
    }

    /// The dead server that a cluster folder's file still names, if it is not collected yet.
    pub(super) fn uncollected(cluster_folder: &Path) -> Option<i32> {
        let text = fs::read_to_string(cluster_folder.join("postmaster.pid")).ok()?;
        Self::parse(&text)
            .map(|it| it.pid)
            .filter(|pid| process::is_uncollected(*pid))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
        let mut lines = lines.skip(2);
        let port = lines.next()?.trim().parse().ok()?;
        let socket_folder = lines.next().unwrap_or_default().into();
        let is_ready = lines.nth(2).is_some_and(|status| status.trim() == "ready");
        Some(Self {
            pid,
            port,
            socket_folder,
            is_ready,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_from_its_file() {
        let text = "71\n/d/pg15\n1700000000\n5432\n/d/run\n\n 123 456\nready   \n";
        let postmaster = Postmaster::parse(text).expect("a server");
        let socket_folder = PathBuf::from("/d/run");
        assert_eq!(
            postmaster,
            Postmaster {
                pid: 71,
                port: 5432,
                socket_folder,
                is_ready: true
            }
        );
        let starting = text.replace("ready   ", "starting");
        assert!(!Postmaster::parse(&starting).expect("a server").is_ready);
    }

    #[test]
    fn half_a_file_and_a_single_user_server_are_not_one() {
        assert_eq!(Postmaster::parse(""), None);
        assert_eq!(Postmaster::parse("71\n/d/pg15\n"), None);
        assert_eq!(
            Postmaster::parse("-71\n/d/pg15\n1700000000\n5432\n/d/run\n"),
            None
        );
    }

    #[test]
    fn a_number_that_went_to_another_process_is_not_the_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = std::process::id();
        let file = folder.path().join("postmaster.pid");
        fs::write(&file, format!("{ours}\n/d\n1700000000\n5432\n/d\n")).expect("a file");
        let error = Postmaster::find(folder.path()).expect_err("taken");
        assert!(matches!(error, ClusterError::PidTaken { .. }), "{error}");
    }
}
