//! The server's own programs, run as the account that runs the server, and a second server beside a
//! throwaway cluster.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use folio_postgres::cluster::ThrowawayCluster;
use tokio::process::Command;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::superuser;

/// The programs of a server's installation.
pub(crate) struct Programs {
    folder: PathBuf,
    data: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Programs {
    pub(crate) async fn of(server: &Config) -> Self {
        let row = superuser(server, "postgres")
            .await
            .query_one(
                "SELECT setting, current_setting('data_directory') FROM pg_config() \
                 WHERE name = 'BINDIR'",
                &[],
            )
            .await
            .unwrap();
        let (folder, data): (String, String) = (row.get(0), row.get(1));
        Self {
            folder: folder.into(),
            data: data.into(),
            environment: Vec::new(),
        }
    }

    /// What they write is the server's: it refuses to run on what is not.
    pub(crate) fn give(&self, path: &Path) {
        let owner = self.data.metadata().unwrap();
        chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// A program of the installation, or any other that has a path.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let owner = self.data.metadata().unwrap();
        let mut command = std::process::Command::new(self.folder.join(program));
        command.uid(owner.uid()).gid(owner.gid()).current_dir("/");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.into()
    }

    pub(crate) async fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program).args(arguments).output().await;
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program}: {output:?}");
    }
}

/// A server on a copy of a throwaway cluster. It lives in the cluster's folder under a name that the
/// cluster's own end stops and removes, however the test ends.
pub(crate) struct Beside {
    programs: Programs,
    folder: PathBuf,
    settings: PathBuf,
    server: Config,
}

impl Beside {
    /// Copies the cluster, with what `pg_basebackup` is told besides. Nothing is started.
    pub(crate) async fn copy(cluster: &ThrowawayCluster, arguments: &[&str]) -> Self {
        let server = cluster.connection_config();
        let programs = Programs::of(&server).await;
        let data_folder = &cluster.address().data_folder;
        let folder = data_folder.join("pg-beside");
        // A server refuses data that others may look into.
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
        programs.give(&folder);
        let socket = cluster.address().socket_folder.to_str().unwrap();
        let mut all = vec!["--pgdata", folder.to_str().unwrap(), "--host", socket];
        all.extend(["--username", "folio", "--checkpoint=fast", "--no-sync"]);
        all.extend(arguments);
        programs.run("pg_basebackup", &all).await;
        Self {
            programs,
            settings: data_folder.join("postgresql.conf"),
            folder,
            server,
        }
    }

    /// What the server is to find in its environment.
    pub(crate) fn environment(&mut self, name: &'static str, value: PathBuf) {
        self.programs.environment.push((name, value));
    }

    /// When it is started, it replays the log from this archive to the restore point of this name and no further, and is then a
    /// server of its own.
    pub(crate) fn recovers_to(&mut self, point: &str, archive: &Path) {
        let archive = archive.to_str().unwrap();
        let recovery = format!(
            "archive_mode = off\nrestore_command = 'cp {archive}/%f %p'\n\
             recovery_target_name = '{point}'\nrecovery_target_action = 'promote'\n"
        );
        let settings = self.folder.join("postgresql.auto.conf");
        let before = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(settings, before + &recovery).unwrap();
        let signal = self.folder.join("recovery.signal");
        std::fs::write(&signal, "").unwrap();
        self.programs.give(&signal);
    }

    /// Starts it on a port that is its own, or that of the cluster when that one is down.
    pub(crate) async fn start(&self, port: u16) -> Config {
        let options = format!(
            "-c config_file={} -c port={port}",
            self.settings.to_str().unwrap()
        );
        let log = self.folder.with_extension("log");
        std::fs::write(&log, "").unwrap();
        self.programs.give(&log);
        let folder = self.folder.to_str().unwrap();
        let start = ["start", "--wait", "--pgdata", folder, "--log"];
        let start = [&start[..], &[log.to_str().unwrap(), "--options", &options]].concat();
        self.programs.run("pg_ctl", &start).await;
        let mut config = Config::new();
        let Some(Host::Unix(socket)) = self.server.get_hosts().first() else {
            panic!("a cluster on a Unix socket");
        };
        let user = self.server.get_user().unwrap();
        config.host_path(socket).port(port).user(user);
        config.dbname("postgres");
        config
    }

    pub(crate) async fn stop(&self) {
        let folder = self.folder.to_str().unwrap();
        let stop = ["stop", "--wait", "--mode=fast", "--pgdata", folder];
        self.programs.run("pg_ctl", &stop).await;
    }
}
