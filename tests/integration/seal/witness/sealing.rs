//! Stores that are anchored at a witness.

use std::sync::Arc;
use std::time::Duration;

use folio_audit::{
    Anchor, AnchorError, Anchors, Finding, SealError, Sealed, Sealer, SealerSettings, WitnessAnchor,
};
use folio_proofs::note::SigningKey;
use tokio::time::{sleep, timeout};

use super::WitnessProcess;
use crate::seal::book::{Book, batch};
use crate::seal::walk::walked_with;

const PATIENCE: Duration = Duration::from_secs(30);

async fn sealer(book: &Book, anchors: impl Into<Anchors>) -> Result<Sealer, SealError> {
    let settings = SealerSettings {
        every: Duration::from_millis(5),
        ..batch(10)
    };
    Sealer::open(&book.database, Book::key(), Book::log(), settings, anchors).await
}

/// Seals until all anchors have the last checkpoint.
async fn anchored(sealer: &mut Sealer) -> Sealed {
    let all = async {
        loop {
            let sealed = sealer.seal_once().await.unwrap();
            if sealed.unanchored == 0 {
                return sealed;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, all).await.unwrap()
}

#[tokio::test]
async fn a_log_that_was_made_anew_or_has_lost_its_end_is_told_by_a_witness() {
    let book = Book::new().await;
    let witness = WitnessProcess::start().await;
    let mut sealing = sealer(&book, witness.anchor()).await.unwrap();
    for id in 0..3 {
        book.append(id, 4).await;
        assert_eq!(sealing.seal_once().await.unwrap().unanchored, 0);
    }
    assert_eq!(witness.sizes().await, [4, 8, 12]);
    let (findings, report) = walked_with(&book, witness.anchor()).await;
    assert_eq!((findings, report.anchored), (Vec::new(), 3));

    book.tamper("DELETE FROM audit.checkpoints WHERE size = 12")
        .await;
    let of_new = sealer(&book, witness.anchor()).await.unwrap_err();
    for error in [sealing.seal_once().await.unwrap_err(), of_new] {
        assert!(matches!(error, SealError::NotAsAnchored(_)), "{error:?}");
    }
    let (findings, _) = walked_with(&book, witness.anchor()).await;
    let is_lost = |finding: &Finding| matches!(finding, Finding::NotInLog { .. });
    assert!(findings.iter().any(is_lost), "{findings:?}");

    // As many leaves and the right key, and nothing wrong by another anchor.
    book.tamper("UPDATE store.events SET payload = '{}' WHERE position = 3")
        .await;
    for table in ["tiles", "buckets", "checkpoints"] {
        book.tamper(&format!("DELETE FROM audit.{table}")).await;
    }
    let mut forger = sealer(&book, book.file_anchor().await).await.unwrap();
    while forger.seal_once().await.unwrap().leaves() > 0 {}
    let (findings, _) = walked_with(&book, book.file_anchor().await).await;
    assert_eq!(findings, [], "the control");
    let (findings, _) = walked_with(&book, witness.anchor()).await;
    let is_other =
        |finding: &Finding| matches!(finding, Finding::Forked { .. } | Finding::NotInLog { .. });
    assert!(findings.iter().any(is_other), "{findings:?}");
    let error = sealer(&book, witness.anchor()).await.unwrap_err();
    assert!(matches!(error, SealError::NotAsAnchored(_)), "{error:?}");
}

#[tokio::test]
async fn two_sealers_at_once_have_one_log_at_a_witness() {
    let book = Arc::new(Book::new().await);
    let witness = WitnessProcess::start().await;
    let anchors = || async {
        let file: Arc<dyn Anchor> = book.file_anchor().await;
        Anchors::new(file).and(witness.anchor())
    };
    let mut sealers = Vec::new();
    for id in 0..2 {
        let mut sealer = sealer(&book, anchors().await).await.unwrap();
        let book = Arc::clone(&book);
        sealers.push(tokio::spawn(async move {
            for _ in 0..25 {
                book.append(id, 3).await;
                sealer.seal_once().await.unwrap();
            }
        }));
    }
    for sealing in sealers {
        sealing.await.unwrap();
    }
    let mut last = sealer(&book, anchors().await).await.unwrap();
    while last.seal_once().await.unwrap().leaves() > 0 {}
    assert_eq!(anchored(&mut last).await.checkpoint.size, 150);
    book.assert_sealed().await;
    assert_eq!(witness.size().await, Some(150));
    assert!(witness.sizes().await.is_sorted());
    let (findings, _) = walked_with(&book, witness.anchor()).await;
    assert_eq!(findings, []);
}

#[tokio::test]
async fn sealing_goes_on_without_a_witness_which_gets_the_rest_when_it_is_back() {
    let book = Book::new().await;
    let witness = WitnessProcess::start().await;
    let mut alone = sealer(&book, witness.anchor()).await.unwrap();
    let file: Arc<dyn Anchor> = book.file_anchor().await;
    let both = Anchors::new(file).and(witness.anchor());
    let mut sealing = sealer(&book, both.clone()).await.unwrap();
    book.append(1, 4).await;
    assert_eq!(sealing.seal_once().await.unwrap().unanchored, 0);
    assert_eq!(alone.seal_once().await.unwrap().unanchored, 0);

    witness.kill();
    let witness_is_gone = async {
        while witness.anchor().last().await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, witness_is_gone).await.unwrap();
    for events in 1..=3 {
        book.append(2, events).await;
        let sealed = sealing.seal_once().await.unwrap();
        assert_eq!((sealed.events, sealed.unanchored), (events, 1));
    }
    // What it said before it went is compared, and who has never heard of it waits.
    book.append(2, 1).await;
    assert_eq!(alone.seal_once().await.unwrap().events, 1);
    let error = sealer(&book, witness.anchor()).await.unwrap_err();
    let is_away = matches!(error, SealError::Anchor(AnchorError::Unreachable { .. }));
    assert!(is_away && !error.is_final(), "{error:?}");
    let mut begun = sealer(&book, both).await.unwrap();
    assert_eq!(begun.seal_once().await.unwrap().unanchored, 1);

    let witness = witness.restart().await;
    for sealer in [&mut sealing, &mut alone, &mut begun] {
        assert_eq!(anchored(sealer).await.checkpoint.size, 11);
    }
    assert_eq!(witness.sizes().await, [4, 11]);
    book.assert_sealed().await;
}

#[tokio::test]
async fn a_log_that_was_changed_while_its_witness_was_away_is_not_sealed_further() {
    let book = Book::new().await;
    let witness = WitnessProcess::start().await;
    let mut sealing = sealer(&book, witness.anchor()).await.unwrap();
    book.append(1, 4).await;
    sealing.seal_once().await.unwrap();
    book.append(1, 4).await;
    sealing.seal_once().await.unwrap();
    witness.kill();
    book.tamper("DELETE FROM audit.checkpoints WHERE size = 8")
        .await;
    let error = sealing.seal_once().await.unwrap_err();
    assert!(matches!(error, SealError::NotAsAnchored(_)), "{error:?}");
}

#[tokio::test]
async fn whoever_answers_in_the_place_of_a_witness_is_not_believed() {
    let book = Book::new().await;
    let witness = WitnessProcess::start().await;
    let mut sealing = sealer(&book, witness.anchor()).await.unwrap();
    book.append(1, 4).await;
    sealing.seal_once().await.unwrap();
    let other = SigningKey::from_seed("witness.local".parse().unwrap(), &[1; 32]).unwrap();
    let origin = Book::log().origin().clone();
    let keys = vec![other.witness_key()];
    let anchor = WitnessAnchor::at(&witness.url(), keys, origin).unwrap();
    let error = anchor.last().await.unwrap_err();
    assert!(matches!(error, AnchorError::NotItself { .. }), "{error:?}");
    let (findings, _) = walked_with(&book, Arc::new(anchor)).await;
    assert!(
        matches!(findings[..], [Finding::Anchor { .. }]),
        "{findings:?}"
    );
}
