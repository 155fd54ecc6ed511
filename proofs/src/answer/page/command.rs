//! How whoever reads a page repeats the check.

use super::super::plain::is_shown;
use crate::bundle::Verified;
use crate::checkpoint::Origin;

/// The command that checks the bundle as it was checked for this page. What it is called and where a checkpoint is kept is
/// not known here.
pub(super) fn command(verified: &Verified) -> String {
    let origin = &verified.checkpoint.origin;
    let keys = verified.signers.iter();
    let mut parts = vec!["folio-verify BUNDLE.json".to_owned()];
    parts.extend(keys.map(|key| format!("--key {}", quoted(&key.to_string()))));
    let mut names = verified.signers.iter().map(|key| Origin::from(key.name()));
    if names.all(|name| name != *origin) {
        parts.push(format!("--origin {}", quoted(origin.as_str())));
    }
    if verified.kept.is_some() {
        parts.push("--since CHECKPOINT-FILE".to_owned());
    }
    parts.join(" \\\n  ")
}

/// A word of a shell, whatever is in it. Backslashes are not doubled, which the shell does not do either.
fn quoted(word: &str) -> String {
    let mut quoted = String::new();
    for c in word.chars() {
        match c {
            '\'' => quoted.push_str(r"'\''"),
            c if is_shown(c) => quoted.push(c),
            c => quoted.extend(c.escape_unicode()),
        }
    }
    format!("'{quoted}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_word_of_the_shell() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted(r"a\b"), r"'a\b'");
        assert_eq!(quoted("a\u{202e}\n"), r"'a\u{202e}\u{a}'");
        assert_eq!(quoted("a'; rm -r /'"), r"'a'\''; rm -r /'\'''");
    }
}
