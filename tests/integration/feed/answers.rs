//! What a reader makes of the answers of a feed: whatever they are, nothing is skipped.

use std::sync::Arc;
use std::time::Duration;

use folio_core::{
    BatchSize, EventStore, Filter, InMemoryStore, Member, ReadError, StoreId, Timestamp,
    error_chain,
};
use folio_projections::feed::{FeedSettings, FeedSource, ServedFeed};
use folio_projections::{Settings, Source, StoreSource};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;
use uuid::Uuid;

use super::stand_in::{Says, StandIn};
use crate::projections::kit::{
    How, Models, PATIENCE, Positions, Running, SETTINGS, append, append_as, append_over, at,
    one_to, wait_until,
};

const TEN: BatchSize = match BatchSize::new(10) {
    Some(ten) => ten,
    None => BatchSize::ONE,
};

/// A store with so many events by one command of this name.
async fn store(events: usize, history: &str) -> Arc<InMemoryStore> {
    let store = Arc::new(InMemoryStore::default());
    append_as(&store, events, history).await;
    store
}

fn served(store: &Arc<InMemoryStore>) -> Arc<ServedFeed> {
    Arc::new(ServedFeed::new(StoreSource::new(Arc::clone(store))))
}

/// The page after position 5 of a store of 9 events, as it would be right.
async fn right() -> Value {
    let feed = served(&store(9, "right").await);
    let page = feed.page(&Filter::all(), at(5), TEN).await.unwrap();
    serde_json::to_value(page).unwrap()
}

/// Reads after position 5, at most 10 events, where the answer is this.
async fn read(says: Says) -> Result<usize, ReadError> {
    let honest = served(&store(9, "right").await);
    let feed = StandIn::saying(Says::Truth(honest)).await;
    let settings = FeedSettings {
        timeout: Duration::from_millis(500),
        bytes_max: 100_000,
        ..FeedSettings::default()
    };
    let source = FeedSource::with_settings(&feed.url, settings).unwrap();
    source.identify().await.unwrap();
    feed.say(says);
    let doubts = source.connections_opened();
    let read = source.read(&Filter::all(), at(5), TEN).await;
    // Whatever was wrong, the checkpoint is compared before anybody goes on.
    assert!(read.is_ok() || source.connections_opened() > doubts);
    read.map(|page| page.events.len())
}

#[tokio::test]
async fn what_cannot_be_right_is_an_error_and_no_event_is_skipped() {
    let right = right().await;
    let body = |change: fn(&mut Value)| {
        let mut page = right.clone();
        change(&mut page);
        Says::answer("200 OK", &page.to_string())
    };
    // The control.
    assert_eq!(read(body(|_| {})).await.unwrap(), 4);

    type Lie = fn(&mut Value);
    let lies: [(&str, Lie); 13] = [
        ("an end before the end", |page| {
            page["events"] = json!([]);
            page["through"] = json!(5);
        }),
        ("no events", |page| page["events"] = json!([])),
        ("beyond the head", |page| page["head"] = json!(8)),
        ("back", |page| page["through"] = json!(4)),
        ("a hole at the start", |page| {
            page["events"].as_array_mut().unwrap().remove(0);
        }),
        ("a hole", |page| {
            page["events"].as_array_mut().unwrap().remove(1);
        }),
        ("a hole at the end", |page| {
            page["events"].as_array_mut().unwrap().pop();
        }),
        ("another order", |page| {
            page["events"].as_array_mut().unwrap().swap(1, 2);
        }),
        ("twice", |page| {
            let first = page["events"][0].clone();
            page["events"].as_array_mut().unwrap().insert(0, first);
        }),
        ("no such stream", |page| {
            page["events"][0]["category"] = json!("Test");
        }),
        ("no payload", |page| {
            page["events"][0].as_object_mut().unwrap().remove("payload");
        }),
        ("below 0", |page| page["events"][0]["position"] = json!(-6)),
        ("no text", |page| page["events"][0]["stream"] = json!(7)),
    ];
    for (lie, change) in lies {
        let error = read(body(change)).await.expect_err(lie);
        assert!(
            !matches!(error, ReadError::Unavailable(_)),
            "{lie}: {error:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_page_is_an_error_that_says_so() {
    let right = right().await.to_string();
    let half = &right[..right.len() / 2];
    let promised = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}",
        right.len()
    );
    let unsized_half = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{half}");
    let endless = right.clone() + &" ".repeat(200_000);
    let problem = r#"{"code":"database_unavailable"}"#;
    for (says, is_passing, expected) in [
        (Says::Bytes(promised.into()), true, "gave no answer"),
        (Says::Bytes(unsized_half.into()), false, "no page of events"),
        (Says::Bytes(Vec::new()), true, "gave no answer"),
        (Says::Bytes(b"SSH-2.0\r\n".into()), true, "gave no answer"),
        (Says::Nothing, true, "gave no answer"),
        (Says::answer("200 OK", ""), false, "no page of events"),
        (Says::answer("200 OK", "[]"), false, "no page of events"),
        (Says::answer("200 OK", "<html>"), false, "no page of events"),
        (
            Says::answer("200 OK", &endless),
            false,
            "longer than 100000 bytes",
        ),
        (Says::answer("204 No Content", ""), false, "status 204"),
        (Says::answer("302 Found", ""), false, "status 302"),
        (Says::answer("404 Not Found", ""), false, "status 404"),
        (
            Says::answer("422 Unprocessable", &right),
            false,
            "status 422",
        ),
        (Says::answer("409 Conflict", "{}"), false, "status 409"),
        (
            Says::answer("429 Too Many Requests", ""),
            true,
            "status 429",
        ),
        (
            Says::answer("503 Service Unavailable", problem),
            true,
            "database_unavailable",
        ),
        (
            Says::answer("500 Internal Server Error", ""),
            true,
            "status 500",
        ),
    ] {
        let error = read(says).await.expect_err(expected);
        let text = error_chain(&error);
        assert!(text.contains(expected), "{text}");
        assert_eq!(
            matches!(error, ReadError::Unavailable(_)),
            is_passing,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_feed_that_is_not_there_is_not_available() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/feed", listener.local_addr().unwrap());
    drop(listener);
    let source = FeedSource::new(&url).unwrap();
    let opened = source.connections_opened();
    for result in [source.identify().await.err(), source.head().await.err()] {
        assert!(
            matches!(result, Some(ReadError::Unavailable(_))),
            "{result:?}"
        );
    }
    assert!(source.connections_opened() > opened);
    for url in [
        "",
        "accounts/feed",
        "https://accounts/feed",
        "postgres://accounts",
    ] {
        assert!(FeedSource::new(url).is_err(), "{url}");
    }
}

#[tokio::test]
async fn filters_and_members_are_asked_for() {
    let store = Arc::new(InMemoryStore::default());
    append_over(&store, 9, 60).await;
    let feed = StandIn::saying(Says::Truth(served(&store))).await;
    let source = FeedSource::new(&feed.url).unwrap();
    let local = StoreSource::new(Arc::clone(&store));
    let stream = folio_core::StreamId::new("test", "4").unwrap();
    let member = |number| Filter::all().for_member(Member::new(number, 3).unwrap());
    for filter in [
        Filter::all(),
        Filter::category("test"),
        Filter::category("other"),
        Filter::stream(stream),
        member(0),
        member(2),
    ] {
        let mut after = at(0);
        loop {
            let page = source.read(&filter, after, TEN).await.unwrap();
            assert_eq!(page, local.read(&filter, after, TEN).await.unwrap());
            if page.through == after {
                break;
            }
            after = page.through;
        }
        assert_eq!(after, at(60), "{filter:?}");
    }
    assert!(feed.asked("category=test&stream=4") > 0 && feed.asked("member=2&of=3") > 0);
}

/// Behind the address is a database that was restored, or another one; nothing fails meanwhile.
#[tokio::test]
async fn a_feed_of_another_past_stops_the_reader() {
    let id = StoreId::from_uuid(Uuid::from_u128(7));
    let other = Arc::new(InMemoryStore::new(id, || Timestamp::from_micros(0)));
    append(&other, 20).await;
    for (after, expected) in [
        (
            store(4, "old").await,
            "the store went back: the reader is at position 10, the store ends at 4",
        ),
        (
            store(9, "old").await,
            "the store went back: the reader is at position 10, the store ends at 9",
        ),
        (
            store(10, "new").await,
            "the store was forked: at position 10",
        ),
        (
            store(15, "new").await,
            "the store was forked: at position 10",
        ),
        (
            other,
            "up to position 10, this is store 00000000-0000-0000-0000-000000000007",
        ),
        // The control: the same history, restored whole.
        (store(10, "old").await, ""),
    ] {
        let models = Models::new().await;
        let feed = StandIn::saying(Says::Truth(served(&store(10, "old").await))).await;
        let source = FeedSource::new(&feed.url).unwrap();
        let running = Running::from(Positions::default(), source, &models, SETTINGS).await;
        running.reaches(10).await;
        feed.say(Says::Truth(served(&after)));
        if expected.is_empty() {
            append(&after, 5).await;
            running.reaches(15).await;
            assert_eq!(models.positions().await, one_to(15));
        } else {
            let error = running.fails().await;
            assert!(error.contains(expected), "{error}");
            assert_eq!(models.positions().await, one_to(10));
        }
        running.stop().await;
    }
}

/// The control of the history's name: with the same one, another past is taken for the same.
#[tokio::test]
async fn without_a_new_name_another_past_is_not_found() {
    let models = Models::new().await;
    let before = Says::UnderHistory(served(&store(10, "old").await), "one");
    let feed = StandIn::saying(before).await;
    let source = FeedSource::new(&feed.url).unwrap();
    let running = Running::from(Positions::default(), source, &models, SETTINGS).await;
    running.reaches(10).await;
    feed.say(Says::UnderHistory(served(&store(15, "new").await), "one"));
    running.reaches(15).await;
    running.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_not_pushed() {
    let models = Models::new().await;
    let store = store(100, "slow").await;
    let feed = StandIn::saying(Says::Truth(served(&store))).await;
    let source = FeedSource::new(&feed.url).unwrap();
    let slow = Positions::poisoned(1, How::Hangs);
    let batches = Arc::clone(&slow.batches);
    let running = Running::from(slow, source.clone(), &models, SETTINGS).await;
    wait_until(|| !batches.lock().unwrap().is_empty()).await;
    let mut head = source.appended();
    for more in 1..=5 {
        append(&store, 100).await;
        let there = head.wait_for(|head| *head == at(100 + more * 100));
        tokio::time::timeout(PATIENCE, there)
            .await
            .unwrap()
            .unwrap();
    }
    // The batch that it is at, and the one that is read meanwhile.
    assert_eq!(feed.asked("limit=7"), 2);
    running.kill().await;
}

#[tokio::test]
async fn a_reader_is_woken_long_before_it_would_look() {
    let models = Models::new().await;
    let store = store(10, "woken").await;
    let feed = StandIn::saying(Says::Truth(served(&store))).await;
    let source = FeedSource::new(&feed.url).unwrap();
    let settings = Settings {
        poll: PATIENCE * 10,
        lease: PATIENCE * 30,
        ..SETTINGS
    };
    let running = Running::from(Positions::default(), source, &models, settings).await;
    running.reaches(10).await;
    for more in 1..=10 {
        append(&store, 1).await;
        running.reaches(10 + more).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_feed_that_does_not_wait_is_asked_less_and_less_often() {
    let store = store(10, "impatient").await;
    let feed = StandIn::saying(Says::Impatiently(served(&store))).await;
    let settings = FeedSettings {
        backoff: Duration::from_millis(10),
        ..FeedSettings::default()
    };
    let source = FeedSource::with_settings(&feed.url, settings).unwrap();
    let begun = Instant::now();
    let mut head = source.appended();
    // One that brings the head, and then five without news.
    wait_until(|| feed.asked("wait_ms=20000") >= 6).await;
    assert!(begun.elapsed() >= Duration::from_millis(10 + 20 + 40 + 80) / 2);
    assert_eq!(*head.borrow_and_update(), at(10));
    // It still finds out what is new, and that it can be relied on again.
    feed.say(Says::Truth(served(&store)));
    append(&store, 1).await;
    let there = head.wait_for(|head| *head == at(11));
    tokio::time::timeout(PATIENCE, there)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn nobody_waits_at_the_feed_for_a_source_that_is_gone() {
    let store = store(10, "gone").await;
    let feed = StandIn::saying(Says::Truth(served(&store))).await;
    let source = FeedSource::new(&feed.url).unwrap();
    let head = source.appended();
    wait_until(|| feed.asked("after=10") == 1).await;
    assert_eq!(
        (*head.borrow(), store.head().await.unwrap()),
        (at(10), at(10))
    );
    drop(source);
    wait_until(|| feed.state().given_up == 1).await;
    assert!(head.has_changed().is_err());
}
