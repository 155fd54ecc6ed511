//! In what a live model differs, for people.

use folio_core::RecordedEvent;
use folio_projections::{Comparison, Diverged, Divergence, TableDiff, Verdict};

use crate::format::count;
use crate::replay::time;

/// A comparison, line by line.
pub(super) fn lines(divergence: &Divergence) -> Vec<String> {
    let Divergence {
        live,
        position,
        tables,
        rows,
        parked,
    } = divergence;
    let mut lines = vec![format!(
        "{live}, which is live, beside a replay, as of position {position}:"
    )];
    for table in tables {
        lines.push(format!("  {}: {}", table.table, outcome(table)));
        let of_it = rows.iter().filter(|row| row.table == table.table);
        of_it.for_each(|row| row_lines(row, &mut lines));
        if let Comparison::Compared { differing, rows } = &table.comparison {
            let shown = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if *differing > shown {
                let more = differing.saturating_sub(shown);
                lines.push(format!("    and {more} more; --most shows more of them"));
            }
        }
    }
    for (stream, error) in parked {
        lines.push(format!(
            "  {stream} could not be replayed to its end: {error}"
        ));
    }
    if let Some(first) = divergence.first() {
        let of = if divergence.is_complete() {
            ""
        } else {
            " of the rows shown"
        };
        lines.push(format!(
            "the first event{of} that is not as it should be: {}",
            named(first)
        ));
    }
    lines
}

fn outcome(table: &TableDiff) -> String {
    match &table.comparison {
        Comparison::Compared { differing: 0, .. } => "the same".to_owned(),
        Comparison::Compared { differing, .. } => {
            format!("{} not the same", count(*differing, "row"))
        }
        Comparison::OnlyInOne => "not in both, by name and key".to_owned(),
        Comparison::NoKey => "not compared, it has no primary key".to_owned(),
    }
}

fn row_lines(row: &Diverged, lines: &mut Vec<String>) {
    lines.push(format!("    {}", said(&row.verdict)));
    for (whose, text) in [("live", &row.row.live), ("right", &row.row.build)] {
        let text = text.as_deref().unwrap_or("no such row");
        lines.push(format!("      {whose:<5}  {text}"));
    }
}

/// A verdict for people.
fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Missing { since } => format!(
            "missing: it is there in a replay since {}; that was missed, or the row was removed",
            named(since)
        ),
        Verdict::Behind { missed } => format!(
            "behind: it is as before {}, the first event that is not in it",
            named(missed)
        ),
        Verdict::Altered { written } => format!(
            "altered, or computed otherwise: it was never so in a replay; written last by {}",
            named(written)
        ),
        Verdict::Unfounded => "unfounded: no event ever made such a row".to_owned(),
        Verdict::Unsteady => {
            "unsteady: two replays do not agree, the projector looks at more than events".to_owned()
        }
    }
}

fn named(event: &RecordedEvent) -> String {
    format!(
        "position {} ({}, version {}, {}, recorded {})",
        event.position,
        event.stream,
        event.version,
        event.event_type,
        time(event.recorded_at)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use folio_core::{CommandId, EventId, Position, StreamId, Timestamp, Version};
    use folio_projections::{BuildName, RowDiff};

    use super::*;

    fn event(position: i64) -> RecordedEvent {
        let command_id = CommandId::derived(&["test"]);
        RecordedEvent {
            position: Position::START.plus(position),
            stream: StreamId::new("account", "1").unwrap(),
            version: Version::NONE.plus(2),
            event_id: EventId::of_command(command_id, 0),
            event_type: "LegPosted".into(),
            schema_version: 1,
            command_id,
            recorded_at: Timestamp::from_micros(1),
            payload: Vec::new().into(),
            metadata: Vec::new().into(),
        }
    }

    #[test]
    fn each_row_is_told_with_its_event_and_the_first_of_all() {
        let row = RowDiff {
            live: Some("{\"id\": \"1\"}".to_owned()),
            build: None,
        };
        let diverged = |verdict| Diverged {
            table: "accounts".to_owned(),
            row: row.clone(),
            verdict,
        };
        let table = |name: &str, comparison| TableDiff {
            table: name.to_owned(),
            comparison,
        };
        let compared = |differing, rows| Comparison::Compared { differing, rows };
        let behind = Verdict::Behind { missed: event(17) };
        let altered = Verdict::Altered { written: event(9) };
        let divergence = Divergence {
            live: BuildName::new("balances", 1),
            position: Position::START.plus(34),
            tables: vec![
                table("accounts", compared(3, vec![row.clone(), row.clone()])),
                table("lines", compared(0, Vec::new())),
                table("log", Comparison::NoKey),
            ],
            rows: vec![diverged(behind), diverged(altered)],
            parked: BTreeMap::new(),
        };
        let named = "(account/1, version 2, LegPosted, recorded 1970-01-01T00:00:00.000001Z)";
        let expected = format!(
            "\
balances build 1, which is live, beside a replay, as of position 34:
  accounts: 3 rows not the same
    behind: it is as before position 17 {named}, the first event that is not in it
      live   {{\"id\": \"1\"}}
      right  no such row
    altered, or computed otherwise: it was never so in a replay; written last by position 9 {named}
      live   {{\"id\": \"1\"}}
      right  no such row
    and 1 more; --most shows more of them
  lines: the same
  log: not compared, it has no primary key
the first event of the rows shown that is not as it should be: position 9 {named}"
        );
        assert_eq!(lines(&divergence).join("\n"), expected);
    }
}
