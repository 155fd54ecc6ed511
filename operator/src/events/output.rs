//! How events are written: as a table for people, as JSON and CSV for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use csv::WriterBuilder;
use folio_core::{CommandId, EventId, RecordedEvent};
use serde::Serialize;
use serde_json::value::RawValue;

use super::EventsError;
use crate::moment::{exact, short};
use crate::printable::{abridged, printable};

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventsFormat {
    /// A table, with what was recorded abridged to the width of the terminal.
    Table,
    /// A JSON object on each line, with payload and metadata as they were recorded.
    Json,
    /// CSV with a heading.
    Csv,
}

/// Fewest columns of a payload, however narrow the terminal.
const PAYLOAD_COLUMNS_MIN: usize = 16;

const HEADING: [&str; 7] = [
    "position",
    "time (UTC)",
    "stream",
    "version",
    "type",
    "actor",
    "payload",
];

const CSV_HEADING: [&str; 13] = [
    "store",
    "position",
    "recorded_at",
    "stream",
    "version",
    "type",
    "schema_version",
    "event_id",
    "command_id",
    "actor",
    "correlation_id",
    "payload",
    "metadata",
];

/// Events on their way out.
pub(super) struct Output {
    format: EventsFormat,
    store: String,
    columns: Option<usize>,
    /// How wide each column of the table is by now. What was written stays where it is.
    widths: [usize; 6],
    /// Whether the heading was written.
    is_headed: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    store: &'a str,
    position: i64,
    recorded_at: String,
    stream: String,
    version: i64,
    r#type: &'a str,
    schema_version: u16,
    event_id: EventId,
    command_id: CommandId,
    payload: &'a RawValue,
    metadata: &'a RawValue,
}

impl Output {
    pub(super) fn new(format: EventsFormat, store: &str, columns: Option<usize>) -> Self {
        Self {
            format,
            store: store.to_owned(),
            columns,
            widths: [0; 6],
            is_headed: false,
        }
    }

    /// The next events as text. The first page has the heading, with events or without.
    pub(super) fn page(&mut self, events: &[RecordedEvent]) -> Result<Vec<u8>, EventsError> {
        match self.format {
            EventsFormat::Table => self.table(events),
            EventsFormat::Json => self.json(events),
            EventsFormat::Csv => self.csv(events),
        }
    }

    fn table(&mut self, events: &[RecordedEvent]) -> Result<Vec<u8>, EventsError> {
        let mut text = Vec::new();
        // The heading waits for what is below it, to be as wide.
        if events.is_empty() {
            return Ok(text);
        }
        let mut rows: Vec<[String; 7]> = Vec::with_capacity(events.len());
        if !self.is_headed {
            rows.push(HEADING.map(str::to_owned));
            self.is_headed = true;
        }
        rows.extend(events.iter().map(cells));
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &rows {
            writeln!(text, "{}", self.row(row))?;
        }
        Ok(text)
    }

    fn row(
        &self,
        [position, time, stream, version, event_type, actor, payload]: &[String; 7],
    ) -> String {
        let [p, t, s, v, e, a] = self.widths;
        let mut line = format!(
            "{position:>p$}  {time:<t$}  {stream:<s$}  {version:>v$}  {event_type:<e$}  {actor:<a$}  "
        );
        match self.columns {
            Some(columns) => {
                let left = columns.saturating_sub(line.chars().count());
                line.push_str(&abridged(payload, left.max(PAYLOAD_COLUMNS_MIN)));
            }
            None => line.push_str(payload),
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn json(&self, events: &[RecordedEvent]) -> Result<Vec<u8>, EventsError> {
        let mut text = Vec::new();
        for event in events {
            let raw = |what, bytes| {
                raw(bytes).map_err(|source| EventsError::NotJson {
                    position: event.position,
                    what,
                    source,
                })
            };
            let (payload, metadata) = (
                raw("payload", &event.payload)?,
                raw("metadata", &event.metadata)?,
            );
            let line = Line {
                store: &self.store,
                position: event.position.number(),
                recorded_at: exact(event.recorded_at),
                stream: event.stream.to_string(),
                version: event.version.number(),
                r#type: &event.event_type,
                schema_version: event.schema_version,
                event_id: event.event_id,
                command_id: event.command_id,
                payload: &payload,
                metadata: &metadata,
            };
            serde_json::to_writer(&mut text, &line).map_err(io::Error::from)?;
            text.push(b'\n');
        }
        Ok(text)
    }

    fn csv(&mut self, events: &[RecordedEvent]) -> Result<Vec<u8>, EventsError> {
        let mut writer = WriterBuilder::new().from_writer(Vec::new());
        if !self.is_headed {
            writer.write_record(CSV_HEADING).map_err(io::Error::from)?;
            self.is_headed = true;
        }
        for event in events {
            let (actor, correlation) = who(event);
            let row = [
                self.store.clone(),
                event.position.to_string(),
                exact(event.recorded_at),
                event.stream.to_string(),
                event.version.to_string(),
                String::from(&*event.event_type),
                event.schema_version.to_string(),
                event.event_id.to_string(),
                event.command_id.to_string(),
                actor,
                correlation,
                String::from_utf8_lossy(&event.payload).into_owned(),
                String::from_utf8_lossy(&event.metadata).into_owned(),
            ];
            writer.write_record(row).map_err(io::Error::from)?;
        }
        let text = writer.into_inner().map_err(|error| error.into_error())?;
        Ok(text)
    }
}

fn cells(event: &RecordedEvent) -> [String; 7] {
    let (actor, _) = who(event);
    [
        event.position.to_string(),
        short(event.recorded_at),
        printable(&event.stream.to_string()),
        event.version.to_string(),
        printable(&event.event_type),
        printable(&actor),
        printable(&String::from_utf8_lossy(&event.payload)),
    ]
}

/// Who asked for an event, and its correlation id. Where that cannot be read, what was recorded is shown without.
fn who(event: &RecordedEvent) -> (String, String) {
    event.decode_metadata().map_or_else(
        |_| (String::new(), String::new()),
        |metadata| {
            let correlation = metadata.correlation_id.to_string();
            (metadata.actor.to_string(), correlation)
        },
    )
}

/// JSON as it was recorded. Only a break between its lines, which nobody writes here, becomes a blank: an event is one
/// line.
fn raw(bytes: &[u8]) -> Result<Box<RawValue>, serde_json::Error> {
    let raw: Box<RawValue> = serde_json::from_slice(bytes)?;
    if raw.get().contains(['\n', '\r']) {
        // In a text that JSON holds it would be escaped.
        return RawValue::from_string(raw.get().replace(['\n', '\r'], " "));
    }
    Ok(raw)
}
