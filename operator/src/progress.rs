//! How far a read has come, shown when it takes its time.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How long a read takes before it is shown how far it is.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

const TEMPLATE: &str = "{msg} {wide_bar} {percent}%  {human_pos}/{human_len}, {eta} left";

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
            self.bar = Some(bar(self.doing));
        }
        if let Some(bar) = &self.bar {
            bar.set_length(u64::try_from(all).unwrap_or(0));
            bar.set_position(u64::try_from(done).unwrap_or(0));
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

fn bar(doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_message(doing);
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style),
        // The default style counts as well.
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
