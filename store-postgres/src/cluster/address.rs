//! Where a local cluster listens.

use std::path::PathBuf;

use tokio_postgres::{Config, Error, NoTls, error::SqlState};

/// Where a running local cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterAddress {
    /// The folder the cluster lives in.
    pub data_folder: PathBuf,
    /// The folder of its Unix socket: the host of a connection.
    pub socket_folder: PathBuf,
    /// The port, which is only part of the socket's name.
    pub port: u16,
}

impl ClusterAddress {
    /// How to connect as the superuser `folio`, to the database `postgres`.
    pub fn connection_config(&self) -> Config {
        let mut config = Config::new();
        config
            .host_path(&self.socket_folder)
            .port(self.port)
            .user(SUPERUSER)
            .dbname("postgres")
            .application_name("folio");
        config
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.socket_folder.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Connects once and hangs up.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        let (client, connection) = self.connection_config().connect(NoTls).await?;
        // With its client gone the connection says goodbye and ends.
        drop(client);
        connection.await
    }
}

/// Whether a server that answered so may answer differently a moment later.
pub(super) fn is_passing(error: &Error) -> bool {
    const PASSING: [SqlState; 4] = [
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::TOO_MANY_CONNECTIONS,
    ];
    error.code().is_none_or(|code| PASSING.contains(code))
}

/// The superuser that `initdb` makes.
pub(super) const SUPERUSER: &str = "folio";
