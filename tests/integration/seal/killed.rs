//! Sealers that are killed, as processes or with their server, at chosen points of a seal and at any other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use folio_audit::{Anchor as _, FileAnchor, LogKeys, Prover, TrustedLog, Walk, Walked};
use folio_postgres::PostgresStore;
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_proofs::checkpoint::Checkpoint;
use folio_proofs::merkle::{Size, TreeHead};
use folio_proofs::note::SignedNote;
use folio_tests::process::{Program, command};
use folio_tests::{postgres, scale};
use ledger_example::AccountsDatabases;
use nix::sys::signal::Signal;
use reqwest::Client as Http;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::book::{Book, batch};
use super::walk::walked;
use super::witness::program;
use crate::conformance::until;
use crate::kill::free_address;
use crate::turmoil::Chance;

const PATIENCE: Duration = Duration::from_secs(60);
/// Kills at a scale of 1, besides those at the chosen points: of a process, and of a server, which takes a second to come up again.
const KILLS: u64 = 8;
const CRASHES: u64 = 3;

/// Where in a seal it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Tiles,
    Map,
    Checkpoint,
    /// All is written, and the commit has begun.
    Commit,
}

impl Point {
    const ALL: [Self; 4] = [Self::Tiles, Self::Map, Self::Checkpoint, Self::Commit];

    const fn table(self) -> &'static str {
        match self {
            Self::Tiles => "audit.tiles",
            Self::Map => "audit.buckets",
            Self::Checkpoint | Self::Commit => "audit.checkpoints",
        }
    }

    fn trigger(self) -> String {
        let table = self.table();
        let (kind, when, each) = match self {
            Self::Commit => ("CONSTRAINT", "DEFERRABLE INITIALLY DEFERRED", "ROW"),
            Self::Tiles | Self::Map | Self::Checkpoint => ("", "", "STATEMENT"),
        };
        format!(
            "CREATE {kind} TRIGGER held AFTER INSERT ON {table} {when} \
             FOR EACH {each} EXECUTE FUNCTION public.hold()"
        )
    }
}

const SEALERS: &str = "FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = 'folio sealer'";

/// The next seal in a database waits at a point of it, for as long as this session has a lock.
struct Held {
    owner: Client,
    point: Point,
}

impl Held {
    async fn at(point: Point, owner: Client) -> Self {
        let wait = "CREATE OR REPLACE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ \
             BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$";
        let all = format!("SELECT pg_advisory_lock(1); {wait}; {}", point.trigger());
        owner.batch_execute(&all).await.unwrap();
        Self { owner, point }
    }

    /// Returns once a sealer has come to the point.
    async fn is_reached(&self) {
        let waits = format!("SELECT EXISTS (SELECT {SEALERS} AND wait_event = 'advisory')");
        until(&self.owner, &waits).await;
    }

    /// Lets it go on, and returns once nobody seals any more.
    async fn let_go(self) {
        let unlock = "SELECT pg_advisory_unlock(1)";
        self.owner.batch_execute(unlock).await.unwrap();
        until(
            &self.owner,
            &format!("SELECT NOT EXISTS (SELECT {SEALERS})"),
        )
        .await;
        forget(&self.owner, self.point).await;
    }
}

/// From here on no seal is held there.
async fn forget(owner: &Client, point: Point) {
    let drop = format!("DROP TRIGGER held ON {}", point.table());
    owner.batch_execute(&drop).await.unwrap();
}

/// Whether a log of the later checkpoint begins with that of the earlier one.
async fn grows(prover: &Prover, earlier: &Checkpoint, later: &Checkpoint) -> bool {
    let head = |checkpoint: &Checkpoint| TreeHead {
        size: Size::new(checkpoint.size),
        root: checkpoint.root,
    };
    let (from, to) = (head(earlier), head(later));
    let proof = prover.consistency(from.size, to.size).await.unwrap();
    proof.verify(from, to).is_ok()
}

/// The checkpoints of a database, which are one line: each is larger than the one before, and begins with it.
async fn line(owner: &Client, prover: &Prover) -> Vec<Checkpoint> {
    let notes = "SELECT note FROM audit.checkpoints ORDER BY size";
    let notes = owner.query(notes, &[]).await.unwrap();
    let open = |note: &str| prover.log().open(&SignedNote::parse(note).unwrap());
    let notes = notes.iter().map(|row| open(row.get(0)).unwrap());
    let checkpoints: Vec<Checkpoint> = notes.collect();
    for pair in checkpoints.windows(2) {
        assert!(pair[0].size < pair[1].size, "{pair:?}");
        assert!(grows(prover, &pair[0], &pair[1]).await, "{pair:?}");
    }
    checkpoints
}

/// All that an anchor has, each once.
async fn anchored(anchor: &FileAnchor, log: &TrustedLog) -> Vec<Checkpoint> {
    let records = anchor.records().await.unwrap();
    let log = log.clone();
    let read = move || {
        let opened = records.map(|note| log.open(&note.unwrap()).unwrap());
        let by_size: BTreeMap<u64, Checkpoint> = opened.map(|one| (one.size, one)).collect();
        by_size.into_values().collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// The accounts service of a book, which seals it, as a process.
struct Service {
    databases: AccountsDatabases,
    book: String,
    address: String,
    folder: TempDir,
    http: Http,
    /// Postings so far, also those that were not answered.
    postings: AtomicU64,
}

impl Service {
    async fn new() -> Arc<Self> {
        let databases = postgres::book().await;
        let service = Self {
            book: databases.book.to_string(),
            databases: databases.accounts,
            address: free_address().await,
            folder: tempfile::tempdir().unwrap(),
            http: Http::builder().no_proxy().build().unwrap(),
            postings: AtomicU64::new(0),
        };
        Arc::new(service)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    async fn start(&self) -> Program {
        let (keys, anchor) = (self.path("keys"), self.path("anchor"));
        let words = [
            "accounts",
            "--listen",
            &self.address,
            "--book",
            &self.book,
            "--seal-keys",
            &keys,
            "--anchor",
            &anchor,
        ];
        let mut command = command(program(), &words);
        command.env("DATABASE_URL", postgres::url().await);
        let mut started = Program::start(command);
        started.line_with("listens at").await;
        started
    }

    /// Whether it was answered.
    async fn send(&self, path: &str, key: String, body: &Value) -> bool {
        let request = self.http.post(format!("http://{}{path}", self.address));
        let request = request.header("Idempotency-Key", key).json(body);
        request
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 201)
    }

    async fn post(&self) -> bool {
        let number = self.postings.fetch_add(1, Ordering::Relaxed);
        let body = json!({"amount": "1.00", "currency": "EUR", "contra": "cash"});
        let path = "/v1/accounts/1/credits";
        self.send(path, format!("posting-{number}"), &body).await
    }

    /// Posts from several clients until the service is gone. Answers with the count of those that were answered by now.
    fn load(self: &Arc<Self>) -> (JoinSet<()>, Arc<AtomicU64>) {
        let answered: Arc<AtomicU64> = Arc::default();
        let mut clients = JoinSet::new();
        for _ in 0..6 {
            let (service, answered) = (Arc::clone(self), Arc::clone(&answered));
            clients.spawn(async move {
                while service.post().await {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        (clients, answered)
    }

    async fn owner(&self) -> Client {
        postgres::superuser(&self.databases.events).await
    }

    fn log(&self) -> TrustedLog {
        let public = self.folder.path().join("keys").join(LogKeys::PUBLIC_FILE);
        LogKeys::trusted(&public).unwrap()
    }

    fn prover(&self) -> Prover {
        Prover::open(&self.databases.events, self.log(), 2).unwrap()
    }

    fn anchor(&self) -> FileAnchor {
        FileAnchor::at(self.path("anchor"))
    }

    /// Returns once everything is sealed and anchored.
    async fn all_is_sealed(&self) {
        let (owner, log, deadline) = (self.owner().await, self.log(), Instant::now() + PATIENCE);
        let head = "SELECT coalesce(max(position), 0) FROM store.events";
        loop {
            let head: i64 = owner.query_one(head, &[]).await.unwrap().get(0);
            let last = self.anchor().last().await.unwrap();
            let last = last.map(|note| log.open(&note).unwrap());
            let through = last.and_then(|last| last.through);
            if through.is_some_and(|through| through.position() == head) {
                return;
            }
            assert!(Instant::now() < deadline, "{through:?} of {head}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The process that seals is killed where it has written the tiles, the map, the checkpoint, where it has asked for the commit, and
/// at any moment under load. A seal is one transaction and is anchored behind it: what was begun is not there, what was committed
/// is anchored by the next process, and all that was ever signed is one line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealer_whose_process_is_killed_anywhere_leaves_one_log_and_its_anchor_behind_it() {
    let service = Service::new().await;
    let mut running = service.start().await;
    let account = json!({"id": "1", "currency": "EUR"});
    let opened = service.send("/v1/accounts", "open".to_owned(), &account);
    assert!(opened.await);
    let (owner, prover) = (service.owner().await, service.prover());
    for point in Point::ALL {
        service.all_is_sealed().await;
        let before = line(&owner, &prover).await;
        let held = Held::at(point, service.owner().await).await;
        assert!(service.post().await);
        held.is_reached().await;
        running.signal(Signal::SIGKILL);
        running.end().await;
        held.let_go().await;
        // The server carries out a commit that was asked for, whoever has gone.
        let committed = usize::from(point == Point::Commit);
        let after = line(&owner, &prover).await;
        assert_eq!(after.len(), before.len() + committed, "{point:?}");
        assert!(after.starts_with(&before), "{point:?}");
        let anchored = anchored(&service.anchor(), prover.log()).await;
        assert_eq!(anchored.last(), before.last(), "{point:?}");
        running = service.start().await;
    }

    let mut chance = Chance(67);
    let mut known = line(&owner, &prover).await;
    for _ in 0..KILLS * scale() as u64 {
        let (mut clients, answered) = service.load();
        let (enough, deadline) = (1 + chance.next(150), Instant::now() + PATIENCE);
        while answered.load(Ordering::Relaxed) < enough {
            assert!(Instant::now() < deadline, "{answered:?} of {enough}");
            sleep(Duration::from_millis(1)).await;
        }
        running.signal(Signal::SIGKILL);
        running.end().await;
        while clients.join_next().await.is_some() {}
        let now = line(&owner, &prover).await;
        assert!(now.starts_with(&known), "{known:?}, {now:?}");
        known = now;
        running = service.start().await;
    }
    service.all_is_sealed().await;
    running.signal(Signal::SIGTERM);
    assert!(running.end().await.0.success());

    let all = line(&owner, &prover).await;
    assert!(all.starts_with(&known));
    let anchored = anchored(&service.anchor(), prover.log()).await;
    assert!(anchored.iter().all(|one| all.contains(one)), "{anchored:?}");
    assert_eq!(anchored.last(), all.last());
    let walk = Walk::open(&service.databases.events, service.log()).unwrap();
    let walk = walk.anchored_in(Arc::new(service.anchor()));
    let mut findings = Vec::new();
    let report = walk.run(100, |walked| {
        if let Walked::Found(finding) = walked {
            findings.push(*finding);
        }
    });
    let report = report.await.unwrap();
    assert_eq!((findings, report.unsealed_events), (Vec::new(), 0));
    assert_eq!(report.checkpoints, all.len() as u64);

    // The control: a checkpoint of another log is not on the line.
    let mut other = all[all.len() - 1].clone();
    other.root = all[all.len() - 2].root;
    assert!(!grows(&prover, &all[all.len() - 2], &other).await);
}

/// All processes of the server are killed where a seal has written the tiles, the map, the checkpoint, where it commits, and at any
/// moment while seals follow each other. What was not committed is not there, what was told to be sealed is, and the same sealer
/// goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_within_a_seal_keeps_what_was_sealed_and_the_log_goes_on() {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let mut book = Book::on(cluster.connection_config()).await;
    let mut sealer = book.sealer(batch(7)).await;
    book.append(0, 5).await;
    sealer.seal_once().await.unwrap();
    for (id, point) in (1..).zip(Point::ALL) {
        let before = book.checkpoints().await;
        book.append(id, 5).await;
        let held = Held::at(point, book.superuser().await).await;
        let sealing = tokio::spawn(async move {
            let sealed = sealer.seal_once().await;
            (sealer, sealed)
        });
        held.is_reached().await;
        comes_up_again(&cluster, &mut book).await;
        let (same, sealed) = sealing.await.unwrap();
        sealer = same;
        let error = sealed.unwrap_err();
        assert!(!error.is_final(), "{point:?}: {error:?}");
        assert_eq!(book.checkpoints().await, before, "{point:?}");
        forget(&book.superuser().await, point).await;
        assert_eq!(sealer.seal_once().await.unwrap().events, 5, "{point:?}");
    }

    let mut chance = Chance(68);
    let mut known = book.checkpoints().await;
    for id in 0..CRASHES * scale() as u64 {
        book.append(id % 5, 120).await;
        let (say, mut told) = mpsc::unbounded_channel();
        let sealing = tokio::spawn(async move {
            loop {
                match sealer.seal_once().await {
                    Ok(sealed) => say.send(sealed.checkpoint).unwrap(),
                    Err(error) => return (sealer, error),
                }
            }
        });
        for _ in 0..=chance.next(12) {
            known.push(told.recv().await.unwrap());
        }
        comes_up_again(&cluster, &mut book).await;
        let (same, error) = sealing.await.unwrap();
        sealer = same;
        assert!(!error.is_final(), "{error:?}");
        while let Some(sealed) = told.recv().await {
            known.push(sealed);
        }
        known.dedup();
        let now = line(&book.superuser().await, &book.prover()).await;
        // One more may have been committed, and its answer lost.
        assert!(now.starts_with(&known) && now.len() <= known.len() + 1);
        known = now;
    }
    while sealer.seal_once().await.unwrap().leaves() > 0 {}
    book.assert_sealed().await;
    let all = line(&book.superuser().await, &book.prover()).await;
    assert!(all.starts_with(&known));
    let anchor = book.file_anchor().await;
    let anchored = anchored(&anchor, &Book::log()).await;
    assert!(anchored.iter().all(|one| all.contains(one)), "{anchored:?}");
    let (findings, report) = walked(&book).await;
    assert_eq!((findings, report.unsealed_events), (Vec::new(), 0));

    // The control: a checkpoint that is taken away afterwards is missed.
    let last = all[all.len() - 1].size;
    book.tamper(&format!(
        "DELETE FROM audit.checkpoints WHERE size = {last}"
    ))
    .await;
    assert_ne!(walked(&book).await.0, []);
    cluster.remove().await.unwrap();
}

/// Kills every process of the server at once, and starts it again.
async fn comes_up_again(cluster: &ThrowawayCluster, book: &mut Book) {
    cluster.kill_all().await.unwrap();
    cluster.restart().await.unwrap();
    book.store = PostgresStore::open(&book.database, 2).await.unwrap();
}
