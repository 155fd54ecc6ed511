//! Where in the map a stream is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Hash;

/// What a stream is called in the map: a hash of its category and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamKey(Hash);

/// Which of the 65,536 buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketNumber(u16);

impl StreamKey {
    /// The key of the stream `id` of `category`.
    #[must_use]
    pub fn of(category: &str, id: &str) -> Self {
        // With their lengths, `ab` and `c` are not `a` and `bc`.
        Self(Hash::of(&[
            &length(category),
            category.as_bytes(),
            &length(id),
            id.as_bytes(),
        ]))
    }

    /// A key that was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Hash::from_bytes(bytes))
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The bucket that it is in.
    #[must_use]
    pub const fn bucket(&self) -> BucketNumber {
        let [first, second, ..] = *self.as_bytes();
        BucketNumber(u16::from_be_bytes([first, second]))
    }
}

impl BucketNumber {
    /// How many there are.
    pub const COUNT: usize = 1 << 16;

    /// The bucket with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for BucketNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

fn length(text: &str) -> [u8; 8] {
    (text.len() as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_is_documented() {
        let key = StreamKey::of("account", "ada");
        assert_eq!(
            key.to_string(),
            "ECBcgbiNowZCqu2h7dE8gVbVyKDym5uZHLR3Dk9PBew="
        );
        assert_eq!(key.bucket().number(), 0x1020);
    }

    #[test]
    fn two_streams_whose_names_read_the_same_have_two_keys() {
        assert_ne!(StreamKey::of("ab", "c"), StreamKey::of("a", "bc"));
        assert_ne!(StreamKey::of("ab", ""), StreamKey::of("", "ab"));
    }
}
