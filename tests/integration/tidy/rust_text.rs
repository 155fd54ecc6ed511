//! Rust source, taken apart into code, comments and literals, and tests told from the rest.

use std::collections::BTreeSet;
use std::ops::Range;

use super::TextFile;

/// A file of Rust.
pub(super) struct SourceFile {
    /// Its path from the root of the project.
    pub(super) path: String,
    /// All of it.
    pub(super) whole: Parts,
    /// What is not only for tests; blank in a file that is.
    pub(super) shipped: Parts,
}

/// A text in three copies of the same length, in each of which all but one kind is blank. So an
/// offset is the same place in each, and no word is found in a kind where it does no harm.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) code: String,
    pub(super) comments: String,
    pub(super) literals: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// The files, with those recognised that are modules of tests.
pub(super) fn source_files(files: &[TextFile]) -> Vec<SourceFile> {
    let mut sources: Vec<SourceFile> = files
        .iter()
        .map(|file| SourceFile::new(&file.path, &file.text))
        .collect();
    let test_modules: BTreeSet<String> =
        sources.iter().flat_map(SourceFile::test_modules).collect();
    for source in &mut sources {
        let is_test = source.path.starts_with("tests/")
            || test_modules
                .iter()
                .any(|module| is_in_module(&source.path, module));
        if is_test {
            let everything = 0..source.shipped.code.len();
            source.shipped.blank(everything);
        }
    }
    sources
}

fn is_in_module(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

impl SourceFile {
    /// A file that is not as a whole a module of tests.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let whole = Parts::of(text);
        let mut shipped = whole.clone();
        for item in test_items(&whole.code) {
            shipped.blank(item);
        }
        Self {
            path: path.to_owned(),
            whole,
            shipped,
        }
    }

    /// The modules of tests that this file declares and other files hold, as paths without `.rs`.
    fn test_modules(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let folder = match file {
            "lib.rs" | "main.rs" | "mod.rs" => folder,
            _ => self.path.trim_end_matches(".rs"),
        };
        test_items(&self.whole.code)
            .into_iter()
            .filter_map(|item| {
                let declared = self.whole.code[item].trim_end().strip_suffix(';')?;
                let (_, name) = declared.rsplit_once("mod ")?;
                Some(format!("{folder}/{}", name.trim()))
            })
            .collect()
    }
}

impl Parts {
    fn of(text: &str) -> Self {
        let kinds = kinds(text.as_bytes());
        let only = |kind| {
            let bytes = text.bytes().zip(&kinds);
            let kept = bytes.map(|(byte, of)| {
                if byte == b'\n' || *of == kind {
                    byte
                } else {
                    b' '
                }
            });
            String::from_utf8(kept.collect()).unwrap()
        };
        Self {
            code: only(Kind::Code),
            comments: only(Kind::Comment),
            literals: only(Kind::Literal),
        }
    }

    fn blank(&mut self, range: Range<usize>) {
        for part in [&mut self.code, &mut self.comments, &mut self.literals] {
            let keep_lines = |c: char| {
                if c == '\n' {
                    "\n".to_owned()
                } else {
                    " ".repeat(c.len_utf8())
                }
            };
            let blank: String = part[range.clone()].chars().map(keep_lines).collect();
            part.replace_range(range.clone(), &blank);
        }
    }

    /// How many lines hold anything of any kind.
    pub(super) fn lines(&self) -> usize {
        let kinds = self.comments.lines().zip(self.literals.lines());
        self.code
            .lines()
            .zip(kinds)
            .filter(|(code, (comments, literals))| {
                [code, comments, literals]
                    .iter()
                    .any(|line| !line.trim().is_empty())
            })
            .count()
    }
}

/// The kind of each byte.
fn kinds(text: &[u8]) -> Vec<Kind> {
    let mut kinds = Vec::with_capacity(text.len());
    while kinds.len() < text.len() {
        let (before, rest) = text.split_at(kinds.len());
        let (kind, length) = if rest.starts_with(b"//") {
            let end = rest.iter().position(|byte| *byte == b'\n');
            (Kind::Comment, end.unwrap_or(rest.len()))
        } else if rest.starts_with(b"/*") {
            (Kind::Comment, block_comment(rest))
        } else if let Some(length) = raw_string(before, rest).or_else(|| character(rest)) {
            (Kind::Literal, length)
        } else if rest.starts_with(b"\"") {
            (Kind::Literal, string(rest))
        } else {
            (Kind::Code, 1)
        };
        let length = length.clamp(1, rest.len());
        kinds.extend(std::iter::repeat_n(kind, length));
    }
    kinds
}

/// The length of the comment, with those inside it.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of a string such as `r#"…"#`, if one starts here.
fn raw_string(before: &[u8], rest: &[u8]) -> Option<usize> {
    let before = match before {
        [start @ .., b'b' | b'c'] => start,
        _ => before,
    };
    let ends_a_name = before
        .last()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let hashes = rest
        .strip_prefix(b"r")?
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    if ends_a_name || rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let opening = hashes + 2;
    let closing = [b"\"".to_vec(), vec![b'#'; hashes]].concat();
    let inside = rest[opening..]
        .windows(closing.len())
        .position(|window| window == closing)?;
    Some(opening + inside + closing.len())
}

/// The length of a string up to its closing quote.
fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of a character such as `'a'`, if one starts here; a lifetime is none.
fn character(rest: &[u8]) -> Option<usize> {
    let inside = rest.strip_prefix(b"'")?;
    let first = match inside.first()? {
        b'\\' => 2,
        byte if byte.is_ascii() => 1,
        _ => {
            inside
                .iter()
                .skip(1)
                .take_while(|byte| **byte & 0xc0 == 0x80)
                .count()
                + 1
        }
    };
    let is_escape = inside.starts_with(b"\\");
    let closing = inside.iter().skip(first).position(|byte| *byte == b'\'')?;
    (is_escape || closing == 0).then_some(1 + first + closing + 1)
}

/// The items that are compiled for tests only, each from its attribute to its end.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for attribute in ["#[cfg(test)]", "#[cfg(any(test,"] {
        for (start, _) in code.match_indices(attribute) {
            let body = start + attribute.len();
            let end = match code[body..].find(['{', ';']) {
                Some(offset) if code[body + offset..].starts_with('{') => {
                    closing_brace(code, body + offset)
                }
                Some(offset) => body + offset + 1,
                None => code.len(),
            };
            items.push(start..end);
        }
    }
    items
}

fn closing_brace(code: &str, opening: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, c) in code[opening..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return opening + offset + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn code_comments_and_literals_are_told_apart() {
    let text = r##"
        fn f<'a>(x: &'a str) -> char { // a "comment" {
            /* one /* in */ another */ let quote = '"'; let tick = '\''; let brace = '{';
            let texts = ["// no", "\"}", r#"say "hi" //"#, b"bytes"]; 'ž'
        }
    "##;
    let parts = Parts::of(text);
    for word in ["comment", "one", "in", "another"] {
        assert!(
            parts.comments.contains(word) && !parts.code.contains(word),
            "{word}"
        );
    }
    for word in ["// no", "}", "say", "bytes", "ž", "{"] {
        assert!(parts.literals.contains(word), "{word}");
    }
    assert_eq!(parts.code.matches(['{', '}']).count(), 2);
    assert!(parts.code.contains("let tick") && parts.code.contains("'a str"));
    assert_eq!(parts.code.len(), text.len());
    assert_eq!(parts.code.lines().count(), text.lines().count());
}

#[test]
fn what_is_only_for_tests_is_not_shipped() {
    let text =
        "fn kept() {}\n#[cfg(test)]\nmod tests {\n    fn gone() { if x {} }\n}\nfn too() {}\n";
    let file = SourceFile::new("core/src/a.rs", text);
    assert!(has_words(&file.shipped.code, &["kept", "too"]) && !file.shipped.code.contains("gone"));
    assert_eq!(file.shipped.lines(), 2);

    let texts = [
        (
            "core/src/lib.rs",
            "#[cfg(any(test, feature = \"testing\"))]\npub mod testing;\nmod a;",
        ),
        ("core/src/testing/mod.rs", "fn gone() {}"),
        ("core/src/testing/deep.rs", "fn gone() {}"),
        ("core/src/a/mod.rs", "#[cfg(test)]\nmod tests;"),
        ("core/src/a/tests.rs", "fn gone() {}"),
        ("core/src/a/testing.rs", "fn kept() {}"),
        ("tests/src/lib.rs", "fn gone() {}"),
    ];
    let files = texts.map(|(path, text)| TextFile {
        path: path.to_owned(),
        text: text.to_owned(),
    });
    let sources = source_files(&files);
    let code: String = sources
        .iter()
        .map(|file| file.shipped.code.as_str())
        .collect();
    assert!(code.contains("kept") && !code.contains("gone"), "{code}");
}

#[cfg(test)]
fn has_words(code: &str, words: &[&str]) -> bool {
    words.iter().all(|word| code.contains(word))
}
