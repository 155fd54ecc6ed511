//! What the anchor keeps, and finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use folio_audit::{
    Anchor, AnchorError, DatabaseAnchor, FileAnchor, Finding, Records, SealError, Sealer,
};
use folio_postgres::Database;
use folio_proofs::merkle::{ConsistencyProof, Size};
use folio_proofs::note::{SignedNote, SigningKey};
use folio_tests::postgres;
use tokio_postgres::error::SqlState;

use super::book::{Book, batch};
use super::walk::{walked, walked_with};

async fn opened(book: &Book) -> Result<Sealer, SealError> {
    let anchor = book.file_anchor().await;
    Sealer::open(&book.database, Book::key(), Book::log(), batch(10), anchor).await
}

async fn seals(book: &Book, seals: u64) {
    let mut sealer = opened(book).await.unwrap();
    for id in 0..seals {
        book.append(id, 4).await;
        assert_eq!(sealer.seal_once().await.unwrap().events, 4);
    }
}

#[tokio::test]
async fn a_log_that_has_lost_its_end_is_not_sealed_further() {
    let book = Book::new().await;
    let mut running = opened(&book).await.unwrap();
    // The copy that will be put back.
    seals(&book, 2).await;
    for table in ["tiles", "buckets", "checkpoints"] {
        book.tamper(&format!(
            "CREATE TABLE public.{table} AS TABLE audit.{table}"
        ))
        .await;
    }
    seals(&book, 1).await;
    for table in ["tiles", "buckets", "checkpoints"] {
        let back =
            format!("DELETE FROM audit.{table}; INSERT INTO audit.{table} TABLE public.{table}");
        book.tamper(&back).await;
    }
    // One that runs on sees it, and so does one that starts.
    let of_running = running.seal_once().await.unwrap_err();
    let of_new = opened(&book).await.unwrap_err();
    for error in [of_running, of_new] {
        assert!(error.is_final(), "{error}");
        let SealError::NotAsAnchored(not) = &error else {
            panic!("{error:?}");
        };
        assert_eq!((not.anchored.size, &not.found), (12, &None));
        assert_eq!(not.last.as_ref().map(|last| last.size), Some(8));
        let text = error.to_string();
        assert!(
            text.contains("12 leaves") && text.contains("its last one has 8"),
            "{text}"
        );
    }
    assert_eq!(book.checkpoints().await.len(), 2);
}

#[tokio::test]
async fn a_log_that_was_made_anew_is_not_sealed_further() {
    let book = Book::new().await;
    seals(&book, 2).await;
    book.tamper("UPDATE store.events SET payload = '{}' WHERE position = 3")
        .await;
    for table in ["tiles", "buckets", "checkpoints"] {
        book.tamper(&format!("DELETE FROM audit.{table}")).await;
    }
    let none = opened(&book).await.unwrap_err();
    assert!(
        none.to_string().contains("the database has none at all"),
        "{none}"
    );
    // As many leaves and the right key, and another file to anchor in.
    let folder = tempfile::tempdir().unwrap();
    let other = FileAnchor::open(folder.path().join("other")).await.unwrap();
    let mut forger = book.sealer_with(batch(10), Arc::new(other)).await;
    assert_eq!(forger.seal_once().await.unwrap().checkpoint.size, 8);
    let error = opened(&book).await.unwrap_err();
    let SealError::NotAsAnchored(not) = &error else {
        panic!("{error:?}");
    };
    let found = not.found.as_ref().unwrap();
    assert_eq!(found.size, not.anchored.size);
    assert_ne!(found.root, not.anchored.root);
    assert!(
        error.to_string().contains(&found.root.to_string()),
        "{error}"
    );
    // Whoever walks it is told that there are two logs of one size, and which.
    let (findings, _) = walked(&book).await;
    let forked = findings.iter().filter_map(|finding| {
        let Finding::Forked {
            size, root, other, ..
        } = finding
        else {
            return None;
        };
        Some((*size, *root, *other))
    });
    let roots = (8, found.root, not.anchored.root);
    assert_eq!(forked.collect::<Vec<_>>(), [roots], "{findings:?}");
}

#[tokio::test]
async fn an_anchor_of_another_log_is_refused() {
    let book = Book::new().await;
    seals(&book, 1).await;
    let other = SigningKey::from_seed("ledger.example/a".parse().unwrap(), &[8; 32]).unwrap();
    let checkpoint = book.checkpoints().await.pop().unwrap();
    let foreign = checkpoint.sign(&other).unwrap();
    book.file_anchor().await.keep(&foreign).await.unwrap();
    let error = opened(&book).await.unwrap_err();
    assert!(matches!(error, SealError::ForeignAnchor(_)), "{error:?}");
    assert!(error.is_final());
}

/// Does not keep what it is given for as long as it is away.
#[derive(Debug)]
struct AwayAnchor {
    is_away: AtomicBool,
    behind: Arc<FileAnchor>,
}

#[async_trait]
impl Anchor for AwayAnchor {
    fn place(&self) -> String {
        "away".to_owned()
    }

    async fn last(&self) -> Result<Option<SignedNote>, AnchorError> {
        self.behind.last().await
    }

    async fn append(
        &self,
        note: &SignedNote,
        growth: &ConsistencyProof,
    ) -> Result<(), AnchorError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(AnchorError::Unreachable {
                anchor: "away".to_owned(),
                source: "it is away".into(),
            });
        }
        self.behind.append(note, growth).await
    }

    async fn records(&self) -> Result<Records, AnchorError> {
        self.behind.records().await
    }
}

#[tokio::test]
async fn a_checkpoint_that_was_committed_and_not_anchored_is_anchored_later() {
    let book = Book::new().await;
    seals(&book, 1).await;
    let behind = book.file_anchor().await;
    let is_away = AtomicBool::new(true);
    let anchor = Arc::new(AwayAnchor { is_away, behind });
    let mut sealer = book.sealer_with(batch(10), anchor.clone()).await;
    book.append(9, 3).await;
    let sealed = sealer.seal_once().await.unwrap();
    assert_eq!((sealed.events, sealed.unanchored), (3, 1));
    let size = async || {
        let note = anchor.behind.last().await.unwrap().unwrap();
        Book::log().open(&note).unwrap().size
    };
    assert_eq!((book.checkpoints().await.len(), size().await), (2, 4));
    anchor.is_away.store(false, Ordering::SeqCst);
    // By one that starts after the crash, with nothing new to seal.
    let sealed = opened(&book).await.unwrap().seal_once().await.unwrap();
    assert_eq!((sealed.leaves(), size().await), (0, 7));
    book.assert_sealed().await;
}

/// An anchor in a database of its own.
async fn database_anchor() -> (Database, Arc<DatabaseAnchor>) {
    let name = postgres::unique("anchor");
    let server = postgres::server().await;
    let database = DatabaseAnchor::prepare(&server, &name).await.unwrap();
    let anchor = DatabaseAnchor::open(&database, Book::log().origin().clone()).unwrap();
    (database, Arc::new(anchor))
}

#[tokio::test]
async fn a_log_that_has_lost_its_end_is_told_by_another_database_too() {
    let book = Book::new().await;
    let (database, anchor) = database_anchor().await;
    let mut sealer = book.sealer_with(batch(10), anchor.clone()).await;
    for id in 0..3 {
        book.append(id, 4).await;
        sealer.seal_once().await.unwrap();
    }
    let last = anchor.last().await.unwrap().unwrap();
    assert_eq!(Book::log().open(&last).unwrap().size, 12);
    let (findings, report) = walked_with(&book, anchor.clone()).await;
    assert_eq!((findings, report.anchored), (Vec::new(), 3));
    // Whoever only reads has all of it; another log has nothing there.
    let readers = DatabaseAnchor::at(&database, Book::log().origin().clone()).unwrap();
    let (findings, report) = walked_with(&book, Arc::new(readers)).await;
    assert_eq!((findings, report.anchored), (Vec::new(), 3));
    let other = DatabaseAnchor::open(&database, "ledger.example/b".parse().unwrap()).unwrap();
    assert_eq!(other.last().await.unwrap(), None);

    book.tamper("DELETE FROM audit.checkpoints WHERE size = 12")
        .await;
    let error = sealer.seal_once().await.unwrap_err();
    assert!(matches!(error, SealError::NotAsAnchored(_)), "{error:?}");
    let (findings, _) = walked_with(&book, anchor).await;
    let is_lost = |finding: &Finding| matches!(finding, Finding::NotInLog { .. });
    assert!(findings.iter().any(is_lost), "{findings:?}");
}

#[tokio::test]
async fn what_another_database_has_anchored_nobody_changes() {
    let (database, anchor) = database_anchor().await;
    let key = SigningKey::from_seed("ledger.example/a".parse().unwrap(), &[7; 32]).unwrap();
    let note = key.sign("log\n1\n".to_owned()).unwrap();
    // A database takes on trust what it is given.
    let growth = ConsistencyProof {
        from: Size::EMPTY,
        to: Size::new(1),
        path: Vec::new(),
    };
    anchor.append(&note, &growth).await.unwrap();
    let owner = postgres::superuser(&database).await;
    for change in [
        "UPDATE anchor.checkpoints SET note = 'x'",
        "DELETE FROM anchor.checkpoints",
        "TRUNCATE anchor.checkpoints",
    ] {
        let refused = owner.batch_execute(change).await.unwrap_err();
        let state = refused.code().map(SqlState::code);
        assert_eq!(state, Some("23001"), "{change}: {refused:?}");
    }
    let auditor = DatabaseAnchor::at(&database, Book::log().origin().clone()).unwrap();
    let refused = auditor.append(&note, &growth).await.unwrap_err();
    assert!(
        matches!(refused, AnchorError::Unreachable { .. }),
        "{refused:?}"
    );
    assert_eq!(auditor.last().await.unwrap(), Some(note));
}
