use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use folio_core::{
    Actor, CausationId, Cause, CommandContext, CommandId, EventId, Position, RecordedEvent,
    StoreId, StreamId, Version,
};
use proptest::prelude::*;
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::testing::{Written, store_of};

/// An event as it is said to be: store, position, command, and what led to it.
#[derive(Debug, Clone, Copy)]
struct Said {
    store: u128,
    position: i64,
    command: u128,
    cause: Option<(u128, i64)>,
    causation: Option<Uuid>,
}

fn traced(said: Said) -> TracedEvent {
    let command = CommandId::from_uuid(Uuid::from_u128(said.command));
    let context = CommandContext {
        causation_id: said.causation.map(CausationId::from_uuid),
        cause: said.cause.map(|(store, position)| Cause {
            store_id: StoreId::from_uuid(Uuid::from_u128(store)),
            position: Position::START.plus(position),
        }),
        ..CommandContext::new(command, Actor::anonymous())
    };
    TracedEvent {
        service: format!("s{}", said.store).into(),
        store_id: StoreId::from_uuid(Uuid::from_u128(said.store)),
        event: RecordedEvent {
            position: Position::START.plus(said.position),
            stream: StreamId::new("account", "1").unwrap(),
            version: Version::NONE.plus(said.position),
            event_id: id_of(said.store, said.position),
            event_type: "Opened".into(),
            schema_version: 1,
            command_id: command,
            recorded_at: Timestamp::from_micros(said.position * 10),
            payload: Bytes::from_static(b"{}"),
            metadata: Bytes::new(),
        },
        metadata: context.metadata(),
    }
}

fn id_of(store: u128, position: i64) -> EventId {
    let position = u128::from(position.unsigned_abs());
    EventId::from_uuid(Uuid::from_u128(1_000_000 + store * 1_000 + position))
}

/// Each event is there once, after all that it hangs at, and at its own command.
fn is_sound(tree: &Tree, said: &[Said]) {
    let mut found = BTreeSet::new();
    for (number, node) in tree.nodes.iter().enumerate() {
        let parent = node.parent.map(|parent| {
            assert!(parent < number, "{number} hangs at {parent}");
            &tree.nodes[parent]
        });
        let depth = parent.map_or(0, |parent| parent.depth + 1);
        assert_eq!(node.depth, depth);
        if let What::Event(traced) = &node.what {
            let is_new = found.insert((traced.store_id, traced.event.position));
            assert!(is_new, "{traced:?} is there twice");
            let What::Command(command) = &parent.unwrap().what else {
                panic!("{traced:?} hangs at no command");
            };
            assert_eq!(
                (command.id, &command.service),
                (traced.event.command_id, &traced.service)
            );
        }
    }
    assert_eq!(found.len(), said.len());
}

/// Any events, whatever they name as their causes: others, what is not there, themselves, each other.
fn some_events() -> impl Strategy<Value = Vec<Said>> {
    let cause = proptest::option::of((0..3_u128, 1..16_i64));
    let causation = proptest::option::of(prop_oneof![
        (0..3_u128, 1..16_i64).prop_map(|(store, position)| id_of(store, position).as_uuid()),
        (0..9_u128).prop_map(Uuid::from_u128),
    ]);
    let one = (0..3_u128, 0..9_u128, cause, causation);
    proptest::collection::vec(one, 0..30).prop_map(|events| {
        let mut heads = [0; 3];
        let said = events
            .into_iter()
            .map(|(store, command, cause, causation)| {
                let head = &mut heads[usize::try_from(store).unwrap()];
                *head += 1;
                Said {
                    store,
                    position: *head,
                    command,
                    cause,
                    causation,
                }
            });
        said.collect()
    })
}

proptest! {
    #[test]
    fn each_event_is_once_in_the_tree_after_what_it_hangs_at(said in some_events()) {
        let tree = Tree::of(said.iter().copied().map(traced).collect());
        is_sound(&tree, &said);
    }

    #[test]
    fn where_what_leads_to_an_event_is_there_it_hangs_at_it(said in some_events()) {
        let tree = Tree::of(said.iter().copied().map(traced).collect());
        for node in &tree.nodes {
            let What::Command(command) = &node.what else { continue };
            let parent = node.parent.map(|parent| &tree.nodes[parent].what);
            match (&command.caused_by, parent) {
                (CausedBy::Request | CausedBy::Unknown(_), None) => {}
                (CausedBy::Event { service, position }, Some(What::Event(traced))) => {
                    assert_eq!((service, *position), (&traced.service, traced.event.position));
                }
                (CausedBy::Command(id), Some(What::Command(parent))) => assert_eq!(*id, parent.id),
                (caused_by, parent) => panic!("{caused_by:?} hangs at {parent:?}"),
            }
        }
    }
}

#[test]
fn a_chain_may_be_as_long_as_it_likes() {
    let said: Vec<Said> = (1..=20_000)
        .map(|position| Said {
            store: 0,
            position,
            command: u128::from(position.unsigned_abs()),
            cause: (position > 1).then_some((0, position - 1)),
            causation: None,
        })
        .collect();
    let tree = Tree::of(said.iter().copied().map(traced).collect());
    is_sound(&tree, &said);
    assert_eq!(tree.nodes.last().unwrap().depth, 39_999);
}

/// A saga that asks two books: its log, what they did for it, and what it heard.
fn transfer() -> Vec<Said> {
    let said = |store, position, command, cause| Said {
        store,
        position,
        command,
        cause,
        causation: None,
    };
    vec![
        said(1, 4, 1, None),
        said(2, 5, 2, Some((1, 4))),
        said(2, 6, 2, Some((1, 4))),
        said(1, 7, 3, Some((2, 6))),
        said(2, 9, 4, Some((7, 1))),
        Said {
            causation: Some(id_of(2, 9).as_uuid()),
            ..said(1, 10, 5, None)
        },
        Said {
            causation: Some(Uuid::from_u128(5)),
            ..said(1, 11, 6, None)
        },
        said(1, 12, 7, Some((1, 12))),
    ]
}

fn trace(events: Vec<TracedEvent>) -> Trace {
    let fields = [("method", "POST"), ("principal", "ann\u{7}")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Trace {
        correlation: CorrelationId::from_uuid(Uuid::from_u128(5)),
        requests: vec![Request {
            at: "2026-11-29T17:00:00Z".to_owned(),
            fields: fields.into(),
        }],
        searched: vec![Searched {
            service: "s1".to_owned(),
            store_id: StoreId::from_uuid(Uuid::from_u128(1)),
            after: Position::START.plus(2),
            through: Position::START.plus(12),
            found: 5,
        }],
        tree: Tree::of(events),
    }
}

#[test]
fn a_tree_is_drawn_from_the_request_down() {
    let text = output::text(&trace(transfer().into_iter().map(traced).collect()));
    let lines = [
        "correlation 00000000-0000-0000-0000-000000000005, trace id 00000000000000000000000000000005",
        "request 2026-11-29T17:00:00Z method=POST principal=ann\\u{7}",
        "the first event was recorded at 1970-01-01T00:00:00.000040Z",
        "what                                                          ms  stream     version  type    actor",
        "├─ s1 command 00000000-0000-0000-0000-000000000001                                            anonymous",
        "│  └─ s1 4                                                +0.000  account/1        4  Opened  anonymous",
        "│     └─ s2 command 00000000-0000-0000-0000-000000000002                                      anonymous",
        "│        ├─ s2 5                                          +0.010  account/1        5  Opened  anonymous",
        "│        └─ s2 6                                          +0.020  account/1        6  Opened  anonymous",
    ];
    let found: Vec<&str> = text.lines().collect();
    for (found, line) in found.iter().zip(lines) {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(found), words(line), "{text}");
    }
    for note in [
        "its cause, position 1 of the store 00000000-0000-0000-0000-000000000007, is not among what was found",
        "it names itself as its cause",
    ] {
        let noted = found.iter().filter(|line| line.ends_with(note));
        assert_eq!(noted.count(), 1, "{text}");
    }
    assert_eq!(found.last(), Some(&"s1: 5 events among positions 3 to 12"));
}

#[test]
fn a_tree_is_told_to_programs_by_numbers() {
    let json = output::json(&trace(transfer().into_iter().map(traced).collect())).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["trace_id"], "00000000000000000000000000000005");
    assert_eq!(json["requests"][0]["fields"]["method"], "POST");
    let nodes = json["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 8 + 7);
    let heard = nodes
        .iter()
        .find(|node| node["service"] == "s1" && node["position"] == 7);
    let command = &nodes[usize::try_from(heard.unwrap()["parent"].as_u64().unwrap()).unwrap()];
    assert_eq!(
        (&command["kind"], &command["note"]),
        (&"command".into(), &().into())
    );
    let cause = &nodes[usize::try_from(command["parent"].as_u64().unwrap()).unwrap()];
    assert_eq!(
        (&cause["service"], &cause["position"]),
        (&"s2".into(), &6.into())
    );
    assert_eq!(cause["offset_us"], 20);
}

async fn run_on(stores: &[NamedStore], since: Option<i64>) -> (Finding, String) {
    let (_stop, stop) = watch::channel(false);
    let mut out = Vec::new();
    let screen = Screen {
        out: &mut out,
        columns: None,
        stop,
    };
    let arguments = TraceArgs {
        correlation: CorrelationId::from_uuid(Uuid::from_u128(2)),
        since: since.map(Timestamp::from_micros),
        format: TraceFormat::Json,
    };
    let finding = run(arguments, stores, Vec::new(), screen).await.unwrap();
    (finding, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn each_store_is_read_to_where_it_ends_and_only_the_request_is_found() {
    let of = |count: i64, every: i64| -> Vec<Written> {
        let one = |number: i64| Written {
            micros: number,
            correlation: if number % every == 0 { 2 } else { 1 },
            ..Written::default()
        };
        (1..=count).map(one).collect()
    };
    let stores = [
        NamedStore::new("a", store_of(1, &of(2_500, 100)).await),
        NamedStore::new("b", store_of(2, &of(10, 11)).await),
        NamedStore::new("c", store_of(3, &[]).await),
    ];
    let (finding, text) = run_on(&stores, None).await;
    assert_eq!(finding, Finding::Clean);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let nodes = json["nodes"].as_array().unwrap().iter();
    let positions = nodes.filter_map(|node| node["position"].as_i64());
    let expected: Vec<i64> = (1..=25).map(|number| number * 100).collect();
    assert_eq!(positions.collect::<Vec<_>>(), expected);
    let through = json["searched"].as_array().unwrap().iter();
    let through = through.map(|one| one["through"].as_i64().unwrap());
    assert_eq!(through.collect::<Vec<_>>(), [2_500, 10, 0]);

    // From a moment on there is less, and after the last there is nothing.
    let (finding, text) = run_on(&stores, Some(2_301)).await;
    assert_eq!(finding, Finding::Clean);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["searched"][0]["after"], 2_300);
    assert_eq!(json["searched"][0]["found"], 2);
    let (finding, _) = run_on(&stores, Some(2_501)).await;
    assert_eq!(finding, Finding::NotWell);
}

#[tokio::test]
async fn whoever_wants_no_more_gets_no_part_of_a_tree() {
    let stores = [NamedStore::new("a", Arc::new(store_of(1, &[]).await))];
    let (_stop, stop) = watch::channel(true);
    let mut out = Vec::new();
    let screen = Screen {
        out: &mut out,
        columns: None,
        stop,
    };
    let arguments = TraceArgs {
        correlation: CorrelationId::from_uuid(Uuid::from_u128(2)),
        since: None,
        format: TraceFormat::Text,
    };
    let refused = run(arguments, &stores, Vec::new(), screen).await;
    assert!(
        matches!(refused, Err(TraceError::Interrupted)),
        "{refused:?}"
    );
    assert!(out.is_empty());
}
