//! Where PostgreSQL is: on a server that the user has, or in a private cluster of our own.

use std::path::PathBuf;

use clap::Args;
use folio_postgres::cluster::{ClusterError, ClusterOptions, LocalCluster};
use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Connections beyond the services' pools: provisioning, migrations, an audit, a look by hand.
const SPARE_CONNECTIONS: u32 = 24;

/// Where PostgreSQL is.
#[derive(Debug, Default, Args)]
pub struct ServerArgs {
    /// A PostgreSQL server to use, as `postgres://user:password@host:port/postgres`. Its user makes
    /// the databases and roles, so it needs CREATEDB and CREATEROLE.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        global = true
    )]
    database_url: Option<String>,
    /// The folder of the private PostgreSQL cluster that is used without a server.
    #[arg(long, env = "FOLIO_DATA_DIR", value_name = "FOLDER", global = true)]
    data_dir: Option<PathBuf>,
}

/// A server, and the cluster behind it where it is ours.
#[derive(Debug)]
pub struct Server {
    /// How to reach it.
    pub config: Config,
    cluster: Option<LocalCluster>,
}

impl Server {
    /// The server that the arguments name, else a private cluster, started if need be.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub async fn start(arguments: &ServerArgs, connections: usize) -> Result<Self, ServerError> {
        if let Some(config) = arguments.database()? {
            return Ok(Self {
                config,
                cluster: None,
            });
        }
        let folder = arguments.data_folder()?;
        let mut options = ClusterOptions::new(&folder);
        options.max_connections = u32::try_from(connections)
            .unwrap_or(u32::MAX)
            .saturating_add(SPARE_CONNECTIONS);
        let cluster = LocalCluster::start(options).await?;
        Ok(Self {
            config: cluster.connection_config(),
            cluster: Some(cluster),
        })
    }

    /// The same, but a cluster that another program runs is used as it is, and left running.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub async fn join(arguments: &ServerArgs, connections: usize) -> Result<Self, ServerError> {
        if arguments.database_url.is_none() {
            let folder = arguments.data_folder()?;
            if let Some(address) = LocalCluster::attach(&folder).await? {
                return Ok(Self {
                    config: address.connection_config(),
                    cluster: None,
                });
            }
        }
        Self::start(arguments, connections).await
    }

    /// Where it is, in words.
    #[must_use]
    pub fn description(&self) -> String {
        match &self.cluster {
            Some(cluster) => format!(
                "private cluster in {}, socket {}",
                cluster.data_folder().display(),
                cluster.address().socket_folder.display()
            ),
            None => "the server of DATABASE_URL".to_owned(),
        }
    }

    /// Stops the cluster, if it is ours.
    ///
    /// # Errors
    ///
    /// [`ServerError`] when it does not stop.
    pub async fn stop(self) -> Result<(), ServerError> {
        match self.cluster {
            Some(cluster) => Ok(cluster.stop().await?),
            None => Ok(()),
        }
    }
}

impl ServerArgs {
    /// The server that DATABASE_URL names, if it is set.
    ///
    /// # Errors
    ///
    /// [`ServerError::Url`] when it is not a connection string.
    pub fn database(&self) -> Result<Option<Config>, ServerError> {
        self.database_url
            .as_deref()
            .map(|url| url.parse().map_err(|source| ServerError::Url { source }))
            .transpose()
    }

    /// Where the private cluster and the logs of services are.
    ///
    /// # Errors
    ///
    /// [`ServerError::NoHome`].
    pub fn data_folder(&self) -> Result<PathBuf, ServerError> {
        if let Some(folder) = &self.data_dir {
            return Ok(folder.clone());
        }
        // PostgreSQL does not run as root, and its own account cannot enter root's home.
        if nix::unistd::Uid::effective().is_root() {
            return Ok(PathBuf::from("/var/lib/folio"));
        }
        dirs::data_local_dir()
            .map(|folder| folder.join("folio"))
            .ok_or(ServerError::NoHome)
    }
}

/// What a service is told in DATABASE_URL to connect as this configuration says.
#[must_use]
pub fn connection_string(config: &Config) -> String {
    let quoted = |value: &str| format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let ports = config.get_ports().iter().map(ToString::to_string);
    let ports = ports.collect::<Vec<_>>().join(",");
    let password = config.get_password().map(String::from_utf8_lossy);
    let parts = [
        (
            "host",
            Some(hosts.as_str()).filter(|hosts| !hosts.is_empty()),
        ),
        (
            "port",
            Some(ports.as_str()).filter(|ports| !ports.is_empty()),
        ),
        ("user", config.get_user()),
        ("password", password.as_deref()),
        ("dbname", config.get_dbname()),
        ("options", config.get_options()),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", quoted(value?))));
    parts.collect::<Vec<_>>().join(" ")
}

/// The same as a URL. Of several hosts it is the first.
#[must_use]
pub fn connection_url(config: &Config) -> String {
    let host = config.get_hosts().first().map(|host| match host {
        Host::Tcp(name) => escaped(name),
        Host::Unix(folder) => escaped(&folder.display().to_string()),
    });
    let password = config.get_password().map(String::from_utf8_lossy);
    let password = password.map(|password| format!(":{}", escaped(&password)));
    let user = config.get_user().map(escaped);
    let port = config.get_ports().first().map(|port| format!(":{port}"));
    let database = config.get_dbname().map(escaped);
    let [user, password, host, port, database] =
        [user, password, host, port, database].map(Option::unwrap_or_default);
    format!("postgres://{user}{password}@{host}{port}/{database}")
}

/// The text with what could mean something in a URL as its bytes in hex.
fn escaped(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    escaped.collect()
}

/// Why there is no PostgreSQL to work with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// DATABASE_URL is not a connection string.
    #[error(
        "DATABASE_URL is not a connection string such as postgres://user:password@host:5432/postgres"
    )]
    Url {
        /// What is wrong with it.
        source: tokio_postgres::Error,
    },
    /// The private cluster failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There is no home folder to keep data in.
    #[error("there is no home folder to keep data in; name one with --data-dir")]
    NoHome,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_connects_as_its_supervisor_means() {
        for text in [
            "host=/tmp/it's/run port=5433 user=folio_a_service password=x' dbname=folio_a",
            "host=one,two port=1,2 user='a b' password='\\\\ \\' =' options='-c x=1'",
            "postgres://user@localhost/postgres",
        ] {
            let text = text.replace("it's", "it\\'s").replace("x' ", "x\\' ");
            let config: Config = text.parse().unwrap();
            let back: Config = connection_string(&config).parse().unwrap();
            assert_eq!(back, config, "{text}");
        }
    }

    #[test]
    fn a_url_leads_where_the_configuration_does() {
        for text in [
            "host=/tmp/run%2f port=5433 user='folio a' password='x:/@#?%' dbname=anchor",
            "host=db.example port=5432 user=u password=p dbname=anchor",
        ] {
            let config: Config = text.parse().unwrap();
            let url = connection_url(&config);
            assert!(url.starts_with("postgres://"), "{url}");
            assert_eq!(url.parse::<Config>().unwrap(), config, "{url}");
        }
    }
}
