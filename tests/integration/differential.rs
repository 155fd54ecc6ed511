//! The in-memory store and PostgreSQL give the same answers to the same operations, whatever they are.

use folio_core::store::{Append, AppendError, Appended, Outcome, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, EventId, EventStore, ExpectedVersion, Filter,
    Fingerprint, InMemoryStore, Member, NewEvent, Position, RecordedEvent, StreamId, Version,
};
use folio_tests::{postgres, scale};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[derive(Debug, Clone)]
enum Operation {
    Append(Request),
    Outcome(u8),
    ReadStream(u8, i64, u16),
    ReadAll(i64, u16),
    ReadFiltered(Wanted, i64, u16),
}

#[derive(Debug, Clone)]
struct Request {
    /// Few, so that many are repeats.
    command: u8,
    /// What was asked: a repeat with another is refused.
    asked: u8,
    writes: Vec<(u8, Expected, usize)>,
    refusal: bool,
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    Any,
    NoStream,
    StreamExists,
    Exact(i64),
    /// The first event of a command, at a version.
    LastEvent(i64, u8),
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    All,
    Category,
    Stream(u8),
    Member(u16),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let expected = prop_oneof![
        4 => Just(Expected::Any),
        1 => Just(Expected::NoStream),
        1 => Just(Expected::StreamExists),
        3 => (0..6_i64).prop_map(Expected::Exact),
        2 => (1..4_i64, 0..20_u8).prop_map(|(version, command)| Expected::LastEvent(version, command)),
    ];
    let request = (
        0..20_u8,
        0..8_u8,
        vec((0..4_u8, expected, 0..3_usize), 0..3),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(command, asked, writes, refusal)| Request {
            command,
            asked: asked / 7,
            writes,
            refusal,
        });
    let wanted = prop_oneof![
        Just(Wanted::All),
        Just(Wanted::Category),
        (0..5_u8).prop_map(Wanted::Stream),
        (0..3_u16).prop_map(Wanted::Member),
    ];
    let operation = prop_oneof![
        8 => request.prop_map(Operation::Append),
        1 => (0..22_u8).prop_map(Operation::Outcome),
        1 => (0..5_u8, 0..6_i64, 1..5_u16).prop_map(|(s, v, n)| Operation::ReadStream(s, v, n)),
        1 => (0..30_i64, 1..9_u16).prop_map(|(p, n)| Operation::ReadAll(p, n)),
        2 => (wanted, 0..30_i64, 1..9_u16).prop_map(|(w, p, n)| Operation::ReadFiltered(w, p, n)),
    ];
    vec(operation, 1..120)
}

#[tokio::test]
async fn both_stores_answer_alike() {
    let mut runner = TestRunner::default();
    for _ in 0..16 * scale() {
        let operations = operations().new_tree(&mut runner).unwrap().current();
        let memory = InMemoryStore::default();
        let postgres = postgres::store().await;
        for (number, operation) in operations.iter().enumerate() {
            let expected = answer(&memory, operation).await;
            let actual = answer(&postgres, operation).await;
            assert_eq!(
                actual,
                expected,
                "PostgreSQL and memory differ at operation {number} of {:#?}",
                &operations[..=number]
            );
        }
    }
}

/// What a store answers, without what may differ between stores: its times, and the cause of an error.
async fn answer(store: &impl EventStore, operation: &Operation) -> String {
    match operation {
        Operation::Append(request) => match store.append(append(store, request).await).await {
            Ok(Appended { status, outcome }) => {
                format!("{status:?} {:?}", timeless_outcome(outcome))
            }
            Err(AppendError::VersionConflict {
                stream,
                expected,
                actual,
            }) => format!("conflict on {stream}: {expected} but {actual}"),
            Err(AppendError::CommandReused { command }) => format!("{command} reused"),
            Err(AppendError::Invalid(invalid)) => invalid.to_string(),
            Err(error) => panic!("{error:?}"),
        },
        Operation::Outcome(number) => {
            let outcome = store.outcome(command(*number)).await.unwrap();
            format!("{:?}", outcome.map(timeless_outcome))
        }
        Operation::ReadStream(name, after, limit) => {
            let after = Version::new(*after).unwrap();
            let limit = BatchSize::new(*limit).unwrap();
            let name = stream(*name);
            let up = store.read_stream(&name, after, limit).await.unwrap();
            let down = store.read_stream_backwards(&name, after, limit).await;
            format!("{:?} {:?}", timeless(up), timeless(down.unwrap()))
        }
        Operation::ReadAll(after, limit) => {
            let limit = BatchSize::new(*limit).unwrap();
            let after = Position::new(*after).unwrap();
            let up = store.read_all(after, limit).await.unwrap();
            let down = store.read_all_backwards(after, limit).await.unwrap();
            format!("{:?} {:?}", timeless(up), timeless(down))
        }
        Operation::ReadFiltered(wanted, after, limit) => {
            let filter = match wanted {
                Wanted::All => Filter::all(),
                Wanted::Category => Filter::category("even"),
                Wanted::Stream(name) => Filter::stream(stream(*name)),
                Wanted::Member(number) => {
                    Filter::all().for_member(Member::new(*number, 3).unwrap())
                }
            };
            let limit = BatchSize::new(*limit).unwrap();
            let after = Position::new(*after).unwrap();
            let page = store.read_filtered(&filter, after, limit).await.unwrap();
            format!("{:?} through {}", timeless(page.events), page.through)
        }
    }
}

async fn append(store: &impl EventStore, request: &Request) -> Append {
    let mut writes = Vec::new();
    for (name, expected, events) in &request.writes {
        writes.push(StreamWrite {
            stream: stream(*name),
            expected: match *expected {
                Expected::Any => ExpectedVersion::Any,
                Expected::NoStream => ExpectedVersion::NoStream,
                Expected::StreamExists => ExpectedVersion::StreamExists,
                Expected::Exact(version) => ExpectedVersion::Exact(Version::new(version).unwrap()),
                Expected::LastEvent(version, number) => ExpectedVersion::LastEvent {
                    version: Version::new(version).unwrap(),
                    event_id: first_event(store, number).await,
                },
            },
            events: vec![
                NewEvent {
                    event_type: "Happened".to_owned(),
                    schema_version: 1,
                    payload: format!("{}", request.asked).into_bytes(),
                };
                if request.refusal { 0 } else { *events }
            ],
        });
    }
    let mut append = Append::events(
        CommandContext::new(command(request.command), Actor::anonymous()),
        Fingerprint::of(&[&[request.asked]]),
        writes,
    );
    append.refusal = request.refusal.then(|| b"\"no\"".to_vec());
    append
}

/// The first event that is on record for this command, or one that never was.
async fn first_event(store: &impl EventStore, number: u8) -> EventId {
    match store.outcome(command(number)).await.unwrap() {
        Some(Outcome::Committed(events)) => events[0].event_id,
        Some(Outcome::Empty | Outcome::Refused(_)) | None => {
            EventId::of_command(command(number), 0)
        }
    }
}

fn command(number: u8) -> CommandId {
    CommandId::derived(&["differential", &number.to_string()])
}

fn stream(name: u8) -> StreamId {
    let category = if name.is_multiple_of(2) {
        "even"
    } else {
        "odd"
    };
    StreamId::new(category, name.to_string()).unwrap()
}

fn timeless(mut events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
    for event in &mut events {
        event.recorded_at = folio_core::Timestamp::from_micros(0);
    }
    events
}

fn timeless_outcome(outcome: folio_core::Outcome) -> folio_core::Outcome {
    match outcome {
        folio_core::Outcome::Committed(events) => folio_core::Outcome::Committed(timeless(events)),
        other @ (folio_core::Outcome::Empty | folio_core::Outcome::Refused(_)) => other,
    }
}
