//! The progress bar of a command that reads many events.

use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left";

/// A bar on standard error that counts to `total`, where that is a terminal. It goes away when it is dropped.
pub(crate) fn bar(doing: &'static str, total: i64) -> ProgressBar {
    let bar = ProgressBar::new(figure(total)).with_message(doing);
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style),
        // The default style counts as well.
        Err(_) => bar,
    }
}

/// A number of events for a bar.
pub(crate) fn figure(events: i64) -> u64 {
    u64::try_from(events).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
