//! Reading: forwards, backwards, in pages, of a part, beside appends.

use futures_util::future::{join, join_all};

use super::kit::{
    append, one_to, position, positions, read_all, read_all_in_pages, request, stream, version,
    versions, write,
};
use crate::event::RecordedEvent;
use crate::filter::{Filter, Member};
use crate::store::{EventStore, StreamWrite};
use crate::stream::{BatchSize, ExpectedVersion, Position, StreamId, Version};

pub async fn r1_an_unknown_stream_is_empty(store: impl EventStore) {
    let events = store
        .read_stream(&stream("nobody"), Version::NONE, BatchSize::default())
        .await
        .unwrap();
    assert!(events.is_empty());
    assert_eq!(store.head().await.unwrap(), Position::START);
    assert!(read_all(&store).await.is_empty());
}

pub async fn reads_start_after_and_stop_at_the_limit(store: impl EventStore) {
    for _ in 0..3 {
        append(&store, "a", ExpectedVersion::Any, 3).await.unwrap();
        append(&store, "b", ExpectedVersion::Any, 1).await.unwrap();
    }
    let two = BatchSize::new(2).unwrap();
    let part = store
        .read_stream(&stream("a"), version(4), two)
        .await
        .unwrap();
    assert_eq!(versions(&part), [5, 6]);
    let end = store
        .read_stream(&stream("a"), version(8), two)
        .await
        .unwrap();
    assert_eq!(versions(&end), [9]);
    let beyond = store
        .read_stream(&stream("a"), version(99), two)
        .await
        .unwrap();
    assert!(beyond.is_empty());
    let part = store.read_all(position(3), two).await.unwrap();
    assert_eq!(positions(&part), [4, 5]);
    assert!(store.read_all(position(12), two).await.unwrap().is_empty());
    assert!(store.read_all(position(99), two).await.unwrap().is_empty());
    let paged = read_all_in_pages(&store, two).await;
    assert_eq!(paged, read_all(&store).await);
}

pub async fn r4_a_filtered_read_at_the_end_is_empty(store: impl EventStore) {
    append(&store, "a", ExpectedVersion::Any, 3).await.unwrap();
    for after in [3, 99] {
        let page = store
            .read_filtered(&Filter::all(), position(after), BatchSize::default())
            .await
            .unwrap();
        assert!(page.events.is_empty());
        assert_eq!(page.through, position(after));
    }
}

pub async fn r5_a_filtered_read_gives_what_is_wanted_and_how_far_it_looked(store: impl EventStore) {
    for round in 0..6 {
        append(&store, &round.to_string(), ExpectedVersion::Any, 1)
            .await
            .unwrap();
        let other = StreamWrite {
            stream: StreamId::new("other", "x/y").unwrap(),
            ..write("x", ExpectedVersion::Any, 1)
        };
        store.append(request(vec![other])).await.unwrap();
    }
    let other = Filter::category("other");
    let stream = Filter::stream(StreamId::new("other", "x/y").unwrap());
    for filter in [other, stream] {
        // The limit applies to what is wanted.
        let two = BatchSize::new(2).unwrap();
        let page = store
            .read_filtered(&filter, position(2), two)
            .await
            .unwrap();
        assert_eq!(positions(&page.events), [4, 6]);
        assert_eq!(page.through, position(6));
        let rest = store
            .read_filtered(&filter, page.through, BatchSize::default())
            .await
            .unwrap();
        assert_eq!(positions(&rest.events), [8, 10, 12]);
        assert_eq!(rest.through, position(12));
    }
    let nothing = Filter::category("none");
    let page = store
        .read_filtered(&nothing, Position::START, BatchSize::default())
        .await
        .unwrap();
    assert!(page.events.is_empty());
    assert_eq!(page.through, position(12));
}

pub async fn k2_members_of_a_group_share_the_streams(store: impl EventStore) {
    for name in 0..30 {
        append(&store, &format!("é {name}"), ExpectedVersion::Any, 1)
            .await
            .unwrap();
    }
    let mut all = Vec::new();
    for number in 0..4 {
        let member = Member::new(number, 4).unwrap();
        let page = store
            .read_filtered(
                &Filter::all().for_member(member),
                Position::START,
                BatchSize::default(),
            )
            .await
            .unwrap();
        assert!(page.events.iter().all(|event| member.has(&event.stream)));
        all.extend(positions(&page.events));
    }
    all.sort_unstable();
    assert_eq!(all, (1..=30).collect::<Vec<_>>());
}

pub async fn r2_backwards_is_forwards_reversed(store: impl EventStore) {
    for _ in 0..4 {
        append(&store, "a", ExpectedVersion::Any, 2).await.unwrap();
        append(&store, "b", ExpectedVersion::Any, 1).await.unwrap();
    }
    for limit in [1, 2, 3, 5, 100] {
        let limit = BatchSize::new(limit).unwrap();
        let mut all = backwards_in_pages(&store, limit).await;
        all.reverse();
        assert_eq!(all, read_all(&store).await);
        let mut streamed = Vec::new();
        let mut before = Version::MAX;
        loop {
            let page = store
                .read_stream_backwards(&stream("a"), before, limit)
                .await
                .unwrap();
            let Some(last) = page.last() else { break };
            before = last.version;
            streamed.extend(page);
        }
        streamed.reverse();
        assert_eq!(streamed, super::kit::read_stream(&store, "a").await);
    }
    let two = BatchSize::new(2).unwrap();
    let page = store.read_all_backwards(position(4), two).await.unwrap();
    assert_eq!(positions(&page), [3, 2]);
    let page = store
        .read_stream_backwards(&stream("a"), version(4), two)
        .await
        .unwrap();
    assert_eq!(versions(&page), [3, 2]);
    for start in [0, 1] {
        let (all, one) = join(
            store.read_all_backwards(position(start), two),
            store.read_stream_backwards(&stream("a"), version(start), two),
        )
        .await;
        assert!(all.unwrap().is_empty());
        assert!(one.unwrap().is_empty());
    }
    let unknown = store
        .read_stream_backwards(&stream("nobody"), Version::MAX, two)
        .await
        .unwrap();
    assert!(unknown.is_empty());
}

/// A limit of nothing cannot be asked for: [`BatchSize`] has none.
pub async fn r3_a_page_tells_how_far_was_looked(store: impl EventStore) {
    assert_eq!(BatchSize::new(0), None);
    for name in ["a", "b", "a", "b", "b"] {
        append(&store, name, ExpectedVersion::Any, 1).await.unwrap();
    }
    let filter = Filter::stream(stream("a"));
    let read = |limit| store.read_filtered(&filter, Position::START, limit);
    // As many as were asked for: the last of them. Fewer: the head.
    let limited = read(BatchSize::new(2).unwrap()).await.unwrap();
    assert_eq!(positions(&limited.events), [1, 3]);
    assert_eq!(limited.through, position(3));
    let unlimited = read(BatchSize::default()).await.unwrap();
    assert_eq!(positions(&unlimited.events), [1, 3]);
    assert_eq!(unlimited.through, position(5));
}

pub async fn r6_pages_read_beside_appends_have_no_hole_and_no_repeat(store: impl EventStore) {
    append(&store, "a", ExpectedVersion::Any, 50).await.unwrap();
    let writers = join_all((0..4).map(|writer| {
        let store = &store;
        async move {
            for turn in 0..50 {
                let name = if turn % 2 == 0 { "a" } else { "b" };
                append(store, name, ExpectedVersion::Any, 1 + (turn + writer) % 3)
                    .await
                    .unwrap();
            }
        }
    }));
    let reader = async {
        let page = BatchSize::new(7).unwrap();
        for _ in 0..20 {
            let all = read_all_in_pages(&store, page).await;
            assert_eq!(positions(&all), one_to(all.len()));
            let mut streamed: Vec<RecordedEvent> = Vec::new();
            loop {
                let after = streamed.last().map_or(Version::NONE, |last| last.version);
                let read = store.read_stream(&stream("a"), after, page).await.unwrap();
                if read.is_empty() {
                    break;
                }
                streamed.extend(read);
            }
            assert_eq!(versions(&streamed), one_to(streamed.len()));
            assert!(streamed.len() >= 50);
        }
    };
    join(async { drop(writers.await) }, reader).await;
}

pub async fn k1_a_category_is_read_alone_and_in_order(store: impl EventStore) {
    // Ids in which separators stand: the halves of a name are never parsed back out of it.
    let names = [
        ("one", "x/y"),
        ("one", "two/x"),
        ("two", "x"),
        ("two", "one/x/y"),
        ("one_two", "x"),
    ];
    for _ in 0..3 {
        for (category, id) in names {
            let other = StreamWrite {
                stream: StreamId::new(category, id).unwrap(),
                ..write("x", ExpectedVersion::Any, 1)
            };
            store.append(request(vec![other])).await.unwrap();
        }
    }
    for (category, expected) in [
        ("one", vec![1, 2, 6, 7, 11, 12]),
        ("two", vec![3, 4, 8, 9, 13, 14]),
    ] {
        let page = store
            .read_filtered(
                &Filter::category(category),
                Position::START,
                BatchSize::default(),
            )
            .await
            .unwrap();
        assert_eq!(positions(&page.events), expected);
        assert!(
            page.events
                .iter()
                .all(|event| event.stream.category() == category)
        );
    }
}

async fn backwards_in_pages(store: &impl EventStore, limit: BatchSize) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    let mut before = Position::MAX;
    loop {
        let page = store.read_all_backwards(before, limit).await.unwrap();
        let Some(last) = page.last() else {
            return events;
        };
        before = last.position;
        events.extend(page);
    }
}
