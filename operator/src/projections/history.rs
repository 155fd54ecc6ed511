//! `projections history`: what was done, by whom and why.

use folio_projections::Operation;
use serde::Serialize;

use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::{Format, exact_moment, json, moment};
use crate::table::{Column, Table};

#[derive(Debug, Serialize)]
struct Line<'a> {
    at: String,
    projection: &'a str,
    build: i32,
    operation: &'a str,
    actor: &'a str,
    detail: &'a str,
}

pub(crate) async fn history(
    desk: &mut Desk<'_>,
    name: &str,
    format: Format,
) -> Result<Finding, OperatorError> {
    let operations = desk.find(name)?.history().await?;
    match format {
        Format::Table => desk.say(table(&operations))?,
        Format::Json => {
            let lines: Vec<Line<'_>> = operations.iter().map(Line::new).collect();
            json(desk.out, &lines)?;
        }
    }
    Ok(Finding::Clean)
}

impl<'a> Line<'a> {
    fn new(operation: &'a Operation) -> Self {
        Self {
            at: exact_moment(operation.at),
            projection: &operation.build.projection,
            build: operation.build.build,
            operation: &operation.operation,
            actor: &operation.actor,
            detail: &operation.detail,
        }
    }
}

fn table(operations: &[Operation]) -> Table<5> {
    let row = |operation: &Operation| {
        [
            moment(operation.at),
            operation.build.build.to_string(),
            operation.operation.clone(),
            operation.actor.clone(),
            operation.detail.clone(),
        ]
    };
    Table::new(
        [
            Column::Text("at (UTC)"),
            Column::Figure("build"),
            Column::Text("operation"),
            Column::Text("actor"),
            Column::Text("detail"),
        ],
        operations.iter().map(row),
    )
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use folio_projections::BuildName;

    use super::*;

    #[test]
    fn an_operation_is_a_line() {
        let operation = Operation {
            at: UNIX_EPOCH,
            build: BuildName::new("balances", 1),
            operation: "pause".to_owned(),
            actor: "ann".to_owned(),
            detail: "a migration".to_owned(),
        };
        let lines = [
            "at (UTC)             build  operation  actor  detail",
            "1970-01-01 00:00:00      1  pause      ann    a migration",
        ];
        assert_eq!(table(&[operation]).to_string(), lines.join("\n"));
    }
}
