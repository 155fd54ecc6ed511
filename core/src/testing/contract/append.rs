//! What an append leaves behind: everything or nothing, as it was written.

use super::kit::{
    append, assert_conflict, committed, places, position, positions, read_all, read_all_in_pages,
    read_stream, refusal, request, stream, version, versions, write,
};
use crate::command::{Actor, Fingerprint};
use crate::event::NewEvent;
use crate::id::CommandId;
use crate::store::{Append, AppendError, AppendStatus, EventStore, InvalidAppend, Outcome};
use crate::stream::{BatchSize, ExpectedVersion, Position};

pub async fn a1_versions_and_positions_count_from_one_without_gaps(store: impl EventStore) {
    let first = committed(append(&store, "a", ExpectedVersion::Any, 2).await);
    let second = committed(append(&store, "b", ExpectedVersion::Any, 1).await);
    let third = committed(append(&store, "a", ExpectedVersion::Any, 1).await);
    assert_eq!(places(&first), [(1, 1), (2, 2)]);
    assert_eq!(places(&second), [(3, 1)]);
    assert_eq!(places(&third), [(4, 3)]);
    assert_eq!(store.head().await.unwrap().number(), 4);
    let all = read_all(&store).await;
    assert_eq!(all, [first, second, third].concat());
}

pub async fn a2_a_command_without_events_is_an_outcome(store: impl EventStore) {
    let request = request(vec![write("a", ExpectedVersion::NoStream, 0)]);
    let first = store.append(request.clone()).await.unwrap();
    assert_eq!(first.outcome, Outcome::Empty);
    assert_eq!(first.status, AppendStatus::Executed);
    append(&store, "a", ExpectedVersion::NoStream, 1)
        .await
        .unwrap();
    let again = store.append(request).await.unwrap();
    assert_eq!(again.status, AppendStatus::AlreadyApplied);
    assert_eq!(again.outcome, Outcome::Empty);
}

pub async fn a3_a_failed_append_leaves_nothing(store: impl EventStore) {
    append(&store, "a", ExpectedVersion::Any, 1).await.unwrap();
    let failing = request(vec![
        write("b", ExpectedVersion::Any, 5),
        write("a", ExpectedVersion::NoStream, 1),
    ]);
    assert!(store.append(failing.clone()).await.is_err());
    assert_eq!(store.outcome(failing.context.id).await.unwrap(), None);
    let next = committed(append(&store, "b", ExpectedVersion::NoStream, 1).await);
    assert_eq!(places(&next), [(2, 1)], "a failure leaves no gap");
}

pub async fn a4_bytes_come_back_as_they_were_written(store: impl EventStore) {
    let zoo: [&[u8]; 12] = [
        br#"{"b":1,"a":2}"#,
        br#"{ "spaced" :  [1, 2 ] }"#,
        br#"{"a":1,"a":2}"#,
        br#"1e3"#,
        br#"-0"#,
        br#"1.10"#,
        br#"123456789012345678901234567890"#,
        br#"1e400"#,
        br#""\u0041\u0000""#,
        br#""\ud800""#,
        "\"grüße \u{1f4b6}\"".as_bytes(),
        br#"null"#,
    ];
    // No JSON at all: what a payload means is not the store's business.
    let every_byte: Vec<u8> = (0..=255).collect();
    let nothing = Vec::new();
    let deep = [vec![b'['; 100], vec![b']'; 100]].concat();
    let long = format!("\"{}\"", "x".repeat(1024 * 1024)).into_bytes();
    let payloads: Vec<Vec<u8>> = zoo
        .iter()
        .map(|json| json.to_vec())
        .chain([every_byte, nothing, deep, long])
        .collect();
    let mut request = request(vec![write("a", ExpectedVersion::Any, 0)]);
    request.writes[0].events = payloads
        .iter()
        .map(|payload| NewEvent {
            event_type: "Zoo".to_owned(),
            schema_version: 7,
            payload: payload.clone(),
        })
        .collect();
    store.append(request).await.unwrap();
    let read = read_stream(&store, "a").await;
    let returned: Vec<Vec<u8>> = read.iter().map(|event| event.payload.to_vec()).collect();
    assert_eq!(returned, payloads);
    assert!(read.iter().all(|event| event.schema_version == 7));
}

pub async fn a5_recorded_time_never_decreases(store: impl EventStore) {
    for name in ["a", "b", "a", "c", "b"] {
        append(&store, name, ExpectedVersion::Any, 2).await.unwrap();
    }
    let times: Vec<_> = read_all(&store)
        .await
        .iter()
        .map(|event| event.recorded_at)
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

pub async fn a6_a_large_append_is_one_unit(store: impl EventStore) {
    append(&store, "a", ExpectedVersion::Any, 5_000)
        .await
        .unwrap();
    let events = read_all_in_pages(&store, BatchSize::default()).await;
    let expected: Vec<i64> = (1..=5_000).collect();
    assert_eq!(positions(&events), expected);
    assert_eq!(versions(&events), expected);
    let ids: std::collections::BTreeSet<_> = events.iter().map(|e| e.event_id).collect();
    assert_eq!(ids.len(), 5_000);
}

pub async fn a_stream_id_is_data(store: impl EventStore) {
    let names = [
        "x' OR '1'='1",
        "'; DROP TABLE store.events; --",
        "a/b",
        "a%b_c\\d",
        "\"quoted\"",
        "ünï\u{1f4b6}cödé",
        " ",
        "{1,2}",
        "NULL",
    ];
    for name in names {
        append(&store, name, ExpectedVersion::NoStream, 1)
            .await
            .unwrap();
    }
    for name in names {
        let events = read_stream(&store, name).await;
        assert_eq!(events.len(), 1, "{name}");
        assert_eq!(events[0].stream.id(), name);
    }
    assert_eq!(read_all(&store).await.len(), names.len());
}

pub async fn metadata_comes_back(store: impl EventStore) {
    let mut request = request(vec![write("a", ExpectedVersion::Any, 2)]);
    let other = CommandId::derived(&["other"]).as_uuid();
    request.context.actor = Actor::new("teller \"7\"").unwrap();
    request.context.causation_id = Some(crate::CausationId::from_uuid(other));
    request.context.cause = Some(crate::Cause {
        store_id: crate::StoreId::from_uuid(other),
        position: position(12),
    });
    store.append(request.clone()).await.unwrap();
    for event in read_stream(&store, "a").await {
        assert_eq!(event.decode_metadata().unwrap(), request.context.metadata());
        assert_eq!(event.command_id, request.context.id);
    }
}

pub async fn a_stream_named_twice_is_refused(store: impl EventStore) {
    let twice = request(vec![
        write("a", ExpectedVersion::Any, 1),
        write("b", ExpectedVersion::Any, 1),
        write("a", ExpectedVersion::Any, 1),
    ]);
    let result = store.append(twice).await;
    assert!(
        matches!(
            &result,
            Err(AppendError::Invalid(InvalidAppend::StreamTwice { stream })) if stream.id() == "a"
        ),
        "{result:?}"
    );
    assert_eq!(store.head().await.unwrap(), Position::START);
}

pub async fn a7_nothing_that_a_store_offers_changes_an_event(store: impl EventStore) {
    let first = request(vec![write("a", ExpectedVersion::Any, 3)]);
    store.append(first.clone()).await.unwrap();
    let before = read_all(&store).await;
    // A repeat, a command id used twice, a conflict, a refusal, an empty outcome, another append.
    store.append(first.clone()).await.unwrap();
    let other = Append {
        fingerprint: Fingerprint::of(&[b"something else"]),
        ..first
    };
    store.append(other).await.unwrap_err();
    let stale = ExpectedVersion::Exact(version(2));
    assert_conflict(append(&store, "a", stale, 1).await, "a", stale, 3);
    store
        .append(refusal(vec![(stream("a"), ExpectedVersion::Any)], b"no"))
        .await
        .unwrap();
    append(&store, "a", ExpectedVersion::Any, 0).await.unwrap();
    append(&store, "a", ExpectedVersion::Any, 1).await.unwrap();
    let after = read_all(&store).await;
    assert_eq!(after[..3], before);
    assert_eq!(after.len(), 4);
}

pub async fn an_event_type_with_nul_is_refused(store: impl EventStore) {
    let mut append = request(vec![write("a", ExpectedVersion::Any, 1)]);
    append.writes[0].events[0].event_type = "a\0b".to_owned();
    let result = store.append(append).await;
    assert!(
        matches!(
            &result,
            Err(AppendError::Invalid(InvalidAppend::EventType { event_type })) if event_type == "a\0b"
        ),
        "{result:?}"
    );
    assert_eq!(store.head().await.unwrap(), Position::START);
}
