//! A tree for people, and for programs.

use std::io;

use folio_core::{CommandId, EventId, StoreId};
use serde::Serialize;

use super::tree::{CausedBy, Node, TracedCommand, Tree, What};
use super::{Request, Searched, Trace, TracedEvent};
use crate::format::count;
use crate::moment::exact;
use crate::printable::printable;
use crate::table::{Column, Table};

/// The tree as text.
pub(super) fn text(trace: &Trace) -> String {
    let id = trace.correlation;
    let mut lines = vec![format!(
        "correlation {id}, trace id {}",
        id.as_uuid().simple()
    )];
    lines.extend(trace.requests.iter().map(request));
    if let Some(began) = trace.tree.began() {
        lines.push(format!("the first event was recorded at {}", exact(began)));
    }
    if !trace.tree.nodes.is_empty() {
        lines.push(table(&trace.tree).to_string());
    }
    lines.extend(trace.searched.iter().map(searched));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn request(request: &Request) -> String {
    let fields = request.fields.iter();
    let fields = fields.map(|(name, value)| format!(" {}={}", printable(name), printable(value)));
    format!(
        "request {}{}",
        printable(&request.at),
        fields.collect::<String>()
    )
}

fn searched(searched: &Searched) -> String {
    let Searched {
        service,
        after,
        through,
        found,
        ..
    } = searched;
    let found = count(i64::try_from(*found).unwrap_or(i64::MAX), "event");
    match through.events_since(*after) {
        0 => format!("{service}: none were recorded"),
        _ => format!(
            "{service}: {found} among positions {} to {through}",
            after.plus(1)
        ),
    }
}

fn table(tree: &Tree) -> Table<7> {
    let began = tree.began().map_or(0, |began| began.micros());
    let lines = lines_before(&tree.nodes);
    let rows = tree
        .nodes
        .iter()
        .zip(lines)
        .map(|(node, line)| match &node.what {
            What::Command(command) => {
                let what = format!("{line}{} command {}", command.service, command.id);
                let actor = printable(command.actor.name());
                let [none, stream, version, event_type] = [const { String::new() }; 4];
                [
                    what,
                    none,
                    stream,
                    version,
                    event_type,
                    actor,
                    note(command),
                ]
            }
            What::Event(traced) => {
                let event = &traced.event;
                [
                    format!("{line}{} {}", traced.service, event.position),
                    millis(event.recorded_at.micros().saturating_sub(began)),
                    printable(&event.stream.to_string()),
                    event.version.to_string(),
                    printable(&event.event_type),
                    printable(traced.metadata.actor.name()),
                    String::new(),
                ]
            }
        });
    Table::new(
        [
            Column::Text("what"),
            Column::Figure("ms"),
            Column::Text("stream"),
            Column::Figure("version"),
            Column::Text("type"),
            Column::Text("actor"),
            Column::Text(""),
        ],
        rows,
    )
}

fn note(command: &TracedCommand) -> String {
    match &command.caused_by {
        CausedBy::Unknown(why) => why.clone(),
        CausedBy::Request | CausedBy::Event { .. } | CausedBy::Command(_) => String::new(),
    }
}

/// The lines that lead to each node, from those at which it hangs.
fn lines_before(nodes: &[Node]) -> Vec<String> {
    // From the end: at which depths there is more to come below the same node.
    let mut more: Vec<bool> = Vec::new();
    let mut lines: Vec<String> = nodes
        .iter()
        .rev()
        .map(|node| {
            more.resize(node.depth.saturating_add(1), false);
            let (own, above) = match more.split_last_mut() {
                Some((own, above)) => (std::mem::replace(own, true), above),
                None => (false, &mut [][..]),
            };
            let above = above.iter().map(|more| if *more { "│  " } else { "   " });
            above.chain([if own { "├─ " } else { "└─ " }]).collect()
        })
        .collect();
    lines.reverse();
    lines
}

fn millis(micros: i64) -> String {
    format!("+{}.{:03}", micros / 1000, micros % 1000)
}

#[derive(Serialize)]
struct TraceBody<'a> {
    correlation_id: String,
    trace_id: String,
    requests: Vec<RequestBody<'a>>,
    began_at: Option<String>,
    nodes: Vec<NodeBody<'a>>,
    searched: Vec<SearchedBody<'a>>,
}

#[derive(Serialize)]
struct RequestBody<'a> {
    at: &'a str,
    fields: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct NodeBody<'a> {
    node: usize,
    /// A tree would be as deep as a chain of causes is long, and parsers have an end.
    parent: Option<usize>,
    #[serde(flatten)]
    what: WhatBody<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum WhatBody<'a> {
    Command {
        service: &'a str,
        command_id: CommandId,
        actor: &'a str,
        note: Option<&'a str>,
    },
    Event {
        service: &'a str,
        position: i64,
        offset_us: i64,
        recorded_at: String,
        stream: String,
        version: i64,
        r#type: &'a str,
        event_id: EventId,
        actor: &'a str,
    },
}

#[derive(Serialize)]
struct SearchedBody<'a> {
    service: &'a str,
    store_id: StoreId,
    after: i64,
    through: i64,
    found: usize,
}

/// The tree as JSON: its nodes in the order of the text, each with the number of that at which it hangs.
pub(super) fn json(trace: &Trace) -> io::Result<String> {
    let began = trace.tree.began();
    let body = TraceBody {
        correlation_id: trace.correlation.to_string(),
        trace_id: trace.correlation.as_uuid().simple().to_string(),
        requests: trace.requests.iter().map(RequestBody::new).collect(),
        began_at: began.map(exact),
        nodes: trace
            .tree
            .nodes
            .iter()
            .enumerate()
            .map(|(number, node)| NodeBody {
                node: number,
                parent: node.parent,
                what: match &node.what {
                    What::Command(command) => WhatBody::command(command),
                    What::Event(traced) => {
                        WhatBody::event(traced, began.map_or(0, |began| began.micros()))
                    }
                },
            })
            .collect(),
        searched: trace.searched.iter().map(SearchedBody::new).collect(),
    };
    let mut text = serde_json::to_string_pretty(&body)?;
    text.push('\n');
    Ok(text)
}

impl<'a> RequestBody<'a> {
    fn new(request: &'a Request) -> Self {
        let fields = request.fields.iter();
        Self {
            at: &request.at,
            fields: fields
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect(),
        }
    }
}

impl<'a> WhatBody<'a> {
    fn command(command: &'a TracedCommand) -> Self {
        Self::Command {
            service: &command.service,
            command_id: command.id,
            actor: command.actor.name(),
            note: match &command.caused_by {
                CausedBy::Unknown(why) => Some(why),
                CausedBy::Request | CausedBy::Event { .. } | CausedBy::Command(_) => None,
            },
        }
    }

    fn event(traced: &'a TracedEvent, began_us: i64) -> Self {
        let event = &traced.event;
        Self::Event {
            service: &traced.service,
            position: event.position.number(),
            offset_us: event.recorded_at.micros().saturating_sub(began_us),
            recorded_at: exact(event.recorded_at),
            stream: event.stream.to_string(),
            version: event.version.number(),
            r#type: &event.event_type,
            event_id: event.event_id,
            actor: traced.metadata.actor.name(),
        }
    }
}

impl<'a> SearchedBody<'a> {
    fn new(searched: &'a Searched) -> Self {
        Self {
            service: &searched.service,
            store_id: searched.store_id,
            after: searched.after.number(),
            through: searched.through.number(),
            found: searched.found,
        }
    }
}
