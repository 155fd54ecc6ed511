//! A real pooler between a store and its server.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use folio_core::error_chain;
use folio_core::store::EventStore;
use folio_postgres::{Database, OpenError, PostgresStore, Role, UnfitServer};
use folio_tests::postgres;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::Instant;
use tokio_postgres::config::Host;
use tokio_postgres::{Config, NoTls};

use super::PATIENCE;
use super::beside::Programs;
use crate::faults::request;

/// Where Linux distributions and Homebrew put it.
const PLACES: [&str; 4] = [
    "/usr/sbin/pgbouncer",
    "/usr/bin/pgbouncer",
    "/usr/local/bin/pgbouncer",
    "/opt/homebrew/bin/pgbouncer",
];

/// A PgBouncer in front of the server of this run. It ends when it is dropped.
struct Bouncer {
    _process: Child,
    _folder: TempDir,
    config: Config,
}

impl Bouncer {
    /// None where the program is not on the machine.
    async fn start(mode: &str, sessions: u32) -> Option<Self> {
        let Some(program) = PLACES.iter().find(|place| Path::new(place).exists()) else {
            eprintln!("DID NOT RUN: there is no PgBouncer on this machine");
            return None;
        };
        let server = postgres::server().await;
        let programs = Programs::of(&server).await;
        let Some(Host::Unix(socket)) = server.get_hosts().first() else {
            panic!("a server on a Unix socket");
        };
        let folder = TempDir::new_in("/tmp").unwrap();
        let inside = |name: &str| folder.path().join(name);
        let user = server.get_user().unwrap();
        let settings = format!(
            "[databases]\n* = host={} port=5432 user={user}\n\
             [pgbouncer]\nlisten_addr =\nunix_socket_dir = {}\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = {sessions}\nlogfile = {}\n",
            socket.display(),
            folder.path().display(),
            inside("log").display(),
        );
        std::fs::write(inside("settings"), settings).unwrap();
        std::fs::set_permissions(inside("settings"), PermissionsExt::from_mode(0o644)).unwrap();
        programs.give(folder.path());
        let process = programs
            .command(program)
            .arg("--quiet")
            .arg(inside("settings"))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut config = Config::new();
        config.host_path(folder.path()).port(6432).user(user);
        config.dbname("postgres");
        let deadline = Instant::now() + PATIENCE;
        while config.connect(NoTls).await.is_err() {
            assert!(
                Instant::now() < deadline,
                "{:?}",
                std::fs::read_to_string(inside("log"))
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Some(Self {
            _process: process,
            _folder: folder,
            config,
        })
    }
}

/// Also one that has a single session of the server to give: nobody waits for it for long.
#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused() {
    for sessions in [20, 1] {
        let Some(bouncer) = Bouncer::start("transaction", sessions).await else {
            return;
        };
        let database = postgres::store_database().await;
        let pooled = Database::new(bouncer.config.clone(), database.name());
        // More than once: what the first try has left behind is not to hide the pooler.
        for _ in 0..if sessions == 1 { 1 } else { 3 } {
            let error = PostgresStore::open(&pooled, 1).await.unwrap_err();
            assert!(
                matches!(error, OpenError::Unfit(UnfitServer::Pooler { .. })),
                "{}",
                error_chain(&error)
            );
            assert!(error.to_string().contains("past the pooler"), "{error}");
        }
    }
}

/// A session that is a session is all that is asked for. It has the rights of its role and no more,
/// though the pooler passes on nothing of what a connection asks for at its start.
#[tokio::test]
async fn a_pooler_in_session_mode_is_accepted() {
    let Some(bouncer) = Bouncer::start("session", 20).await else {
        return;
    };
    let database = postgres::store_database().await;
    let pooled = Database::new(bouncer.config.clone(), database.name());
    let store = PostgresStore::open(&pooled, 2).await.unwrap();
    for _ in 0..10 {
        store.append(request("a", 2)).await.unwrap();
    }
    assert_eq!(store.head().await.unwrap().number(), 20);
    // One after another they get the same session of the server.
    for role in [Role::Appender, Role::Reader, Role::Owner] {
        let client = pooled.connect(role).await.unwrap();
        for (setting, expected) in [
            ("current_user", role.name(database.name()).as_str()),
            ("current_setting('synchronous_commit')", "on"),
            ("current_setting('timezone')", "UTC"),
        ] {
            let asked = format!("SELECT {setting}::text");
            let actual: String = client.query_one(&asked, &[]).await.unwrap().get(0);
            assert_eq!(actual, expected, "{role:?}: {setting}");
        }
    }
}
