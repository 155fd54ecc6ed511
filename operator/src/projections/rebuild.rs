//! `projections rebuild`: fills a build beside the live one, compares the two and makes it live.

use clap::Args;
use folio_projections::{Begun, Filling, Projection};

use super::builds::{live, make_live};
use super::diff::Comparing;
use super::filling::{Filled, watch_fill, while_filled};
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::count;

/// Arguments of `projections rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// The projection.
    pub name: String,
    /// By how many runners a new build is filled at once.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=32767))]
    pub partitions: u16,
    /// The most events that are read for a new build in a second; no bound, when left out.
    #[arg(long, value_name = "EVENTS_PER_SECOND",
          value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pub rate: Option<u32>,
    /// Begin again from the first event with a build that was begun before.
    #[arg(long)]
    pub restart: bool,
    /// Make the build live when it does not differ from the live one.
    #[arg(long)]
    pub swap: bool,
    /// Make the build live, whatever it differs in.
    #[arg(long)]
    pub swap_anyway: bool,
    /// Do not compare the build with the live one.
    #[arg(long)]
    pub no_diff: bool,
}

pub(crate) async fn rebuild(
    desk: &mut Desk<'_>,
    arguments: RebuildArgs,
) -> Result<Finding, OperatorError> {
    let projection = desk.find(&arguments.name)?;
    let filling = Filling {
        partitions: arguments.partitions,
        events_per_second: arguments.rate,
    };
    let begun = projection.rebuild(filling, &desk.by).await?;
    let build = begun.build().build;
    match &begun {
        Begun::Now(build) => desk.say(format_args!("{build} is begun"))?,
        Begun::Before(build) if arguments.restart => {
            projection.restart(build.build, &desk.by).await?;
            desk.say(format_args!(
                "{build} begins again, filled as it was begun before"
            ))?;
        }
        Begun::Before(build) => {
            desk.say(format_args!(
                "{build} is gone on with, filled as it was begun before"
            ))?;
        }
    }
    let work = Box::pin(fill_and_swap(desk, &projection, build, &arguments));
    while_filled(&projection, work).await
}

async fn fill_and_swap(
    desk: &mut Desk<'_>,
    projection: &Projection,
    build: i32,
    arguments: &RebuildArgs,
) -> Result<Finding, OperatorError> {
    let name = projection.name().name;
    let position = match watch_fill(projection, build, desk.stop.clone()).await? {
        Filled::To(position) => position,
        Filled::Interrupted(position) => {
            desk.say(format_args!(
                "interrupted at position {position}; projections rebuild {name} goes on with build {build}"
            ))?;
            return Ok(Finding::NotWell);
        }
    };
    desk.say(format_args!(
        "{name} build {build} is filled, at position {position}"
    ))?;
    // A build of a new revision goes live on its own, where the app has it so.
    if live(projection).await?.name.build == build {
        desk.say(format_args!("{name} build {build} is live"))?;
        return Ok(Finding::Clean);
    }
    let differing = match arguments.no_diff {
        true => 0,
        false => {
            let diff = projection.diff(build).await?;
            let comparing = Comparing(&diff);
            desk.say(&comparing)?;
            comparing.differing()
        }
    };
    // Whoever has pressed Ctrl-C meanwhile wants no other model to go live.
    let is_interrupted = *desk.stop.borrow();
    if !is_interrupted && (arguments.swap_anyway || arguments.swap && differing == 0) {
        make_live(desk, projection, build).await?;
        return Ok(Finding::Clean);
    }
    let why = match (is_interrupted, arguments.swap) {
        (true, _) => ", since it was interrupted".to_owned(),
        (false, true) => format!(", since it differs in {}", count(differing, "table")),
        (false, false) => String::new(),
    };
    desk.say(format_args!(
        "{name} build {build} is not live{why}; projections swap {name} --build {build} makes it live"
    ))?;
    Ok(Finding::clean_if(!is_interrupted && differing == 0))
}
