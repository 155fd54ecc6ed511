//! The envelope around an event, and the codec between an event type of Rust and stored bytes.
//!
//! An event type is an ordinary serde enum. Its variant's name is stored as the *event type*, what
//! the variant holds as the *payload*, so `Deposited { amount }` becomes type `Deposited` with
//! payload `{"amount": …}`. The bytes are kept exactly as they were written.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::command::{Actor, Cause};
use crate::id::{CausationId, CommandId, CorrelationId, EventId};
use crate::stream::{Position, StreamId, Version};
use crate::tagged::Tagged;
use crate::time::Timestamp;
use crate::variant::Variant;

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

    /// Brings an event that was written in an older shape to today's.
    ///
    /// It is asked for every stored event, before anything else, on every path that reads. Old
    /// shapes are ordinary serde types that are turned straight into today's events: into one, into
    /// several where one event has become many, or into none where it is retired.
    ///
    /// ```
    /// use folio_core::event::{Event, StoredEvent, Upcast};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    /// enum Booking {
    ///     Booked { cents: i64 },
    ///     FeeCharged { cents: i64 },
    /// }
    /// impl Event for Booking {
    ///     fn schema_version(event_type: &str) -> u16 {
    ///         if event_type == "Booked" { 2 } else { 1 }
    ///     }
    ///     fn upcast(stored: &StoredEvent<'_>) -> Result<Upcast<Self>, serde_json::Error> {
    ///         #[derive(Deserialize)]
    ///         struct Booked1 { cents: i64, fee: i64 }
    ///         Ok(match (stored.event_type, stored.schema_version) {
    ///             ("Booked", 1) => {
    ///                 let old: Booked1 = stored.payload()?;
    ///                 Upcast::Became(vec![
    ///                     Self::Booked { cents: old.cents },
    ///                     Self::FeeCharged { cents: old.fee },
    ///                 ])
    ///             }
    ///             ("Noted", _) => Upcast::Became(Vec::new()),
    ///             _ => Upcast::Current,
    ///         })
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// What the JSON decoder said about the old shape.
    fn upcast(stored: &StoredEvent<'_>) -> Result<Upcast<Self>, serde_json::Error> {
        let _ = stored;
        Ok(Upcast::Current)
    }
}

/// What is stored of an event, as an upcaster sees it.
#[derive(Debug, Clone, Copy)]
pub struct StoredEvent<'a> {
    /// The type it was written as.
    pub event_type: &'a str,
    /// The version of the shape that it was written in.
    pub schema_version: u16,
    payload: &'a [u8],
}

impl<'a> StoredEvent<'a> {
    /// Its payload, in the shape `T`.
    ///
    /// # Errors
    ///
    /// When the payload has another shape.
    pub fn payload<T: Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.payload)
    }
}

/// What an upcaster makes of a stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upcast<E> {
    /// It is in today's shape already.
    Current,
    /// It stands for these events of today, maybe none.
    Became(Vec<E>),
}

/// The events that one stored event stands for: nearly always one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<E> {
    /// One, as it was written.
    One(E),
    /// Those that an upcaster made of it, maybe none.
    Upcast(Vec<E>),
}

impl<E> Decoded<E> {
    /// The events, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[E] {
        match self {
            Self::One(event) => std::slice::from_ref(event),
            Self::Upcast(events) => events,
        }
    }
}

impl<E> IntoIterator for Decoded<E> {
    type Item = E;
    type IntoIter = std::iter::Chain<std::option::IntoIter<E>, std::vec::IntoIter<E>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Self::One(event) => (Some(event), Vec::new()),
            Self::Upcast(events) => (None, events),
        };
        one.into_iter().chain(many)
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
        let Tagged { name, contents } = Tagged::of(event)?;
        Ok(Self {
            schema_version: E::schema_version(name),
            event_type: name.to_owned(),
            payload: contents,
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
///
/// What a page of events would hold many times is shared between them: a clone copies no text, and
/// one event that is kept may keep some kilobytes that were read with it.
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
    pub event_type: Arc<str>,
    /// The version of the payload's shape.
    pub schema_version: u16,
    /// The command that caused it.
    pub command_id: CommandId,
    /// When the store recorded it, by the store's clock.
    pub recorded_at: Timestamp,
    /// The payload's JSON, byte for byte as it was written.
    pub payload: Bytes,
    /// The metadata's JSON, byte for byte as it was written.
    pub metadata: Bytes,
}

impl RecordedEvent {
    /// Decodes the payload into the events of today that it stands for; see [`Event::upcast`].
    ///
    /// # Errors
    ///
    /// [`DecodeError`], which names the event, when its type is not one of `E`'s variants, the
    /// payload is not what that variant holds, or it was written in another shape than today's and
    /// no upcaster takes it. Nothing is ever skipped.
    pub fn decode<E: Event>(&self) -> Result<Decoded<E>, DecodeError> {
        let stored = StoredEvent {
            event_type: &self.event_type,
            schema_version: self.schema_version,
            payload: &self.payload,
        };
        let upcast = E::upcast(&stored).map_err(|source| self.decode_error(source.into()))?;
        if let Upcast::Became(events) = upcast {
            return Ok(Decoded::Upcast(events));
        }
        let today = E::schema_version(&self.event_type);
        if self.schema_version != today {
            return Err(self.decode_error(DecodeCause::Schema { today }));
        }
        let variant = Variant::new(&self.event_type, &self.payload);
        E::deserialize(variant)
            .map(Decoded::One)
            .map_err(|source| self.decode_error(source.into()))
    }

    /// Decodes the metadata.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], which names the event.
    pub fn decode_metadata(&self) -> Result<Metadata, DecodeError> {
        serde_json::from_slice(&self.metadata).map_err(|source| self.decode_error(source.into()))
    }

    fn decode_error(&self, source: DecodeCause) -> DecodeError {
        DecodeError {
            position: self.position,
            stream: self.stream.clone(),
            version: self.version,
            event_type: String::from(&*self.event_type),
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
    /// What is wrong with it.
    pub source: DecodeCause,
}

/// Why a stored event could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeCause {
    /// What the JSON decoder said.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It is in an older shape, or in a newer one than this program knows.
    #[error("it is not in today's shape, {today}, and no upcaster takes it")]
    Schema {
        /// The version of the shape in which its type is written today.
        today: u16,
    },
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
            event_type: new.event_type.into(),
            schema_version: new.schema_version,
            command_id,
            recorded_at: Timestamp::from_micros(0),
            payload: new.payload.into(),
            metadata: Bytes::from_static(b"{}"),
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
            let decoded = recorded(new).decode::<Sample>().unwrap();
            assert_eq!(decoded.as_slice(), [event]);
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
        event.event_type = "Exploded".into();
        let error = event.decode::<Sample>().unwrap_err().to_string();
        assert!(
            error.contains("position 7") && error.contains("Exploded"),
            "{error}"
        );
    }

    #[test]
    fn bytes_after_the_payload_are_refused() {
        let mut event = recorded(NewEvent::encode(&Sample::Closed).unwrap());
        event.payload = Bytes::from_static(b"null null");
        assert!(event.decode::<Sample>().is_err());
        event.payload = Bytes::from_static(b"7");
        assert!(event.decode::<Sample>().is_err());
    }

    /// `Opened` was `Started` once, and held a list of names; `Paused` is retired.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Evolved {
        Opened { name: String },
    }

    impl Event for Evolved {
        fn schema_version(_: &str) -> u16 {
            2
        }

        fn upcast(stored: &StoredEvent<'_>) -> Result<Upcast<Self>, serde_json::Error> {
            Ok(match (stored.event_type, stored.schema_version) {
                ("Started", 1) => Upcast::Became(
                    stored
                        .payload::<Vec<String>>()?
                        .into_iter()
                        .map(|name| Self::Opened { name })
                        .collect(),
                ),
                ("Paused", _) => Upcast::Became(Vec::new()),
                _ => Upcast::Current,
            })
        }
    }

    fn stored(event_type: &str, schema_version: u16, payload: &str) -> RecordedEvent {
        recorded(NewEvent {
            event_type: event_type.to_owned(),
            schema_version,
            payload: payload.as_bytes().to_vec(),
        })
    }

    #[test]
    fn an_old_event_becomes_one_several_or_none_of_today() {
        let decode = |event: RecordedEvent| event.decode::<Evolved>().unwrap();
        let opened = |name: &str| Evolved::Opened {
            name: name.to_owned(),
        };
        let two = decode(stored("Started", 1, r#"["a","b"]"#));
        assert_eq!(two.as_slice(), [opened("a"), opened("b")]);
        assert_eq!(decode(stored("Paused", 1, "null")).into_iter().count(), 0);
        let current = decode(stored("Opened", 2, r#"{"name":"a"}"#));
        assert_eq!(current.into_iter().collect::<Vec<_>>(), [opened("a")]);
    }

    #[test]
    fn an_event_without_an_upcaster_is_an_error_and_not_a_guess() {
        for schema in [1, 3] {
            let error = stored("Opened", schema, r#"{"name":"a"}"#)
                .decode::<Evolved>()
                .unwrap_err();
            assert!(matches!(error.source, DecodeCause::Schema { today: 2 }));
        }
        let error = stored("Started", 1, "7").decode::<Evolved>().unwrap_err();
        assert!(matches!(error.source, DecodeCause::Json(_)), "{error:?}");
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
