//! `diff`: in what a live model differs from a right replay, and since which event.

mod body;
mod people;

use clap::Args;
use folio_core::Position;
use folio_projections::{Divergence, Pass, Shadow};

use self::body::Body;
use crate::bar::{bar, figure};
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::json;
use crate::replay::{ReplayError, Style};

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The projection.
    #[arg(value_name = "PROJECTION")]
    pub name: String,
    /// Of how many rows of each table is told since when they differ.
    #[arg(long, value_name = "COUNT", default_value_t = 20,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub most: u16,
    /// How the rows are written.
    #[arg(long, value_enum, default_value_t = Style::Text)]
    pub format: Style,
}

/// Replays a projection beside its live build, compares the two row by row as of one position, and tells of each row
/// that differs since which event it is not right. The replay is removed again, also when it is interrupted.
///
/// # Errors
///
/// [`OperatorError`].
///
/// # Cancel safety
///
/// Dropping the future may leave the schema of the replay, which the next one removes.
pub async fn run(arguments: DiffArgs, desk: &mut Desk<'_>) -> Result<Finding, OperatorError> {
    let projection = desk.find(&arguments.name)?;
    let head = projection.source().head().await;
    let head = head.map_err(ReplayError::from)?;
    let mut shadow = projection.shadow().await?;
    let mut stop = desk.stop.clone();
    let compared = tokio::select! {
        compared = compare(&mut shadow, arguments.most, head) => compared,
        _ = stop.wait_for(|stop| *stop) => Err(OperatorError::Interrupted),
    };
    shadow.remove().await?;
    let divergence = compared?;
    match arguments.format {
        Style::Text => {
            for line in people::lines(&divergence) {
                desk.say(line)?;
            }
        }
        Style::Json => json(desk.out, &Body::new(&divergence)?)?,
    }
    Ok(Finding::clean_if(divergence.is_empty()))
}

async fn compare(
    shadow: &mut Shadow,
    most: u16,
    head: Position,
) -> Result<Divergence, OperatorError> {
    let bar = bar("replaying", head.number());
    let told = |pass: Pass, at: Position| {
        bar.set_message(match pass {
            Pass::Comparing => "replaying",
            Pass::Tracing => "looking for the first event",
        });
        bar.set_position(figure(at.number()));
    };
    Ok(shadow.compare(most, &told).await?)
}
