//! The server's disk fails or is full. What was acknowledged is there, what was said to be refused is
//! not, and what is not known can be sent again.
//!
//! A library of ours is put between the server and its disk by `LD_PRELOAD`, so these run on Linux.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use folio_core::store::{Append, AppendError, AppendStatus, Appended, EventStore};
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{AppendSettings, Database, PostgresStore};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use super::{events_by_command, read_all, request, store_database, superuser, wait_until};

const WRITERS: usize = 16;
const EVENTS: usize = 3;
/// Acknowledged appends before a fault, and again after it.
const APPENDS: usize = 200;

/// The commit is in the log and may be found there by the recovery, or not: the server says no more
/// than that it panics.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_could_not_be_synced_is_resolved_rightly() {
    let Some(disk) = Disk::start().await else {
        return;
    };
    let writers = Writers::start(&disk).await;
    // Until it hits a session: the process that writes the log in the background syncs it too.
    for panics in 1.. {
        writers.append(APPENDS).await;
        disk.fails("EIO fdatasync pg_wal once");
        wait_until("another panic", async || disk.panics().len() >= panics).await;
        let name = disk.database.name();
        if disk.panics().iter().any(|line| line.contains(name)) {
            break;
        }
    }
    disk.logs("could not fdatasync").await;
    writers.append(APPENDS).await;
    let told = writers.stop().await;
    let was_in_doubt = |told: &Told| {
        matches!(
            told.answer,
            Answer::Recorded(AppendStatus::AlreadyApplied) | Answer::Unknown
        )
    };
    assert!(told.iter().any(was_in_doubt));
    disk.check(told).await;
}

/// The last words of a process that panics have a code, as a refusal has. An append that was alone in
/// its batch was said to be refused, and the recovery found its commit record in the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_commit_is_no_refusal() {
    let Some(disk) = Disk::start().await else {
        return;
    };
    let store = PostgresStore::open(&disk.database, 1).await.unwrap();
    let mut told = Vec::new();
    for fault in [None, Some("EIO fdatasync pg_wal once")] {
        if let Some(fault) = fault {
            disk.fails(fault);
        }
        let append = request("alone", EVENTS);
        let answer = Answer::of(store.append(append.clone()).await);
        told.push(Told { append, answer });
    }
    disk.logs("PANIC").await;
    disk.check(told).await;
}

/// The checkpointer finds that what it wrote may not be on the disk. All of it is in the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_could_not_be_synced_loses_nothing() {
    let Some(disk) = Disk::start().await else {
        return;
    };
    let writers = Writers::start(&disk).await;
    writers.append(APPENDS).await;
    disk.fails("EIO fsync base/ once");
    let checkpoint = superuser(&disk.cluster.connection_config(), &disk.database)
        .await
        .batch_execute("CHECKPOINT")
        .await;
    assert!(checkpoint.is_err());
    disk.logs("PANIC").await;
    disk.logs("could not fsync").await;
    writers.append(APPENDS).await;
    disk.check(writers.stop().await).await;
}

/// Without room for its log the server goes down, and cannot come up before there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_volume_loses_nothing_that_was_acknowledged() {
    let Some(disk) = Disk::start().await else {
        return;
    };
    let writers = Writers::start(&disk).await;
    writers.append(APPENDS).await;
    disk.fails("ENOSPC write pg_wal");
    disk.logs("PANIC").await;
    disk.logs("No space left on device").await;
    writers.refused(WRITERS).await;
    disk.heals();
    disk.comes_up().await;
    writers.append(APPENDS).await;
    disk.check(writers.stop().await).await;
}

/// Without room for tables the server stays up and refuses. It goes on when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_data_volume_refuses_appends_until_there_is_room() {
    let Some(disk) = Disk::start().await else {
        return;
    };
    let writers = Writers::start(&disk).await;
    writers.append(APPENDS).await;
    disk.fails("ENOSPC write base/");
    writers.refused(WRITERS * 10).await;
    disk.logs("No space left on device").await;
    disk.heals();
    writers.append(APPENDS).await;
    let told = writers.stop().await;
    assert!(disk.panics().is_empty());
    for told in &told {
        if let Answer::NotRecorded(error) = &told.answer {
            // Not a failure, which nobody would try again.
            assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
        }
    }
    disk.check(told).await;
}

/// A cluster whose disk fails when it is told to.
struct Disk {
    cluster: ThrowawayCluster,
    database: Database,
    control: PathBuf,
    _folder: TempDir,
}

impl Disk {
    /// None where libraries cannot be preloaded as they are on Linux.
    async fn start() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            eprintln!("NOT RUN: faults of the disk are injected on Linux only");
            return None;
        }
        let folder = TempDir::new().unwrap();
        // The server's user, who may not be ours, removes a fault that comes once.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let library = compile(folder.path());
        let control = folder.path().join("fault");
        let environment = vec![
            ("LD_PRELOAD".into(), library.into()),
            ("FOLIO_DISK_FAULT".into(), control.clone().into()),
        ];
        let cluster = ThrowawayCluster::start_within(Durability::Durable, environment)
            .await
            .unwrap();
        let database = store_database(&cluster.connection_config()).await;
        Some(Self {
            cluster,
            database,
            control,
            _folder: folder,
        })
    }

    /// From now on what `fault` says fails; `disk_fault.c` says what can be said.
    fn fails(&self, fault: &str) {
        let new = self.control.with_extension("new");
        fs::write(&new, fault).unwrap();
        // In one step, so that no process reads half a fault.
        fs::rename(new, &self.control).unwrap();
    }

    fn heals(&self) {
        fs::remove_file(&self.control).unwrap();
    }

    /// Waits until the server has recovered by itself, and starts it if it has given up.
    ///
    /// A server that recovers is not stopped: PostgreSQL 15 can take for ever over a fast stop then.
    async fn comes_up(&self) {
        let address = self.cluster.address();
        let socket = address
            .socket_folder
            .join(format!(".s.PGSQL.{}", address.port));
        let mut is_up = false;
        wait_until("a server that is up, or gone", async || {
            is_up = address.connection_config().connect(NoTls).await.is_ok();
            is_up || !socket.exists()
        })
        .await;
        if !is_up {
            self.cluster.restart().await.unwrap();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.cluster.address().data_folder.join("postgres.log")).unwrap()
    }

    fn panics(&self) -> Vec<String> {
        let log = self.log();
        let panics = log.lines().filter(|line| line.contains("PANIC:"));
        panics.map(str::to_owned).collect()
    }

    /// Waits until the server has logged this: without it, the fault was not there.
    async fn logs(&self, text: &str) {
        wait_until(text, async || self.log().contains(text)).await;
    }

    /// Compares what the writers were told with what is there, and sends again what they were not
    /// told to be recorded.
    async fn check(self, told: Vec<Told>) {
        self.comes_up().await;
        let store = PostgresStore::open(&self.database, 1).await.unwrap();
        let events = events_by_command(&read_all(&store).await);
        let mut commands = events.len();
        for told in &told {
            let there = events.get(&told.append.context.id).copied();
            match &told.answer {
                Answer::Recorded(_) => assert_eq!(there, Some(EVENTS)),
                Answer::NotRecorded(error) => {
                    assert_eq!(there, None, "recorded, and told: {error}");
                }
                Answer::Unknown => assert!(there.is_none_or(|events| events == EVENTS)),
            }
            if !matches!(told.answer, Answer::Recorded(_)) {
                let again = store.append(told.append.clone()).await.unwrap();
                assert_eq!(
                    again.status == AppendStatus::AlreadyApplied,
                    there.is_some()
                );
                commands += usize::from(there.is_none());
            }
        }
        let events = events_by_command(&read_all(&store).await);
        assert_eq!(events.len(), commands);
        assert_eq!(
            events.len(),
            told.len(),
            "some command is not there that was sent"
        );
        assert!(events.values().all(|count| *count == EVENTS));
        self.cluster.remove().await.unwrap();
    }
}

fn compile(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/faults/disk_fault.c");
    let library = folder.join("disk_fault.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status()
        .expect("cc, which links Rust programs too");
    assert!(compiled.success());
    library
}

/// An append, and what its writer was told.
struct Told {
    append: Append,
    answer: Answer,
}

enum Answer {
    Recorded(AppendStatus),
    NotRecorded(AppendError),
    Unknown,
}

impl Answer {
    fn of(result: Result<Appended, AppendError>) -> Self {
        match result {
            Ok(appended) => Self::Recorded(appended.status),
            Err(AppendError::OutcomeUnknown { .. }) => Self::Unknown,
            Err(error) => Self::NotRecorded(error),
        }
    }
}

/// Writers that append until they are stopped, whatever they are told.
struct Writers {
    tasks: JoinSet<Vec<Told>>,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    recorded: AtomicUsize,
    refused: AtomicUsize,
    stop: AtomicBool,
}

impl Writers {
    async fn start(disk: &Disk) -> Self {
        let settings = AppendSettings {
            // Shorter than the server is away in the longest of these, so that both ends are seen.
            resolve: Duration::from_secs(3),
            ..AppendSettings::default()
        };
        let store = PostgresStore::open_with(&disk.database, 2, settings).await;
        let store = Arc::new(store.unwrap());
        let count = Arc::new(Count::default());
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            tasks.spawn(write(writer, Arc::clone(&store), Arc::clone(&count)));
        }
        Self { tasks, count }
    }

    /// Waits for so many more appends that are acknowledged.
    async fn append(&self, appends: usize) {
        more(&self.count.recorded, appends, "acknowledged appends").await;
    }

    /// Waits for so many more appends that are not.
    async fn refused(&self, appends: usize) {
        more(&self.count.refused, appends, "refused appends").await;
    }

    async fn stop(self) -> Vec<Told> {
        self.count.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

async fn more(count: &AtomicUsize, more: usize, what: &str) {
    let goal = count.load(Ordering::Relaxed) + more;
    wait_until(what, async || count.load(Ordering::Relaxed) >= goal).await;
}

async fn write(writer: usize, store: Arc<PostgresStore>, count: Arc<Count>) -> Vec<Told> {
    let mut told = Vec::new();
    while !count.stop.load(Ordering::Relaxed) {
        let append = request(&writer.to_string(), EVENTS);
        let answer = Answer::of(store.append(append.clone()).await);
        if matches!(answer, Answer::Recorded(_)) {
            count.recorded.fetch_add(1, Ordering::Relaxed);
        } else {
            count.refused.fetch_add(1, Ordering::Relaxed);
            // As a client would: not again at once.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        told.push(Told { append, answer });
    }
    told
}
