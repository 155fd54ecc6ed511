//! The server is lost with all it has, and a replica that was behind takes its place.

use std::path::{Path, PathBuf};
use std::process::Command;

use folio_audit::{Anchor as _, Finding, SealError, Sealer};
use folio_postgres::PostgresStore;
use folio_postgres::cluster::{Durability, ThrowawayCluster};

use super::book::{Book, batch};
use super::walk::walked;

/// A book on a server of its own, and what a replica has of it.
pub(super) struct Replicated {
    pub(super) cluster: ThrowawayCluster,
    /// All that the server has.
    data: PathBuf,
    pub(super) book: Book,
}

impl Replicated {
    pub(super) async fn start() -> Self {
        let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
        let book = Book::on(cluster.connection_config()).await;
        let entries = std::fs::read_dir(&cluster.address().data_folder).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        let is_data = |path: &PathBuf| path.join("PG_VERSION").exists();
        let data = paths.find(is_data).unwrap();
        Self {
            cluster,
            data,
            book,
        }
    }

    /// From here on the replica receives nothing any more.
    pub(super) async fn replica_falls_behind(&mut self) {
        self.cluster.kill_all().await.unwrap();
        copy(&self.data, &self.replica());
        self.comes_up().await;
    }

    /// All that the replica does not have is lost.
    pub(super) async fn fails_over(&mut self) {
        self.cluster.kill_all().await.unwrap();
        std::fs::remove_dir_all(&self.data).unwrap();
        std::fs::rename(self.replica(), &self.data).unwrap();
        // The replica is another machine, on which no server has left its lock.
        std::fs::remove_file(self.data.join("postmaster.pid")).unwrap();
        let socket = &self.cluster.address().socket_folder;
        let _ = std::fs::remove_file(socket.join(".s.PGSQL.5432.lock"));
        self.comes_up().await;
    }

    async fn comes_up(&mut self) {
        self.cluster.restart().await.unwrap();
        self.book.store = PostgresStore::open(&self.book.database, 2).await.unwrap();
    }

    fn replica(&self) -> PathBuf {
        self.cluster.address().data_folder.join("replica")
    }
}

/// With its owner.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

async fn sealer(book: &Book) -> Result<Sealer, SealError> {
    let anchor = book.file_anchor().await;
    Sealer::open(&book.database, Book::key(), Book::log(), batch(10), anchor).await
}

/// What is known of them is that they were never sealed; the log goes on without them.
#[tokio::test]
async fn a_failover_that_loses_what_was_not_sealed_leaves_a_log_that_goes_on() {
    let mut replicated = Replicated::start().await;
    replicated.book.append(1, 4).await;
    let mut running = sealer(&replicated.book).await.unwrap();
    assert_eq!(running.seal_once().await.unwrap().events, 4);
    replicated.replica_falls_behind().await;
    replicated.book.append(1, 3).await;
    replicated.fails_over().await;
    let book = &replicated.book;
    assert_eq!(book.count("store.events").await, 4);

    book.append(2, 5).await;
    let sealed = running.seal_once().await;
    // Its connection was to the server that is gone.
    let sealed = match sealed {
        Err(error) if !error.is_final() => running.seal_once().await,
        other => other,
    };
    assert_eq!(sealed.unwrap().events, 5);
    book.assert_sealed().await;
    let (findings, report) = walked(book).await;
    assert_eq!((findings, report.events), (Vec::new(), 9));
    replicated.cluster.remove().await.unwrap();
}

/// Whoever was shown the lost part has a checkpoint that no log has any more.
#[tokio::test]
async fn a_failover_that_loses_what_was_sealed_is_never_sealed_over() {
    let mut replicated = Replicated::start().await;
    replicated.book.append(1, 4).await;
    let mut running = sealer(&replicated.book).await.unwrap();
    running.seal_once().await.unwrap();
    replicated.replica_falls_behind().await;
    replicated.book.append(1, 3).await;
    let mut before = sealer(&replicated.book).await.unwrap();
    assert_eq!(before.seal_once().await.unwrap().events, 3);
    replicated.fails_over().await;
    let book = &replicated.book;

    let is_lost = |finding: &Finding| matches!(finding, Finding::NotInLog { .. });
    let cut = |finding: &Finding| {
        let Finding::Truncated { last, sealed } = finding else {
            return false;
        };
        (*last, *sealed) == (4, 7)
    };
    let (findings, _) = walked(book).await;
    assert!(findings.iter().any(is_lost), "{findings:?}");
    assert!(findings.iter().any(cut), "{findings:?}");

    // Other events take the positions of those that are lost, as many, and more.
    for (stream, events) in [(2, 3), (3, 6)] {
        book.append(stream, events).await;
        for sealer in [&mut running, &mut before] {
            let mut error = sealer.seal_once().await.unwrap_err();
            if !error.is_final() {
                error = sealer.seal_once().await.unwrap_err();
            }
            assert!(matches!(error, SealError::NotAsAnchored(_)), "{error:?}");
        }
        let error = sealer(book).await.unwrap_err();
        assert!(matches!(error, SealError::NotAsAnchored(_)), "{error:?}");
        let (findings, _) = walked(book).await;
        assert!(findings.iter().any(is_lost), "{findings:?}");
        let rewritten = |finding: &Finding| matches!(finding, Finding::Rewritten { .. });
        assert!(findings.iter().any(rewritten), "{findings:?}");
    }
    assert_eq!(book.checkpoints().await.len(), 1, "nothing was sealed over");
    let anchored = book.file_anchor().await.last().await.unwrap().unwrap();
    assert_eq!(Book::log().open(&anchored).unwrap().size, 7);
    replicated.cluster.remove().await.unwrap();
}
