//! In what a live model differs, for programs.

use folio_core::RecordedEvent;
use folio_projections::{Comparison, Diverged, Divergence, TableDiff};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::replay::{Parked, time};

/// A comparison.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    projection: &'a str,
    live: i32,
    position: i64,
    is_same: bool,
    first: Option<EventBody<'a>>,
    tables: Vec<TableBody<'a>>,
    parked: Vec<Parked>,
}

#[derive(Debug, Serialize)]
struct TableBody<'a> {
    table: &'a str,
    /// `compared`, `only_in_one` or `no_key`.
    comparison: &'static str,
    differing: Option<i64>,
    rows: Vec<RowBody<'a>>,
}

/// The rows as they are in the database, digit by digit.
#[derive(Debug, Serialize)]
struct RowBody<'a> {
    /// `missing`, `behind`, `altered`, `unfounded` or `unsteady`.
    verdict: &'static str,
    event: Option<EventBody<'a>>,
    live: Option<Box<RawValue>>,
    right: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct EventBody<'a> {
    position: i64,
    stream: String,
    version: i64,
    event_type: &'a str,
    recorded_at: String,
}

impl<'a> Body<'a> {
    pub(super) fn new(divergence: &'a Divergence) -> Result<Self, std::io::Error> {
        let table = |table: &'a TableDiff| {
            let (comparison, differing) = match &table.comparison {
                Comparison::Compared { differing, .. } => ("compared", Some(*differing)),
                Comparison::OnlyInOne => ("only_in_one", None),
                Comparison::NoKey => ("no_key", None),
            };
            let rows = divergence.rows.iter();
            let rows = rows.filter(|row| row.table == table.table);
            Ok(TableBody {
                table: &table.table,
                comparison,
                differing,
                rows: rows
                    .map(RowBody::new)
                    .collect::<Result<_, serde_json::Error>>()?,
            })
        };
        let tables: Result<_, serde_json::Error> = divergence.tables.iter().map(table).collect();
        Ok(Self {
            projection: &divergence.live.projection,
            live: divergence.live.build,
            position: divergence.position.number(),
            is_same: divergence.is_empty(),
            first: divergence.first().map(EventBody::new),
            tables: tables?,
            parked: divergence.parked.iter().map(Parked::new).collect(),
        })
    }
}

impl<'a> RowBody<'a> {
    fn new(row: &'a Diverged) -> Result<Self, serde_json::Error> {
        let raw = |text: &Option<String>| text.clone().map(RawValue::from_string).transpose();
        Ok(Self {
            verdict: row.verdict.as_str(),
            event: row.verdict.event().map(EventBody::new),
            live: raw(&row.row.live)?,
            right: raw(&row.row.build)?,
        })
    }
}

impl<'a> EventBody<'a> {
    fn new(event: &'a RecordedEvent) -> Self {
        Self {
            position: event.position.number(),
            stream: event.stream.to_string(),
            version: event.version.number(),
            event_type: &event.event_type,
            recorded_at: time(event.recorded_at),
        }
    }
}
