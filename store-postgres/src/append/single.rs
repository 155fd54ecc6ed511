//! A command that is sent by itself: what a caller who is alone sends, without the arrays of a batch.

use folio_core::store::{Append, StreamWrite};
use folio_core::{EventId, Version};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::batch::{Entry, Layout, code};
use super::ends::{End, Ends};

pub(super) const ALONE: &str = include_str!("../sql/append_alone.sql");

/// Types of the parameters of [`ALONE`], so that preparing needs no second round trip to look them up.
pub(super) const ALONE_TYPES: [Type; 12] = [
    Type::UUID,
    Type::BYTEA,
    Type::BYTEA,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::UUID,
    Type::UUID,
    Type::TEXT,
    Type::INT4,
    Type::BYTEA,
    Type::INT8,
];

pub(super) const KNOWN: &str = include_str!("../sql/append_known.sql");

/// Types of the parameters of [`KNOWN`].
pub(super) const KNOWN_TYPES: [Type; 15] = [
    Type::UUID,
    Type::BYTEA,
    Type::BYTEA,
    Type::INT8_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT8_ARRAY,
    Type::UUID_ARRAY,
    Type::INT8_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::UUID_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT4_ARRAY,
    Type::BYTEA_ARRAY,
];

/// With more streams than these it is sent as a batch of one.
const STREAMS_MAX: usize = 16;

/// A new command for which there is a statement of its own.
pub(super) enum Single<'a> {
    /// It has one event.
    Alone(Alone<'a>),
    /// The ends of all streams are known that it writes to.
    Known(Known<'a>),
}

/// The parameters of [`ALONE`].
pub(super) struct Alone<'a> {
    append: &'a Append,
    command_id: Uuid,
    fingerprint: &'a [u8],
    metadata: &'a [u8],
    category: &'a str,
    stream_id: &'a str,
    expected: i64,
    expected_event: Option<Uuid>,
    event_id: Uuid,
    event_type: &'a str,
    schema_version: i32,
    payload: &'a [u8],
    known: Option<i64>,
}

/// The parameters of [`KNOWN`].
pub(super) struct Known<'a> {
    append: &'a Append,
    command_id: Uuid,
    fingerprint: &'a [u8],
    metadata: &'a [u8],
    /// The version of each stream before this; of one that is not written to it is of no use.
    known: Vec<i64>,
    seen: Seen<'a>,
    /// Of each event its version, and so on.
    versions: Vec<i64>,
    categories: Vec<&'a str>,
    stream_ids: Vec<&'a str>,
    event_ids: Vec<Uuid>,
    event_types: Vec<&'a str>,
    schema_versions: Vec<i32>,
    payloads: Vec<&'a [u8]>,
}

/// The streams that are not written to, and what must be so of them.
#[derive(Default)]
struct Seen<'a> {
    categories: Vec<&'a str>,
    stream_ids: Vec<&'a str>,
    expected: Vec<i64>,
    expected_events: Vec<Option<Uuid>>,
}

impl<'a> Single<'a> {
    pub(super) fn of(entry: &'a Entry, ends: &Ends) -> Option<Self> {
        if let Some(alone) = Alone::of(entry, ends) {
            return Some(Self::Alone(alone));
        }
        Known::of(entry, ends).map(Self::Known)
    }

    /// Where its streams stand: each is named once, and nothing came before.
    pub(super) fn into_layout(self) -> Layout {
        let streams = self.append().writes.len();
        let event_ids = match self {
            Self::Alone(alone) => vec![alone.event_id],
            Self::Known(known) => known.event_ids,
        };
        Layout::of_one(streams, event_ids)
    }

    /// Keeps in mind where the streams end, once it was recorded on those versions of them.
    pub(super) fn tell(&self, versions: &[i64], ends: &mut Ends) {
        let mut ids = match self {
            Self::Alone(alone) => std::slice::from_ref(&alone.event_id),
            Self::Known(known) => &known.event_ids,
        };
        for (write, base) in self.append().writes.iter().zip(versions) {
            let (own, others) = ids
                .split_at_checked(write.events.len())
                .unwrap_or((ids, &[]));
            ids = others;
            let Some(last) = own.last() else {
                continue;
            };
            let count = i64::try_from(own.len()).unwrap_or(i64::MAX);
            let before = Version::NONE.plus(*base);
            let end = End {
                version: before.plus(count),
                event: EventId::from_uuid(*last),
            };
            ends.learn(&write.stream, before, end);
        }
    }

    /// In the order of [`ALONE_TYPES`], or of [`KNOWN_TYPES`].
    pub(super) fn as_sql(&self) -> Vec<&(dyn ToSql + Sync)> {
        match self {
            Self::Alone(alone) => vec![
                &alone.command_id,
                &alone.fingerprint,
                &alone.metadata,
                &alone.category,
                &alone.stream_id,
                &alone.expected,
                &alone.expected_event,
                &alone.event_id,
                &alone.event_type,
                &alone.schema_version,
                &alone.payload,
                &alone.known,
            ],
            Self::Known(known) => vec![
                &known.command_id,
                &known.fingerprint,
                &known.metadata,
                &known.known,
                &known.seen.categories,
                &known.seen.stream_ids,
                &known.seen.expected,
                &known.seen.expected_events,
                &known.versions,
                &known.categories,
                &known.stream_ids,
                &known.event_ids,
                &known.event_types,
                &known.schema_versions,
                &known.payloads,
            ],
        }
    }

    const fn append(&self) -> &Append {
        match self {
            Self::Alone(alone) => alone.append,
            Self::Known(known) => known.append,
        }
    }
}

impl<'a> Alone<'a> {
    fn of(Entry { append, metadata }: &'a Entry, ends: &Ends) -> Option<Self> {
        let [write] = append.writes.as_slice() else {
            return None;
        };
        let [event] = write.events.as_slice() else {
            return None;
        };
        let (expected, expected_event) = code(write.expected);
        Some(Self {
            append,
            command_id: append.context.id.as_uuid(),
            fingerprint: append.fingerprint.as_bytes(),
            metadata,
            category: write.stream.category(),
            stream_id: write.stream.id(),
            expected,
            expected_event: expected_event.map(|event| event.as_uuid()),
            event_id: EventId::of_command(append.context.id, 0).as_uuid(),
            event_type: &event.event_type,
            schema_version: i32::from(event.schema_version),
            payload: &event.payload,
            known: ends.of(&write.stream, write.expected).map(Version::number),
        })
    }
}

impl<'a> Known<'a> {
    fn of(Entry { append, metadata }: &'a Entry, ends: &Ends) -> Option<Self> {
        let writes = append.writes.as_slice();
        let is_twice = |(index, write): (usize, &StreamWrite)| {
            let before = writes.iter().take(index);
            before.into_iter().any(|other| other.stream == write.stream)
        };
        // A command without events is an outcome, and those have one statement.
        if writes.iter().all(|write| write.events.is_empty())
            || writes.len() > STREAMS_MAX
            || writes.iter().enumerate().any(is_twice)
        {
            return None;
        }
        let mut known = Self {
            append,
            command_id: append.context.id.as_uuid(),
            fingerprint: append.fingerprint.as_bytes(),
            metadata,
            known: Vec::new(),
            seen: Seen::default(),
            versions: Vec::new(),
            categories: Vec::new(),
            stream_ids: Vec::new(),
            event_ids: Vec::new(),
            event_types: Vec::new(),
            schema_versions: Vec::new(),
            payloads: Vec::new(),
        };
        for write in writes {
            if write.events.is_empty() {
                known.seen.push(write);
                known.known.push(0);
                continue;
            }
            let base = ends.of(&write.stream, write.expected)?.number();
            known.known.push(base);
            for (version, event) in (base.saturating_add(1)..).zip(&write.events) {
                let event_id = EventId::of_command(append.context.id, known.versions.len());
                known.versions.push(version);
                known.categories.push(write.stream.category());
                known.stream_ids.push(write.stream.id());
                known.event_ids.push(event_id.as_uuid());
                known.event_types.push(&event.event_type);
                known.schema_versions.push(i32::from(event.schema_version));
                known.payloads.push(&event.payload);
            }
        }
        Some(known)
    }
}

impl<'a> Seen<'a> {
    fn push(&mut self, write: &'a StreamWrite) {
        let (expected, expected_event) = code(write.expected);
        self.categories.push(write.stream.category());
        self.stream_ids.push(write.stream.id());
        self.expected.push(expected);
        self.expected_events
            .push(expected_event.map(|event| event.as_uuid()));
    }
}
