//! What a writer believes about a stream, and who wins.

use futures_util::future::{join, join_all};

use super::kit::{
    append, assert_conflict, committed, one_to, places, positions, read_all_in_pages, read_stream,
    request, version, versions, write,
};
use crate::event::RecordedEvent;
use crate::store::{EventStore, StreamWrite};
use crate::stream::{BatchSize, ExpectedVersion, Version};

/// Rounds of the race between two writers.
const RACE_ROUNDS: i64 = 1_000;

pub async fn v1_no_stream_succeeds_once(store: impl EventStore) {
    append(&store, "a", ExpectedVersion::NoStream, 1)
        .await
        .unwrap();
    let again = append(&store, "a", ExpectedVersion::NoStream, 1).await;
    assert_conflict(again, "a", ExpectedVersion::NoStream, 1);
}

pub async fn v2_exact_admits_its_version_only(store: impl EventStore) {
    append(&store, "a", ExpectedVersion::Exact(Version::NONE), 2)
        .await
        .unwrap();
    for wrong in [0, 1, 3] {
        let expected = ExpectedVersion::Exact(version(wrong));
        let result = append(&store, "a", expected, 1).await;
        assert_conflict(result, "a", expected, 2);
    }
    append(&store, "a", ExpectedVersion::Exact(version(2)), 1)
        .await
        .unwrap();
}

pub async fn v3_stream_exists_needs_a_stream(store: impl EventStore) {
    let absent = append(&store, "a", ExpectedVersion::StreamExists, 1).await;
    assert_conflict(absent, "a", ExpectedVersion::StreamExists, 0);
    append(&store, "a", ExpectedVersion::Any, 1).await.unwrap();
    append(&store, "a", ExpectedVersion::StreamExists, 1)
        .await
        .unwrap();
}

pub async fn any_admits_everything(store: impl EventStore) {
    append(&store, "a", ExpectedVersion::Any, 1).await.unwrap();
    append(&store, "a", ExpectedVersion::Any, 1).await.unwrap();
}

pub async fn last_event_admits_that_very_event_only(store: impl EventStore) {
    let first = committed(append(&store, "a", ExpectedVersion::Any, 2).await);
    let expected = |number, event: &RecordedEvent| ExpectedVersion::LastEvent {
        version: version(number),
        event_id: event.event_id,
    };
    // Another event at that version, that event at another version, no stream at all.
    for (name, wrong, actual) in [
        ("a", expected(2, &first[0]), 2),
        ("a", expected(1, &first[0]), 2),
        ("a", expected(3, &first[1]), 2),
        ("b", expected(2, &first[1]), 0),
    ] {
        assert_conflict(append(&store, name, wrong, 1).await, name, wrong, actual);
    }
    // Two at once on events that are not recorded yet, as a writer that decides ahead does.
    let second = request(vec![write("a", expected(2, &first[1]), 1)]);
    let event_id = second.event_ids().nth(0);
    let ahead = ExpectedVersion::LastEvent {
        version: version(3),
        event_id,
    };
    let third = request(vec![write("a", ahead, 1)]);
    let (second, third) = join(store.append(second), store.append(third)).await;
    committed(second);
    assert_eq!(versions(&committed(third)), [4]);
}

pub async fn conflicts_are_the_same_at_one_two_and_three_digits(store: impl EventStore) {
    let mut last = 0;
    for target in [9, 10, 99, 100, 1_000] {
        append(
            &store,
            "a",
            ExpectedVersion::Exact(version(last)),
            target - last,
        )
        .await
        .unwrap();
        last = target;
        let stale = ExpectedVersion::Exact(version(target - 1));
        assert_conflict(append(&store, "a", stale, 1).await, "a", stale, target);
    }
}

pub async fn v4_parallel_appends_are_dense_and_lose_nothing(store: impl EventStore) {
    let writers = (0..4).map(|writer| {
        let store = &store;
        async move {
            let mut acknowledged = Vec::new();
            for turn in 0..100 {
                let own = format!("own-{writer}");
                let name = if turn % 2 == 0 { "shared" } else { &own };
                let result = append(store, name, ExpectedVersion::Any, 1 + turn % 3).await;
                acknowledged.extend(committed(result));
            }
            acknowledged
        }
    });
    let mut acknowledged = join_all(writers).await.concat();
    acknowledged.sort_by_key(|event| event.position);
    let stored = read_all_in_pages(&store, BatchSize::default()).await;
    assert_eq!(acknowledged, stored);
    assert_eq!(positions(&stored), one_to(stored.len()));
    let shared = read_stream(&store, "shared").await;
    assert_eq!(versions(&shared), one_to(shared.len()));
    assert!(positions(&shared).is_sorted());
}

pub async fn two_writers_one_wins(store: impl EventStore) {
    for round in 0..RACE_ROUNDS {
        let expected = ExpectedVersion::Exact(version(round));
        let (one, two) = join(
            append(&store, "a", expected, 1),
            append(&store, "a", expected, 1),
        )
        .await;
        assert_eq!(
            usize::from(one.is_ok()) + usize::from(two.is_ok()),
            1,
            "round {round}: {one:?} {two:?}"
        );
        let lost = if one.is_ok() { two } else { one };
        assert_conflict(lost, "a", expected, round + 1);
    }
    let events = read_all_in_pages(&store, BatchSize::default()).await;
    assert_eq!(positions(&events), (1..=RACE_ROUNDS).collect::<Vec<_>>());
}

pub async fn v8_an_append_on_several_streams_is_atomic(store: impl EventStore) {
    append(&store, "b", ExpectedVersion::Any, 1).await.unwrap();
    let writes = || {
        vec![
            write("a", ExpectedVersion::NoStream, 2),
            write("b", ExpectedVersion::Exact(version(1)), 1),
            write("c", ExpectedVersion::Any, 1),
        ]
    };
    let events = committed(store.append(request(writes())).await);
    assert_eq!(places(&events), [(2, 1), (3, 2), (4, 2), (5, 1)]);
    let stale = vec![
        write("d", ExpectedVersion::NoStream, 1),
        write("b", ExpectedVersion::Exact(version(1)), 1),
    ];
    let result = store.append(request(stale)).await;
    assert_conflict(result, "b", ExpectedVersion::Exact(version(1)), 2);
    assert!(read_stream(&store, "d").await.is_empty());
    assert_eq!(store.head().await.unwrap().number(), 5);
}

pub async fn v9_a_stream_without_events_is_a_condition(store: impl EventStore) {
    append(&store, "open", ExpectedVersion::Any, 1)
        .await
        .unwrap();
    let guarded = |expected| {
        request(vec![
            write("open", expected, 0),
            write("a", ExpectedVersion::Any, 1),
        ])
    };
    let holds = ExpectedVersion::Exact(version(1));
    assert_eq!(committed(store.append(guarded(holds)).await).len(), 1);
    let stale = ExpectedVersion::Exact(version(2));
    assert_conflict(store.append(guarded(stale)).await, "open", stale, 1);
    assert_eq!(read_stream(&store, "open").await.len(), 1);
    assert_eq!(read_stream(&store, "a").await.len(), 1);
}

pub async fn v5_of_many_racers_one_wins_and_readers_see_only_the_winner(store: impl EventStore) {
    for round in 0..20 {
        let expected = ExpectedVersion::Exact(version(round));
        let racers = (0..16).map(|_| append(&store, "a", expected, 1));
        let mut events = Vec::new();
        for result in join_all(racers).await {
            match result {
                Ok(_) => events.extend(committed(result)),
                Err(_) => assert_conflict(result, "a", expected, round + 1),
            }
        }
        assert_eq!(places(&events), [(round + 1, round + 1)]);
        assert_eq!(read_stream(&store, "a").await.last(), events.last());
    }
    assert_eq!(store.head().await.unwrap().number(), 20);
}

/// A store that locks streams must do so in one order.
pub async fn v6_appends_on_the_same_streams_in_any_order_do_not_deadlock(store: impl EventStore) {
    let names = ["a", "b", "c", "d"];
    let writers = (0..8).map(|writer: usize| {
        let store = &store;
        async move {
            for turn in 0..25 {
                let mut order = names;
                order.rotate_left((writer + turn) % 4);
                if writer.is_multiple_of(2) {
                    order.reverse();
                }
                let writes = order.map(|name| write(name, ExpectedVersion::Any, 1));
                committed(store.append(request(writes.to_vec())).await);
            }
        }
    });
    join_all(writers).await;
    assert_eq!(store.head().await.unwrap().number(), 8 * 25 * 4);
}

pub async fn v8_a_stale_stream_among_several_is_named_and_none_is_written(store: impl EventStore) {
    append(&store, "b", ExpectedVersion::Any, 1).await.unwrap();
    for stale in 0..3 {
        let expected = |index| match index == stale {
            true => ExpectedVersion::Exact(version(7)),
            false => ExpectedVersion::Any,
        };
        let names = ["a", "b", "c"];
        let writes: Vec<StreamWrite> = (0..3)
            .map(|index| write(names[index], expected(index), 2))
            .collect();
        let actual = i64::from(names[stale] == "b");
        let result = store.append(request(writes)).await;
        assert_conflict(result, names[stale], expected(stale), actual);
    }
    assert_eq!(store.head().await.unwrap().number(), 1);
}
