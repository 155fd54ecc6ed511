//! Text that was recorded, as a terminal can be shown it.

/// The text without characters that a terminal would obey: what was recorded is data, and may be anybody's.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The text within so many columns, with a sign where it goes on.
pub(crate) fn abridged(text: &str, columns: usize) -> String {
    match text.char_indices().nth(columns) {
        None => text.to_owned(),
        Some(_) => {
            let kept = text.chars().take(columns.saturating_sub(1));
            kept.chain(['…']).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded_by_what_was_recorded() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{9b}"), "a\\u{1b}[2Jb\\nc\\u{9b}");
        assert_eq!(printable("größer"), "größer");
    }

    #[test]
    fn what_is_too_long_is_abridged_to_the_column() {
        assert_eq!(abridged("größer", 6), "größer");
        assert_eq!(abridged("größer", 5), "größ…");
        assert_eq!(abridged("größer", 0), "…");
    }
}
