//! The progress bar of a command that takes its time.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error that counts to `total`. It shows nothing where standard error is not a
/// terminal, and goes away when it is dropped.
pub(crate) fn progress_bar(doing: &'static str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX)).with_message(doing);
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style),
        // The default style counts as well.
        Err(_) => bar,
    }
}

const TEMPLATE: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
