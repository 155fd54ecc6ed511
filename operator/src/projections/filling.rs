//! Filling a build in this process, and showing how far it has come.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use folio_core::Position;
use folio_projections::{Build, BuildName, BuildState, OperationError, Projection, Status};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tokio::sync::watch;

use crate::error::OperatorError;
use crate::format::count;

/// Time between two looks at how far a build has come.
const EVERY: Duration = Duration::from_millis(200);

const TEMPLATE: &str =
    "{msg} {wide_bar} {percent}%  {human_pos}/{human_len}  {rate} events/s, {eta} left";

/// How filling a build has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// It has come as far as the live one, which is here.
    To(Position),
    /// Somebody has stopped it, when it was here.
    Interrupted(Position),
}

/// Does `work` while this process fills the projection, as far as no other one does: so that what
/// waits for a build also ends where no service runs.
pub(crate) async fn while_filled<T>(projection: &Projection, work: impl Future<Output = T>) -> T {
    let (stop, stopped) = watch::channel(false);
    // The runners give their leases back before this returns.
    let work = async {
        let done = work.await;
        stop.send_replace(true);
        done
    };
    // They start first, so that `work` sees how they fare now and not how they ended before.
    let ((), done) = tokio::join!(projection.run(stopped), work);
    done
}

/// Waits until a build that somebody fills has come as far as the live one, and shows how far it is.
pub(crate) async fn watch_fill(
    projection: &Projection,
    build: i32,
    mut stop: watch::Receiver<bool>,
) -> Result<Filled, OperatorError> {
    let mut stop = pin!(stop.wait_for(|stop| *stop));
    let bar = bar();
    // Where the live one was at the look before. It moves on meanwhile, and the build comes after it.
    let mut before = None;
    loop {
        let builds = projection.builds().await?;
        let (found, live) = look(projection, &builds, build)?;
        let (position, goal) = (found.position(), live.position());
        show(&bar, found, goal);
        if before.is_none() {
            // What was filled before does not count for the rate.
            bar.reset_eta();
        }
        if position >= goal || before.is_some_and(|before| position >= before) {
            return Ok(Filled::To(position));
        }
        before = Some(goal);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = &mut stop => return Ok(Filled::Interrupted(position)),
        }
    }
}

/// The build and the live one, where it can come to be filled at all.
fn look<'b>(
    projection: &Projection,
    builds: &'b [Build],
    build: i32,
) -> Result<(&'b Build, &'b Build), OperatorError> {
    let name = projection.name().name;
    let live = builds.iter().find(|one| one.state == BuildState::Live);
    let found = builds.iter().find(|one| one.name.build == build);
    let (Some(found), Some(live)) = (found, live) else {
        return Err(OperatorError::Dropped {
            build: BuildName::new(name, build),
        });
    };
    if found.pause.is_some() {
        let build = found.name.clone();
        return Err(OperationError::Paused { build }.into());
    }
    if let Some(Status::Stopped { error: Some(error) }) = projection.progress().status_of(build) {
        let build = found.name.clone();
        return Err(OperatorError::Stopped { build, error });
    }
    Ok((found, live))
}

/// A bar on standard error, where that is a terminal. It goes away when it is dropped.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        // The default style counts as well.
        Err(_) => bar,
    }
}

fn rate(state: &ProgressState, text: &mut dyn fmt::Write) {
    // A bar that cannot be written is not worth an error.
    let _ = write!(text, "{:.0}", state.per_sec());
}

fn show(bar: &ProgressBar, build: &Build, goal: Position) {
    let letters = match build.dead_letters {
        0 => String::new(),
        letters => format!(", {}", count(letters, "dead letter")),
    };
    bar.set_message(format!("{}{letters}", build.name));
    bar.set_length(u64::try_from(goal.number()).unwrap_or(0));
    bar.set_position(u64::try_from(build.position().number()).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
