//! A private local PostgreSQL cluster, for a machine where nobody has set up a server.
//!
//! [`LocalCluster::start`] finds PostgreSQL's programs, makes a cluster in a data folder of its
//! own, and starts the server with durable settings, reachable through a Unix socket that no
//! other user can get at. [`LocalCluster::stop`] stops it; a server that was left running, because
//! its program was killed, is found and taken over by the next start.
//!
//! ```text
//! <data folder>/
//!   folio.lock             held while a program manages the cluster
//!   pg15/                  the data of PostgreSQL 15
//!   run/                   the socket, unless the path is too long: then under /tmp
//!   postgresql.conf        written at every start of the server
//!   postgresql.local.conf  settings of your own, read last, if you make it
//!   pg_hba.conf            written at every start of the server
//!   postgres.log           and postgres.log.older: what the server has to say
//! ```
//!
//! Starting reads and writes a few small files without leaving the async thread; the programs,
//! which take their time, are awaited.

mod account;
mod address;
mod binaries;
mod error;
mod folders;
mod lock;
mod log;
mod postmaster;
mod process;
mod server;
mod settings;
mod throwaway;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_postgres::Config;
use tracing::info;

use self::{
    account::Account,
    lock::FolderLock,
    log::ServerLog,
    postmaster::Postmaster,
    server::{Server, Waited},
    settings::{PORT, Settings},
};

pub use self::{
    address::ClusterAddress,
    error::ClusterError,
    settings::Durability,
    throwaway::{Frozen, ThrowawayCluster},
};

/// What a local cluster is started with.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The folder the cluster lives in. It is made if it is missing.
    ///
    /// As root, the folders above it must let the unprivileged user in that runs the server.
    pub data_folder: PathBuf,
    /// How many connections the server takes. PostgreSQL keeps three of them for superusers.
    pub max_connections: u32,
    /// What a committed transaction survives.
    pub durability: Durability,
    /// The folder of PostgreSQL's programs; without it, this machine's are searched.
    pub binaries: Option<PathBuf>,
}

impl ClusterOptions {
    /// A durable cluster for a hundred connections, run by this machine's PostgreSQL.
    pub fn new(data_folder: impl Into<PathBuf>) -> Self {
        Self {
            data_folder: data_folder.into(),
            max_connections: 100,
            durability: Durability::Durable,
            binaries: None,
        }
    }
}

/// A running local cluster, managed by this program alone.
///
/// Dropping it without [`stop`](Self::stop) leaves the server running. Nothing is lost by that:
/// the next start takes it over.
#[derive(Debug)]
pub struct LocalCluster {
    address: ClusterAddress,
    server: Server,
    settings: Settings,
    /// Keeps the server's log bounded.
    _log_task: JoinSet<()>,
    /// Let go last: whoever takes it next finds nobody else at work.
    _lock: FolderLock,
}

impl LocalCluster {
    /// Starts the cluster of a data folder, making it first if there is none, or takes over the
    /// server that an earlier program left running there.
    ///
    /// A server taken over is restarted when it runs with other settings than these options ask
    /// for.
    ///
    /// # Errors
    ///
    /// Every [`ClusterError`] says what stands in the way and what to do about it. When the server
    /// itself does not start, the error carries the last lines of its log.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future breaks nothing: an unfinished cluster is cleared away and a server
    /// that was already starting is taken over, both by the next start.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        Self::start_within(options, Vec::new()).await
    }

    /// As [`start`](Self::start), with a server that has these variables in its environment.
    async fn start_within(
        options: ClusterOptions,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self, ClusterError> {
        let ClusterOptions {
            data_folder,
            max_connections,
            durability,
            binaries,
        } = options;
        let data_folder = folders::usable(&data_folder)?;
        let preferred = Account::unprivileged()?;
        let installed = binaries::installed(binaries.as_deref(), &preferred).await?;
        let newest = folders::cluster_majors(&data_folder)?.first().copied();
        let existing = newest.map(|major| (major, folders::cluster_folder(&data_folder, major)));
        let wanted = existing
            .as_ref()
            .map(|(major, folder)| (*major, folder.as_path()));
        let installation = binaries::choose(&installed, wanted)?;
        let account = match &existing {
            Some((_, cluster_folder)) => Account::for_cluster(cluster_folder)?,
            None => preferred,
        };

        let data_folder = folders::prepare_data_folder(&data_folder, &account)?;
        let lock = FolderLock::take(&data_folder, &account)?;
        let socket_folder = folders::socket_folder(&data_folder, &account);
        folders::prepare_socket_folder(&socket_folder, &account)?;
        let settings = Settings::new(&data_folder, &socket_folder, max_connections, durability);
        let log = ServerLog::new(&data_folder);
        let cluster = Self {
            server: Server {
                binaries: installation.folder,
                account,
                cluster_folder: folders::cluster_folder(&data_folder, installation.major),
                environment,
                log: log.clone(),
            },
            address: ClusterAddress {
                data_folder,
                socket_folder,
                port: PORT,
            },
            settings,
            _log_task: log.keep_bounded(),
            _lock: lock,
        };

        cluster.server.remove_leftovers().await?;
        if !cluster.server.cluster_folder.exists() {
            cluster.server.initialize(durability).await?;
        }
        cluster.bring_up().await?;
        Ok(cluster)
    }

    /// Finds the running server of a data folder without managing it, for a second program;
    /// `None` if none runs.
    ///
    /// The server is the managing program's: it may stop it at any time.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or its server accepts no connections.
    pub async fn attach(data_folder: &Path) -> Result<Option<ClusterAddress>, ClusterError> {
        let data_folder = folders::usable(data_folder)?;
        // A server knows its folder by the true path; without a folder there is no server.
        let data_folder = data_folder.canonicalize().unwrap_or(data_folder);
        for major in folders::cluster_majors(&data_folder)? {
            let cluster_folder = folders::cluster_folder(&data_folder, major);
            let Some(postmaster) = Postmaster::find(&cluster_folder)? else {
                continue;
            };
            let socket_folder = if postmaster.socket_folder.as_os_str().is_empty() {
                folders::socket_folder(&data_folder, &Account::for_cluster(&cluster_folder)?)
            } else {
                postmaster.socket_folder
            };
            let address = ClusterAddress {
                data_folder,
                socket_folder,
                port: postmaster.port,
            };
            let waited = server::wait(&cluster_folder, &address, ATTACH_DEADLINE).await?;
            return Ok((waited == Waited::Accepting).then_some(address));
        }
        Ok(None)
    }

    /// How to connect as the superuser `folio`, to the database `postgres`.
    pub fn connection_config(&self) -> Config {
        self.address.connection_config()
    }

    /// Where the server listens, to hand on to other programs.
    pub fn address(&self) -> &ClusterAddress {
        &self.address
    }

    /// The folder the cluster lives in, by its true path.
    pub fn data_folder(&self) -> &Path {
        &self.address.data_folder
    }

    /// Stops the server: its clients are cut off and their open transactions rolled back. A
    /// server that does not end so within a minute is made to crash, which loses no commit.
    ///
    /// # Errors
    ///
    /// The server is still there after both. It stays for the next start to take over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the server stopping, and the next start waits for that.
    pub async fn stop(self) -> Result<(), ClusterError> {
        self.server.shut_down().await?;
        folders::remove_socket_folder(&self.address.socket_folder);
        Ok(())
    }

    /// Sees to it that the server runs, with our settings, and can be reached.
    async fn bring_up(&self) -> Result<(), ClusterError> {
        if let Some(postmaster) = self.server.postmaster()? {
            if self.fits(&postmaster) && self.server.wait(&self.address).await? == Waited::Accepting
            {
                info!(
                    pid = postmaster.pid,
                    "took over the local PostgreSQL left running"
                );
                return Ok(());
            }
            self.server.shut_down().await?;
        }
        let mark = self.server.log.mark();
        // Only now, with no server running: the files always say what the server runs with.
        self.settings.write()?;
        self.server.launch(self.settings.configuration()).await?;
        match self.server.wait(&self.address).await? {
            Waited::Accepting => Ok(()),
            Waited::Gone => Err(self
                .server
                .start_failed(mark, "it started, and ended at once")),
        }
    }

    /// Whether a running server is as we would start it, and within reach.
    fn fits(&self, postmaster: &Postmaster) -> bool {
        let at_home = postmaster.socket_folder.as_os_str().is_empty()
            || postmaster.socket_folder == self.address.socket_folder;
        // Cleaners of /tmp have been known to take the socket of a running server.
        let in_reach = !postmaster.is_ready || self.address.socket().exists();
        at_home && in_reach && self.settings.are_written()
    }
}

const ATTACH_DEADLINE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
