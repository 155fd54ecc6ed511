//! The envelope around an event, and the codec between an event type of Rust and stored bytes.
//!
//! An event type is an ordinary serde enum. Its variant's name is stored as the *event type*, what
//! the variant holds as the *payload*, so `Deposited { amount }` becomes type `Deposited` with
//! payload `{"amount": …}`. The bytes are kept exactly as they were written.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::command::{Actor, Cause};
use crate::id::{CausationId, CommandId, CorrelationId, EventId};
use crate::stream::{Position, StreamId, Version};
use crate::time::Timestamp;

/// An event type: an enum with one variant for each thing that can have happened.
///
/// Derive `Serialize` and `Deserialize` in serde's default (externally tagged) form.
pub trait Event:
    Serialize + DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + 'static
{
    /// The version of the shape in which events of type `event_type` are written today: 1, 2, 3 …
    #[must_use]
    fn schema_version(event_type: &str) -> u16 {
        let _ = event_type;
        1
    }
}

/// An event that has not been recorded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened, for example `Deposited`.
    pub event_type: String,
    /// The version of the payload's shape.
    pub schema_version: u16,
    /// The payload: JSON, stored byte for byte.
    pub payload: Vec<u8>,
}

impl NewEvent {
    /// Encodes `event`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the event does not serialise, or not as a variant of an enum.
    pub fn encode<E: Event>(event: &E) -> Result<Self, EncodeError> {
        let json = serde_json::to_string(event).map_err(EncodeError::Json)?;
        let (event_type, payload) = if json.starts_with('"') {
            // A variant without data is written as its bare name.
            let name = serde_json::from_str(&json).map_err(EncodeError::Json)?;
            (name, b"null".to_vec())
        } else {
            let mut tagged: BTreeMap<String, &RawValue> =
                serde_json::from_str(&json).map_err(|_| EncodeError::NotAVariant)?;
            match (tagged.pop_first(), tagged.is_empty()) {
                (Some((name, payload)), true) => (name, payload.get().as_bytes().to_vec()),
                _ => return Err(EncodeError::NotAVariant),
            }
        };
        Ok(Self {
            schema_version: E::schema_version(&event_type),
            event_type,
            payload,
        })
    }
}

/// Why an event could not be encoded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// serde_json refused it.
    #[error("the event does not serialise as JSON")]
    Json(#[source] serde_json::Error),
    /// It is not an enum in serde's default form.
    #[error("an event must be an enum whose variants serialise in serde's default form")]
    NotAVariant,
}

/// An event as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its place in the whole store.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place in that stream.
    pub version: Version,
    /// Its own id.
    pub event_id: EventId,
    /// What happened.
    pub event_type: String,
    /// The version of the payload's shape.
    pub schema_version: u16,
    /// The command that caused it.
    pub command_id: CommandId,
    /// When the store recorded it, by the store's clock.
    pub recorded_at: Timestamp,
    /// The payload's JSON, byte for byte as it was written.
    pub payload: Vec<u8>,
    /// The metadata's JSON, byte for byte as it was written.
    pub metadata: Vec<u8>,
}

impl RecordedEvent {
    /// Decodes the payload.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], which names the event, when the type is not one of `E`'s variants or the
    /// payload is not what that variant holds.
    pub fn decode<E: Event>(&self) -> Result<E, DecodeError> {
        let mut tagged = Vec::with_capacity(self.payload.len() + self.event_type.len() + 8);
        tagged.push(b'{');
        serde_json::to_writer(&mut tagged, &self.event_type)
            .map_err(|source| self.decode_error(source))?;
        tagged.push(b':');
        tagged.extend_from_slice(&self.payload);
        tagged.push(b'}');
        serde_json::from_slice(&tagged).map_err(|source| self.decode_error(source))
    }

    /// Decodes the metadata.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], which names the event.
    pub fn decode_metadata(&self) -> Result<Metadata, DecodeError> {
        serde_json::from_slice(&self.metadata).map_err(|source| self.decode_error(source))
    }

    fn decode_error(&self, source: serde_json::Error) -> DecodeError {
        DecodeError {
            position: self.position,
            stream: self.stream.clone(),
            version: self.version,
            event_type: self.event_type.clone(),
            schema_version: self.schema_version,
            source,
        }
    }
}

/// A stored event that could not be read. It is never skipped: whoever meets it stops and says so.
#[derive(Debug, Error)]
#[error(
    "the event at position {position} ({stream}, version {version}, type {event_type}, schema {schema_version}) cannot be decoded"
)]
pub struct DecodeError {
    /// Where it stands in the store.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// Its type as stored.
    pub event_type: String,
    /// The version of its shape as stored.
    pub schema_version: u16,
    /// What the JSON decoder said.
    pub source: serde_json::Error,
}

/// What every event tells about the command behind it, beside the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Who asked.
    pub actor: Actor,
    /// The request from outside that all this belongs to.
    pub correlation_id: CorrelationId,
    /// The command or event that led to the command, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<CausationId>,
    /// The event in another store that led to the command, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Sample {
        Opened { name: String },
        Renamed(String),
        Closed,
    }
    impl Event for Sample {}

    fn recorded(new: NewEvent) -> RecordedEvent {
        let command_id = CommandId::derived(&["test"]);
        RecordedEvent {
            position: Position::START.plus(7),
            stream: StreamId::new("sample", "1").unwrap(),
            version: Version::NONE.plus(1),
            event_id: EventId::of_command(command_id, 0),
            event_type: new.event_type,
            schema_version: new.schema_version,
            command_id,
            recorded_at: Timestamp::from_micros(0),
            payload: new.payload,
            metadata: b"{}".to_vec(),
        }
    }

    #[test]
    fn every_kind_of_variant_comes_back_as_it_was() {
        for event in [
            Sample::Opened {
                name: "a \"b\"".to_owned(),
            },
            Sample::Renamed("x".to_owned()),
            Sample::Closed,
        ] {
            let new = NewEvent::encode(&event).unwrap();
            assert_eq!(recorded(new).decode::<Sample>().unwrap(), event);
        }
    }

    #[test]
    fn type_and_payload_are_stored_apart() {
        let new = NewEvent::encode(&Sample::Opened {
            name: "a".to_owned(),
        })
        .unwrap();
        assert_eq!(new.event_type, "Opened");
        assert_eq!(new.payload, br#"{"name":"a"}"#);
        assert_eq!(NewEvent::encode(&Sample::Closed).unwrap().payload, b"null");
    }

    #[test]
    fn an_event_that_cannot_be_read_is_named() {
        let mut event = recorded(NewEvent::encode(&Sample::Closed).unwrap());
        event.event_type = "Exploded".to_owned();
        let error = event.decode::<Sample>().unwrap_err().to_string();
        assert!(
            error.contains("position 7") && error.contains("Exploded"),
            "{error}"
        );
    }

    #[test]
    fn a_struct_is_not_an_event() {
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        struct Bare {
            a: u8,
            b: u8,
        }
        impl Event for Bare {}
        assert!(matches!(
            NewEvent::encode(&Bare { a: 1, b: 2 }),
            Err(EncodeError::NotAVariant)
        ));
    }
}
