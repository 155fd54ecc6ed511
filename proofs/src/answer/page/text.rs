//! Text of others within a page.

use std::fmt::{self, Write};

use super::super::plain::Plain;

/// A text that comes from a bundle, as HTML that is nothing but text: no character of it opens a tag, ends an attribute
/// or begins an entity, and what [`Plain`] takes out is taken out.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) &'a str);

/// A text of ours as HTML. What others have put into it was made plain before.
#[derive(Debug)]
pub(super) struct Ours<'a>(pub(super) &'a str);

/// A [`Text`] in an element that keeps its direction of writing to itself.
#[derive(Debug)]
pub(super) struct Foreign<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", Plain(self.0))
    }
}

impl fmt::Display for Ours<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaping(f).write_str(self.0)
    }
}

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<bdi>{}</bdi>", Text(self.0))
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            '`' => self.0.write_str("&#96;"),
            c => self.0.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_opens_no_tag_ends_no_attribute_and_begins_no_entity() {
        let shown = |text| Text(text).to_string();
        assert_eq!(shown("Zoë & Co. 12,50 €"), "Zoë &amp; Co. 12,50 €");
        assert_eq!(
            shown("<script>alert('x')</script>"),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"
        );
        assert_eq!(shown("\" onload=`x`"), "&quot; onload=&#96;x&#96;");
        assert_eq!(shown("&lt;"), "&amp;lt;");
        assert_eq!(
            shown("a\0b\u{202e}c\u{2028}\u{1b}[2J"),
            "a\\u{0}b\\u{202e}c\\u{2028}\\u{1b}[2J"
        );
    }

    #[test]
    fn a_text_from_right_to_left_turns_nothing_beside_it() {
        assert_eq!(Foreign("שלום 1.50").to_string(), "<bdi>שלום 1.50</bdi>");
    }
}
