//! An event as it travels: JSON, from which every byte that is stored comes back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use folio_core::{CommandId, EventId, Position, RecordedEvent, StreamId, Timestamp, Version};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::feed::error::InvalidFeedEvent;

/// An event of a [`FeedPage`](crate::feed::FeedPage).
///
/// A checkpoint holds a hash of every byte that is stored of an event. So payload and metadata stand
/// in it as the JSON that they are, untouched, and where they are not JSON to the first and the last
/// byte, as base64 in `payload_base64` and `metadata_base64`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeedEvent {
    #[serde(deserialize_with = "position")]
    position: Position,
    category: String,
    stream: String,
    #[serde(deserialize_with = "version")]
    version: Version,
    event_id: EventId,
    #[serde(rename = "type")]
    event_type: String,
    schema_version: u16,
    command_id: CommandId,
    recorded_at_us: i64,
    #[serde(default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata_base64: Option<String>,
}

impl FeedEvent {
    /// Its place in the store.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }
}

impl From<RecordedEvent> for FeedEvent {
    fn from(event: RecordedEvent) -> Self {
        let (payload, payload_base64) = to_wire(&event.payload);
        let (metadata, metadata_base64) = to_wire(&event.metadata);
        Self {
            position: event.position,
            category: event.stream.category().to_owned(),
            stream: event.stream.id().to_owned(),
            version: event.version,
            event_id: event.event_id,
            event_type: event.event_type.to_string(),
            schema_version: event.schema_version,
            command_id: event.command_id,
            recorded_at_us: event.recorded_at.micros(),
            payload,
            payload_base64,
            metadata,
            metadata_base64,
        }
    }
}

impl TryFrom<FeedEvent> for RecordedEvent {
    type Error = InvalidFeedEvent;

    fn try_from(event: FeedEvent) -> Result<Self, InvalidFeedEvent> {
        Ok(Self {
            position: event.position,
            stream: StreamId::new(event.category, event.stream)?,
            version: event.version,
            event_id: event.event_id,
            event_type: event.event_type.into(),
            schema_version: event.schema_version,
            command_id: event.command_id,
            recorded_at: Timestamp::from_micros(event.recorded_at_us),
            payload: from_wire("payload", event.payload, event.payload_base64)?.into(),
            metadata: from_wire("metadata", event.metadata, event.metadata_base64)?.into(),
        })
    }
}

fn to_wire(bytes: &[u8]) -> (Option<Box<RawValue>>, Option<String>) {
    let json = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| serde_json::from_str::<&RawValue>(text).ok())
        // White space around it would not come back.
        .filter(|json| json.get().len() == bytes.len());
    match json {
        Some(json) => (Some(json.to_owned()), None),
        None => (None, Some(STANDARD.encode(bytes))),
    }
}

fn from_wire(
    field: &'static str,
    json: Option<Box<RawValue>>,
    base64: Option<String>,
) -> Result<Vec<u8>, InvalidFeedEvent> {
    match (json, base64) {
        (Some(json), None) => Ok(String::from(Box::<str>::from(json)).into_bytes()),
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|source| InvalidFeedEvent::Base64 { field, source }),
        (None, None) | (Some(_), Some(_)) => Err(InvalidFeedEvent::NotOne { field }),
    }
}

/// What is there, also where it is `null`: most payloads without data are.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

/// A position that is not negative.
pub(crate) fn position<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Position, D::Error> {
    let number = i64::deserialize(deserializer)?;
    Position::new(number).ok_or_else(|| D::Error::custom("a position is not negative"))
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    let number = i64::deserialize(deserializer)?;
    Version::new(number).ok_or_else(|| D::Error::custom("a version is not negative"))
}

#[cfg(test)]
mod tests {
    use folio_core::EventHash;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let json = prop_oneof![
            Just("null".to_owned()),
            Just("-0.10e+2".to_owned()),
            Just(r#"{"b": 1,"a":[ 1e999,"\ud800\u0041\/"],"b":{}}"#.to_owned()),
            Just(" {}".to_owned()),
            Just("{}\n".to_owned()),
            Just("{} {}".to_owned()),
            Just("[".repeat(500) + &"]".repeat(500)),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            any::<String>(),
        ];
        prop_oneof![
            json.prop_map(String::into_bytes),
            any::<Vec<u8>>(),
            any::<Vec<u8>>().prop_map(|bytes| [b"\"", &*bytes, b"\""].concat()),
        ]
    }

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), Just(i64::MAX), 0..=i64::MAX]
    }

    prop_compose! {
        fn event()(
            (position, version) in (number(), number()),
            category in "[a-z][a-z0-9_]{0,62}",
            id in "\\PC{1,60}",
            event_type in any::<String>(),
            schema_version in any::<u16>(),
            (event_id, command_id) in any::<(u128, u128)>(),
            micros in any::<i64>(),
            (payload, metadata) in (bytes(), bytes()),
        ) -> RecordedEvent {
            RecordedEvent {
                position: Position::new(position).unwrap(),
                stream: StreamId::new(category, id).unwrap(),
                version: Version::new(version).unwrap(),
                event_id: EventId::from_uuid(Uuid::from_u128(event_id)),
                event_type: event_type.into(),
                schema_version,
                command_id: CommandId::from_uuid(Uuid::from_u128(command_id)),
                recorded_at: Timestamp::from_micros(micros),
                payload: payload.into(),
                metadata: metadata.into(),
            }
        }
    }

    fn sent(event: RecordedEvent) -> String {
        serde_json::to_string(&FeedEvent::from(event)).unwrap()
    }

    fn received(json: &str) -> Result<RecordedEvent, InvalidFeedEvent> {
        RecordedEvent::try_from(serde_json::from_str::<FeedEvent>(json).unwrap())
    }

    proptest! {
        #[test]
        fn every_byte_comes_back(event in event()) {
            let back = received(&sent(event.clone())).unwrap();
            prop_assert_eq!(EventHash::of(&back), EventHash::of(&event));
            prop_assert_eq!(back, event);
        }
    }

    fn simple(payload: &[u8]) -> RecordedEvent {
        RecordedEvent {
            position: Position::START.plus(1),
            stream: StreamId::new("account", "ä\"7").unwrap(),
            version: Version::NONE.plus(1),
            event_id: EventId::from_uuid(Uuid::nil()),
            event_type: "Closed".into(),
            schema_version: 1,
            command_id: CommandId::from_uuid(Uuid::nil()),
            recorded_at: Timestamp::from_micros(0),
            payload: payload.to_vec().into(),
            metadata: b"{}".to_vec().into(),
        }
    }

    #[test]
    fn json_stays_json_and_null_is_there() {
        let json = sent(simple(b"null"));
        assert!(json.contains(r#""payload":null,"metadata":{}"#), "{json}");
        assert_eq!(&*received(&json).unwrap().payload, b"null");
        let json = sent(simple(b" null"));
        assert!(json.contains(r#""payload_base64":"IG51bGw=""#), "{json}");
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let good = sent(simple(b"7"));
        let turned = |from: &str, to: &str| {
            assert!(good.contains(from), "{good}");
            good.replace(from, to)
        };
        let refused = |json: String| received(&json).unwrap_err();
        assert!(matches!(
            refused(turned("\"payload\":7,", "")),
            InvalidFeedEvent::NotOne { field: "payload" }
        ));
        assert!(matches!(
            refused(turned(
                "\"metadata\":{}",
                "\"metadata\":{},\"metadata_base64\":\"e30=\""
            )),
            InvalidFeedEvent::NotOne { field: "metadata" }
        ));
        assert!(matches!(
            refused(turned("\"payload\":7", "\"payload_base64\":\"e30\"")),
            InvalidFeedEvent::Base64 { .. }
        ));
        assert!(matches!(
            refused(turned("\"category\":\"account\"", "\"category\":\"\"")),
            InvalidFeedEvent::Stream(_)
        ));
        for json in [
            turned("\"position\":1", "\"position\":-1"),
            turned("\"version\":1", "\"version\":-1"),
            turned("\"position\":1", "\"position\":9223372036854775808"),
            turned("\"position\":1", "\"position\":1.5"),
        ] {
            assert!(serde_json::from_str::<FeedEvent>(&json).is_err(), "{json}");
        }
    }
}
