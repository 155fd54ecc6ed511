//! The names that a bank gives to its accounts and transactions.

use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name, when `text` can be one.
            #[must_use]
            pub fn new(text: &str) -> Option<Self> {
                is_name(text).then(|| Self(text.to_owned()))
            }

            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// A customer's account: 1 to 64 letters, digits, `.`, `_` or `-`, a letter or digit first.
    AccountId
}

name! {
    /// The bank's id of a transaction: 1 to 64 letters, digits, `.`, `_` or `-`, a letter or digit
    /// first.
    TransactionId
}

/// What the ledger takes as a name. Whatever it would refuse is better found before the first row
/// is posted.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.len() <= NAME_CHARS_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Longest name, in characters.
pub(super) const NAME_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        let longest = "9".repeat(NAME_CHARS_MAX);
        for text in ["1", "9000001", "CZ65-0800", "a.b_c", &longest] {
            assert_eq!(AccountId::new(text).unwrap().as_str(), text);
        }
        let too_long = "9".repeat(NAME_CHARS_MAX + 1);
        for text in [
            "", " ", "1 ", "-1", "..", "a/b", "1\n2", "á", "١", "a?b", "1\0", &too_long,
        ] {
            assert_eq!(TransactionId::new(text), None, "{text:?}");
        }
    }
}
