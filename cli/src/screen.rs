//! The terminal at which somebody reads: how wide it is, and when they want no more.

use std::io::{self, IsTerminal as _};

use tokio::sync::watch;

use crate::stop;

/// The width that is reckoned with where the terminal's is not told.
const COLUMNS: usize = 120;

/// To how many columns lines are abridged: to those of the terminal, as `COLUMNS` tells them. Not at all where the output
/// goes elsewhere.
pub(crate) fn columns() -> Option<usize> {
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    io::stdout()
        .is_terminal()
        .then(|| told().unwrap_or(COLUMNS))
}

/// Passes on that the user wants no more, and ends when they say so again.
///
/// # Errors
///
/// When the process cannot listen for signals.
pub(crate) async fn stopped_twice(stop: watch::Sender<bool>) -> io::Result<()> {
    stop::requested().await?;
    stop.send_replace(true);
    stop::requested().await
}
