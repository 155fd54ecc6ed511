//! Events of a store are listed as they are there, whatever is asked for.

use std::sync::Arc;

use folio_core::{
    Actor, Append, BatchSize, CommandContext, CommandId, CorrelationId, EventStore,
    ExpectedVersion, Fingerprint, InMemoryStore, NewEvent, Position, RecordedEvent, StreamId,
    StreamWrite,
};
use folio_operator::events::{self, EventsArgs, EventsFormat, Wanted};
use folio_operator::{Finding, NamedStore, Screen};
use folio_postgres::PostgresStore;
use folio_tests::postgres;
use folio_tests::process::{Program, command, run};
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::watch;
use uuid::Uuid;

use crate::up::program;

/// More than a page, so that pages follow each other.
const COMMANDS: u64 = 300;
/// Lists that are compared.
const LISTS: usize = 150;

/// Numbers that look like chance, and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let bound = u64::try_from(all.len()).unwrap();
        all[usize::try_from(self.below(bound)).unwrap()].clone()
    }
}

/// Records commands of one to nine events each, of few streams, types, actors and requests.
async fn record(store: &impl EventStore, commands: u64) {
    let mut numbers = Numbers(7);
    for command in 0..commands {
        let category = numbers.of(&["account", "entry", "hold"]);
        let stream = StreamId::new(category, numbers.below(4).to_string()).unwrap();
        let event = |numbers: &mut Numbers| NewEvent {
            event_type: numbers.of(&["Opened", "LegPosted", "Closed"]).to_owned(),
            schema_version: 1,
            payload: format!(r#"{{"b": {}, "a":"{}.10","é":null}}"#, numbers.0, command)
                .into_bytes(),
        };
        let count = 1 + numbers.below(9);
        let write = StreamWrite {
            stream,
            expected: ExpectedVersion::Any,
            events: (0..count).map(|_| event(&mut numbers)).collect(),
        };
        let correlation = 1 + u128::from(numbers.below(20));
        let context = CommandContext {
            correlation_id: CorrelationId::from_uuid(Uuid::from_u128(correlation)),
            ..CommandContext::new(
                CommandId::derived(&["listed", &command.to_string()]),
                Actor::new(numbers.of(&["ann", "bob", "folio"])).unwrap(),
            )
        };
        let append = Append::events(context, Fingerprint::of(&[b"listed"]), vec![write]);
        store.append(append).await.unwrap();
    }
}

async fn all_of(store: &impl EventStore) -> Vec<RecordedEvent> {
    let size = BatchSize::new(u16::MAX).unwrap();
    store.read_all(Position::START, size).await.unwrap()
}

/// Everything, as JSON.
fn everything() -> EventsArgs {
    EventsArgs {
        wanted: Wanted::default(),
        limit: None,
        last: None,
        follow: false,
        format: EventsFormat::Json,
    }
}

async fn listed(store: &NamedStore, arguments: EventsArgs) -> String {
    let (_stop, stop) = watch::channel(false);
    let mut out = Vec::new();
    let screen = Screen {
        out: &mut out,
        columns: None,
        stop,
    };
    let finding = events::run(arguments, store, screen).await.unwrap();
    assert_eq!(finding, Finding::Clean);
    String::from_utf8(out).unwrap()
}

/// A line as it is written, its payload and metadata byte for byte.
#[derive(Debug, Deserialize)]
struct Line {
    position: i64,
    payload: Box<RawValue>,
    metadata: Box<RawValue>,
}

fn lines(json: &str) -> Vec<Line> {
    let lines = json.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// Options of a list, with the positions of what is left by each of them.
fn options(numbers: &mut Numbers, all: &[RecordedEvent]) -> (EventsArgs, Vec<i64>) {
    let mut left: Vec<&RecordedEvent> = all.iter().collect();
    let mut arguments = everything();
    let wanted = &mut arguments.wanted;
    match numbers.below(4) {
        0 => {
            let of = numbers.of(all).stream;
            left.retain(|event| event.stream == of);
            wanted.stream = Some(of);
        }
        1 => {
            let of = numbers.of(&["account", "entry", "nothing"]);
            left.retain(|event| event.stream.category() == of);
            wanted.category = Some(of.to_owned());
        }
        _ => {}
    }
    if numbers.below(3) == 0 {
        left.retain(|event| &*event.event_type == "LegPosted");
        wanted.event_type = Some("LegPosted".to_owned());
    }
    if numbers.below(3) == 0 {
        left.retain(|event| metadata(event)["actor"] == "bob");
        wanted.actor = Some(Actor::new("bob").unwrap());
    }
    if numbers.below(4) == 0 {
        let of = metadata(&numbers.of(all))["correlation_id"].clone();
        left.retain(|event| metadata(event)["correlation_id"] == of);
        let id = of.as_str().unwrap().parse().unwrap();
        wanted.correlation = Some(CorrelationId::from_uuid(id));
    }
    if numbers.below(8) == 0 {
        let of = numbers.of(all).command_id;
        left.retain(|event| event.command_id == of);
        wanted.command = Some(of);
    }
    if numbers.below(3) == 0 {
        let of = numbers.of(all).recorded_at;
        left.retain(|event| event.recorded_at >= of);
        wanted.since = Some(of);
    }
    if numbers.below(3) == 0 {
        let of = numbers.of(all).recorded_at;
        left.retain(|event| event.recorded_at < of);
        wanted.until = Some(of);
    }
    if numbers.below(4) == 0 {
        let of = numbers.of(all).position;
        left.retain(|event| event.position >= of);
        wanted.from = Some(of);
    }
    if numbers.below(4) == 0 {
        let of = numbers.of(all).position;
        left.retain(|event| event.position <= of);
        wanted.to = Some(of);
    }
    let count = u32::try_from(numbers.below(1_500) + 1).unwrap();
    let number = usize::try_from(count).unwrap();
    match numbers.below(4) {
        0 => {
            left.truncate(number);
            arguments.limit = Some(count.into());
        }
        1 => {
            left.drain(..left.len().saturating_sub(number));
            arguments.last = Some(count);
        }
        _ => {}
    }
    let left = left.iter().map(|event| event.position.number());
    (arguments, left.collect())
}

fn metadata(event: &RecordedEvent) -> Value {
    serde_json::from_slice(&event.metadata).unwrap()
}

/// Over a store in PostgreSQL and over one in memory: what is found by indices, by moments and from the end is what is
/// found by looking at every event.
#[tokio::test]
async fn whatever_is_asked_for_is_what_every_event_looked_at_would_give() {
    let postgres = postgres::store().await;
    let memory = InMemoryStore::default();
    record(&postgres, COMMANDS).await;
    record(&memory, COMMANDS).await;
    let mut numbers = Numbers(3);
    let stores: [(Vec<RecordedEvent>, NamedStore); 2] = [
        (all_of(&postgres).await, NamedStore::new("p", postgres)),
        (all_of(&memory).await, NamedStore::new("m", memory)),
    ];
    let mut found = 0;
    for (all, store) in &stores {
        assert!(all.len() > 1_000, "{}", all.len());
        for _ in 0..LISTS {
            let (arguments, expected) = options(&mut numbers, all);
            let listed = lines(&listed(store, arguments.clone()).await);
            let positions: Vec<i64> = listed.iter().map(|line| line.position).collect();
            assert_eq!(positions, expected, "{arguments:?}");
            found += positions.len();
        }
    }
    assert!(found > 10_000, "{found}");
}

#[tokio::test]
async fn json_and_csv_hold_every_event_as_it_was_recorded() {
    let store = Arc::new(postgres::store().await);
    record(&store, COMMANDS).await;
    let all = all_of(&store).await;
    let named = NamedStore::new("a", Arc::clone(&store));
    let json = listed(&named, everything()).await;
    let json = lines(&json);
    assert_eq!(json.len(), all.len());
    let as_csv = EventsArgs {
        format: EventsFormat::Csv,
        ..everything()
    };
    let csv = listed(&named, as_csv).await;
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    let headings = csv.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), all.len());
    for ((event, line), row) in all.iter().zip(json).zip(rows) {
        assert_eq!(line.position, event.position.number());
        assert_eq!(line.payload.get().as_bytes(), &*event.payload);
        assert_eq!(line.metadata.get().as_bytes(), &*event.metadata);
        let cell = |name: &str| {
            let column = headings.iter().position(|heading| heading == name);
            row[column.unwrap()].to_owned()
        };
        assert_eq!(cell("position"), event.position.to_string());
        assert_eq!(cell("stream"), event.stream.to_string());
        assert_eq!(cell("version"), event.version.to_string());
        assert_eq!(cell("type"), *event.event_type);
        assert_eq!(cell("event_id"), event.event_id.to_string());
        assert_eq!(cell("command_id"), event.command_id.to_string());
        assert_eq!(cell("payload").as_bytes(), &*event.payload);
        assert_eq!(cell("metadata").as_bytes(), &*event.metadata);
        let metadata = event.decode_metadata().unwrap();
        assert_eq!(cell("actor"), metadata.actor.name());
        assert_eq!(cell("correlation_id"), metadata.correlation_id.to_string());
    }
}

/// The program itself: what a pipe gets, what a follower sees, and what is said where something is wrong.
#[tokio::test]
async fn the_program_lists_into_a_pipe_follows_and_says_what_is_wrong() {
    let databases = postgres::book().await;
    let store = PostgresStore::open(&databases.accounts.events, 2)
        .await
        .unwrap();
    record(&store, COMMANDS).await;
    let url = postgres::url().await;
    let book = databases.book.as_str();
    let ledger = |words: &[&str]| {
        let of_book = ["events", "--database-url", &url, "--book", book];
        command(program(), &[&of_book, words].concat())
    };

    let ended = run(ledger(&["--last", "2", "--format", "json"])).await;
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(lines(&ended.stdout).len(), 2, "{ended:?}");
    assert_eq!(ended.stderr, "");

    // Whoever reads the first line and goes has had what they wanted.
    let mut listing = ledger(&["--format", "csv"]);
    listing.stdout(std::process::Stdio::piped());
    let mut child = listing.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("store,position,"), "{line}");
    drop(stdout);
    assert!(child.wait().await.unwrap().success());

    // What another process records is seen as it comes, and Ctrl-C ends it well.
    let mut follower = Program::start(ledger(&["--last", "1", "--follow", "--format", "json"]));
    let head = store.head().await.unwrap();
    follower.line_with(&format!("\"position\":{head},")).await;
    let context = CommandContext::new(CommandId::derived(&["one more"]), Actor::anonymous());
    let write = StreamWrite {
        stream: StreamId::new("account", "new").unwrap(),
        expected: ExpectedVersion::NoStream,
        events: vec![NewEvent {
            event_type: "Opened".to_owned(),
            schema_version: 1,
            payload: b"{}".to_vec(),
        }],
    };
    let append = Append::events(context, Fingerprint::of(&[b"x"]), vec![write]);
    store.append(append).await.unwrap();
    follower.line_with("\"account/new\"").await;
    follower.signal(Signal::SIGINT);
    let (status, output) = follower.end().await;
    assert!(status.success(), "{output:?}");
    assert_eq!(output.len(), 2, "{output:?}");

    for (words, code, says) in [
        (["--since", "noon"], 2, "'--since <TIME>'"),
        (["--correlation", "rent"], 2, "'--correlation <ID>'"),
        (["--stream", "checking"], 2, "'--stream <CATEGORY/ID>'"),
    ] {
        let ended = run(ledger(&words)).await;
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        assert!(ended.stderr.contains(says), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
    let words = ["events", "--database-url", &url, "--store", "nowhere"];
    let ended = run(command(program(), &words)).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("no events of nowhere"), "{ended:?}");
}
