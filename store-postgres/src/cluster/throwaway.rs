//! Clusters for tests and benchmarks, which leave nothing behind.

use std::{
    env,
    ffi::OsString,
    fs::DirBuilder,
    io::{self, ErrorKind},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{sleep, timeout};
use tokio_postgres::Config;

use super::{
    ClusterAddress, ClusterOptions, Durability, LocalCluster, account::Account,
    error::ClusterError, process as processes, server::LOOK_EVERY,
};

/// A cluster in a fresh temporary folder, which is gone when its owner is.
///
/// That holds however the owner ends: dropped, returned from `main`, or killed with SIGKILL. A
/// small shell process waits for the owner's end of a pipe to close, then stops the server and
/// removes the folder.
#[derive(Debug)]
pub struct ThrowawayCluster {
    cluster: LocalCluster,
    watcher: Watcher,
}

impl ThrowawayCluster {
    /// Starts a cluster of its own, with room for two hundred connections.
    ///
    /// # Errors
    ///
    /// As for [`LocalCluster::start`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes whatever it had made.
    pub async fn start(durability: Durability) -> Result<Self, ClusterError> {
        Self::start_within(durability, Vec::new()).await
    }

    /// As [`start`](Self::start), with a server that has these variables in its environment: for
    /// tests that put a library of their own between the server and its disk. Other clusters have
    /// no such way in, because what steers their server stands in its settings.
    ///
    /// # Errors
    ///
    /// As for [`LocalCluster::start`].
    ///
    /// # Cancel safety
    ///
    /// As for [`start`](Self::start).
    pub async fn start_within(
        durability: Durability,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self, ClusterError> {
        let account = Account::unprivileged()?;
        let folder = fresh_folder(&account)?;
        // Before there is anything in it to clean up: killed in between, we leave an empty folder.
        let watcher = Watcher::spawn(&folder, &account)?;
        let options = ClusterOptions {
            max_connections: 200,
            durability,
            ..ClusterOptions::new(folder)
        };
        let cluster = LocalCluster::start_within(options, environment).await?;
        Ok(Self { cluster, watcher })
    }

    /// How to connect as the superuser `folio`, to the database `postgres`.
    pub fn connection_config(&self) -> Config {
        self.cluster.connection_config()
    }

    /// Where the server listens.
    pub fn address(&self) -> &ClusterAddress {
        self.cluster.address()
    }

    /// Kills the server and every one of its processes, with SIGKILL and at the same moment: the
    /// crash that only its log survives. Returns when the last of them is gone.
    ///
    /// It is not a power cut: what the server had written, flushed or not, the system still has.
    ///
    /// Nothing to kill is no error.
    ///
    /// # Errors
    ///
    /// A process survives.
    pub async fn kill_all(&self) -> Result<(), ClusterError> {
        let pids = self.processes_of_a_stopped_parent().await?;
        for pid in &pids {
            send(*pid, Signal::SIGKILL);
        }
        wait_until(&pids, |pid| processes::look(pid).is_none()).await
    }

    /// Holds every process of the server still, as a machine does that hangs: its connections are
    /// open, and nobody answers on them. They go on when the answer is dropped.
    ///
    /// Nothing to hold is no error.
    ///
    /// # Errors
    ///
    /// A process cannot be stopped.
    pub async fn freeze(&self) -> Result<Frozen, ClusterError> {
        let frozen = Frozen {
            pids: self.processes_of_a_stopped_parent().await?,
        };
        for pid in &frozen.pids {
            send(*pid, Signal::SIGSTOP);
        }
        wait_until(&frozen.pids, |pid| {
            processes::look(pid).is_none_or(|process| process.is_stopped())
        })
        .await?;
        Ok(frozen)
    }

    /// The server's processes, its parent first. That one is stopped: it would start new processes
    /// while its present ones are counted.
    async fn processes_of_a_stopped_parent(&self) -> Result<Vec<i32>, ClusterError> {
        let Some(postmaster) = self.cluster.server.postmaster()? else {
            return Ok(Vec::new());
        };
        send(postmaster.pid, Signal::SIGSTOP);
        wait_until(&[postmaster.pid], |pid| {
            processes::look(pid).is_none_or(|process| process.is_stopped())
        })
        .await?;
        let children = processes::children(postmaster.pid);
        let children = children.iter().map(|child| child.pid);
        Ok(std::iter::once(postmaster.pid).chain(children).collect())
    }

    /// Starts the server again, after stopping it if it runs.
    ///
    /// # Errors
    ///
    /// As for [`LocalCluster::start`].
    pub async fn restart(&self) -> Result<(), ClusterError> {
        self.cluster.server.shut_down().await?;
        self.cluster.bring_up().await
    }

    /// Removes the cluster, and waits until it is gone. Dropping it does not wait.
    ///
    /// # Errors
    ///
    /// The folder could not be removed.
    pub async fn remove(self) -> Result<(), ClusterError> {
        let folder = self.cluster.data_folder().to_owned();
        drop(self.cluster);
        self.watcher.finish(&folder).await
    }
}

/// A server whose processes are held still, until this is dropped.
///
/// Whoever panics meanwhile lets them go too: a stopped process cannot be told to end.
#[derive(Debug)]
#[must_use = "the server goes on when this is dropped"]
pub struct Frozen {
    pids: Vec<i32>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.pids {
            send(*pid, Signal::SIGCONT);
        }
    }
}

/// The process that outlives us to clean up.
#[derive(Debug)]
struct Watcher {
    child: Child,
    /// Never written to. The kernel closes it when we end, and the watcher reads that.
    ///
    /// The standard library's, not tokio's: it may outlive the runtime it was made in.
    pipe: ChildStdin,
}

impl Watcher {
    fn spawn(folder: &Path, account: &Account) -> Result<Self, ClusterError> {
        let shell = Path::new("/bin/sh");
        let failed = |source| ClusterError::Spawn {
            program: shell.to_owned(),
            source,
        };
        // As the server's account, which owns the folder: no shell of root's runs on.
        let mut child = account
            .command(shell)
            .args(["-c", WATCH, "folio-watcher"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let pipe = child.stdin.take();
        let pipe = pipe.ok_or_else(|| failed(io::Error::from(ErrorKind::BrokenPipe)))?;
        Ok(Self { child, pipe })
    }

    async fn finish(self, folder: &Path) -> Result<(), ClusterError> {
        let Self { mut child, pipe } = self;
        drop(pipe);
        let ended = async {
            loop {
                match child.try_wait() {
                    Ok(None) => sleep(LOOK_EVERY).await,
                    Ok(Some(status)) if status.success() => return Ok(()),
                    Ok(Some(_)) => return Err(io::Error::from(ErrorKind::DirectoryNotEmpty)),
                    Err(error) => return Err(error),
                }
            }
        };
        let ended = timeout(REMOVE_DEADLINE, ended).await;
        ended
            .unwrap_or_else(|_| Err(io::Error::from(ErrorKind::TimedOut)))
            .map_err(ClusterError::io("remove", folder))
    }
}

/// Makes a folder that only the account may enter, with a path short enough for a socket in it.
fn fresh_folder(account: &Account) -> Result<PathBuf, ClusterError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);

    let temporary = env::temp_dir();
    let is_short = temporary.as_os_str().len() <= ROOT_BYTES_MAX;
    let root = if is_short { temporary } else { "/tmp".into() };
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(format!("folio-throwaway-{}-{number}", process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => {
                account.give(&folder)?;
                return Ok(folder);
            }
            // An earlier process had our number; making is what decides whose a name is.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ClusterError::io("make", folder)(error)),
        }
    }
}

fn send(pid: i32, signal: Signal) {
    match kill(Pid::from_raw(pid), signal) {
        // Whoever is gone already is as gone as asked for; whether all are is looked at after.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::warn!(pid, %signal, %error, "could not send a signal"),
    }
}

async fn wait_until(pids: &[i32], is_done: impl Fn(i32) -> bool) -> Result<(), ClusterError> {
    let waiting = || {
        pids.iter()
            .copied()
            .filter(|pid| !is_done(*pid))
            .collect::<Vec<_>>()
    };
    let all_done = async {
        while !waiting().is_empty() {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(KILL_DEADLINE, all_done)
        .await
        .map_err(|_| ClusterError::KillFailed {
            pids: waiting(),
            deadline_seconds: KILL_DEADLINE.as_secs(),
        })
}

const ROOT_BYTES_MAX: usize = 40;
const KILL_DEADLINE: Duration = Duration::from_secs(10);
const REMOVE_DEADLINE: Duration = Duration::from_secs(60);

/// Waits for the pipe to close, then asks the server to crash (SIGQUIT), insists after ten
/// seconds (SIGKILL), and removes the folder; again and again for ten seconds, because an `initdb`
/// whose parent was killed may still be writing. A server too young to have written its number
/// ends by itself when it finds its folder gone.
///
/// It needs no `pg_ctl`, and its signals cannot hit anyone but the account's own processes. A
/// number with a sign is a single-user server of `initdb`'s, which ends by itself.
const WATCH: &str = r#"
trap '' HUP INT QUIT TERM
while read -r _; do :; done
for file in "$1"/pg*/postmaster.pid; do
    pid=
    read -r pid < "$file" || continue
    case $pid in '' | *[!0-9]*) continue ;; esac
    tries=0
    kill -QUIT "$pid"
    while [ -e "$file" ] && kill -0 "$pid" && [ $tries -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    [ $tries -lt 100 ] || kill -KILL "$pid"
done
tries=0
until rm -rf "$1" && [ ! -e "$1" ]; do
    [ $tries -lt 100 ] || exit 1
    sleep 0.1
    tries=$((tries + 1))
done
"#;
