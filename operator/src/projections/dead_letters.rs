//! `projections dead-letters`: events that a build could not take in.

use clap::Subcommand;
use folio_core::stream::InvalidStreamId;
use folio_core::{Position, StreamId};
use folio_projections::{BuildName, DeadLetter, DeadLetterError};
use serde::Serialize;

use super::builds::or_live;
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::{Format, count, json};
use crate::table::{Column, Table};

/// What to do with events that a build could not take in.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List what is parked, and what waits behind that.
    List {
        /// The projection.
        name: String,
        /// The build; the live one, when left out.
        #[arg(long, value_name = "N")]
        build: Option<i32>,
        /// How the list is written.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Take in what is parked of a stream, up to the first event that fails again.
    #[command(group(clap::ArgGroup::new("which").required(true)))]
    Retry {
        /// The projection.
        name: String,
        /// The stream, as `dead-letters list` shows it.
        #[arg(long, value_name = "CATEGORY/ID", value_parser = stream, group = "which")]
        stream: Option<StreamId>,
        /// Every stream that is parked.
        #[arg(long, group = "which")]
        all: bool,
        /// The build; the live one, when left out.
        #[arg(long, value_name = "N")]
        build: Option<i32>,
    },
    /// Pass an event over for good. Those behind it wait for a retry.
    Skip {
        /// The projection.
        name: String,
        /// Where the event stands in the store.
        #[arg(long, value_name = "P", value_parser = position)]
        position: Position,
        /// Why it may be passed over, for the record.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The build; the live one, when left out.
        #[arg(long, value_name = "N")]
        build: Option<i32>,
    },
}

pub(crate) async fn run(
    desk: &mut Desk<'_>,
    command: DeadLettersCommand,
) -> Result<Finding, OperatorError> {
    match command {
        DeadLettersCommand::List {
            name,
            build,
            format,
        } => list(desk, &name, build, format).await,
        DeadLettersCommand::Retry {
            name,
            stream,
            build,
            all: _,
        } => retry(desk, &name, stream, build).await,
        DeadLettersCommand::Skip {
            name,
            position,
            reason,
            build,
        } => {
            let projection = desk.find(&name)?;
            let build = or_live(&projection, build).await?;
            projection.skip(build, position, &desk.by, &reason).await?;
            desk.say(format_args!(
                "position {position} is passed over by {name} build {build}"
            ))?;
            Ok(Finding::Clean)
        }
    }
}

async fn list(
    desk: &mut Desk<'_>,
    name: &str,
    build: Option<i32>,
    format: Format,
) -> Result<Finding, OperatorError> {
    let projection = desk.find(name)?;
    let build = or_live(&projection, build).await?;
    let letters = projection.dead_letters(build).await?;
    match format {
        Format::Table if letters.is_empty() => {
            desk.say(format_args!("{name} build {build} has no dead letters"))?;
        }
        Format::Table => desk.say(table(&letters))?,
        Format::Json => {
            let lines: Vec<Line> = letters.iter().map(Line::new).collect();
            json(desk.out, &lines)?;
        }
    }
    Ok(Finding::Clean)
}

/// Retries one stream, or all that are parked; one that fails again keeps none of the others back.
async fn retry(
    desk: &mut Desk<'_>,
    name: &str,
    stream: Option<StreamId>,
    build: Option<i32>,
) -> Result<Finding, OperatorError> {
    let projection = desk.find(name)?;
    let build = or_live(&projection, build).await?;
    let mut streams = streams(&projection.dead_letters(build).await?);
    if let Some(stream) = stream {
        if !streams.contains(&stream) {
            let build = BuildName::new(name, build);
            return Err(OperatorError::NotParked { stream, build });
        }
        streams = vec![stream];
    }
    if streams.is_empty() {
        desk.say(format_args!("{name} build {build} has no dead letters"))?;
    }
    let mut finding = Finding::Clean;
    for stream in streams {
        match projection.retry(build, &stream, &desk.by).await {
            Ok(events) => {
                let events = i64::try_from(events).unwrap_or(i64::MAX);
                desk.say(format_args!(
                    "{stream}: {} taken in",
                    count(events, "event")
                ))?;
            }
            Err(DeadLetterError::StillFails { position, source }) => {
                let why = folio_core::error_chain(&source);
                desk.say(format_args!(
                    "{stream}: position {position} fails again, skip it or mend the projector: {why}"
                ))?;
                finding = Finding::NotWell;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(finding)
}

/// The streams of letters, each once, in the order of their first letters.
fn streams(letters: &[DeadLetter]) -> Vec<StreamId> {
    let mut streams: Vec<StreamId> = Vec::new();
    for letter in letters {
        if !streams.contains(&letter.stream) {
            streams.push(letter.stream.clone());
        }
    }
    streams
}

pub(crate) fn stream(text: &str) -> Result<StreamId, InvalidStreamId> {
    // The id may hold slashes, the category holds none.
    let (category, id) = text.split_once('/').unwrap_or((text, ""));
    StreamId::new(category, id)
}

pub(crate) fn position(text: &str) -> Result<Position, String> {
    let number = text.parse().ok().filter(|number: &i64| *number > 0);
    let position = number.and_then(Position::new);
    position.ok_or_else(|| "a position is 1, 2, 3 …".to_owned())
}

#[derive(Debug, Serialize)]
struct Line {
    position: i64,
    stream: String,
    /// Null for one that only waits behind another.
    error: Option<String>,
    attempts: i32,
}

impl Line {
    fn new(letter: &DeadLetter) -> Self {
        Self {
            position: letter.position.number(),
            stream: letter.stream.to_string(),
            error: letter.error.clone(),
            attempts: letter.attempts,
        }
    }
}

fn table(letters: &[DeadLetter]) -> Table<4> {
    let row = |letter: &DeadLetter| {
        let waits = || "waits behind another of its stream".to_owned();
        [
            letter.position.to_string(),
            letter.stream.to_string(),
            letter.attempts.to_string(),
            letter.error.clone().unwrap_or_else(waits),
        ]
    };
    Table::new(
        [
            Column::Figure("position"),
            Column::Text("stream"),
            Column::Figure("attempts"),
            Column::Text("error"),
        ],
        letters.iter().map(row),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(position: i64, id: &str, error: Option<&str>) -> DeadLetter {
        DeadLetter {
            position: Position::START.plus(position),
            stream: StreamId::new("account", id).unwrap(),
            error: error.map(str::to_owned),
            attempts: i32::from(error.is_some()),
        }
    }

    #[test]
    fn what_only_waits_says_so() {
        let letters = [letter(7, "1", Some("no such type")), letter(12, "1", None)];
        let lines = [
            "position  stream     attempts  error",
            "       7  account/1         1  no such type",
            "      12  account/1         0  waits behind another of its stream",
        ];
        assert_eq!(table(&letters).to_string(), lines.join("\n"));
    }

    #[test]
    fn each_parked_stream_is_tried_once() {
        let letters = [
            letter(1, "b", Some("x")),
            letter(2, "a", Some("x")),
            letter(3, "b", None),
        ];
        let ids: Vec<String> = streams(&letters).iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["account/b", "account/a"]);
    }

    #[test]
    fn a_stream_is_named_as_it_is_shown() {
        assert_eq!(stream("account/a/b").unwrap().id(), "a/b");
        assert!(stream("account").is_err() && stream("/1").is_err());
    }
}
