//! `projections pause` and `resume`.

use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;

pub(crate) async fn pause(
    desk: &mut Desk<'_>,
    name: &str,
    reason: &str,
) -> Result<Finding, OperatorError> {
    desk.find(name)?.pause(&desk.by, reason).await?;
    desk.say(format_args!(
        "{name} is paused; projections resume {name} lets it go on"
    ))?;
    Ok(Finding::Clean)
}

pub(crate) async fn resume(desk: &mut Desk<'_>, name: &str) -> Result<Finding, OperatorError> {
    desk.find(name)?.resume(&desk.by).await?;
    desk.say(format_args!("{name} goes on"))?;
    Ok(Finding::Clean)
}
