//! UUIDs as text in JSON: hex in lower case with hyphens, and nothing else.

use serde::{Deserialize as _, Deserializer, Serializer};

/// Where the hyphens stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

pub(crate) fn serialize<S: Serializer>(uuid: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&write(*uuid))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; 16], D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || format!("{text:?} is not a UUID in lower case with hyphens");
    read(&text).ok_or_else(|| serde::de::Error::custom(wrong()))
}

/// The text of a UUID.
pub(crate) fn write(uuid: [u8; 16]) -> String {
    let mut text = format!("{:032x}", u128::from_be_bytes(uuid));
    for at in HYPHENS {
        text.insert(at, '-');
    }
    text
}

fn read(text: &str) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
    let uuid = number.to_be_bytes();
    (write(uuid) == text).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_has_one_text() {
        const TEXT: &str = "0195c0de-0000-7abc-8def-00000000002a";
        let uuid = read(TEXT).unwrap();
        assert_eq!(uuid[..2], [0x01, 0x95]);
        assert_eq!(uuid[15], 0x2a);
        assert_eq!(write(uuid), TEXT);
        let short = &TEXT[1..];
        let (upper, plain) = (TEXT.to_uppercase(), TEXT.replace('-', ""));
        let signed = format!("+{short}");
        let moved = format!("0-{short}");
        for text in ["", short, &upper, &plain, &signed, &moved, "é"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_uuid_is_read_as_it_was_written(uuid: [u8; 16]) {
            prop_assert_eq!(read(&write(uuid)), Some(uuid));
        }
    }
}
