//! Bytes as base64 in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize as _, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let read = STANDARD.decode(text);
    read.map_err(|error| serde::de::Error::custom(format!("bytes are not in base64: {error}")))
}

/// Bytes that may not be there, which is `null`.
pub(crate) mod optional {
    use super::{Deserializer, STANDARD, Serializer};
    use base64::Engine as _;
    use serde::{Deserialize, Serialize as _};

    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Bytes(#[serde(with = "super")] Vec<u8>);

    pub(in crate::bundle) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
        text.serialize(serializer)
    }

    pub(in crate::bundle) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let bytes = Option::<Bytes>::deserialize(deserializer)?;
        Ok(bytes.map(|Bytes(bytes)| bytes))
    }
}
