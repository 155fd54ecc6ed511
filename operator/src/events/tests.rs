use std::io::{self, Write};

use clap::Parser;
use folio_core::{BatchSize, EventStore as _, InMemoryStore, RecordedEvent};
use proptest::prelude::*;
use serde_json::Value;
use tokio::sync::watch;

use super::*;
use crate::testing::{Written, record, store_of};

#[derive(Debug, Parser)]
struct App {
    #[command(flatten)]
    events: EventsArgs,
}

fn arguments(words: &str) -> Result<EventsArgs, String> {
    let words = ["app"].into_iter().chain(words.split_whitespace());
    let app = App::try_parse_from(words).map_err(|error| error.to_string())?;
    Ok(app.events)
}

async fn listed_on(store: &NamedStore, words: &str, columns: Option<usize>) -> String {
    let (_stop, stop) = watch::channel(false);
    let mut out = Vec::new();
    let screen = Screen {
        out: &mut out,
        columns,
        stop,
    };
    let finding = run(arguments(words).unwrap(), store, screen).await;
    assert_eq!(finding.unwrap(), Finding::Clean, "{words}");
    String::from_utf8(out).unwrap()
}

async fn listed(store: &NamedStore, words: &str) -> String {
    listed_on(store, words, None).await
}

fn positions(json: &str) -> Vec<i64> {
    let position = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["position"].as_i64().unwrap()
    };
    json.lines().map(position).collect()
}

fn named(store: InMemoryStore) -> NamedStore {
    NamedStore::new("a", store)
}

/// Some events, of few streams, types, actors and requests.
fn some_events() -> impl Strategy<Value = Vec<Written>> {
    let one = (0..3_i64, 0..3_u8, 0..2_u8, 0..2_u8, 0..3_u8, 1..4_u128);
    let micros =
        |(step, category, id, event_type, actor, correlation): (i64, u8, u8, u8, u8, u128)| {
            let written = Written {
                stream: (
                    ["account", "entry", "hold"][usize::from(category)],
                    id.to_string(),
                ),
                event_type: ["Opened", "Posted"][usize::from(event_type)],
                actor: ["ann", "bob", "folio"][usize::from(actor)].to_owned(),
                correlation,
                ..Written::default()
            };
            (step, written)
        };
    proptest::collection::vec(one.prop_map(micros), 0..40).prop_map(|steps| {
        let mut micros = 0;
        let timed = steps.into_iter().map(|(step, written)| {
            micros += step * 1_000_000;
            Written { micros, ..written }
        });
        timed.collect()
    })
}

/// Any of the options, each with something that may be there.
fn some_words() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let option = |name: &'static str, values: &'static [&'static str]| {
        proptest::option::weighted(0.25, proptest::sample::select(values))
            .prop_map(move |value| value.map(|value| (name, value.to_owned())))
    };
    let number = |name: &'static str, most: u32| {
        proptest::option::weighted(0.2, 1..most)
            .prop_map(move |value| value.map(|value| (name, value.to_string())))
    };
    let moment = |name: &'static str| {
        proptest::option::weighted(0.2, 0..60_u32).prop_map(move |second| {
            second.map(|second| (name, format!("1970-01-01T00:00:{second:02}Z")))
        })
    };
    let id = |name: &'static str, most: u128| {
        proptest::option::weighted(0.2, 1..most).prop_map(move |value| {
            value.map(|value| (name, uuid::Uuid::from_u128(value).to_string()))
        })
    };
    let scope = prop_oneof![
        option("--stream", &["account/0", "account/1", "entry/0", "hold/9"]),
        option("--category", &["account", "entry", "nothing"]),
    ];
    let ends = prop_oneof![number("--limit", 9), number("--last", 9)];
    (
        scope,
        option("--type", &["Opened", "Posted"]),
        option("--actor", &["ann", "bob"]),
        id("--correlation", 5),
        id("--command", 40),
        moment("--since"),
        moment("--until"),
        (number("--from", 40), number("--to", 40)),
        ends,
    )
        .prop_map(|(a, b, c, d, e, f, g, (h, i), j)| {
            [a, b, c, d, e, f, g, h, i, j]
                .into_iter()
                .flatten()
                .collect()
        })
}

/// What is asked for, told without any of the code that is tested.
fn straight(all: &[RecordedEvent], words: &[(&'static str, String)]) -> Vec<i64> {
    let second = |text: &str| text[17..19].parse::<i64>().unwrap() * 1_000_000;
    let mut left: Vec<&RecordedEvent> = all.iter().collect();
    for (option, value) in words {
        left.retain(|event| {
            let metadata: Value = serde_json::from_slice(&event.metadata).unwrap();
            match *option {
                "--stream" => event.stream.to_string() == *value,
                "--category" => event.stream.category() == value,
                "--type" => *event.event_type == **value,
                "--actor" => metadata["actor"] == **value,
                "--correlation" => metadata["correlation_id"] == **value,
                "--command" => event.command_id.to_string() == *value,
                "--since" => event.recorded_at.micros() >= second(value),
                "--until" => event.recorded_at.micros() < second(value),
                "--from" => event.position.number() >= value.parse().unwrap(),
                "--to" => event.position.number() <= value.parse().unwrap(),
                _ => true,
            }
        });
    }
    let mut positions: Vec<i64> = left.iter().map(|event| event.position.number()).collect();
    for (option, value) in words {
        let count = value.parse().unwrap_or(usize::MAX);
        match *option {
            "--limit" => positions.truncate(count),
            "--last" => drop(positions.drain(..positions.len().saturating_sub(count))),
            _ => {}
        }
    }
    positions
}

proptest! {
    #[test]
    fn all_that_is_wanted_is_listed_once_and_nothing_else(
        written in some_events(),
        words in proptest::collection::vec(some_words(), 3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = store_of(1, &written).await;
            let all = store.read_all(Position::START, BatchSize::default()).await.unwrap();
            let store = named(store);
            for words in words {
                let line: Vec<String> =
                    words.iter().map(|(option, value)| format!("{option} {value}")).collect();
                let line = format!("--format json {}", line.join(" "));
                let found = positions(&listed(&store, &line).await);
                assert_eq!(found, straight(&all, &words), "{line}");
            }
        });
    }
}

#[tokio::test]
async fn json_has_payload_and_metadata_as_they_were_recorded() {
    let payloads = [
        r#"{"b":1,"a":1.10,"amount":"7.00"}"#,
        r#"{ "x" : 12345678901234567890123.0 }"#,
        r#"null"#,
        r#"{"t":"a\u00e9\n\"é"}"#,
    ];
    let written = payloads.map(|payload| Written {
        payload: payload.to_owned(),
        ..Written::default()
    });
    let store = named(store_of(1, &written).await);
    let json = listed(&store, "--format json").await;
    assert_eq!(json.lines().count(), payloads.len());
    for (line, payload) in json.lines().zip(payloads) {
        let metadata = r#"{"actor":"ann","correlation_id":"00000000-0000-0000-0000-000000000001"}"#;
        let end = format!(r#","payload":{payload},"metadata":{metadata}}}"#);
        assert!(line.ends_with(&end), "{line}");
        assert!(line.starts_with(r#"{"store":"a","position":"#), "{line}");
    }
}

#[tokio::test]
async fn json_of_several_lines_is_one_line() {
    let written = Written {
        payload: "{\n  \"a\": \"b\\n\",\r\n  \"c\": 1\n}".to_owned(),
        ..Written::default()
    };
    let store = named(store_of(1, &[written]).await);
    let json = listed(&store, "--format json").await;
    assert_eq!(json.lines().count(), 1);
    assert!(
        json.contains(r#""payload":{   "a": "b\n",    "c": 1 }"#),
        "{json}"
    );
}

#[tokio::test]
async fn what_is_not_json_is_named_and_written_as_csv() {
    let written = Written {
        payload: "not,json".to_owned(),
        ..Written::default()
    };
    let store = named(store_of(1, &[written]).await);
    let (_stop, stop) = watch::channel(false);
    let mut out = Vec::new();
    let screen = Screen {
        out: &mut out,
        columns: None,
        stop,
    };
    let refused = run(arguments("--format json").unwrap(), &store, screen).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("payload of the event at position 1"),
        "{refused}"
    );
    assert!(out.is_empty());
    let csv = listed(&store, "--format csv").await;
    assert!(csv.contains("\"not,json\""), "{csv}");
    assert!(listed(&store, "").await.ends_with("  not,json\n"));
}

#[tokio::test]
async fn csv_has_its_heading_without_events_too() {
    let store = named(store_of(1, &[]).await);
    let csv = listed(&store, "--format csv").await;
    assert!(csv.starts_with("store,position,recorded_at,"), "{csv}");
    assert_eq!(csv.lines().count(), 1);
    assert_eq!(listed(&store, "").await, "");
    assert_eq!(listed(&store, "--format json --last 3").await, "");
}

#[tokio::test]
async fn a_table_is_as_wide_as_the_terminal() {
    let written = ["{\"amount\":\"12.50\",\"currency\":\"EUR\"}", "{}"].map(|payload| Written {
        payload: payload.to_owned(),
        stream: ("account", "a\u{1b}[2J".to_owned()),
        ..Written::default()
    });
    let store = named(store_of(1, &written).await);
    let lines = [
        "position  time (UTC)               stream              version  type    actor  payload",
        "       1  1970-01-01 00:00:00.000  account/a\\u{1b}[2J        1  Opened  ann    {\"amount\":\"12.50\"…",
        "       2  1970-01-01 00:00:00.000  account/a\\u{1b}[2J        2  Opened  ann    {}",
    ];
    let table = listed_on(&store, "", Some(97)).await;
    assert_eq!(table.lines().collect::<Vec<_>>(), lines);
    // Where nobody looks at it, nothing is left out.
    assert!(listed(&store, "").await.contains("\"currency\":\"EUR\"}\n"));
}

#[test]
fn what_is_wrong_is_told_with_its_option() {
    for (words, option, says) in [
        ("--since yesterday", "--since", "a moment is"),
        ("--until 2026-13-01", "--until", "a moment is"),
        (
            "--correlation rent",
            "--correlation",
            "a correlation id is a UUID",
        ),
        ("--command 7", "--command", "the id of a command is a UUID"),
        ("--stream checking", "--stream", "CATEGORY/ID"),
        ("--stream Account/1", "--stream", "\"Account\""),
        ("--stream account/", "--stream", "not empty"),
        ("--category account/1", "--category", "\"account/1\""),
        ("--actor=", "--actor", "an actor's name"),
        ("--from 0", "--from", "a whole number from 1 on"),
        ("--to=-1", "--to", "a whole number from 1 on"),
        ("--last 0", "--last", "0"),
        ("--limit x", "--limit", "x"),
        ("--format xml", "--format", "xml"),
        ("--limit 1 --last 1", "--last", "cannot be used with"),
        ("--follow --to 7", "--follow", "cannot be used with"),
    ] {
        let error = arguments(words).unwrap_err();
        assert!(
            error.contains(option) && error.contains(says),
            "{words}: {error}"
        );
    }
}

/// A pipe whose reader goes away after so many bytes.
struct Pipe(usize);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_pipe_that_is_closed_ends_it_well() {
    let store = named(store_of(1, &vec![Written::default(); 3_000]).await);
    for format in ["table", "json", "csv"] {
        let (_stop, stop) = watch::channel(false);
        let screen = Screen {
            out: &mut Pipe(100),
            columns: None,
            stop,
        };
        let words = format!("--follow --format {format}");
        let finding = run(arguments(&words).unwrap(), &store, screen).await;
        assert_eq!(finding.unwrap(), Finding::Clean, "{format}");
    }
}

/// What is written, for somebody who waits for it.
struct Seen(watch::Sender<String>);

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).unwrap();
        self.0.send_modify(|seen| seen.push_str(text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_followed_comes_until_the_user_wants_no_more() {
    for (words, expected) in [
        ("--follow", vec![1, 2, 3, 4, 5, 6]),
        ("--follow --last 1", vec![3, 4, 5, 6]),
        ("--follow --stream account/1", vec![1, 2, 3, 4, 5, 6]),
        ("--follow --stream account/1 --last 2", vec![2, 3, 4, 5, 6]),
        ("--follow --category account --from 3", vec![3, 4, 5, 6]),
        ("--follow --limit 5", vec![1, 2, 3, 4, 5]),
    ] {
        let store = std::sync::Arc::new(store_of(1, &vec![Written::default(); 3]).await);
        let named = NamedStore::new("a", std::sync::Arc::clone(&store));
        let (stop, stopped) = watch::channel(false);
        let (seen, mut sees) = watch::channel(String::new());
        let arguments = arguments(&format!("{words} --format json")).unwrap();
        let listing = tokio::spawn(async move {
            let screen = Screen {
                out: &mut Seen(seen),
                columns: None,
                stop: stopped,
            };
            run(arguments, &named, screen).await
        });
        let before = expected.iter().filter(|position| **position <= 3).count();
        let lines = |count: usize| move |seen: &String| seen.lines().count() == count;
        sees.wait_for(lines(before)).await.unwrap();
        for number in 4..=6 {
            record(&store, number, &Written::default()).await;
        }
        let seen = sees.wait_for(lines(expected.len())).await.unwrap().clone();
        assert_eq!(positions(&seen), expected, "{words}");
        stop.send_replace(true);
        assert_eq!(listing.await.unwrap().unwrap(), Finding::Clean, "{words}");
    }
}
