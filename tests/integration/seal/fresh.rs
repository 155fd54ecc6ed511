//! What the process that seals has committed itself is sealed without being read.

use std::sync::Arc;

use folio_audit::{Finding, FreshLeaves, RowAt, Sealer, SealerSettings};
use folio_postgres::PostgresStore;

use super::book::{Book, batch};
use super::failover::Replicated;
use super::walk::walked;

/// So many events at once are worth it.
const MANY: u64 = 200;

/// A sealer that hears what is committed to the book's store.
async fn hearing(book: &Book, settings: SealerSettings) -> (Sealer, Arc<FreshLeaves>) {
    let fresh = Arc::new(FreshLeaves::default());
    book.store.observe_commits(Some(Arc::clone(&fresh) as _));
    let sealer = book.sealer(settings).await;
    (sealer.with_fresh(Arc::clone(&fresh)), fresh)
}

async fn seal_all(sealer: &mut Sealer) -> u64 {
    let mut events = 0;
    loop {
        let sealed = sealer.seal_once().await.unwrap();
        if sealed.leaves() == 0 {
            return events;
        }
        events += sealed.events;
    }
}

/// Between its commit and its seal a row is changed and another one removed: what was committed is in the log,
/// so both are found. A sealer that reads the store has no way to know.
#[tokio::test]
async fn what_was_changed_before_it_was_sealed_is_found() {
    for (hears, expected) in [(true, vec![5, 7]), (false, Vec::new())] {
        let book = Book::new().await;
        let (hearing, fresh) = hearing(&book, SealerSettings::default()).await;
        let mut sealer = match hears {
            true => hearing,
            false => book.sealer(SealerSettings::default()).await,
        };
        book.append(1, MANY).await;
        assert_eq!(fresh.count() as u64, MANY);
        let removal = if hears {
            "DELETE FROM store.events WHERE position = 7"
        } else {
            "SELECT"
        };
        book.tamper(&format!(
            "UPDATE store.events SET payload = '{{}}' WHERE position = 5; {removal};"
        ))
        .await;
        assert_eq!(seal_all(&mut sealer).await, MANY);
        let (findings, _) = walked(&book).await;
        let position = |finding: &Finding| {
            if let Finding::Altered {
                row: RowAt::Event { position, .. },
                ..
            } = finding
            {
                return Some(*position);
            }
            if let Finding::Missing { first, .. } = finding {
                return Some(*first);
            }
            None
        };
        let found: Vec<_> = findings.iter().filter_map(position).collect();
        assert_eq!(found, expected);
    }
}

/// Two processes write, and one of them seals: what the other one has written it reads.
#[tokio::test]
async fn what_others_commit_in_between_is_read() {
    let book = Book::new().await;
    let (mut sealer, fresh) = hearing(&book, batch(1_017)).await;
    let other = book.of_another_process().await;
    for round in 0..6 {
        book.append(round, MANY - 60).await;
        book.append(7 * round, MANY).await;
        other.append(round, 1 + 90 * round).await;
        book.refuse().await;
        book.append(3, 5).await;
        if round % 2 == 0 {
            sealer.seal_once().await.unwrap();
        }
    }
    assert!(fresh.count() as u64 >= MANY, "{fresh:?}");
    seal_all(&mut sealer).await;
    book.assert_sealed().await;
    let (findings, report) = walked(&book).await;
    assert_eq!((findings, report.unsealed_events), (Vec::new(), 0));
}

/// A command with more events than a seal may have, and commands on the border of one.
#[tokio::test]
async fn no_seal_has_more_leaves_than_it_may() {
    let book = Book::new().await;
    let (mut sealer, fresh) = hearing(&book, batch(300)).await;
    for events in [MANY, 700, 1, MANY, MANY, 299] {
        book.append(events, events).await;
    }
    assert_eq!(fresh.count() as u64, 3 * MANY + 1_000);
    let mut events = 0;
    loop {
        let sealed = sealer.seal_once().await.unwrap();
        assert!(sealed.leaves() <= 300, "{sealed:?}");
        events += sealed.events;
        if sealed.leaves() == 0 {
            break;
        }
    }
    assert_eq!(events, 3 * MANY + 1_000);
    book.assert_sealed().await;
}

/// What was heard before a failover is not in the store, and other events are at its positions: as many, fewer and more,
/// of this process and of another.
#[tokio::test]
async fn what_a_failover_has_lost_is_not_sealed() {
    let mut replicated = Replicated::start().await;
    let (mut sealer, fresh) = hearing(&replicated.book, SealerSettings::default()).await;
    replicated.book.append(1, MANY).await;
    seal_all(&mut sealer).await;
    replicated.replica_falls_behind().await;
    replicated
        .book
        .store
        .observe_commits(Some(Arc::clone(&fresh) as _));
    replicated.book.append(2, MANY).await;
    assert_eq!(fresh.count() as u64, MANY);
    replicated.fails_over().await;
    let book = &replicated.book;
    assert_eq!(book.count("store.events").await, MANY.cast_signed());
    // Nobody tells it of this one.
    book.append(3, MANY + 50).await;
    // Its connection was to the server that is gone.
    let _ = sealer.seal_once().await;
    seal_all(&mut sealer).await;
    book.assert_sealed().await;

    book.store.observe_commits(Some(Arc::clone(&fresh) as _));
    book.append(4, MANY).await;
    assert_eq!(fresh.count() as u64, MANY);
    seal_all(&mut sealer).await;
    book.assert_sealed().await;
    let (findings, report) = walked(book).await;
    assert_eq!((findings, report.events), (Vec::new(), 3 * MANY + 50));
    replicated.cluster.remove().await.unwrap();
}

/// A hint of the last one alone would do for what came before it in one session, and not over two.
#[tokio::test]
async fn what_an_earlier_session_has_committed_is_forgotten() {
    let mut book = Book::new().await;
    let (mut sealer, fresh) = hearing(&book, SealerSettings::default()).await;
    book.append(1, MANY).await;
    assert_eq!(fresh.count() as u64, MANY);
    // Lost, and in its place what another process has committed.
    book.tamper("DELETE FROM store.events").await;
    book.of_another_process().await.append(2, MANY).await;
    book.store = PostgresStore::open(&book.database, 1).await.unwrap();
    book.store.observe_commits(Some(Arc::clone(&fresh) as _));
    book.append(3, MANY + 1).await;
    // What was there has gone as the other came.
    assert_eq!(fresh.count() as u64, MANY + 1);
    assert_eq!(seal_all(&mut sealer).await, 2 * MANY + 1);
    book.assert_sealed().await;
}
