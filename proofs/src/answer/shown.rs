//! Bytes of others, which may be text.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::plain::Plain;

/// Bytes of others: their text if they are one, and otherwise base64 that no text is shown as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

/// How programs are told bytes that are no text.
#[derive(Serialize)]
struct Bytes {
    base64: String,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(self.0) {
            Ok(text) => Plain(text).fmt(f),
            // A backslash of a text is followed by another one, or by a u.
            Err(_) => write!(f, "\\base64:{}", STANDARD.encode(self.0)),
        }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let base64 = STANDARD.encode(self.0);
                Bytes { base64 }.serialize(serializer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_shown_as_no_text_is() {
        let json = |bytes: &[u8]| serde_json::to_string(&Shown(bytes)).unwrap();
        assert_eq!(Shown(b"\xff").to_string(), r"\base64:/w==");
        assert_eq!(json(b"\xff"), r#"{"base64":"/w=="}"#);
        for text in ["base64:/w==", r"\base64:/w==", "\u{fffd}", "{}"] {
            assert_ne!(Shown(text.as_bytes()).to_string(), r"\base64:/w==");
            assert_eq!(json(text.as_bytes()), serde_json::to_string(text).unwrap());
        }
    }
}
