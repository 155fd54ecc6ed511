//! The server's programs: making a cluster, starting it, waiting for it, stopping it.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

use super::{
    account::Account,
    address::{ClusterAddress, SUPERUSER, is_passing},
    error::ClusterError,
    folders,
    log::ServerLog,
    postmaster::Postmaster,
    settings::Durability,
};

/// One cluster's server, whether it runs or not.
#[derive(Debug)]
pub(super) struct Server {
    /// The folder of PostgreSQL's programs.
    pub(super) binaries: PathBuf,
    pub(super) account: Account,
    pub(super) cluster_folder: PathBuf,
    /// What the server has in its environment besides what every program of ours gets.
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) log: ServerLog,
}

/// How waiting for a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    Accepting,
    /// It ended while we waited.
    Gone,
}

impl Server {
    /// Makes the cluster.
    ///
    /// `initdb` works in a folder of another name, which is renamed when it has finished: a
    /// folder with the cluster's name always holds a whole cluster.
    pub(super) async fn initialize(&self, durability: Durability) -> Result<(), ClusterError> {
        let cluster_folder = &self.cluster_folder;
        let unfinished = folders::unfinished_folder(cluster_folder);
        // Made and given away by us, because the account may not make folders in ours.
        DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .map_err(ClusterError::io("make", &unfinished))?;
        self.account.give(&unfinished)?;

        let mut command = self.command("initdb");
        command.arg("--pgdata").arg(&unfinished).args(INITDB);
        command.arg(format!("--username={SUPERUSER}"));
        if durability == Durability::UnsafeForTests {
            command.arg("--no-sync");
        }
        info!(folder = %cluster_folder.display(), "making a local PostgreSQL cluster");
        // A caller who gives up leaves no initdb behind that would go on writing.
        let output = run(command.kill_on_drop(true)).await?;
        if !output.status.success() {
            let cluster_folder = cluster_folder.clone();
            return Err(ClusterError::InitFailed {
                cluster_folder,
                output: text(&output),
            });
        }

        fs::rename(&unfinished, cluster_folder)
            .map_err(ClusterError::io("give its name to", cluster_folder))?;
        if durability == Durability::Durable
            && let Some(data_folder) = cluster_folder.parent()
        {
            File::open(data_folder)
                .and_then(|folder| folder.sync_all())
                .map_err(ClusterError::io("write to the disk", data_folder))?;
        }
        Ok(())
    }

    /// Starts the server, which must not be running, and waits until it has recovered.
    pub(super) async fn launch(&self, configuration: &Path) -> Result<(), ClusterError> {
        self.wait_until_collected().await?;
        self.log.prepare(&self.account)?;
        let mark = self.log.mark();
        info!(folder = %self.cluster_folder.display(), "starting the local PostgreSQL");
        // `pg_ctl` gives the server a session of its own: no terminal can signal it.
        let mut command = self.command("pg_ctl");
        let variables = self.environment.iter().map(|(name, value)| (name, value));
        command.envs(variables);
        command.arg("start").arg("-D").arg(&self.cluster_folder);
        command.arg("-l").arg(self.log.path());
        command
            .arg("-w")
            .arg("-t")
            .arg(START_DEADLINE.as_secs().to_string());
        command
            .arg("-o")
            .arg(format!("-c config_file=\"{}\"", configuration.display()));
        let output = run(&mut command).await?;
        if output.status.success() {
            return Ok(());
        }
        if self.postmaster()?.is_some() {
            return Err(self.not_ready(START_DEADLINE, mark));
        }
        Err(self.start_failed(mark, &text(&output)))
    }

    /// Waits until the system has forgotten a server that was killed: to PostgreSQL a dead process
    /// that nobody has collected looks alive, and it would not start beside it.
    async fn wait_until_collected(&self) -> Result<(), ClusterError> {
        let deadline = Instant::now() + COLLECT_DEADLINE;
        while let Some(pid) = Postmaster::uncollected(&self.cluster_folder) {
            if Instant::now() >= deadline {
                let cluster_folder = self.cluster_folder.clone();
                return Err(ClusterError::Uncollected {
                    cluster_folder,
                    pid,
                });
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until the running server accepts connections at an address.
    pub(super) async fn wait(&self, address: &ClusterAddress) -> Result<Waited, ClusterError> {
        wait(&self.cluster_folder, address, START_DEADLINE).await
    }

    /// Stops the server if it runs: after finishing its transactions, else at once.
    ///
    /// "At once" is a crash, from which the log of a durable cluster recovers everything.
    pub(super) async fn shut_down(&self) -> Result<(), ClusterError> {
        let mut output = String::new();
        for (mode, deadline) in [("fast", FAST_DEADLINE), ("immediate", IMMEDIATE_DEADLINE)] {
            if self.postmaster()?.is_none() {
                return Ok(());
            }
            info!(folder = %self.cluster_folder.display(), mode, "stopping the local PostgreSQL");
            let mut command = self.command("pg_ctl");
            command
                .arg("stop")
                .arg("-D")
                .arg(&self.cluster_folder)
                .arg("-m")
                .arg(mode);
            command
                .arg("-w")
                .arg("-t")
                .arg(deadline.as_secs().to_string());
            output = text(&run(&mut command).await?);
        }
        if self.postmaster()?.is_none() {
            return Ok(());
        }
        Err(ClusterError::StopFailed {
            cluster_folder: self.cluster_folder.clone(),
            output,
        })
    }

    /// The running server, if it runs.
    pub(super) fn postmaster(&self) -> Result<Option<Postmaster>, ClusterError> {
        Postmaster::find(&self.cluster_folder)
    }

    /// Removes what interrupted runs of `initdb` left. Only while holding the folder's lock.
    pub(super) async fn remove_leftovers(&self) -> Result<(), ClusterError> {
        let Some(data_folder) = self.cluster_folder.parent() else {
            return Ok(());
        };
        let deadline = Instant::now() + LEFTOVER_DEADLINE;
        for leftover in folders::leftovers(data_folder)? {
            info!(folder = %leftover.display(), "removing what an interrupted initdb left");
            while let Err(error) = fs::remove_dir_all(&leftover) {
                // A process of that initdb may be writing its last. Ours uses another folder.
                if Instant::now() >= deadline {
                    warn!(%error, folder = %leftover.display(), "could not remove it");
                    break;
                }
                sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    pub(super) fn start_failed(&self, mark: u64, output: &str) -> ClusterError {
        let log_tail = self.log.tail_since(mark);
        ClusterError::StartFailed {
            cluster_folder: self.cluster_folder.clone(),
            log: self.log.path().to_owned(),
            log_tail: format!("{log_tail}\n{output}").trim().to_owned(),
        }
    }

    fn not_ready(&self, deadline: Duration, mark: u64) -> ClusterError {
        not_ready(&self.cluster_folder, &self.log, deadline, mark)
    }

    fn command(&self, program: &str) -> Command {
        Command::from(self.account.command(&self.binaries.join(program)))
    }
}

/// Waits until the server of a cluster folder accepts connections at an address.
pub(super) async fn wait(
    cluster_folder: &Path,
    address: &ClusterAddress,
    deadline: Duration,
) -> Result<Waited, ClusterError> {
    let log = ServerLog::new(&address.data_folder);
    let mark = log.mark();
    let attempts = async {
        loop {
            match address.probe().await {
                Ok(()) => return Ok(Waited::Accepting),
                Err(error) if is_passing(&error) => {}
                Err(source) => {
                    let cluster_folder = cluster_folder.to_owned();
                    return Err(ClusterError::Refused {
                        cluster_folder,
                        source,
                    });
                }
            }
            if Postmaster::find(cluster_folder)?.is_none() {
                return Ok(Waited::Gone);
            }
            sleep(LOOK_EVERY).await;
        }
    };
    let timed_out = |_| Err(not_ready(cluster_folder, &log, deadline, mark));
    timeout(deadline, attempts).await.unwrap_or_else(timed_out)
}

fn not_ready(
    cluster_folder: &Path,
    log: &ServerLog,
    deadline: Duration,
    mark: u64,
) -> ClusterError {
    ClusterError::NotReady {
        cluster_folder: cluster_folder.to_owned(),
        deadline_seconds: deadline.as_secs(),
        log: log.path().to_owned(),
        log_tail: log.tail_since(mark),
    }
}

async fn run(command: &mut Command) -> Result<Output, ClusterError> {
    let output = command.output().await;
    output.map_err(|source| {
        let program = command.as_std().get_program().into();
        ClusterError::Spawn { program, source }
    })
}

fn text(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    both.concat().trim().to_owned()
}

/// How often a condition is looked at again.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Only the recovery of a large log on a slow disk takes long, and it must not be cut short: the
/// next start would begin it anew. A server that fails is noticed at once.
const START_DEADLINE: Duration = Duration::from_secs(300);
const LEFTOVER_DEADLINE: Duration = Duration::from_secs(5);
const COLLECT_DEADLINE: Duration = Duration::from_secs(10);
const FAST_DEADLINE: Duration = Duration::from_secs(60);
const IMMEDIATE_DEADLINE: Duration = Duration::from_secs(30);

/// Text is UTF-8 and sorts by its bytes on every machine; every page carries a checksum.
const INITDB: [&str; 5] = [
    "--encoding=UTF8",
    "--locale=C",
    "--auth-local=trust",
    "--auth-host=reject",
    "--data-checksums",
];
