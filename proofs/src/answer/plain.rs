//! Text of others, so that it is shown as text.

use std::fmt::{self, Write as _};

/// A text of others, as one that comes from a bundle or an altered store. Characters that end a line, move a terminal's cursor or turn the direction of writing
/// are shown by their numbers, so that no name reads as a sentence of ours, and a backslash as two, so that none reads as such a number.
#[derive(Debug)]
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c == '\\' {
                f.write_str("\\\\")
            } else if is_shown(c) {
                f.write_char(c)
            } else {
                write!(f, "{}", c.escape_unicode())
            }
        })
    }
}

/// Whether it stays where it is, and moves nothing beside it.
pub(super) fn is_shown(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    !c.is_control() && !turns && !ends_line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_begin_a_line_or_paint_over_one() {
        let shown = |text| Plain(text).to_string();
        assert_eq!(shown(r#"{"name":"Zoë 👍"}"#), r#"{"name":"Zoë 👍"}"#);
        assert_eq!(shown("a\nb\r\tc"), "a\\u{a}b\\u{d}\\u{9}c");
        assert_eq!(shown("\u{1b}[2J\u{9b}"), "\\u{1b}[2J\\u{9b}");
        assert_eq!(shown("\u{202e}x\u{2028}"), "\\u{202e}x\\u{2028}");
    }

    #[test]
    fn two_texts_are_never_shown_alike() {
        let shown = |text| Plain(text).to_string();
        assert_eq!(shown(r"\u{a}"), r"\\u{a}");
        assert_eq!(shown("\n"), r"\u{a}");
        assert_eq!(shown("\\\n"), r"\\\u{a}");
    }
}
