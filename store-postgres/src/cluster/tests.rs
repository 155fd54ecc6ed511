//! Tests with a real server. Each has a data folder of its own, removed however the test ends.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_committed_row_outlives_a_restart() {
    let scratch = Scratch::new();
    let options = scratch.options(Durability::Durable);
    let cluster = LocalCluster::start(options.clone())
        .await
        .expect("a first start");
    let client = connect(cluster.address()).await;
    client
        .batch_execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        .await
        .unwrap();
    for (setting, expected) in [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("max_connections", "20"),
    ] {
        assert_eq!(show(&client, setting).await, expected, "{setting}");
    }

    let attached = LocalCluster::attach(&scratch.data_folder())
        .await
        .expect("to look");
    assert_eq!(attached.as_ref(), Some(cluster.address()));

    cluster.stop().await.expect("to stop");
    assert_eq!(scratch.postmaster(), None);
    let attached = LocalCluster::attach(&scratch.data_folder())
        .await
        .expect("to look");
    assert_eq!(attached, None);

    let cluster = LocalCluster::start(options).await.expect("a second start");
    let client = connect(cluster.address()).await;
    let row = client
        .query_one("SELECT n FROM kept", &[])
        .await
        .expect("the row");
    assert_eq!(row.get::<_, i32>(0), 7);
    cluster.stop().await.expect("to stop");
}

#[tokio::test]
async fn one_program_manages_a_folder_and_the_next_takes_over() {
    let scratch = Scratch::new();
    let options = scratch.options(Durability::UnsafeForTests);
    let cluster = LocalCluster::start(options.clone()).await.expect("a start");
    let first = scratch.postmaster().expect("a server");

    // Ctrl-C goes to the terminal's foreground group, a hang-up to its session.
    let server = group_and_session(&first.pid.to_string());
    if let (Some(server), Some(ours)) = (server, group_and_session("self")) {
        assert_ne!(server.0, ours.0, "no terminal reaches it by its group");
        assert_ne!(server.1, ours.1, "nor by its session");
    }

    let error = LocalCluster::start(options.clone())
        .await
        .expect_err("managed already");
    assert!(
        matches!(error, ClusterError::InUse { pid: Some(_), .. }),
        "{error}"
    );

    drop(cluster);
    assert_eq!(scratch.postmaster().as_ref(), Some(&first), "left running");
    let cluster = LocalCluster::start(options.clone())
        .await
        .expect("to take over");
    assert_eq!(
        scratch.postmaster().as_ref(),
        Some(&first),
        "taken over as it was"
    );

    drop(cluster);
    let more = ClusterOptions {
        max_connections: 30,
        ..options
    };
    let cluster = LocalCluster::start(more.clone())
        .await
        .expect("to take over");
    let second = scratch.postmaster().expect("a server");
    assert_ne!(second.pid, first.pid, "restarted for the new setting");
    assert_eq!(
        show(&connect(cluster.address()).await, "max_connections").await,
        "30"
    );

    let socket = cluster.address().socket();
    drop(cluster);
    fs::remove_file(socket).expect("to take the socket away");
    let cluster = LocalCluster::start(more).await.expect("to take over");
    assert_ne!(
        scratch.postmaster().expect("a server").pid,
        second.pid,
        "restarted to be reached"
    );
    cluster.stop().await.expect("to stop");
}

#[tokio::test]
async fn an_interrupted_initdb_is_never_taken_for_a_cluster() {
    let scratch = Scratch::new();
    let options = scratch.options(Durability::UnsafeForTests);
    let at_work = async {
        while folders::leftovers(&scratch.data_folder()).is_ok_and(|it| it.is_empty()) {
            sleep(server::LOOK_EVERY).await;
        }
    };
    tokio::select! {
        _ = LocalCluster::start(options.clone()) => panic!("a start without initdb"),
        () = at_work => {}
    }
    let left = folders::leftovers(&scratch.data_folder()).expect("a list");
    assert_eq!(left.len(), 1, "interrupted in the middle");
    let majors = folders::cluster_majors(&scratch.data_folder()).expect("a list");
    assert!(majors.is_empty(), "{majors:?}");
    // And one of a program that was killed, so that nobody could clear up.
    let killed = scratch.data_folder().join("pg99.unfinished-1");
    fs::create_dir(&killed).expect("a folder");
    fs::write(killed.join("PG_VERSION"), "99").expect("a file");

    let cluster = LocalCluster::start(options).await.expect("a start");
    show(&connect(cluster.address()).await, "server_version").await;
    let left = folders::leftovers(&scratch.data_folder()).expect("a list");
    assert!(left.is_empty(), "{left:?}");
    cluster.stop().await.expect("to stop");
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let scratch = Scratch::new();
    let options = scratch.options(Durability::UnsafeForTests);
    let folder = scratch.data_folder();
    fs::create_dir(&folder).expect("a folder");
    open_up(&folder);
    fs::write(folder.join("postgresql.local.conf"), "port = many\n").expect("a file");
    let error = LocalCluster::start(options.clone())
        .await
        .expect_err("a bad setting");
    assert!(matches!(error, ClusterError::StartFailed { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("invalid value for parameter \"port\""),
        "{error}"
    );

    fs::write(folder.join("postgresql.local.conf"), "work_mem = 5MB\n").expect("a file");
    let cluster = LocalCluster::start(options).await.expect("a start");
    assert_eq!(
        show(&connect(cluster.address()).await, "work_mem").await,
        "5MB"
    );
    cluster.stop().await.expect("to stop");
}

#[tokio::test]
async fn a_long_path_is_served_through_a_short_socket_folder() {
    let scratch = Scratch::new();
    let mut options = scratch.options(Durability::UnsafeForTests);
    options.data_folder = scratch.0.path().join("it's, long ".repeat(12)).join("data");
    let cluster = LocalCluster::start(options.clone()).await.expect("a start");
    let socket_folder = cluster.address().socket_folder.clone();
    assert!(socket_folder.starts_with("/tmp") && !socket_folder.starts_with(scratch.0.path()));
    let mode = socket_folder
        .metadata()
        .expect("the folder")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    show(&connect(cluster.address()).await, "server_version").await;
    cluster.stop().await.expect("to stop");
    assert!(!socket_folder.exists());
}

#[tokio::test]
async fn data_of_another_version_is_left_alone() {
    let scratch = Scratch::new();
    let cluster_folder = scratch.data_folder().join("pg12");
    fs::create_dir_all(&cluster_folder).expect("a folder");
    fs::write(cluster_folder.join("PG_VERSION"), "12\n").expect("a file");
    let start = LocalCluster::start(scratch.options(Durability::UnsafeForTests));
    let error = start.await.expect_err("no PostgreSQL 12");
    assert!(
        matches!(error, ClusterError::VersionMismatch { data: 12, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn root_hears_of_a_closed_folder_before_anything_is_made() {
    if !Uid::effective().is_root() {
        return;
    }
    let scratch = Scratch::new();
    fs::set_permissions(scratch.0.path(), fs::Permissions::from_mode(0o700)).expect("its mode");
    let start = LocalCluster::start(scratch.options(Durability::UnsafeForTests));
    let error = start.await.expect_err("closed");
    assert!(
        matches!(error, ClusterError::Untraversable { .. }),
        "{error}"
    );
    assert!(!scratch.data_folder().exists());
}

#[tokio::test]
async fn a_killed_server_keeps_what_it_committed() {
    let cluster = ThrowawayCluster::start(Durability::Durable)
        .await
        .expect("a start");
    let folder = cluster.address().data_folder.clone();
    let client = connect(cluster.address()).await;
    client
        .batch_execute("CREATE TABLE kept (n int)")
        .await
        .expect("a table");
    client
        .batch_execute("INSERT INTO kept VALUES (1)")
        .await
        .expect("a commit");
    client
        .batch_execute("BEGIN; INSERT INTO kept VALUES (2)")
        .await
        .expect("no commit");
    let row = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .expect("a number");
    let backend: i32 = row.get(0);

    cluster.kill_all().await.expect("to kill");
    assert!(process::look(backend).is_none(), "its processes went too");
    client
        .simple_query("SELECT 1")
        .await
        .expect_err("a dead server");
    cluster.kill_all().await.expect("nothing to kill");

    cluster.restart().await.expect("a restart");
    let client = connect(cluster.address()).await;
    let rows = client
        .query("SELECT n FROM kept", &[])
        .await
        .expect("the rows");
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [1]);

    cluster.remove().await.expect("to remove");
    assert!(!folder.exists());
}

/// Not a test of its own: the owner that the next test kills.
#[tokio::test]
async fn owner_to_be_killed() {
    if std::env::var_os(OWNER).is_none() {
        return;
    }
    let cluster = ThrowawayCluster::start(Durability::UnsafeForTests)
        .await
        .expect("a start");
    println!("\n{OWNER}={}", cluster.address().data_folder.display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_throwaway_cluster_goes_with_its_killed_owner() {
    let (_, module) = module_path!()
        .split_once("::")
        .expect("a crate and a module");
    let mut owner = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "--nocapture",
            &format!("{module}::owner_to_be_killed"),
        ])
        .env(OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("an owner");
    let mut lines = BufReader::new(owner.stdout.take().expect("its output")).lines();
    let folder = lines
        .find_map(|line| {
            line.ok()?
                .strip_prefix(OWNER)?
                .strip_prefix('=')
                .map(PathBuf::from)
        })
        .expect("a started cluster");
    let attached = LocalCluster::attach(&folder)
        .await
        .expect("to look")
        .expect("a server");
    show(&connect(&attached).await, "server_version").await;
    let server = folders::cluster_majors(&folder)
        .expect("a list")
        .iter()
        .find_map(|major| Postmaster::find(&folders::cluster_folder(&folder, *major)).ok()?)
        .expect("a server");

    owner.kill().expect("to kill the owner");
    owner.wait().expect("to collect it");
    let gone = async {
        while folder.exists() || process::look(server.pid).is_some() {
            sleep(server::LOOK_EVERY).await;
        }
    };
    timeout(DEADLINE, gone)
        .await
        .expect("the folder and the server to go");
}

/// Marks the process that is to be killed, and the line in which it says where its folder is.
const OWNER: &str = "FOLIO_TEST_OWNER_TO_BE_KILLED";

/// A folder that the server's account may pass through, with a data folder to be made in it.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("folio-test-")
            .tempdir_in("/tmp");
        let folder = folder.expect("a folder");
        open_up(folder.path());
        Self(folder)
    }

    fn data_folder(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn options(&self, durability: Durability) -> ClusterOptions {
        ClusterOptions {
            max_connections: 20,
            durability,
            ..ClusterOptions::new(self.data_folder())
        }
    }

    fn postmaster(&self) -> Option<Postmaster> {
        let folder = self.data_folder();
        let majors = folders::cluster_majors(&folder).expect("a list");
        majors.into_iter().find_map(|major| {
            Postmaster::find(&folders::cluster_folder(&folder, major)).expect("to look")
        })
    }
}

impl Drop for Scratch {
    /// A test that failed may have left its server running.
    fn drop(&mut self) {
        let Some(postmaster) = self.postmaster() else {
            return;
        };
        let _ = kill(Pid::from_raw(postmaster.pid), Signal::SIGQUIT);
        let deadline = Instant::now() + DEADLINE;
        while process::look(postmaster.pid).is_some() && Instant::now() < deadline {
            thread::yield_now();
        }
    }
}

fn open_up(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).expect("its mode");
}

async fn connect(address: &ClusterAddress) -> Client {
    let (client, connection) = address
        .connection_config()
        .connect(NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    client
}

async fn show(client: &Client, setting: &str) -> String {
    let row = client
        .query_one(&format!("SHOW {setting}"), &[])
        .await
        .expect("a setting");
    row.get(0)
}

/// Fields 5 and 6 of a process's line, where there is a `/proc`.
fn group_and_session(pid: &str) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat
        .rsplit_once(") ")?
        .1
        .split(' ')
        .skip(2)
        .map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}
