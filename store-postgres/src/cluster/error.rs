//! What can go wrong with a local cluster, each error with what to do about it.

use std::{fmt::Write as _, io, path::PathBuf};

use thiserror::Error;

/// Why a local cluster could not be started, reached or stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No folder of this machine holds `initdb`, `pg_ctl` and `postgres` together.
    #[error("{}", binaries_not_found(searched))]
    BinariesNotFound {
        /// Where they were looked for; a `*` stands for any version.
        searched: Vec<PathBuf>,
    },

    /// Every PostgreSQL found is older than the oldest supported version.
    #[error(
        "PostgreSQL {major} in {} is too old; install version {} or newer",
        folder.display(),
        super::binaries::MAJOR_MIN
    )]
    BinariesTooOld {
        /// The folder of the newest one.
        folder: PathBuf,
        /// Its major version.
        major: u32,
    },

    /// The data was written by a major version whose programs are not installed.
    #[error(
        "the data in {} was written by PostgreSQL {data}, and this machine has only PostgreSQL \
         {}; install PostgreSQL {data}, or move the data with pg_upgrade, or choose another \
         data folder",
        cluster_folder.display(),
        list(installed)
    )]
    VersionMismatch {
        /// The folder with the data.
        cluster_folder: PathBuf,
        /// The major version that wrote it.
        data: u32,
        /// The major versions installed.
        installed: Vec<u32>,
    },

    /// Another program manages the cluster in this data folder.
    #[error(
        "the local cluster in {} is managed by another program{}; stop that one first, or choose \
         another data folder",
        data_folder.display(),
        process(*pid)
    )]
    InUse {
        /// The data folder.
        data_folder: PathBuf,
        /// The other program's process, if it could be read.
        pid: Option<u32>,
    },

    /// The data folder's path cannot be handed to PostgreSQL's programs.
    #[error("the data folder {path:?} cannot be used because its path {reason}; choose another")]
    UnusablePath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The account that runs the server cannot reach the data folder.
    #[error(
        "the user {account} runs PostgreSQL here (it refuses to run as root) and may not enter \
         {}, which leads to the data folder {}; choose a data folder elsewhere, such as \
         /var/lib/folio, or let the user in with: chmod o+x {}",
        folder.display(),
        data_folder.display(),
        folder.display()
    )]
    Untraversable {
        /// The first folder that is closed to it.
        folder: PathBuf,
        /// The data folder.
        data_folder: PathBuf,
        /// The account.
        account: String,
    },

    /// A folder is open to others, or is theirs.
    #[error("the folder {} is not safe to use: it {reason}; remove it or choose another data folder", folder.display())]
    UnsafeFolder {
        /// The folder.
        folder: PathBuf,
        /// What makes it unsafe.
        reason: String,
    },

    /// The data belongs to another user.
    #[error(
        "the data in {} belongs to the user with id {owner}; run the program as that user, or \
         choose another data folder",
        cluster_folder.display()
    )]
    ForeignData {
        /// The folder with the data.
        cluster_folder: PathBuf,
        /// Its owner.
        owner: u32,
    },

    /// Started as root on a machine with no account to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has neither a user postgres nor a \
         user nobody; add one with: useradd --system postgres"
    )]
    NoAccount,

    /// The server's process number is now that of something else.
    #[error(
        "{} names process {pid}, which is not the server of that folder as far as can be told; \
         make sure that no PostgreSQL uses the folder, then delete the file",
        pid_file.display()
    )]
    PidTaken {
        /// The file a server left behind.
        pid_file: PathBuf,
        /// The process.
        pid: i32,
    },

    /// The last server is dead, and the system still lists its process.
    #[error(
        "the server of {} is dead, and its process {pid} stays listed because nothing collects \
         it; in a container, run an init process (docker run --init)",
        cluster_folder.display()
    )]
    Uncollected {
        /// The folder with the data.
        cluster_folder: PathBuf,
        /// The dead process.
        pid: i32,
    },

    /// One of PostgreSQL's programs could not be run.
    #[error("could not run {}; check that it is installed and may be executed", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// `initdb` failed.
    #[error(
        "initdb could not make a cluster in {}; it said:\n{output}",
        cluster_folder.display()
    )]
    InitFailed {
        /// The folder that was to hold the data.
        cluster_folder: PathBuf,
        /// What initdb printed.
        output: String,
    },

    /// The server did not start.
    #[error(
        "PostgreSQL did not start in {}; the last lines of {}:\n{log_tail}",
        cluster_folder.display(),
        log.display()
    )]
    StartFailed {
        /// The folder with the data.
        cluster_folder: PathBuf,
        /// The server's log.
        log: PathBuf,
        /// What the server logged last.
        log_tail: String,
    },

    /// The server runs, and accepts no connections.
    #[error(
        "PostgreSQL in {} accepted no connection within {deadline_seconds} s; if it is still \
         recovering, start again to go on waiting; the last lines of {}:\n{log_tail}",
        cluster_folder.display(),
        log.display()
    )]
    NotReady {
        /// The folder with the data.
        cluster_folder: PathBuf,
        /// How long it was given.
        deadline_seconds: u64,
        /// The server's log.
        log: PathBuf,
        /// What the server logged last.
        log_tail: String,
    },

    /// The server answers and lets nobody in.
    #[error(
        "PostgreSQL in {} refused the user folio; the folder may hold another program's data",
        cluster_folder.display()
    )]
    Refused {
        /// The folder with the data.
        cluster_folder: PathBuf,
        /// The refusal.
        source: tokio_postgres::Error,
    },

    /// The server did not stop, not even at once.
    #[error(
        "PostgreSQL in {} did not stop; pg_ctl said:\n{output}",
        cluster_folder.display()
    )]
    StopFailed {
        /// The folder with the data.
        cluster_folder: PathBuf,
        /// What pg_ctl printed.
        output: String,
    },

    /// Processes of a killed server are still there.
    #[error("processes {} outlived SIGKILL for {deadline_seconds} s", list(pids))]
    KillFailed {
        /// The processes.
        pids: Vec<i32>,
        /// How long they were given.
        deadline_seconds: u64,
    },

    /// A file or folder could not be used.
    #[error(
        "could not {action} {}; see that this user may, or choose another data folder",
        path.display()
    )]
    Io {
        /// What was being done, as an infinitive.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl ClusterError {
    /// Gives an I/O error its file: for `map_err`.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

fn binaries_not_found(searched: &[PathBuf]) -> String {
    let mut text = format!(
        "no PostgreSQL server found (initdb, pg_ctl and postgres in one folder, version {} or \
         newer); install one, or set DATABASE_URL to a server you have\n{INSTALL}\n  searched: ",
        super::binaries::MAJOR_MIN
    );
    for (index, folder) in searched.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}", folder.display());
    }
    text
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

fn list<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

const INSTALL: &str = "  \
  Debian, Ubuntu: sudo apt-get install postgresql
  Fedora, RHEL:   sudo dnf install postgresql-server
  macOS:          brew install postgresql@17
  Docker:         docker run -d -p 127.0.0.1:5432:5432 -e POSTGRES_PASSWORD=folio postgres:17, \
then DATABASE_URL=postgres://postgres:folio@127.0.0.1:5432/postgres";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_binaries_names_every_way_to_get_them() {
        let text = ClusterError::BinariesNotFound {
            searched: vec!["/usr/lib/postgresql/*/bin".into(), "/usr/bin".into()],
        }
        .to_string();
        for way in [
            "apt-get install",
            "dnf install",
            "brew install",
            "docker run",
        ] {
            assert_eq!(
                text.lines().filter(|line| line.contains(way)).count(),
                1,
                "{text}"
            );
        }
        assert!(text.contains("DATABASE_URL=postgres://"), "{text}");
        assert!(
            text.ends_with("searched: /usr/lib/postgresql/*/bin, /usr/bin"),
            "{text}"
        );
    }

    #[test]
    fn another_version_is_named_beside_those_installed() {
        let text = ClusterError::VersionMismatch {
            cluster_folder: "/data/pg14".into(),
            data: 14,
            installed: vec![15, 17],
        }
        .to_string();
        assert!(
            text.contains("by PostgreSQL 14") && text.contains("15, 17"),
            "{text}"
        );
    }
}
