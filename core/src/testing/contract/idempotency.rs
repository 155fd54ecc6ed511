//! A command is carried out once, and its first outcome is its outcome for ever.

use futures_util::future::join_all;

use super::kit::{
    append, assert_conflict, assert_reused, committed, read_stream, refusal, request, stream,
    version, write,
};
use crate::command::Fingerprint;
use crate::id::{CommandId, EventId};
use crate::store::{Append, AppendStatus, Appended, EventStore, Outcome};
use crate::stream::ExpectedVersion;

pub async fn i1_a_repeated_command_returns_the_first_result(store: impl EventStore) {
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

pub async fn i2_a_command_id_cannot_stand_for_two_requests(store: impl EventStore) {
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

/// A batch is one command, so it is never there in part: with fewer or more events it is another
/// request, and refused as a whole.
pub async fn i3_a_command_with_more_or_fewer_events_is_refused(store: impl EventStore) {
    let with = |events| Append {
        fingerprint: Fingerprint::of(&[&[events]]),
        ..request(vec![write("a", ExpectedVersion::Any, i64::from(events))])
    };
    let first = with(2);
    store.append(first.clone()).await.unwrap();
    for events in [1, 3] {
        let mut other = with(events);
        other.context.id = first.context.id;
        assert_reused(&store.append(other).await, first.context.id);
    }
    assert_eq!(read_stream(&store, "a").await.len(), 2);
}

pub async fn i4_a_repeat_is_known_when_its_stream_has_moved_on(store: impl EventStore) {
    let first = request(vec![write("a", ExpectedVersion::NoStream, 1)]);
    let recorded = store.append(first.clone()).await.unwrap();
    append(&store, "a", ExpectedVersion::Any, 500)
        .await
        .unwrap();
    append(&store, "b", ExpectedVersion::Any, 500)
        .await
        .unwrap();
    let again = store.append(first).await.unwrap();
    assert_eq!(again.status, AppendStatus::AlreadyApplied);
    assert_eq!(again.outcome, recorded.outcome);
}

/// How far a source was taken over is a stream of its own, which moves in the same append as what
/// was taken over: a position that was saved before takes the events down with it.
pub async fn i5_the_position_of_a_source_moves_once_with_what_came_of_it(store: impl EventStore) {
    let take_over = |known| {
        request(vec![
            write("tracked source", known, 1),
            write("taken over", ExpectedVersion::Any, 1),
        ])
    };
    let first = committed(store.append(take_over(ExpectedVersion::NoStream)).await);
    let second = ExpectedVersion::LastEvent {
        version: version(1),
        event_id: first[0].event_id,
    };
    committed(store.append(take_over(second)).await);
    // Saved before, by another consumer of the same source; one that never was; one from before.
    let never = ExpectedVersion::LastEvent {
        version: version(2),
        event_id: EventId::of_command(CommandId::derived(&["never"]), 0),
    };
    for known in [second, never, ExpectedVersion::NoStream] {
        let result = store.append(take_over(known)).await;
        assert_conflict(result, "tracked source", known, 2);
    }
    assert_eq!(read_stream(&store, "taken over").await.len(), 2);
}
