//! One event of a bundle.

use serde::{Deserialize, Serialize};

use super::{base64_text, uuid_text};
use crate::leaf::EventLeaf;
use crate::merkle::InclusionProof;

/// An event with every column that is stored of it, and the proof that it is in the log like this. The columns are those
/// of [`EventLeaf`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledEvent {
    /// Where it stands in the store.
    pub position: i64,
    /// Where it stands in its stream.
    pub version: i64,
    /// When it was recorded, since 1970-01-01 UTC.
    pub recorded_at_micros: i64,
    /// The event's id.
    #[serde(with = "uuid_text")]
    pub event_id: [u8; 16],
    /// The command that caused it.
    #[serde(with = "uuid_text")]
    pub command_id: [u8; 16],
    /// On the first event of a command only: how many the command has.
    pub command_events: Option<i32>,
    /// The version of the payload's schema.
    pub schema_version: i32,
    /// The category of its stream.
    pub category: String,
    /// Its stream within the category.
    pub stream_id: String,
    /// What happened.
    pub event_type: String,
    /// On the first event of a command only: what the command asked for.
    #[serde(with = "base64_text::optional")]
    pub fingerprint: Option<Vec<u8>>,
    /// Its JSON, as it was written.
    #[serde(with = "base64_text")]
    pub payload: Vec<u8>,
    /// The JSON beside it, as it was written.
    #[serde(with = "base64_text")]
    pub metadata: Vec<u8>,
    /// Where in the log it is, and the path from there to the root.
    pub inclusion: InclusionProof,
}

impl BundledEvent {
    /// The event that was stored as `leaf`, with its proof.
    #[must_use]
    pub fn new(leaf: &EventLeaf<'_>, inclusion: InclusionProof) -> Self {
        Self {
            position: leaf.position,
            version: leaf.version,
            recorded_at_micros: leaf.recorded_at_micros,
            event_id: leaf.event_id,
            command_id: leaf.command_id,
            command_events: leaf.command_events,
            schema_version: leaf.schema_version,
            category: leaf.category.to_owned(),
            stream_id: leaf.stream_id.to_owned(),
            event_type: leaf.event_type.to_owned(),
            fingerprint: leaf.fingerprint.map(<[u8]>::to_vec),
            payload: leaf.payload.to_vec(),
            metadata: leaf.metadata.to_vec(),
            inclusion,
        }
    }

    /// What is hashed of it.
    #[must_use]
    pub fn leaf(&self) -> EventLeaf<'_> {
        EventLeaf {
            position: self.position,
            version: self.version,
            recorded_at_micros: self.recorded_at_micros,
            event_id: self.event_id,
            command_id: self.command_id,
            command_events: self.command_events,
            schema_version: self.schema_version,
            category: &self.category,
            stream_id: &self.stream_id,
            event_type: &self.event_type,
            fingerprint: self.fingerprint.as_deref(),
            payload: &self.payload,
            metadata: &self.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::merkle::Size;

    fn event() -> BundledEvent {
        let leaf = EventLeaf {
            position: 7,
            version: 2,
            recorded_at_micros: 1_700_000_000_123_456,
            event_id: [0x11; 16],
            command_id: [0x22; 16],
            command_events: Some(3),
            schema_version: 1,
            category: "account",
            stream_id: "ä-42",
            event_type: "Deposited",
            fingerprint: Some(&[0x33; 3]),
            payload: br#"{"amount":"12.50"}"#,
            metadata: b"{}",
        };
        let inclusion = InclusionProof {
            index: 8,
            size: Size::new(9),
            path: Vec::new(),
        };
        BundledEvent::new(&leaf, inclusion)
    }

    #[test]
    fn an_event_has_the_json_that_is_documented() {
        let expected = json!({
            "position": 7,
            "version": 2,
            "recorded_at_micros": 1_700_000_000_123_456_i64,
            "event_id": "11111111-1111-1111-1111-111111111111",
            "command_id": "22222222-2222-2222-2222-222222222222",
            "command_events": 3,
            "schema_version": 1,
            "category": "account",
            "stream_id": "ä-42",
            "event_type": "Deposited",
            "fingerprint": "MzMz",
            "payload": "eyJhbW91bnQiOiIxMi41MCJ9",
            "metadata": "e30=",
            "inclusion": { "index": 8, "size": 9, "path": [] },
        });
        assert_eq!(serde_json::to_value(event()).unwrap(), expected);
        assert_eq!(
            serde_json::from_value::<BundledEvent>(expected).unwrap(),
            event()
        );
    }

    #[test]
    fn columns_that_an_event_does_not_have_are_null() {
        let bare = BundledEvent {
            command_events: None,
            fingerprint: None,
            ..event()
        };
        let json = serde_json::to_value(&bare).unwrap();
        assert!(json["fingerprint"].is_null() && json["command_events"].is_null());
        let read: BundledEvent = serde_json::from_value(json).unwrap();
        assert_eq!(read, bare);
        let empty = BundledEvent {
            fingerprint: Some(Vec::new()),
            ..event()
        };
        let json = serde_json::to_value(&empty).unwrap();
        assert_eq!(json["fingerprint"], "");
        assert_eq!(serde_json::from_value::<BundledEvent>(json).unwrap(), empty);
    }

    #[test]
    fn the_leaf_of_an_event_is_the_one_it_was_made_of() {
        let event = event();
        let again = BundledEvent::new(&event.leaf(), event.inclusion.clone());
        assert_eq!(again, event);
    }

    #[test]
    fn bytes_are_written_in_one_way() {
        for payload in ["e30", "e31=", "e3 0=", "e30=\n", "{}"] {
            let mut json = serde_json::to_value(event()).unwrap();
            json["payload"] = payload.into();
            assert!(
                serde_json::from_value::<BundledEvent>(json).is_err(),
                "{payload:?}"
            );
        }
    }
}
