//! `projections list`: every build, and how far it has come.

use folio_projections::{Lag, Measurement};
use serde::Serialize;

use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::{Format, json};
use crate::table::{Column, Table};

/// A build, in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BuildLine {
    pub(crate) projection: String,
    pub(crate) build: i32,
    pub(crate) revision: i32,
    pub(crate) state: &'static str,
    pub(crate) partitions: u16,
    pub(crate) position: i64,
    pub(crate) head: i64,
    pub(crate) percent: u8,
    pub(crate) lag_events: i64,
    pub(crate) dead_letters: i64,
    pub(crate) paused: Option<PauseLine>,
}

/// Who has paused a build, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PauseLine {
    pub(crate) by: String,
    pub(crate) reason: String,
}

pub(crate) async fn list(desk: &mut Desk<'_>, format: Format) -> Result<Finding, OperatorError> {
    let mut lines = Vec::new();
    for projection in desk.projections {
        let measurement = projection.measure().await?;
        lines.extend(
            measurement
                .lags
                .iter()
                .map(|lag| BuildLine::new(lag, &measurement)),
        );
    }
    match format {
        Format::Table => desk.say(table(&lines))?,
        Format::Json => json(desk.out, &lines)?,
    }
    Ok(Finding::Clean)
}

impl BuildLine {
    pub(crate) fn new(lag: &Lag, measurement: &Measurement) -> Self {
        let build = &lag.build;
        Self {
            projection: build.name.projection.clone(),
            build: build.name.build,
            revision: build.revision,
            state: build.state.as_str(),
            partitions: build.size(),
            position: build.position().number(),
            head: measurement.head.number(),
            percent: build.percent_of(measurement.head),
            lag_events: lag.events,
            dead_letters: build.dead_letters,
            paused: build.pause.as_ref().map(|pause| PauseLine {
                by: pause.by.clone(),
                reason: pause.reason.clone(),
            }),
        }
    }
}

fn table(lines: &[BuildLine]) -> Table<11> {
    let row = |line: &BuildLine| {
        let paused = line.paused.as_ref();
        [
            line.projection.clone(),
            line.build.to_string(),
            line.revision.to_string(),
            line.state.to_owned(),
            line.partitions.to_string(),
            line.position.to_string(),
            line.head.to_string(),
            line.percent.to_string(),
            line.lag_events.to_string(),
            line.dead_letters.to_string(),
            paused.map_or_else(String::new, |pause| {
                format!("by {}: {}", pause.by, pause.reason)
            }),
        ]
    };
    Table::new(
        [
            Column::Text("projection"),
            Column::Figure("build"),
            Column::Figure("revision"),
            Column::Text("state"),
            Column::Figure("partitions"),
            Column::Figure("position"),
            Column::Figure("head"),
            Column::Figure("percent"),
            Column::Figure("lag"),
            Column::Figure("dead letters"),
            Column::Text("paused"),
        ],
        lines.iter().map(row),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_a_line() {
        let line = BuildLine {
            projection: "balances".to_owned(),
            build: 2,
            revision: 1,
            state: "building",
            partitions: 4,
            position: 500,
            head: 1000,
            percent: 50,
            lag_events: 500,
            dead_letters: 0,
            paused: Some(PauseLine {
                by: "ann".to_owned(),
                reason: "a migration".to_owned(),
            }),
        };
        let lines = [
            "projection  build  revision  state     partitions  position  head  percent  lag  dead letters  paused",
            "balances        2         1  building           4       500  1000       50  500             0  by ann: a migration",
        ];
        assert_eq!(table(&[line]).to_string(), lines.join("\n"));
    }
}
