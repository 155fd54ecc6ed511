//! What readers of the whole store can rely on, whatever writers do.

use futures_util::future::{join, join_all};

use super::kit::{append, one_to, position, positions, read_all, stream};
use crate::checkpoint::Checkpoint;
use crate::filter::Filter;
use crate::store::EventStore;
use crate::stream::{BatchSize, ExpectedVersion, Position};

pub async fn appends_wake_readers(store: impl EventStore) {
    let mut appended = store.appended();
    append(&store, "a", ExpectedVersion::Any, 3).await.unwrap();
    let seen = appended.wait_for(|head| *head >= position(3)).await;
    assert_eq!(seen.unwrap().number(), 3);
}

pub async fn a_reader_never_meets_a_smaller_position_later(store: impl EventStore) {
    // Each writer appends 100 times, 1 to 5 events in turn: 300 events a writer.
    let writers = join_all((0..4).map(|writer: i32| {
        let store = &store;
        async move {
            for turn in 0..100 {
                let name = writer.to_string();
                append(store, &name, ExpectedVersion::Any, 1 + turn % 5)
                    .await
                    .unwrap();
            }
        }
    }));
    let reader = async {
        let mut appended = store.appended();
        let mut seen = Vec::new();
        let mut after = Position::START;
        while seen.len() < 1_200 {
            let batch = store.read_all(after, BatchSize::default()).await.unwrap();
            match batch.last() {
                Some(last) => after = last.position,
                None => {
                    let _ = appended.wait_for(|head| *head > after).await.unwrap();
                }
            }
            seen.extend(positions(&batch));
        }
        seen
    };
    let ((), seen) = join(async { drop(writers.await) }, reader).await;
    assert_eq!(seen, one_to(1_200));
}

/// Whoever died after its last checkpoint gets the same again. That it has no second effect is up to
/// the reader, who writes the checkpoint with the effect.
pub async fn g9_from_the_same_checkpoint_the_same_events_come_again(store: impl EventStore) {
    append(&store, "a", ExpectedVersion::Any, 10).await.unwrap();
    let all = read_all(&store).await;
    let checkpoint = Checkpoint::start(store.store_id()).after(&all[3]);
    for _ in 0..3 {
        checkpoint.verify(&store).await.unwrap();
        let again = store
            .read_all(checkpoint.position, BatchSize::default())
            .await
            .unwrap();
        assert_eq!(again[..6], all[4..]);
        append(&store, "b", ExpectedVersion::Any, 1).await.unwrap();
    }
}

pub async fn g12_a_reader_moves_on_past_what_it_does_not_want(store: impl EventStore) {
    let wanted = Filter::stream(stream("wanted"));
    let mut after = Position::START;
    let mut seen = Vec::new();
    for round in 1..=5 {
        append(&store, "noise", ExpectedVersion::Any, 30)
            .await
            .unwrap();
        if round == 3 {
            append(&store, "wanted", ExpectedVersion::Any, 1)
                .await
                .unwrap();
        }
        let head = store.head().await.unwrap();
        while after < head {
            let page = store
                .read_filtered(&wanted, after, BatchSize::default())
                .await
                .unwrap();
            assert!(page.through > after, "it stands still at {after}");
            after = page.through;
            seen.extend(positions(&page.events));
        }
    }
    assert_eq!(seen, [91]);
    assert_eq!(after, position(151));
}

/// A store pushes nothing: a reader has no more in hand than it asked for, however much is there.
pub async fn g15_a_reader_gets_no_more_than_it_asked_for(store: impl EventStore) {
    append(&store, "a", ExpectedVersion::Any, 100)
        .await
        .unwrap();
    let three = BatchSize::new(3).unwrap();
    let mut after = Position::START;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let page = store.read_all(after, three).await.unwrap();
        assert!((1..=3).contains(&page.len()));
        // It stops for a while; what goes on meanwhile waits for it.
        append(&store, "b", ExpectedVersion::Any, 1).await.unwrap();
        seen.extend(positions(&page));
        after = page.last().unwrap().position;
    }
    assert_eq!(seen, one_to(seen.len()));
}
