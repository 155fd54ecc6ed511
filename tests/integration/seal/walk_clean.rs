//! Walks over stores that nobody has changed: as large as it is said, and while they grow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use folio_audit::{SealerSettings, Walk};
use folio_core::{BatchSize, EventStore as _, Position};
use folio_postgres::{PostgresStore, Replay};
use folio_tests::scale;

use super::book::{Book, batch};
use super::walk::walked;

/// Rows at a scale of 1. At 50 they are a million.
const ROWS: u64 = 20_000;
/// Events of a command.
const AT_ONCE: u64 = 200;
const PAGE: BatchSize = match BatchSize::new(5_000) {
    Some(size) => size,
    None => BatchSize::ONE,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_found_in_a_large_store_that_nobody_has_changed() {
    let book = Book::new().await;
    let rows = ROWS * scale() as u64;
    let streams = rows / 100;
    for command in 0..rows / AT_ONCE {
        book.append(command * 7 % streams, AT_ONCE).await;
        if command % 5 == 0 {
            book.refuse().await;
        }
    }
    let mut sealer = book.sealer(SealerSettings::default()).await;
    while sealer.seal_once().await.unwrap().leaves() > 0 {}

    let store = Arc::new(PostgresStore::open(&book.database, 2).await.unwrap());
    let head = store.head().await.unwrap();
    let replay = async || {
        let begun = Instant::now();
        let mut pages = Replay::new(store.clone(), Position::START, head, PAGE);
        let mut events = 0;
        while let Some(page) = pages.next().await.unwrap() {
            events += page.len() as u64;
        }
        assert_eq!(events, rows);
        begun.elapsed()
    };
    // So that neither finds colder pages than the other.
    replay().await;
    let begun = Instant::now();
    let (findings, report) = walked(&book).await;
    let walking = begun.elapsed();
    let replaying = replay().await;
    assert_eq!(findings, []);
    assert_eq!((report.events, report.unsealed_events), (rows, 0));
    let rate = |elapsed: Duration| u128::from(rows) * 1_000_000 / elapsed.as_micros().max(1);
    eprintln!(
        "{rows} events: walked {}/s, replayed {}/s, which is {} % of it",
        rate(walking),
        rate(replaying),
        rate(walking) * 100 / rate(replaying).max(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_found_while_the_store_is_appended_to_and_sealed() {
    let book = Book::new().await;
    let mut sealer = book.sealer(batch(50)).await;
    let grow = async {
        for round in 0..150 * scale() as u64 {
            book.append(round % 23, 1 + round % 9).await;
            if round % 4 == 0 {
                book.refuse().await;
            }
            if round % 3 == 0 {
                sealer.seal_once().await.unwrap();
            }
        }
    };
    let mut growing = std::pin::pin!(grow);
    let (mut walks, mut leaves) = (0, 0);
    loop {
        tokio::select! {
            biased;
            (findings, report) = walked(&book) => {
                assert_eq!(findings, []);
                assert!(report.leaves >= leaves, "a log only grows");
                leaves = report.leaves;
                walks += 1;
            }
            () = &mut growing => break,
        }
    }
    assert!(walks > 3 && leaves > 50, "{walks} walks, {leaves} leaves");
}

#[tokio::test]
async fn what_is_not_sealed_yet_is_counted_and_no_finding() {
    let book = Book::new().await;
    book.append(1, 5).await;
    let (findings, report) = walked(&book).await;
    assert_eq!(
        (findings.len(), report.leaves, report.unsealed_events),
        (0, 0, 5)
    );
    let mut sealer = book.sealer(batch(50)).await;
    sealer.seal_once().await.unwrap();
    book.append(1, 2).await;
    book.refuse().await;
    let (findings, report) = walked(&book).await;
    assert_eq!((findings.len(), report.leaves), (0, 5));
    assert_eq!((report.unsealed_events, report.unsealed_outcomes), (2, 1));
    // A walk that is dropped ends, and gives its connections back.
    let walk = Walk::open(&book.database, Book::log()).unwrap();
    drop(walk.run(1, |_| ()));
    assert_eq!(walk.run(1, |_| ()).await.unwrap().found, 0);
}
