//! A file as directives, and those as words and texts.

use super::quotes::unquoted;
use crate::journal_file::JournalError;

/// A directive with what belongs to it.
#[derive(Debug, PartialEq)]
pub(super) struct Directive<'a> {
    /// The line that it begins at, which is not indented.
    pub(super) head: Tokens<'a>,
    /// The indented lines that follow.
    pub(super) parts: Vec<Tokens<'a>>,
}

/// What a line says, without its comment. A text in quotes may go on in the next lines.
#[derive(Debug, PartialEq)]
pub(super) struct Tokens<'a> {
    /// The line of the file, from 1.
    pub(super) line: usize,
    pub(super) tokens: Vec<Token<'a>>,
}

/// A part of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// What stood between spaces.
    Word(&'a str),
    /// What stood in quotes.
    Text(String),
}

/// The directives of a file.
///
/// # Errors
///
/// [`JournalError`] at an indented line that belongs to nothing, or a text in quotes that does not end.
pub(super) fn directives(text: &str) -> Result<Vec<Directive<'_>>, JournalError> {
    let mut cursor = Cursor {
        rest: text,
        line: 1,
    };
    let mut directives = Vec::new();
    let mut open: Option<Directive<'_>> = None;
    while !cursor.rest.is_empty() {
        let is_part = cursor.is_at_part();
        let line = cursor.take_line()?;
        let says_nothing = line.tokens.is_empty();
        match &mut open {
            _ if is_part && says_nothing => {}
            Some(directive) if is_part => directive.parts.push(line),
            None if is_part => {
                return Err(JournalError {
                    line: line.line,
                    what: "an indented line belongs to no directive".to_owned(),
                });
            }
            // A blank line, or a comment that is not indented, ends a directive too.
            _ => {
                directives.extend(open.take());
                open = (!says_nothing).then(|| Directive {
                    head: line,
                    parts: Vec::new(),
                });
            }
        }
    }
    directives.extend(open);
    Ok(directives)
}

/// What is left of a file.
struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

/// What stands between words. A line of Windows has one at its end.
const BLANKS: [char; 3] = [' ', '\t', '\r'];
/// What a line begins with that is a comment.
const HEADINGS: [char; 7] = ['*', ':', '#', '!', '&', '?', '%'];

impl<'a> Cursor<'a> {
    /// Whether an indented line begins here that is not blank.
    fn is_at_part(&self) -> bool {
        let text = self.rest.trim_start_matches(BLANKS);
        self.rest.starts_with(BLANKS) && !text.is_empty() && !text.starts_with('\n')
    }

    /// Takes a line, at whose beginning it is.
    fn take_line(&mut self) -> Result<Tokens<'a>, JournalError> {
        let line = self.line;
        let mut tokens = Vec::new();
        if self.rest.starts_with(HEADINGS) {
            self.take_while(|c| c != '\n');
        }
        loop {
            self.take_while(|c| BLANKS.contains(&c));
            match self.rest.chars().next() {
                None => break,
                Some('\n') => {
                    self.rest = self.rest.strip_prefix('\n').unwrap_or_default();
                    self.line = self.line.saturating_add(1);
                    break;
                }
                Some(';') => {
                    self.take_while(|c| c != '\n');
                }
                Some('"') => tokens.push(Token::Text(self.take_text()?)),
                Some(_) => {
                    let word = self.take_while(|c| !BLANKS.contains(&c) && !"\n;\"".contains(c));
                    tokens.push(Token::Word(word));
                }
            }
        }
        Ok(Tokens { line, tokens })
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn take_text(&mut self) -> Result<String, JournalError> {
        let behind = self.rest.strip_prefix('"').unwrap_or_default();
        let (text, rest) = unquoted(behind).map_err(|what| JournalError {
            line: self.line,
            what,
        })?;
        let taken = behind.strip_suffix(rest).unwrap_or_default();
        self.line = self.line.saturating_add(taken.matches('\n').count());
        self.rest = rest;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines with their numbers, texts in quotes, words as they are.
    fn told(line: &Tokens<'_>) -> String {
        let tokens = line.tokens.iter().map(|token| match token {
            Token::Word(word) => (*word).to_owned(),
            Token::Text(text) => format!("{text:?}"),
        });
        format!("{}: {}", line.line, tokens.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_file_is_read_as_directives_with_their_parts() {
        let text = "\
* a \"heading
; a comment
option \"title\" \"two
lines; and a \\\"quote\\\"\"
2026-01-01 * \"x\";comment\r
  a:\"1\" ; more
  ; nothing
\tAssets:A\t1 EUR\r
 \t
2026-01-02 txn";
        let directives = directives(text).unwrap();
        let lines = directives.iter().map(|directive| {
            (
                told(&directive.head),
                directive.parts.iter().map(told).collect(),
            )
        });
        let expected: [(&str, &[&str]); 3] = [
            (
                "3: option \"title\" \"two\\nlines; and a \\\"quote\\\"\"",
                &[],
            ),
            (
                "5: 2026-01-01 * \"x\"",
                &["6: a: \"1\"", "8: Assets:A 1 EUR"],
            ),
            ("10: 2026-01-02 txn", &[]),
        ];
        let lines: Vec<(String, Vec<String>)> = lines.collect();
        assert_eq!(lines.len(), expected.len());
        for ((head, parts), (expected, expected_parts)) in lines.iter().zip(expected) {
            assert_eq!(
                (head.as_str(), parts.as_slice()),
                (
                    expected,
                    expected_parts
                        .iter()
                        .map(|part| (*part).to_owned())
                        .collect::<Vec<_>>()
                        .as_slice()
                )
            );
        }
    }

    #[test]
    fn a_line_that_belongs_to_nothing_or_does_not_end_is_named() {
        for (text, line, what) in [
            ("  a", 1, "belongs to no directive"),
            ("b\n\n  a", 3, "belongs to no directive"),
            ("b\n; c\n  a", 3, "belongs to no directive"),
            ("b\n* c\n  a", 3, "belongs to no directive"),
            ("\nb \"x\ny", 2, "does not end"),
        ] {
            let error = directives(text).unwrap_err();
            assert!(
                error.line == line && error.what.contains(what),
                "{text:?} gives {error}"
            );
        }
        assert_eq!(directives("\n  \n  ; c\n").unwrap(), []);
    }
}
