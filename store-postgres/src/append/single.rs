//! A command that is sent by itself: what a caller who is alone sends, without the arrays of a batch.

use folio_core::store::{Append, StreamWrite};
use folio_core::{EventId, Position, Timestamp, Version};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::answer::Recorded;
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

pub(super) const NEXT: &str = include_str!("../sql/append_next.sql");

/// Types of the parameters of [`NEXT`].
pub(super) const NEXT_TYPES: [Type; 16] = [
    Type::INT8,
    Type::INT8,
    Type::UUID,
    Type::BYTEA,
    Type::BYTEA,
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
    /// The ends of all streams are known that it writes to.
    Next(Next<'a>),
    /// It has one event, and not both ends are known, of its stream and of the store.
    Alone(Alone<'a>),
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

/// The parameters of [`NEXT`].
pub(super) struct Next<'a> {
    append: &'a Append,
    head: Option<i64>,
    head_recorded_at: Option<i64>,
    command_id: Uuid,
    fingerprint: &'a [u8],
    metadata: &'a [u8],
    seen: Seen<'a>,
    /// The version of each stream before this; of one that is not written to it is of no use.
    known: Vec<i64>,
    /// Of each event its version, and so on.
    versions: Vec<i64>,
    categories: Vec<&'a str>,
    stream_ids: Vec<&'a str>,
    event_ids: Vec<Uuid>,
    event_types: Vec<&'a str>,
    schema_versions: Vec<i32>,
    payloads: Vec<&'a [u8]>,
}

/// The streams that are not written to and have to be looked up, and what must be so of them. Null where there are none.
#[derive(Default)]
struct Seen<'a> {
    categories: Option<Vec<&'a str>>,
    stream_ids: Option<Vec<&'a str>>,
    expected: Option<Vec<i64>>,
    expected_events: Option<Vec<Option<Uuid>>>,
}

impl<'a> Single<'a> {
    pub(super) fn of(entry: &'a Entry, ends: &Ends) -> Option<Self> {
        // Without the store's end, a single event has less to carry in the other one.
        let is_single = Alone::is_of(&entry.append);
        if (ends.head().is_some() || !is_single)
            && let Some(next) = Next::of(entry, ends)
        {
            return Some(Self::Next(next));
        }
        Alone::of(entry, ends).map(Self::Alone)
    }

    /// Where its streams stand: each is named once, and nothing came before.
    pub(super) fn into_layout(self) -> Layout {
        let streams = self.append().writes.len();
        let event_ids = match self {
            Self::Next(next) => next.event_ids,
            Self::Alone(alone) => vec![alone.event_id],
        };
        Layout::of_one(streams, event_ids)
    }

    /// What was recorded, if it was, out of the row that came back.
    pub(super) fn recorded(&self, rows: &[Row]) -> Result<Option<Recorded>, tokio_postgres::Error> {
        let next = match self {
            Self::Alone(_) => return Recorded::of(rows),
            Self::Next(next) => next,
        };
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let numbers: Option<Vec<i64>> = row.try_get(0)?;
        let Some([first, recorded_at]) = numbers.as_deref() else {
            return Ok(None);
        };
        Ok(Some(Recorded {
            first_position: Position::START.plus(*first),
            recorded_at: Timestamp::from_micros(*recorded_at),
            versions: next.known.clone(),
        }))
    }

    /// Keeps in mind where the store and the streams end, once it was recorded.
    pub(super) fn tell(&self, recorded: &Recorded, ends: &mut Ends) {
        let mut ids = match self {
            Self::Next(next) => &next.event_ids,
            Self::Alone(alone) => std::slice::from_ref(&alone.event_id),
        };
        ends.recorded(recorded, ids.len());
        for (write, base) in self.append().writes.iter().zip(&recorded.versions) {
            let (own, others) = ids
                .split_at_checked(write.events.len())
                .unwrap_or((ids, &[]));
            ids = others;
            let Some(last) = own.last() else {
                ends.saw(&write.stream, write.expected);
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

    /// In the order of [`NEXT_TYPES`], or of [`ALONE_TYPES`].
    pub(super) fn as_sql(&self) -> Vec<&(dyn ToSql + Sync)> {
        match self {
            Self::Next(next) => vec![
                &next.head,
                &next.head_recorded_at,
                &next.command_id,
                &next.fingerprint,
                &next.metadata,
                &next.seen.categories,
                &next.seen.stream_ids,
                &next.seen.expected,
                &next.seen.expected_events,
                &next.versions,
                &next.categories,
                &next.stream_ids,
                &next.event_ids,
                &next.event_types,
                &next.schema_versions,
                &next.payloads,
            ],
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
        }
    }

    const fn append(&self) -> &Append {
        match self {
            Self::Next(next) => next.append,
            Self::Alone(alone) => alone.append,
        }
    }
}

impl<'a> Alone<'a> {
    fn is_of(append: &Append) -> bool {
        matches!(append.writes.as_slice(), [write] if write.events.len() == 1)
    }

    fn of(entry: &'a Entry, ends: &Ends) -> Option<Self> {
        let Entry {
            append,
            event_ids,
            metadata,
        } = entry;
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
            event_id: event_ids.nth(0).as_uuid(),
            event_type: &event.event_type,
            schema_version: i32::from(event.schema_version),
            payload: &event.payload,
            known: ends.of(&write.stream, write.expected).map(Version::number),
        })
    }
}

impl<'a> Next<'a> {
    fn of(entry: &'a Entry, ends: &Ends) -> Option<Self> {
        let Entry {
            append,
            event_ids,
            metadata,
        } = entry;
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
        let head = ends.head();
        let mut next = Self {
            append,
            head: head.map(|head| head.position.number()),
            head_recorded_at: head.map(|head| head.recorded_at.micros()),
            command_id: append.context.id.as_uuid(),
            fingerprint: append.fingerprint.as_bytes(),
            metadata,
            seen: Seen::default(),
            known: Vec::with_capacity(writes.len()),
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
                if head.is_none() || !ends.has_seen(&write.stream, write.expected) {
                    next.seen.push(write);
                }
                next.known.push(0);
                continue;
            }
            let base = ends.of(&write.stream, write.expected)?.number();
            next.known.push(base);
            for (version, event) in (base.saturating_add(1)..).zip(&write.events) {
                let event_id = event_ids.nth(next.versions.len());
                next.versions.push(version);
                next.categories.push(write.stream.category());
                next.stream_ids.push(write.stream.id());
                next.event_ids.push(event_id.as_uuid());
                next.event_types.push(&event.event_type);
                next.schema_versions.push(i32::from(event.schema_version));
                next.payloads.push(&event.payload);
            }
        }
        Some(next)
    }
}

impl<'a> Seen<'a> {
    fn push(&mut self, write: &'a StreamWrite) {
        let (expected, expected_event) = code(write.expected);
        let expected_event = expected_event.map(|event| event.as_uuid());
        let categories = self.categories.get_or_insert_default();
        categories.push(write.stream.category());
        let stream_ids = self.stream_ids.get_or_insert_default();
        stream_ids.push(write.stream.id());
        self.expected.get_or_insert_default().push(expected);
        let expected_events = self.expected_events.get_or_insert_default();
        expected_events.push(expected_event);
    }
}
