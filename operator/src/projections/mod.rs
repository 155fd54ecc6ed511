//! What operators do with projections.

mod builds;
mod dead_letters;
mod diff;
mod filling;
mod history;
mod list;
mod pause;
mod prove;
mod rebuild;
mod status;

use clap::{Args, Subcommand};
use folio_core::Actor;

pub use dead_letters::DeadLettersCommand;
pub(crate) use dead_letters::{position, stream};
pub use prove::ProveArgs;
pub use rebuild::RebuildArgs;

use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::Format;

/// What to do with projections, and who does it.
#[derive(Debug, Args)]
pub struct ProjectionsArgs {
    /// Who does it, for the record; whoever is logged in, when left out.
    #[arg(long, global = true, value_name = "NAME", value_parser = actor)]
    pub actor: Option<Actor>,
    /// What to do.
    #[command(subcommand)]
    pub command: ProjectionsCommand,
}

/// What to do with projections.
#[derive(Debug, Subcommand)]
pub enum ProjectionsCommand {
    /// List every build of every projection, and how far it has come.
    List {
        /// How the list is written.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Tell whether the live builds are well: how far behind, filled by whom, paused, what is parked.
    Status {
        /// The projection; all of them, when left out.
        name: Option<String>,
        /// How the answer is written.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Fill a build beside the live one and compare the two. Go on with it where that was interrupted.
    Rebuild(RebuildArgs),
    /// List the rows in which a build differs from the live one.
    Diff {
        /// The projection.
        name: String,
        /// The build; the newest that is not live, when left out.
        #[arg(long, value_name = "N")]
        build: Option<i32>,
        /// How the rows are written.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Make a build live. The one that was live is kept.
    Swap {
        /// The projection.
        name: String,
        /// The build.
        #[arg(long, value_name = "N")]
        build: i32,
    },
    /// Make the build live again that was kept.
    Rollback {
        /// The projection.
        name: String,
    },
    /// Remove a build that is not live, with its tables.
    Drop {
        /// The projection.
        name: String,
        /// The build.
        #[arg(long, value_name = "N")]
        build: i32,
    },
    /// Have a build filled by another number of runners at once.
    Repartition {
        /// The projection.
        name: String,
        /// The build; the live one, when left out.
        #[arg(long, value_name = "N")]
        build: Option<i32>,
        /// The number of runners.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32767))]
        partitions: u16,
    },
    /// Let nobody write the model until it is resumed. Readers go on with what is in it.
    Pause {
        /// The projection.
        name: String,
        /// Why, for the record and for whoever finds it paused.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let the model be written again, and start again what has stopped for an error.
    Resume {
        /// The projection.
        name: String,
    },
    /// Look after events that could not be taken in.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Prove that each event was taken in once, by what was recorded when it was.
    Prove(ProveArgs),
    /// List what was done to a projection, by whom and why.
    History {
        /// The projection.
        name: String,
        /// How the list is written.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
}

/// Carries out a command.
///
/// Rebuild, diff, swap and rollback fill the projection in this process meanwhile, as far as no
/// other one does. A build of a new revision goes live meanwhile, unless the app has opened the
/// projection with [`Upgrade::ByHand`](folio_projections::Upgrade::ByHand).
///
/// # Errors
///
/// [`OperatorError`]; what was not carried out has changed nothing.
///
/// # Cancel safety
///
/// Dropping the future leaves a build that was begun to be gone on with, and either the one build
/// live or the other. The live build may stand still until a lease has run out.
pub async fn run(
    arguments: ProjectionsArgs,
    desk: &mut Desk<'_>,
) -> Result<Finding, OperatorError> {
    if let Some(actor) = arguments.actor {
        desk.by = actor;
    }
    match arguments.command {
        ProjectionsCommand::List { format } => list::list(desk, format).await,
        ProjectionsCommand::Status { name, format } => {
            status::status(desk, name.as_deref(), format).await
        }
        ProjectionsCommand::Rebuild(arguments) => Box::pin(rebuild::rebuild(desk, arguments)).await,
        ProjectionsCommand::Diff {
            name,
            build,
            format,
        } => Box::pin(diff::diff(desk, &name, build, format)).await,
        ProjectionsCommand::Swap { name, build } => {
            Box::pin(builds::swap(desk, &name, build)).await
        }
        ProjectionsCommand::Rollback { name } => Box::pin(builds::roll_back(desk, &name)).await,
        ProjectionsCommand::Drop { name, build } => builds::remove(desk, &name, build).await,
        ProjectionsCommand::Repartition {
            name,
            build,
            partitions,
        } => Box::pin(builds::repartition(desk, &name, build, partitions)).await,
        ProjectionsCommand::Pause { name, reason } => pause::pause(desk, &name, &reason).await,
        ProjectionsCommand::Resume { name } => pause::resume(desk, &name).await,
        ProjectionsCommand::DeadLetters(command) => dead_letters::run(desk, command).await,
        ProjectionsCommand::Prove(arguments) => Box::pin(prove::prove(desk, arguments)).await,
        ProjectionsCommand::History { name, format } => history::history(desk, &name, format).await,
    }
}

fn actor(name: &str) -> Result<Actor, folio_core::command::InvalidActor> {
    Actor::new(name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::*;

    #[derive(Debug, Parser)]
    struct App {
        #[command(flatten)]
        arguments: ProjectionsArgs,
    }

    fn parse(line: &str) -> Result<App, ErrorKind> {
        let words = std::iter::once("app").chain(line.split_whitespace());
        App::try_parse_from(words).map_err(|error| error.kind())
    }

    #[test]
    fn the_commands_are_put_together_well() {
        <App as clap::CommandFactory>::command().debug_assert();
        let app = parse("pause balances --reason migration --actor ann").unwrap();
        assert_eq!(app.arguments.actor.unwrap().name(), "ann");
    }

    #[test]
    fn what_is_missing_or_out_of_range_is_refused() {
        use ErrorKind::{MissingRequiredArgument, ValueValidation};
        for (line, kind) in [
            ("pause balances", MissingRequiredArgument),
            ("swap balances", MissingRequiredArgument),
            ("drop balances", MissingRequiredArgument),
            ("repartition balances", MissingRequiredArgument),
            (
                "dead-letters skip balances --position 3",
                MissingRequiredArgument,
            ),
            ("dead-letters retry balances", MissingRequiredArgument),
            (
                "dead-letters retry balances --all --stream account/1",
                ErrorKind::ArgumentConflict,
            ),
            (
                "dead-letters retry balances --stream account",
                ValueValidation,
            ),
            (
                "dead-letters skip balances --position -1 --reason x",
                ErrorKind::UnknownArgument,
            ),
            (
                "dead-letters skip balances --position=-1 --reason x",
                ValueValidation,
            ),
            ("repartition balances --partitions 0", ValueValidation),
            ("rebuild balances --partitions 40000", ValueValidation),
            ("rebuild balances --rate 0", ValueValidation),
            ("list --actor=", ValueValidation),
            ("prove --build 1", MissingRequiredArgument),
        ] {
            assert_eq!(parse(line).unwrap_err(), kind, "{line}");
        }
    }
}
