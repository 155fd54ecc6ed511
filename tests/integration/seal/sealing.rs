//! What is sealed, by one sealer and by several, that end in time or not.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use folio_audit::{SealError, Sealer};

use super::book::{Book, batch};

const PATIENCE: Duration = Duration::from_secs(60);

async fn seal_all(sealer: &mut Sealer) -> u64 {
    let mut leaves = 0;
    loop {
        match sealer.seal_once().await.unwrap().leaves() {
            0 => return leaves,
            more => leaves += more,
        }
    }
}

#[tokio::test]
async fn everything_that_a_store_has_is_sealed_over_the_borders_of_tiles() {
    let book = Book::unprepared().await;
    // From before there was a log.
    book.append(1, 3).await;
    book.refuse().await;
    book.refuse().await;
    book.prepare().await;
    let mut sealer = book.sealer(batch(100)).await;
    for round in 0..40 {
        book.append(round % 13, 1 + round).await;
        if round % 3 == 0 {
            book.refuse().await;
        }
        if round % 4 == 0 {
            sealer.seal_once().await.unwrap();
        }
    }
    seal_all(&mut sealer).await;
    book.assert_sealed().await;
    let last = book.checkpoints().await.pop().unwrap();
    assert_eq!(last.size, 3 + 2 + 820 + 14);
    assert!(book.count("audit.tiles WHERE level = 0").await == 4);
    assert!(book.count("audit.tiles WHERE level = 1").await == 1);
    // It goes on from what is kept.
    let mut next = book.sealer(batch(10_000)).await;
    book.append(99, 300).await;
    assert_eq!(next.seal_once().await.unwrap().events, 300);
    book.assert_sealed().await;
    // And the first from what the second has sealed.
    book.append(99, 1).await;
    assert_eq!(sealer.seal_once().await.unwrap().events, 1);
    book.assert_sealed().await;
}

#[tokio::test]
async fn nothing_new_is_no_new_checkpoint_unless_there_was_none() {
    let book = Book::new().await;
    let mut sealer = book.sealer(batch(10)).await;
    let first = sealer.seal_once().await.unwrap();
    assert_eq!((first.leaves(), first.checkpoint.size), (0, 0));
    let again = sealer.seal_once().await.unwrap();
    assert_eq!(again, first);
    assert_eq!(book.checkpoints().await, [first.checkpoint]);
    book.assert_sealed().await;
    book.append(1, 2).await;
    let second = sealer.seal_once().await.unwrap();
    assert_eq!((second.events, second.outcomes), (2, 0));
    assert_eq!(
        sealer.seal_once().await.unwrap().checkpoint,
        second.checkpoint
    );
    assert_eq!(book.checkpoints().await.len(), 2);
    book.assert_sealed().await;
}

#[tokio::test]
async fn neither_events_nor_outcomes_keep_the_others_from_being_sealed() {
    let book = Book::new().await;
    book.append(1, 30).await;
    for _ in 0..30 {
        book.refuse().await;
    }
    let mut sealer = book.sealer(batch(10)).await;
    let sealed = sealer.seal_once().await.unwrap();
    assert_eq!((sealed.events, sealed.outcomes), (5, 5));
    let mut one = book.sealer(batch(1)).await;
    while one.seal_once().await.unwrap().leaves() > 0 {}
    book.assert_sealed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sealers_at_once_make_one_log() {
    let book = Book::new().await;
    let mut one = book.sealer(batch(7)).await;
    let mut other = book.sealer(batch(5)).await;
    let (of_one, of_other, is_over) = (Cell::new(0_u64), Cell::new(0_u64), Cell::new(false));
    // More each time than either seals at once, and until both have had a part of it: whoever comes first may take all that there is.
    let append = async {
        let deadline = Instant::now() + PATIENCE;
        for round in 0.. {
            if round >= 60 && of_one.get() > 0 && of_other.get() > 0 {
                break;
            }
            let told = || format!("{} {}", of_one.get(), of_other.get());
            assert!(Instant::now() < deadline, "{}", told());
            book.append(round % 7, 8 + round % 5).await;
            if round % 4 == 0 {
                book.refuse().await;
            }
        }
        is_over.set(true);
    };
    let seal = async |sealer: &mut Sealer, leaves: &Cell<u64>| {
        while !is_over.get() {
            let sealed = sealer.seal_once().await.unwrap().leaves();
            leaves.set(leaves.get() + sealed);
        }
    };
    tokio::join!(append, seal(&mut one, &of_one), seal(&mut other, &of_other));
    let rest = seal_all(&mut one).await;
    book.assert_sealed().await;
    let last = book.checkpoints().await.pop().unwrap();
    assert_eq!(of_one.get() + of_other.get() + rest, last.size);
}

#[tokio::test]
async fn a_sealer_that_is_dropped_anywhere_loses_and_doubles_nothing() {
    let book = Book::new().await;
    let mut sealer = book.sealer(batch(50)).await;
    let (mut dropped, mut ended) = (0, 0);
    for polls in 0..60 {
        book.append(polls % 9, 1 + polls % 3).await;
        if polls % 5 == 0 {
            book.refuse().await;
        }
        let mut left = polls;
        let mut sealing = pin!(sealer.seal_once());
        let sealed = poll_fn(|context| {
            let Some(fewer) = left.checked_sub(1) else {
                return Poll::Ready(None);
            };
            left = fewer;
            sealing.as_mut().poll(context).map(Some)
        });
        match sealed.await {
            None => dropped += 1,
            Some(sealed) => {
                sealed.unwrap();
                ended += 1;
            }
        }
    }
    assert!(dropped > 10 && ended > 5, "{dropped} {ended}");
    seal_all(&mut sealer).await;
    book.assert_sealed().await;
}

#[tokio::test]
async fn a_hole_in_the_store_is_named_and_not_sealed_over() {
    let book = Book::new().await;
    let mut sealer = book.sealer(batch(10)).await;
    book.append(1, 12).await;
    sealer.seal_once().await.unwrap();
    book.append(1, 40).await;
    let before = book.checkpoints().await;
    book.tamper("DELETE FROM store.events WHERE position BETWEEN 11 AND 45")
        .await;
    let refused = sealer.seal_once().await.unwrap_err();
    let SealError::Missing { position, next } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!((position.number(), next.number()), (11, 46));
    assert!(refused.to_string().contains("position 11"), "{refused}");
    assert_eq!(book.checkpoints().await, before);
}

/// Where pages had no room beside what is on them, most updates of a bucket wrote a new entry in the index too: half of what a
/// seal cost the server.
#[tokio::test]
async fn buckets_are_updated_without_a_word_in_their_index() {
    const STREAMS: u64 = 100;
    const SEALS: u64 = 6;
    let book = Book::new().await;
    let mut sealer = book.sealer(batch(1_000)).await;
    for _ in 0..SEALS {
        for stream in 0..STREAMS {
            book.append(stream, 1).await;
        }
        sealer.seal_once().await.unwrap();
    }
    // A session tells what it has done when it ends, at the latest.
    drop(sealer);
    let told = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
         WHERE schemaname = 'audit' AND relname = 'buckets'";
    let (client, deadline) = (
        book.superuser().await,
        Instant::now() + Duration::from_secs(20),
    );
    loop {
        let row = client.query_one(told, &[]).await.unwrap();
        let (updated, beside): (i64, i64) = (row.get(0), row.get(1));
        if updated.unsigned_abs() >= STREAMS * (SEALS - 1) {
            // All of them, but where somebody, such as an analysis of a table, still saw what a seal has replaced: then those of one
            // seal write entries, or of two.
            assert!(beside * 4 >= updated * 3, "{beside} of {updated}");
            return;
        }
        assert!(Instant::now() < deadline, "{updated} are told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
