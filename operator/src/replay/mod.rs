//! `replay`: the state of an aggregate, or a whole model, as the events up to some point leave it.

mod changes;
mod error;
mod model;
mod point;
mod stream;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use folio_core::{EventStore, Position, StreamId, Timestamp};

pub use error::ReplayError;
pub(crate) use model::Parked;
pub use point::Known;
pub(crate) use point::time;

use crate::aggregates::Aggregates;
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::projections::{position, stream as stream_id};
use point::{known, moment};

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["stream", "projection"])))]
#[command(group(clap::ArgGroup::new("until").args(["at_version", "at_position", "at_time", "effective"])))]
pub struct ReplayArgs {
    /// The stream of an aggregate, such as account/42.
    #[arg(value_name = "CATEGORY/ID", value_parser = stream_id)]
    pub stream: Option<StreamId>,
    /// A projection in its place: its model is filled beside the builds, its rows are counted, and it is removed.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["at_version", "effective", "steps"])]
    pub projection: Option<String>,
    /// Up to and including this version of the stream.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub at_version: Option<i64>,
    /// Up to and including this position in the store.
    #[arg(long, value_name = "P", value_parser = position)]
    pub at_position: Option<Position>,
    /// Up to and including this moment: 2026-03-31T23:59:59Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub at_time: Option<Timestamp>,
    /// Only what takes effect up to and including this day: 2026-03-31.
    #[arg(long, value_name = "DAY")]
    pub effective: Option<NaiveDate>,
    /// Of that, only what was recorded up to this position or moment.
    #[arg(long, value_name = "P|TIME", value_parser = known, requires = "effective")]
    pub known_at: Option<Known>,
    /// Show each event too, with what it changed.
    #[arg(long)]
    pub steps: bool,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = Style::Text)]
    pub format: Style,
}

/// How a state is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// For people.
    Text,
    /// JSON, and nothing else.
    Json,
}

/// Replays from the first event, without snapshots, and writes what that leads to. Nothing is changed.
///
/// # Errors
///
/// [`OperatorError`].
///
/// # Cancel safety
///
/// Dropping the future may leave the schema of a projection's shadow, which the next replay of it removes.
pub async fn run(
    arguments: ReplayArgs,
    store: &dyn EventStore,
    aggregates: &Aggregates,
    desk: &mut Desk<'_>,
) -> Result<Finding, OperatorError> {
    match (&arguments.stream, &arguments.projection) {
        (_, Some(projection)) => {
            let moment = arguments.at_time.map(Known::Moment);
            let to = arguments.at_position.map(Known::Position).or(moment);
            let replay = model::replay(desk, store, projection, to, arguments.format);
            Box::pin(replay).await
        }
        (Some(id), None) => stream::replay(desk, store, aggregates, id, &arguments).await,
        (None, None) => Err(ReplayError::Nothing.into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::*;

    #[derive(Debug, Parser)]
    struct App {
        #[command(flatten)]
        arguments: ReplayArgs,
    }

    fn parse(line: &str) -> Result<ReplayArgs, ErrorKind> {
        let words = std::iter::once("app").chain(line.split_whitespace());
        let app = App::try_parse_from(words).map_err(|error| error.kind())?;
        Ok(app.arguments)
    }

    #[test]
    fn the_command_is_put_together_well() {
        <App as clap::CommandFactory>::command().debug_assert();
        let arguments = parse("account/a/b --effective 2026-01-31 --known-at 7 --steps").unwrap();
        assert_eq!(arguments.stream.unwrap().id(), "a/b");
        assert_eq!(
            arguments.known_at,
            Some(Known::Position(Position::START.plus(7)))
        );
        let arguments = parse("--projection balances --at-position 3 --format json").unwrap();
        assert_eq!(arguments.format, Style::Json);
        let moment = parse("account/1 --at-time 1970-01-01T00:00:01+00:00").unwrap();
        assert_eq!(moment.at_time, Some(Timestamp::from_micros(1_000_000)));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        use ErrorKind::{ArgumentConflict, MissingRequiredArgument, ValueValidation};
        for (line, kind) in [
            ("", MissingRequiredArgument),
            ("account/1 --projection balances", ArgumentConflict),
            ("account/1 --at-version 1 --at-position 1", ArgumentConflict),
            (
                "account/1 --at-version 1 --effective 2026-01-01",
                ArgumentConflict,
            ),
            ("account/1 --known-at 1", MissingRequiredArgument),
            ("--projection balances --at-version 1", ArgumentConflict),
            ("--projection balances --steps", ArgumentConflict),
            ("account", ValueValidation),
            ("account/1 --at-version 0", ValueValidation),
            ("account/1 --at-position 0", ValueValidation),
            ("account/1 --at-time yesterday", ValueValidation),
            ("account/1 --effective 2026-02-30", ValueValidation),
            (
                "account/1 --effective 2026-01-01 --known-at then",
                ValueValidation,
            ),
        ] {
            assert_eq!(parse(line).unwrap_err(), kind, "{line}");
        }
    }
}
