//! Ids that clients choose: plain enough for a path, a file name and a log line.

/// Longest id, in characters.
pub(crate) const CHARS_MAX: usize = 64;

/// Whether a text is 1 to 64 characters out of letters, digits, `.`, `_` and `-`, the first a letter or
/// a digit.
pub(crate) fn is_plain(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let goes_on_well = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    starts_well && goes_on_well && text.len() <= CHARS_MAX
}

/// Defines an id that is plain, and the error of a text that is not.
macro_rules! plain_id {
    ($(#[$doc:meta])* $name:ident, $error:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 64 characters out of letters, digits, `.`, `_` and `-`, the first a letter or a digit.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                if $crate::plain_id::is_plain(&text) {
                    Ok(Self(text))
                } else {
                    Err($error)
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        #[doc = concat!("A text that cannot be ", $what, ".")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error(
            "{} is 1 to {} letters, digits, '.', '_' or '-', the first a letter or a digit",
            $what, $crate::plain_id::CHARS_MAX
        )]
        pub struct $error;
    };
}
pub(crate) use plain_id;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain() {
        for text in ["1", "704", "savings.eur-1", "A_b"] {
            assert!(is_plain(text), "{text}");
        }
        let long = "x".repeat(65);
        for text in [
            "",
            ".a",
            "-",
            "a b",
            "a/b",
            "ä",
            "x' OR '1'='1",
            "a\0",
            &long,
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }
}
