//! `projections status`: whether the live builds are well.

use std::time::Duration;

use folio_projections::{Lag, Measurement, Partition};
use serde::Serialize;

use super::list::BuildLine;
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::{Format, count, exact_moment, json, moment};
use crate::table::{Column, Table};

/// The oldest event that is not in a live build has been waiting too long after this.
const AGE_MAX: Duration = Duration::from_secs(30);

/// The builds, and what is not well with those that are live.
#[derive(Debug, Serialize)]
struct Report {
    is_well: bool,
    troubles: Vec<String>,
    builds: Vec<BuildReport>,
}

#[derive(Debug, Serialize)]
struct BuildReport {
    #[serde(flatten)]
    line: BuildLine,
    lag_age_ms: u128,
    by_partition: Vec<PartitionLine>,
}

#[derive(Debug, Serialize)]
struct PartitionLine {
    /// From 1.
    partition: usize,
    position: i64,
    lag_events: i64,
    owner: Option<String>,
    moved_at: String,
    #[serde(skip)]
    moved: String,
}

pub(crate) async fn status(
    desk: &mut Desk<'_>,
    name: Option<&str>,
    format: Format,
) -> Result<Finding, OperatorError> {
    let mut report = Report {
        is_well: true,
        troubles: Vec::new(),
        builds: Vec::new(),
    };
    for projection in desk.chosen(name)? {
        let measurement = projection.measure().await?;
        report.add(projection.name().name, &measurement);
    }
    match format {
        Format::Table => {
            desk.say(report.table())?;
            desk.say("")?;
            for trouble in &report.troubles {
                desk.say(trouble)?;
            }
            desk.say(if report.is_well {
                "all is well"
            } else {
                "not all is well"
            })?;
        }
        Format::Json => json(desk.out, &report)?,
    }
    Ok(Finding::clean_if(report.is_well))
}

impl Report {
    fn add(&mut self, projection: &str, measurement: &Measurement) {
        match measurement.live() {
            Some(live) => {
                let live = BuildReport::new(live, measurement);
                self.troubles.extend(live.troubles());
            }
            None => self
                .troubles
                .push(format!("{projection} has no live build")),
        }
        self.is_well = self.troubles.is_empty();
        let builds = measurement.lags.iter();
        self.builds
            .extend(builds.map(|lag| BuildReport::new(lag, measurement)));
    }

    fn table(&self) -> Table<10> {
        let rows = self.builds.iter().flat_map(|build| {
            build.by_partition.iter().map(|partition| {
                [
                    build.line.projection.clone(),
                    build.line.build.to_string(),
                    build.line.state.to_owned(),
                    format!("{} of {}", partition.partition, build.line.partitions),
                    partition.position.to_string(),
                    partition.lag_events.to_string(),
                    (build.lag_age_ms / 1000).to_string(),
                    build.line.dead_letters.to_string(),
                    partition
                        .owner
                        .clone()
                        .unwrap_or_else(|| "nobody".to_owned()),
                    partition.moved.clone(),
                ]
            })
        });
        Table::new(
            [
                Column::Text("projection"),
                Column::Figure("build"),
                Column::Text("state"),
                Column::Text("partition"),
                Column::Figure("position"),
                Column::Figure("lag"),
                Column::Figure("lag (s)"),
                Column::Figure("dead letters"),
                Column::Text("filled by"),
                Column::Text("last moved (UTC)"),
            ],
            rows,
        )
    }
}

impl BuildReport {
    fn new(lag: &Lag, measurement: &Measurement) -> Self {
        let partitions = (1..).zip(&lag.build.partitions);
        Self {
            line: BuildLine::new(lag, measurement),
            lag_age_ms: lag.age.as_millis(),
            by_partition: partitions
                .map(|(number, partition)| PartitionLine::new(number, partition, measurement))
                .collect(),
        }
    }

    /// What is not well with it, if it is live.
    fn troubles(&self) -> Vec<String> {
        let BuildLine {
            projection,
            build,
            paused,
            lag_events,
            dead_letters,
            ..
        } = &self.line;
        let name = format!("{projection} build {build}");
        let mut troubles = Vec::new();
        if let Some(pause) = paused {
            troubles.push(format!(
                "{name} is paused by {}: {}",
                pause.by, pause.reason
            ));
        }
        if self.lag_age_ms > AGE_MAX.as_millis() {
            let (events, age) = (count(*lag_events, "event"), self.lag_age_ms / 1000);
            troubles.push(format!("{name} is {events} behind, the oldest for {age} s"));
        }
        if *dead_letters > 0 {
            troubles.push(format!(
                "{name} has {}",
                count(*dead_letters, "dead letter")
            ));
        }
        troubles
    }
}

impl PartitionLine {
    fn new(number: usize, partition: &Partition, measurement: &Measurement) -> Self {
        Self {
            partition: number,
            position: partition.position().number(),
            lag_events: measurement.head.events_since(partition.position()),
            owner: partition.owner.clone(),
            moved_at: exact_moment(partition.moved_at),
            moved: moment(partition.moved_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::PauseLine;
    use super::*;

    fn build(lag_age_ms: u128, dead_letters: i64, paused: Option<PauseLine>) -> BuildReport {
        let partition = |partition, owner: Option<&str>| PartitionLine {
            partition,
            position: 10,
            lag_events: 2,
            owner: owner.map(str::to_owned),
            moved_at: "2026-11-25T10:00:00.000000Z".to_owned(),
            moved: "2026-11-25 10:00:00".to_owned(),
        };
        BuildReport {
            line: BuildLine {
                projection: "balances".to_owned(),
                build: 1,
                revision: 1,
                state: "live",
                partitions: 2,
                position: 10,
                head: 12,
                percent: 83,
                lag_events: 2,
                dead_letters,
                paused,
            },
            lag_age_ms,
            by_partition: vec![partition(1, Some("process 7")), partition(2, None)],
        }
    }

    #[test]
    fn what_is_not_well_is_told() {
        assert_eq!(build(30_000, 0, None).troubles(), [""; 0]);
        let pause = PauseLine {
            by: "ann".to_owned(),
            reason: "a migration".to_owned(),
        };
        assert_eq!(
            build(31_500, 1, Some(pause)).troubles(),
            [
                "balances build 1 is paused by ann: a migration",
                "balances build 1 is 2 events behind, the oldest for 31 s",
                "balances build 1 has 1 dead letter",
            ]
        );
    }

    #[test]
    fn each_partition_is_a_line() {
        let report = Report {
            is_well: true,
            troubles: Vec::new(),
            builds: vec![build(1999, 0, None)],
        };
        let lines = [
            "projection  build  state  partition  position  lag  lag (s)  dead letters  filled by  last moved (UTC)",
            "balances        1  live   1 of 2           10    2        1             0  process 7  2026-11-25 10:00:00",
            "balances        1  live   2 of 2           10    2        1             0  nobody     2026-11-25 10:00:00",
        ];
        assert_eq!(report.table().to_string(), lines.join("\n"));
    }

    #[test]
    fn a_build_is_one_object_as_json() {
        let json = serde_json::to_value(build(5, 0, None)).unwrap();
        assert_eq!(json["projection"], "balances");
        assert_eq!(json["lag_age_ms"], 5);
        assert_eq!(json["by_partition"][1]["owner"], serde_json::Value::Null);
    }
}
