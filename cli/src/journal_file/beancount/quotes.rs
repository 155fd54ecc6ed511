//! Texts in quotes.

/// A text in quotes, on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match ESCAPES.iter().find(|(_, of)| *of == c) {
            Some((sign, _)) => quoted.extend(['\\', *sign]),
            None => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The text that `rest` begins with, behind its first quote, and what comes behind its last one.
pub(super) fn unquoted(rest: &str) -> Result<(String, &str), String> {
    let mut text = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((text, chars.as_str())),
            '\\' => match chars.next() {
                // Any other sign stands for itself.
                Some(sign) if sign != '\n' => {
                    let of = ESCAPES.iter().find(|(escape, _)| *escape == sign);
                    text.push(of.map_or(sign, |(_, of)| *of));
                }
                _ => return Err("a line in quotes ends with a backslash".to_owned()),
            },
            _ => text.push(c),
        }
    }
    Err("a text in quotes does not end".to_owned())
}

/// What stands behind a backslash, and what for.
const ESCAPES: [(char, char); 7] = [
    ('"', '"'),
    ('\\', '\\'),
    ('n', '\n'),
    ('t', '\t'),
    ('r', '\r'),
    ('f', '\x0c'),
    ('b', '\x08'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_quotes_is_one_line_and_comes_back() {
        for (text, expected) in [
            ("", r#""""#),
            ("rent", r#""rent""#),
            ("\"a\\b\"\n\t;ä漢", r#""\"a\\b\"\n\t;ä漢""#),
        ] {
            assert_eq!(quoted(text), expected);
            let behind = format!("{} more", &expected[1..]);
            assert_eq!(unquoted(&behind).unwrap(), (text.to_owned(), " more"));
        }
    }

    #[test]
    fn a_text_may_have_several_lines_and_signs_that_stand_for_themselves() {
        assert_eq!(
            unquoted("a\nb\\'c\" d").unwrap(),
            ("a\nb'c".to_owned(), " d")
        );
        assert!(unquoted("a\\").unwrap_err().contains("backslash"));
        assert!(unquoted("a\\\nb\"").unwrap_err().contains("backslash"));
        assert!(unquoted("a").unwrap_err().contains("does not end"));
    }
}
