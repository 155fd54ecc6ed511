//! The contract of an event store, as a suite that any store must pass.
//!
//! [`event_store_contract!`](crate::event_store_contract) turns it into one test per case, so a
//! failure names the promise that was broken.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{join, join_all};

use crate::command::{Actor, CommandContext, Fingerprint};
use crate::event::{NewEvent, RecordedEvent};
use crate::filter::{Filter, Member};
use crate::id::{CommandId, EventId};
use crate::store::{
    Append, AppendError, AppendStatus, Appended, EventStore, InvalidAppend, Outcome, StreamWrite,
};
use crate::stream::{BatchSize, ExpectedVersion, Position, StreamId, Version};

/// Makes a test module of the whole contract.
///
/// The expression is evaluated once for each case and must give a future of a new, empty store
/// that can be cloned (wrap it in an `Arc`). The calling crate needs tokio with `macros` and `rt`.
///
/// ```
/// # fn main() {}
/// mod in_memory {
///     use std::sync::Arc;
///     folio_core::event_store_contract!(async {
///         Arc::new(folio_core::InMemoryStore::default())
///     });
/// }
/// ```
#[macro_export]
macro_rules! event_store_contract {
    ($store:expr) => {
        $crate::event_store_contract!(
            @cases $store;
            versions_and_positions_count_from_one_without_gaps,
            an_unknown_stream_is_empty,
            reads_start_after_and_stop_at_the_limit,
            no_stream_succeeds_once,
            stream_exists_needs_a_stream,
            exact_admits_its_version_only,
            any_admits_everything,
            last_event_admits_that_very_event_only,
            a_filtered_read_gives_what_is_wanted_and_how_far_it_looked,
            members_of_a_group_share_the_streams,
            a_filtered_read_at_the_end_is_empty,
            conflicts_are_the_same_at_one_two_and_three_digits,
            an_append_on_several_streams_is_atomic,
            a_stream_without_events_is_a_condition,
            a_stream_named_twice_is_refused,
            a_repeated_command_returns_the_first_result,
            a_command_id_cannot_stand_for_two_requests,
            a_refusal_is_an_outcome,
            a_refusal_decided_on_old_state_is_a_conflict,
            a_command_without_events_is_an_outcome,
            bytes_come_back_as_they_were_written,
            a_stream_id_is_data,
            recorded_time_never_decreases,
            metadata_comes_back,
            a_failed_append_leaves_nothing,
            a_large_append_is_one_unit,
            appends_wake_readers,
            two_writers_one_wins,
            parallel_appends_are_dense_and_lose_nothing,
            fifty_repeats_at_once_have_one_effect,
            a_reader_never_meets_a_smaller_position_later,
        );
    };
    (@cases $store:expr; $($case:ident,)+) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::testing::contract::$case($store.await).await;
            }
        )+
    };
}

/// Rounds of the race between two writers.
const RACE_ROUNDS: i64 = 1_000;

#[allow(
    missing_docs,
    reason = "each case is named by the sentence that it shows"
)]
mod cases {
    use super::*;

    pub async fn versions_and_positions_count_from_one_without_gaps(store: impl EventStore) {
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

    pub async fn an_unknown_stream_is_empty(store: impl EventStore) {
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

    pub async fn no_stream_succeeds_once(store: impl EventStore) {
        append(&store, "a", ExpectedVersion::NoStream, 1)
            .await
            .unwrap();
        let again = append(&store, "a", ExpectedVersion::NoStream, 1).await;
        assert_conflict(again, "a", ExpectedVersion::NoStream, 1);
    }

    pub async fn stream_exists_needs_a_stream(store: impl EventStore) {
        let absent = append(&store, "a", ExpectedVersion::StreamExists, 1).await;
        assert_conflict(absent, "a", ExpectedVersion::StreamExists, 0);
        append(&store, "a", ExpectedVersion::Any, 1).await.unwrap();
        append(&store, "a", ExpectedVersion::StreamExists, 1)
            .await
            .unwrap();
    }

    pub async fn exact_admits_its_version_only(store: impl EventStore) {
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
        let event_id = EventId::of_command(second.context.id, 0);
        let ahead = ExpectedVersion::LastEvent {
            version: version(3),
            event_id,
        };
        let third = request(vec![write("a", ahead, 1)]);
        let (second, third) = join(store.append(second), store.append(third)).await;
        committed(second);
        assert_eq!(versions(&committed(third)), [4]);
    }

    pub async fn a_filtered_read_gives_what_is_wanted_and_how_far_it_looked(
        store: impl EventStore,
    ) {
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

    pub async fn members_of_a_group_share_the_streams(store: impl EventStore) {
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

    pub async fn a_filtered_read_at_the_end_is_empty(store: impl EventStore) {
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

    pub async fn an_append_on_several_streams_is_atomic(store: impl EventStore) {
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

    pub async fn a_stream_without_events_is_a_condition(store: impl EventStore) {
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

    pub async fn a_repeated_command_returns_the_first_result(store: impl EventStore) {
        let request = request(vec![
            write("a", ExpectedVersion::NoStream, 2),
            write("b", ExpectedVersion::NoStream, 1),
        ]);
        let first = store.append(request.clone()).await.unwrap();
        assert_eq!(first.status, AppendStatus::Executed);
        for _ in 0..3 {
            // The streams move on, and the repeat is still recognised.
            append(&store, "a", ExpectedVersion::Any, 1).await.unwrap();
            let again = store.append(request.clone()).await.unwrap();
            assert_eq!(again.status, AppendStatus::AlreadyApplied);
            assert_eq!(again.outcome, first.outcome);
        }
        let looked_up = store.outcome(request.context.id).await.unwrap();
        assert_eq!(looked_up, Some(first.outcome));
        assert_eq!(store.head().await.unwrap().number(), 6);
        let unknown = CommandId::derived(&["never sent"]);
        assert_eq!(store.outcome(unknown).await.unwrap(), None);
    }

    pub async fn a_command_id_cannot_stand_for_two_requests(store: impl EventStore) {
        let first = request(vec![write("a", ExpectedVersion::Any, 1)]);
        store.append(first.clone()).await.unwrap();
        let mut other = request(vec![write("b", ExpectedVersion::Any, 1)]);
        other.context.id = first.context.id;
        other.fingerprint = Fingerprint::of(&[b"something else"]);
        let result = store.append(other.clone()).await;
        assert_reused(&result, first.context.id);
        // The same for a refusal in place of events, and for a refusal that came first.
        let refused = Append::refusal(other.context, other.fingerprint, Vec::new(), b"1".to_vec());
        assert_reused(&store.append(refused).await, first.context.id);
        assert_eq!(store.head().await.unwrap().number(), 1);

        let refusal = refusal(Vec::new(), b"no");
        store.append(refusal.clone()).await.unwrap();
        let mut other = request(vec![write("b", ExpectedVersion::Any, 1)]);
        other.context.id = refusal.context.id;
        other.fingerprint = Fingerprint::of(&[b"something else"]);
        assert_reused(&store.append(other).await, refusal.context.id);
    }

    pub async fn a_refusal_is_an_outcome(store: impl EventStore) {
        append(&store, "a", ExpectedVersion::Any, 1).await.unwrap();
        let seen = vec![(stream("a"), ExpectedVersion::Exact(version(1)))];
        let request = refusal(seen, br#"{"too":"poor"}"#);
        let first = store.append(request.clone()).await.unwrap();
        assert_eq!(first.status, AppendStatus::Executed);
        assert_eq!(
            first.outcome,
            Outcome::Refused(br#"{"too":"poor"}"#.to_vec())
        );
        // It stays refused, even when the stream has moved on.
        append(&store, "a", ExpectedVersion::Any, 1).await.unwrap();
        let again = store.append(request.clone()).await.unwrap();
        assert_eq!(again.status, AppendStatus::AlreadyApplied);
        assert_eq!(again.outcome, first.outcome);
        // Even if the same command would now bring events.
        let mut late = request.clone();
        late.refusal = None;
        late.writes = vec![write("a", ExpectedVersion::Any, 1)];
        let late = store.append(late).await.unwrap();
        assert_eq!(late.status, AppendStatus::AlreadyApplied);
        assert_eq!(late.outcome, first.outcome);
        assert_eq!(
            store.outcome(request.context.id).await.unwrap(),
            Some(first.outcome)
        );
        assert_eq!(store.head().await.unwrap().number(), 2);
    }

    pub async fn a_refusal_decided_on_old_state_is_a_conflict(store: impl EventStore) {
        append(&store, "a", ExpectedVersion::Any, 2).await.unwrap();
        let stale = ExpectedVersion::Exact(version(1));
        let request = refusal(vec![(stream("a"), stale)], b"{}");
        assert_conflict(store.append(request.clone()).await, "a", stale, 2);
        assert_eq!(store.outcome(request.context.id).await.unwrap(), None);
    }

    pub async fn a_command_without_events_is_an_outcome(store: impl EventStore) {
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

    pub async fn bytes_come_back_as_they_were_written(store: impl EventStore) {
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
        let deep = [vec![b'['; 100], vec![b']'; 100]].concat();
        let long = format!("\"{}\"", "x".repeat(1024 * 1024)).into_bytes();
        let payloads: Vec<Vec<u8>> = zoo
            .iter()
            .map(|json| json.to_vec())
            .chain([deep, long])
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
        let returned: Vec<Vec<u8>> = read.iter().map(|event| event.payload.clone()).collect();
        assert_eq!(returned, payloads);
        assert!(read.iter().all(|event| event.schema_version == 7));
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

    pub async fn recorded_time_never_decreases(store: impl EventStore) {
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

    pub async fn a_failed_append_leaves_nothing(store: impl EventStore) {
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

    pub async fn a_large_append_is_one_unit(store: impl EventStore) {
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

    pub async fn appends_wake_readers(store: impl EventStore) {
        let mut appended = store.appended();
        append(&store, "a", ExpectedVersion::Any, 3).await.unwrap();
        let seen = appended.wait_for(|head| *head >= position(3)).await;
        assert_eq!(seen.unwrap().number(), 3);
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

    pub async fn parallel_appends_are_dense_and_lose_nothing(store: impl EventStore) {
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

    pub async fn fifty_repeats_at_once_have_one_effect(store: impl EventStore) {
        let request = request(vec![write("a", ExpectedVersion::NoStream, 2)]);
        let results = join_all((0..50).map(|_| store.append(request.clone()))).await;
        let results: Vec<Appended> = results.into_iter().map(Result::unwrap).collect();
        let executed = results
            .iter()
            .filter(|result| result.status == AppendStatus::Executed)
            .count();
        assert_eq!(executed, 1);
        assert!(
            results
                .iter()
                .all(|result| result.outcome == results[0].outcome)
        );
        assert_eq!(store.head().await.unwrap().number(), 2);
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
}

pub use cases::*;

/// Appends `events` numbered events to stream `name` under a command of its own.
async fn append(
    store: &impl EventStore,
    name: &str,
    expected: ExpectedVersion,
    events: i64,
) -> Result<Appended, AppendError> {
    store
        .append(request(vec![write(name, expected, events)]))
        .await
}

fn stream(name: &str) -> StreamId {
    StreamId::new("contract", name).unwrap()
}

fn version(number: i64) -> Version {
    Version::new(number).unwrap()
}

fn position(number: i64) -> Position {
    Position::new(number).unwrap()
}

fn write(name: &str, expected: ExpectedVersion, events: i64) -> StreamWrite {
    let event = |number: i64| NewEvent {
        event_type: "Counted".to_owned(),
        schema_version: 1,
        payload: format!("{{\"number\":{number}}}").into_bytes(),
    };
    StreamWrite {
        stream: stream(name),
        expected,
        events: (1..=events).map(event).collect(),
    }
}

/// A context whose command id no other call of this process has.
fn context() -> CommandContext {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    CommandContext::new(
        CommandId::derived(&["contract", &number]),
        Actor::anonymous(),
    )
}

fn request(writes: Vec<StreamWrite>) -> Append {
    Append::events(context(), Fingerprint::of(&[b"contract"]), writes)
}

fn refusal(conditions: Vec<(StreamId, ExpectedVersion)>, refusal: &[u8]) -> Append {
    Append::refusal(
        context(),
        Fingerprint::of(&[b"contract"]),
        conditions,
        refusal.to_vec(),
    )
}

#[track_caller]
fn committed(result: Result<Appended, AppendError>) -> Vec<RecordedEvent> {
    match result.unwrap() {
        Appended {
            status: AppendStatus::Executed,
            outcome: Outcome::Committed(events),
        } => events,
        other => panic!("expected new events, got {other:?}"),
    }
}

#[track_caller]
fn assert_conflict(
    result: Result<Appended, AppendError>,
    name: &str,
    wanted: ExpectedVersion,
    found: i64,
) {
    match result {
        Err(AppendError::VersionConflict {
            stream,
            expected,
            actual,
        }) => {
            assert_eq!(stream.id(), name);
            assert_eq!(expected, wanted);
            assert_eq!(actual.number(), found);
        }
        other => panic!("expected a version conflict, got {other:?}"),
    }
}

#[track_caller]
fn assert_reused(result: &Result<Appended, AppendError>, id: CommandId) {
    assert!(
        matches!(result, Err(AppendError::CommandReused { command }) if *command == id),
        "{result:?}"
    );
}

async fn read_stream(store: &impl EventStore, name: &str) -> Vec<RecordedEvent> {
    store
        .read_stream(&stream(name), Version::NONE, BatchSize::default())
        .await
        .unwrap()
}

async fn read_all(store: &impl EventStore) -> Vec<RecordedEvent> {
    store
        .read_all(Position::START, BatchSize::default())
        .await
        .unwrap()
}

async fn read_all_in_pages(store: &impl EventStore, page: BatchSize) -> Vec<RecordedEvent> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    loop {
        let after = events.last().map_or(Position::START, |last| last.position);
        let batch = store.read_all(after, page).await.unwrap();
        if batch.is_empty() {
            return events;
        }
        events.extend(batch);
    }
}

fn places(events: &[RecordedEvent]) -> Vec<(i64, i64)> {
    events
        .iter()
        .map(|event| (event.position.number(), event.version.number()))
        .collect()
}

fn positions(events: &[RecordedEvent]) -> Vec<i64> {
    events.iter().map(|event| event.position.number()).collect()
}

fn versions(events: &[RecordedEvent]) -> Vec<i64> {
    events.iter().map(|event| event.version.number()).collect()
}

fn one_to(last: usize) -> Vec<i64> {
    (1..=i64::try_from(last).unwrap()).collect()
}
