//! What an app gives to a command that only reads.

use std::fmt;
use std::io::Write;

use tokio::sync::watch;

/// What an app gives to a command that only reads.
pub struct Screen<'a> {
    /// Takes what is found, and nothing else. Progress is shown on standard error, where that is a terminal.
    pub out: &'a mut (dyn Write + Send),
    /// To how many columns lines are abridged; not at all, when left out.
    pub columns: Option<usize>,
    /// Ends what takes its time when it becomes true, or its sender is gone.
    pub stop: watch::Receiver<bool>,
}

impl Screen<'_> {
    /// Whether the user wants no more.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }
}

impl fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}
