//! `projections swap`, `rollback`, `drop` and `repartition`: which build is live, and how it is filled.

use folio_projections::{Build, BuildName, BuildState, OperationError, Projection};

use super::filling::while_filled;
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::count;

pub(crate) async fn swap(
    desk: &mut Desk<'_>,
    name: &str,
    build: i32,
) -> Result<Finding, OperatorError> {
    let projection = desk.find(name)?;
    while_filled(&projection, Box::pin(make_live(desk, &projection, build))).await?;
    Ok(Finding::Clean)
}

/// Makes a build live that somebody fills meanwhile.
pub(crate) async fn make_live(
    desk: &mut Desk<'_>,
    projection: &Projection,
    build: i32,
) -> Result<(), OperatorError> {
    let (name, before) = (projection.name().name, live(projection).await?.name.build);
    // The upgrade to a new revision may do the same, and come between.
    if let Err(error) = projection.swap(build, &desk.by).await
        && live(projection).await?.name.build != build
    {
        return Err(error.into());
    }
    if before == build {
        return desk.say(format_args!("{name} build {build} is live already"));
    }
    desk.say(format_args!(
        "{name} build {build} is live; projections rollback {name} goes back to build {before}"
    ))
}

pub(crate) async fn roll_back(desk: &mut Desk<'_>, name: &str) -> Result<Finding, OperatorError> {
    let projection = desk.find(name)?;
    let live = while_filled(&projection, Box::pin(projection.roll_back(&desk.by))).await?;
    desk.say(format_args!("{live} is live again"))?;
    Ok(Finding::Clean)
}

pub(crate) async fn remove(
    desk: &mut Desk<'_>,
    name: &str,
    build: i32,
) -> Result<Finding, OperatorError> {
    desk.find(name)?.drop_build(build, &desk.by).await?;
    desk.say(format_args!("{name} build {build} is dropped"))?;
    Ok(Finding::Clean)
}

pub(crate) async fn repartition(
    desk: &mut Desk<'_>,
    name: &str,
    build: Option<i32>,
    partitions: u16,
) -> Result<Finding, OperatorError> {
    let projection = desk.find(name)?;
    let build = or_live(&projection, build).await?;
    projection.repartition(build, partitions, &desk.by).await?;
    let size = count(partitions.into(), "partition");
    desk.say(format_args!("{name} build {build} is filled in {size}"))?;
    Ok(Finding::Clean)
}

/// The live build.
pub(crate) async fn live(projection: &Projection) -> Result<Build, OperatorError> {
    let builds = projection.builds().await?;
    let live = builds
        .into_iter()
        .find(|build| build.state == BuildState::Live);
    live.ok_or(OperatorError::NoLive {
        projection: projection.name().name,
    })
}

/// The number of the build that was named, which has to be there, or of the live one.
pub(crate) async fn or_live(
    projection: &Projection,
    build: Option<i32>,
) -> Result<i32, OperatorError> {
    let Some(build) = build else {
        return Ok(live(projection).await?.name.build);
    };
    let builds = projection.builds().await?;
    if builds.iter().any(|found| found.name.build == build) {
        return Ok(build);
    }
    let build = BuildName::new(projection.name().name, build);
    Err(OperationError::NoBuild { build }.into())
}
