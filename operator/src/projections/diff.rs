//! `projections diff`: the rows in which a build differs from the live one.

use std::collections::BTreeMap;
use std::fmt;

use folio_projections::{BuildState, Comparison, Diff, Projection, RowDiff, TableDiff};
use serde::Serialize;
use serde_json::value::RawValue;

use super::filling::while_filled;
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::{Format, count, json};

pub(crate) async fn diff(
    desk: &mut Desk<'_>,
    name: &str,
    build: Option<i32>,
    format: Format,
) -> Result<Finding, OperatorError> {
    let projection = desk.find(name)?;
    let build = match build {
        Some(build) => build,
        None => newest(&projection).await?,
    };
    let diff = while_filled(&projection, Box::pin(projection.diff(build))).await?;
    let comparing = Comparing(&diff);
    match format {
        Format::Table => desk.say(&comparing)?,
        Format::Json => json(desk.out, &DiffBody::new(&diff)?)?,
    }
    Ok(Finding::clean_if(diff.is_empty()))
}

/// The newest build that is not live.
async fn newest(projection: &Projection) -> Result<i32, OperatorError> {
    let builds = projection.builds().await?;
    let others = builds
        .iter()
        .filter(|build| build.state != BuildState::Live);
    let newest = others.map(|build| build.name.build).max();
    newest.ok_or(OperatorError::OnlyLive {
        projection: projection.name().name,
    })
}

/// A comparison for people: how many rows of each table differ, and the first of them.
pub(crate) struct Comparing<'a>(pub(crate) &'a Diff);

impl Comparing<'_> {
    /// How many tables differ, or could not be compared.
    pub(crate) fn differing(&self) -> i64 {
        let differ = |table: &&TableDiff| !is_same(&table.comparison);
        let tables = self.0.tables.iter().filter(differ).count();
        i64::try_from(tables).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Comparing<'_> {
    /// Ends without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diff {
            live,
            build,
            position,
            tables,
        } = self.0;
        write!(
            f,
            "{build} beside build {}, which is live, as of position {position}:",
            live.build
        )?;
        for TableDiff { table, comparison } in tables {
            match comparison {
                Comparison::Compared { differing: 0, .. } => write!(f, "\n  {table}: the same")?,
                Comparison::Compared { differing, rows } => {
                    write!(f, "\n  {table}: {} not the same", count(*differing, "row"))?;
                    for row in rows {
                        write_row(f, row, live.build, build.build)?;
                    }
                    let shown = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                    if *differing > shown {
                        write!(f, "\n    and {} more", differing.saturating_sub(shown))?;
                    }
                }
                Comparison::OnlyInOne => write!(f, "\n  {table}: not in both, by name and key")?,
                Comparison::NoKey => write!(f, "\n  {table}: not compared, it has no primary key")?,
            }
        }
        Ok(())
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &RowDiff, live: i32, build: i32) -> fmt::Result {
    let fields = differing_fields(row);
    let (missing, in_fields) = match (&row.live, &row.build) {
        (None, _) => (format!("    missing in build {live}"), String::new()),
        (_, None) => (format!("    missing in build {build}"), String::new()),
        _ => (
            "    differs".to_owned(),
            format!(" in {}", fields.join(", ")),
        ),
    };
    write!(f, "\n{missing}{in_fields}")?;
    for (number, text) in [(live, &row.live), (build, &row.build)] {
        if let Some(text) = text {
            write!(f, "\n      build {number}  {text}")?;
        }
    }
    Ok(())
}

/// The columns in which two rows differ. Numbers are compared by their digits and not through floats.
fn differing_fields(row: &RowDiff) -> Vec<String> {
    let fields = |text: &Option<String>| -> BTreeMap<String, String> {
        let text = text.as_deref().unwrap_or("{}");
        let fields = serde_json::from_str::<BTreeMap<String, &RawValue>>(text).unwrap_or_default();
        let owned = fields.into_iter();
        owned
            .map(|(name, value)| (name, value.get().to_owned()))
            .collect()
    };
    let (live, build) = (fields(&row.live), fields(&row.build));
    let mut names: Vec<String> = live.keys().chain(build.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| live.get(name) != build.get(name));
    names
}

const fn is_same(comparison: &Comparison) -> bool {
    matches!(comparison, Comparison::Compared { differing: 0, .. })
}

/// A comparison for programs.
#[derive(Debug, Serialize)]
struct DiffBody<'a> {
    projection: &'a str,
    live: i32,
    build: i32,
    position: i64,
    is_same: bool,
    tables: Vec<TableBody<'a>>,
}

#[derive(Debug, Serialize)]
struct TableBody<'a> {
    table: &'a str,
    /// `compared`, `only_in_one` or `no_key`.
    comparison: &'static str,
    differing: Option<i64>,
    rows: Vec<RowBody>,
}

/// The rows as they are in the database, digit by digit.
#[derive(Debug, Serialize)]
struct RowBody {
    live: Option<Box<RawValue>>,
    build: Option<Box<RawValue>>,
}

impl<'a> DiffBody<'a> {
    fn new(diff: &'a Diff) -> Result<Self, std::io::Error> {
        let tables: Result<_, serde_json::Error> = diff.tables.iter().map(TableBody::new).collect();
        Ok(Self {
            projection: &diff.build.projection,
            live: diff.live.build,
            build: diff.build.build,
            position: diff.position.number(),
            is_same: diff.is_empty(),
            tables: tables?,
        })
    }
}

impl<'a> TableBody<'a> {
    fn new(table: &'a TableDiff) -> Result<Self, serde_json::Error> {
        let (comparison, differing, rows) = match &table.comparison {
            Comparison::Compared { differing, rows } => ("compared", Some(*differing), &rows[..]),
            Comparison::OnlyInOne => ("only_in_one", None, &[][..]),
            Comparison::NoKey => ("no_key", None, &[][..]),
        };
        let raw = |text: &Option<String>| text.clone().map(RawValue::from_string).transpose();
        let row = |row: &RowDiff| {
            Ok(RowBody {
                live: raw(&row.live)?,
                build: raw(&row.build)?,
            })
        };
        Ok(Self {
            table: &table.table,
            comparison,
            differing,
            rows: rows
                .iter()
                .map(row)
                .collect::<Result<_, serde_json::Error>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use folio_core::Position;
    use folio_projections::BuildName;

    use super::*;

    fn example() -> Diff {
        let row = |live: Option<&str>, build: Option<&str>| RowDiff {
            live: live.map(str::to_owned),
            build: build.map(str::to_owned),
        };
        let table = |name: &str, comparison| TableDiff {
            table: name.to_owned(),
            comparison,
        };
        let rows = vec![
            row(
                Some(r#"{"id": "1", "cents": 12345678901234567890.10, "note": "a"}"#),
                Some(r#"{"id": "1", "cents": 12345678901234567890.11, "note": "a"}"#),
            ),
            row(None, Some(r#"{"id": "2"}"#)),
            row(Some(r#"{"id": "3"}"#), None),
        ];
        let compared = |differing, rows| Comparison::Compared { differing, rows };
        Diff {
            live: BuildName::new("balances", 1),
            build: BuildName::new("balances", 2),
            position: Position::START.plus(34),
            tables: vec![
                table("accounts", compared(7, rows)),
                table("lines", compared(0, Vec::new())),
                table("old", Comparison::OnlyInOne),
                table("log", Comparison::NoKey),
            ],
        }
    }

    #[test]
    fn people_see_what_differs_and_in_which_columns() {
        let diff = example();
        let comparing = Comparing(&diff);
        let text = "\
balances build 2 beside build 1, which is live, as of position 34:
  accounts: 7 rows not the same
    differs in cents
      build 1  {\"id\": \"1\", \"cents\": 12345678901234567890.10, \"note\": \"a\"}
      build 2  {\"id\": \"1\", \"cents\": 12345678901234567890.11, \"note\": \"a\"}
    missing in build 1
      build 2  {\"id\": \"2\"}
    missing in build 2
      build 1  {\"id\": \"3\"}
    and 4 more
  lines: the same
  old: not in both, by name and key
  log: not compared, it has no primary key";
        assert_eq!(comparing.to_string(), text);
        assert_eq!(comparing.differing(), 3);
    }

    #[test]
    fn programs_get_every_digit() {
        let diff = example();
        let body = serde_json::to_string(&DiffBody::new(&diff).unwrap()).unwrap();
        for part in [
            "\"cents\": 12345678901234567890.10",
            "\"is_same\":false",
            "{\"live\":null,\"build\":{\"id\": \"2\"}}",
            "{\"table\":\"log\",\"comparison\":\"no_key\",\"differing\":null,\"rows\":[]}",
        ] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
    }
}
