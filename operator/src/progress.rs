//! How far a read has come, shown when it takes its time.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::bar::{bar, figure};

/// How long a read takes before it is shown how far it is.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// How far a read has come: a bar on standard error, where that is a terminal, and only when it takes longer than a
/// moment. It goes away when it is dropped.
pub(crate) struct Progress {
    doing: &'static str,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(doing: &'static str) -> Self {
        Self {
            doing,
            began: Instant::now(),
            bar: None,
        }
    }

    /// So many events of `all` are looked through.
    pub(crate) fn at(&mut self, done: i64, all: i64) {
        if self.bar.is_none() && self.began.elapsed() >= SHOWN_AFTER {
            self.bar = Some(bar(self.doing, all));
        }
        if let Some(bar) = &self.bar {
            bar.set_length(figure(all));
            bar.set_position(figure(done));
        }
    }

    /// Does something that may write where the bar is.
    pub(crate) fn aside<T>(&self, does: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(does),
            None => does(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
