//! A batch: requests as the arrays that `store.append_many` takes, and its rows as their answers.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use folio_core::store::{Append, AppendError, Outcome};
use folio_core::{
    CommandId, EventId, ExpectedVersion, Position, RecordedEvent, StreamId, Timestamp, Version,
};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::ends::{End, Ends};
use crate::sqlstate::boxed;

pub(super) const STATEMENT: &str = include_str!("../sql/append_many.sql");

/// Types of the parameters, so that preparing needs no second round trip to look them up.
pub(super) const TYPES: [Type; 26] = [
    Type::UUID_ARRAY,
    Type::BYTEA_ARRAY,
    Type::BYTEA_ARRAY,
    Type::BYTEA_ARRAY,
    Type::INT4_ARRAY,
    Type::INT4_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT8_ARRAY,
    Type::UUID_ARRAY,
    Type::INT4_ARRAY,
    Type::INT8_ARRAY,
    Type::INT4_ARRAY,
    Type::UUID_ARRAY,
    Type::BYTEA_ARRAY,
    Type::BYTEA_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT4_ARRAY,
    Type::INT4_ARRAY,
    Type::INT8_ARRAY,
    Type::UUID_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT4_ARRAY,
    Type::BYTEA_ARRAY,
    Type::INT8_ARRAY,
];

/// A request with its metadata as it will be stored.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) append: Append,
    pub(super) metadata: Vec<u8>,
}

/// What became of one request.
#[derive(Debug)]
pub(super) enum Answer {
    /// This call recorded it.
    Executed(Outcome),
    /// It was on record, as events that are still to be read.
    OnRecord {
        first_position: Option<i64>,
        event_count: i32,
    },
    /// It was on record, as a refusal.
    RefusedBefore(Vec<u8>),
}

/// The columns of one call. See `store.append_many` for what each holds.
#[derive(Default)]
pub(super) struct Arrays<'a> {
    command_ids: Vec<Uuid>,
    fingerprints: Vec<&'a [u8]>,
    metadata: Vec<&'a [u8]>,
    refusals: Vec<Option<&'a [u8]>>,
    streams: Vec<i32>,
    events: Vec<i32>,
    categories: Vec<&'a str>,
    stream_ids: Vec<&'a str>,
    expected: Vec<i64>,
    expected_events: Vec<Option<Uuid>>,
    first: Vec<i32>,
    before: Vec<i64>,
    event_commands: Vec<Option<i32>>,
    event_command_ids: Vec<Uuid>,
    event_metadata: Vec<&'a [u8]>,
    event_fingerprints: Vec<Option<&'a [u8]>>,
    event_categories: Vec<&'a str>,
    event_stream_ids: Vec<&'a str>,
    event_streams: Vec<i32>,
    event_first: Vec<i32>,
    event_numbers: Vec<i64>,
    event_ids: Vec<Uuid>,
    event_types: Vec<&'a str>,
    schema_versions: Vec<i32>,
    payloads: Vec<&'a [u8]>,
    known: Vec<i64>,
    /// What the requests so far do to each stream.
    touched: HashMap<&'a StreamId, Touched>,
    /// Whether all requests can succeed, as far as they can be compared with each other.
    together: Together,
}

/// How the commands of a batch are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The only command, which is new.
    Single,
    /// All at once, if they all can be.
    Together,
    /// One after another.
    OneByOne,
}

#[derive(Clone, Copy)]
struct Touched {
    first: i32,
    events: i64,
    last_event: Option<EventId>,
    /// The version before the batch, where it need not be looked up.
    known: Option<Version>,
}

#[derive(Default, PartialEq, Eq)]
enum Together {
    #[default]
    Possible,
    /// One expects an event where another of this batch has put a different one.
    Impossible,
}

impl<'a> Arrays<'a> {
    pub(super) fn of(entries: impl IntoIterator<Item = &'a Entry>, ends: &Ends) -> Self {
        let mut arrays = Self::default();
        for entry in entries {
            arrays.push(entry, ends);
        }
        arrays.fill_in_known();
        arrays
    }

    fn push(&mut self, Entry { append, metadata }: &'a Entry, ends: &Ends) {
        let command = append.context.id;
        self.command_ids.push(command.as_uuid());
        self.fingerprints.push(append.fingerprint.as_bytes());
        self.metadata.push(metadata);
        self.refusals.push(append.refusal.as_deref());
        self.streams.push(number(append.writes.len()));
        let mut events = 0;
        for (stream_of_command, write) in (1_i32..).zip(&append.writes) {
            let mut touched = self.touch(&write.stream, write.expected, ends);
            for event in &write.events {
                let event_id = EventId::of_command(command, events);
                let is_first = events == 0;
                events = events.saturating_add(1);
                touched.events = touched.events.saturating_add(1);
                touched.last_event = Some(event_id);
                self.event_commands
                    .push(is_first.then(|| number(self.command_ids.len())));
                self.event_command_ids.push(command.as_uuid());
                self.event_metadata.push(metadata);
                self.event_fingerprints
                    .push(is_first.then(|| append.fingerprint.as_bytes().as_slice()));
                self.event_categories.push(write.stream.category());
                self.event_stream_ids.push(write.stream.id());
                self.event_streams.push(stream_of_command);
                self.event_first.push(touched.first);
                self.event_numbers.push(touched.events);
                self.event_ids.push(event_id.as_uuid());
                self.event_types.push(&event.event_type);
                self.schema_versions.push(i32::from(event.schema_version));
                self.payloads.push(&event.payload);
            }
            self.touched.insert(&write.stream, touched);
        }
        self.events.push(number(events));
    }

    /// Adds an element for a stream of a command, and answers what the batch has done to it so far.
    fn touch(&mut self, stream: &'a StreamId, expected: ExpectedVersion, ends: &Ends) -> Touched {
        self.categories.push(stream.category());
        self.stream_ids.push(stream.id());
        let (version, event) = code(expected);
        self.expected.push(version);
        self.expected_events
            .push(event.map(|event| event.as_uuid()));
        let touched = match self.touched.get(stream).copied() {
            None => Touched {
                first: number(self.categories.len()),
                events: 0,
                last_event: None,
                known: ends.of(stream, expected),
            },
            Some(touched) => Touched {
                known: touched.known.filter(|known| {
                    if touched.events == 0 && expected != ExpectedVersion::Any {
                        ends.of(stream, expected) == Some(*known)
                    } else {
                        expected.admits(known.plus(touched.events), touched.last_event)
                    }
                }),
                ..touched
            },
        };
        self.first.push(touched.first);
        self.before.push(touched.events);
        if touched.last_event.is_some() && event.is_some() && event != touched.last_event {
            self.together = Together::Impossible;
        }
        touched
    }

    /// The end of a stream that the batch does not write to has to be looked up: what was written to it
    /// elsewhere would run into no index.
    fn fill_in_known(&mut self) {
        let mut known = vec![LOOK_UP; self.first.len()];
        for touched in self.touched.values() {
            let first = known.get_mut(index(touched.first));
            if let (Some(first), Some(version), 1..) = (first, touched.known, touched.events) {
                *first = version.number();
            }
        }
        let of_first = |first: &i32| known.get(index(*first)).copied().unwrap_or(LOOK_UP);
        self.known = self.first.iter().map(of_first).collect();
    }

    /// Keeps in mind where the streams end, once all has been recorded on what they had `at_first`.
    pub(super) fn tell(&self, at_first: &[i64], ends: &mut Ends) {
        for (stream, touched) in &self.touched {
            let base = at_first.get(index(touched.first)).copied().unwrap_or(0);
            if let Some(event) = touched.last_event {
                let before = Version::NONE.plus(base);
                let version = before.plus(touched.events);
                ends.learn(stream, before, End { version, event });
            }
        }
    }

    /// Where each stream of each command stands in the batch.
    pub(super) fn into_layout(self) -> Layout {
        Layout {
            first: self.first,
            before: self.before,
            event_ids: self.event_ids,
        }
    }

    /// The parameters, in the order of [`TYPES`].
    pub(super) fn parameters(&self, form: Form) -> Parameters<'_> {
        let together = form == Form::Together && self.together == Together::Possible;
        Parameters {
            arrays: self,
            first: together.then_some(self.first.as_slice()),
        }
    }
}

/// For each stream of each command: which element names the stream first, and how many events
/// earlier commands have for it. And the ids of all events, in their order.
pub(super) struct Layout {
    first: Vec<i32>,
    before: Vec<i64>,
    event_ids: Vec<Uuid>,
}

impl Layout {
    /// That of a single command with so many streams, and these events.
    pub(super) fn of_one(streams: usize, event_ids: Vec<Uuid>) -> Self {
        Self {
            first: (1..=number(streams)).collect(),
            before: vec![0; streams],
            event_ids,
        }
    }

    /// The version of each stream of each command just before that command.
    fn versions(&self, at_first: &[i64]) -> impl Iterator<Item = Version> {
        self.first.iter().zip(&self.before).map(|(first, before)| {
            let base = at_first.get(index(*first)).copied().unwrap_or_default();
            Version::NONE.plus(base).plus(*before)
        })
    }
}

/// The columns as parameters; `first` is null where the commands cannot all succeed.
pub(super) struct Parameters<'a> {
    arrays: &'a Arrays<'a>,
    first: Option<&'a [i32]>,
}

impl Parameters<'_> {
    pub(super) fn as_sql(&self) -> [&(dyn ToSql + Sync); 26] {
        let a = self.arrays;
        [
            &a.command_ids,
            &a.fingerprints,
            &a.metadata,
            &a.refusals,
            &a.streams,
            &a.events,
            &a.categories,
            &a.stream_ids,
            &a.expected,
            &a.expected_events,
            &self.first,
            &a.before,
            &a.event_commands,
            &a.event_command_ids,
            &a.event_metadata,
            &a.event_fingerprints,
            &a.event_categories,
            &a.event_stream_ids,
            &a.event_streams,
            &a.event_first,
            &a.event_numbers,
            &a.event_ids,
            &a.event_types,
            &a.schema_versions,
            &a.payloads,
            &a.known,
        ]
    }
}

/// An index or a count. A batch is far from two thousand million of anything; past that the server
/// would refuse the numbers.
fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Where element `number` of an array of SQL is in ours.
fn index(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0).saturating_sub(1)
}

/// In the place of a version that `store.append_many` is to look up.
const LOOK_UP: i64 = -1;

/// How `store.append_many` knows an expectation.
pub(super) const fn code(expected: ExpectedVersion) -> (i64, Option<EventId>) {
    match expected {
        ExpectedVersion::Any => (-1, None),
        ExpectedVersion::StreamExists => (-2, None),
        ExpectedVersion::NoStream => (0, None),
        ExpectedVersion::Exact(version) => (version.number(), None),
        ExpectedVersion::LastEvent { version, event_id } => (version.number(), Some(event_id)),
    }
}

/// The versions that streams had before all of a batch was recorded at once, if it was.
pub(super) fn recorded_at_once(rows: &[Row]) -> Result<Option<Vec<i64>>, tokio_postgres::Error> {
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let one_by_one = row.try_get::<_, Option<i32>>("command")?.is_some();
    if one_by_one || row.try_get::<_, Option<&str>>("status")?.is_none() {
        return Ok(None);
    }
    let versions: Option<Vec<i64>> = row.try_get("versions")?;
    Ok(Some(versions.unwrap_or_default()))
}

/// The answers to `entries`, from the rows that they were answered with.
pub(super) fn answers(
    entries: Vec<Entry>,
    layout: Layout,
    rows: &[Row],
) -> Result<Vec<Result<Answer, AppendError>>, tokio_postgres::Error> {
    if let (Some(row), Some(at_first)) = (rows.first(), recorded_at_once(rows)?) {
        return all_executed(entries, layout, row, &at_first);
    }
    if rows.len() != entries.len() {
        let (sent, answered) = (entries.len(), rows.len());
        return Ok(entries
            .iter()
            .map(|_| {
                Err(unexpected(&format_args!(
                    "{answered} rows for {sent} commands"
                )))
            })
            .collect());
    }
    entries
        .into_iter()
        .zip(rows)
        .map(|(entry, row)| one(entry, row))
        .collect()
}

fn all_executed(
    entries: Vec<Entry>,
    layout: Layout,
    row: &Row,
    at_first: &[i64],
) -> Result<Vec<Result<Answer, AppendError>>, tokio_postgres::Error> {
    let mut next = Position::START.plus(row.try_get("first_position")?);
    let recorded_at = Timestamp::from_micros(row.try_get("recorded_at")?);
    let mut versions = layout.versions(at_first);
    let mut ids = layout.event_ids.iter().copied().map(EventId::from_uuid);
    Ok(entries
        .into_iter()
        .map(|entry| {
            let before = versions.by_ref().take(entry.append.writes.len()).collect();
            Ok(executed(entry, &mut next, recorded_at, before, &mut ids))
        })
        .collect())
}

fn one(entry: Entry, row: &Row) -> Result<Result<Answer, AppendError>, tokio_postgres::Error> {
    let status: &str = row.try_get("status")?;
    let versions = || -> Result<Vec<Version>, tokio_postgres::Error> {
        let versions = row
            .try_get::<_, Option<Vec<i64>>>("versions")?
            .unwrap_or_default();
        Ok(versions
            .into_iter()
            .map(|version| Version::NONE.plus(version))
            .collect())
    };
    Ok(match status {
        "executed" => {
            let first: Option<i64> = row.try_get("first_position")?;
            let mut next = Position::START.plus(first.unwrap_or_default());
            let recorded_at = Timestamp::from_micros(row.try_get("recorded_at")?);
            let command = entry.append.context.id;
            let mut ids = (0..).map(|index| EventId::of_command(command, index));
            Ok(executed(
                entry,
                &mut next,
                recorded_at,
                versions()?,
                &mut ids,
            ))
        }
        "already_applied" => Ok(Answer::OnRecord {
            first_position: row.try_get("first_position")?,
            event_count: row.try_get("event_count")?,
        }),
        "refused_before" => Ok(Answer::RefusedBefore(row.try_get("refusal")?)),
        "conflict" => Err(conflict(entry.append, row.try_get("stream")?, &versions()?)),
        "reused" => Err(AppendError::CommandReused {
            command: entry.append.context.id,
        }),
        _ => Err(unexpected(&status)),
    })
}

/// The outcome as the store has just recorded it: what was sent, and the numbers it gave.
fn executed(
    entry: Entry,
    next: &mut Position,
    recorded_at: Timestamp,
    before: Vec<Version>,
    ids: &mut impl Iterator<Item = EventId>,
) -> Answer {
    let Entry { append, metadata } = entry;
    if let Some(refusal) = append.refusal {
        return Answer::Executed(Outcome::Refused(refusal));
    }
    let command_id = append.context.id;
    let metadata = Bytes::from(metadata);
    let count = append.writes.iter().map(|write| write.events.len()).sum();
    let mut events = Vec::with_capacity(count);
    for (write, mut version) in append.writes.into_iter().zip(before) {
        for (event, event_id) in write.events.into_iter().zip(ids.by_ref()) {
            version = version.plus(1);
            events.push(RecordedEvent {
                position: *next,
                stream: write.stream.clone(),
                version,
                event_id,
                event_type: event.event_type.into(),
                schema_version: event.schema_version,
                command_id,
                recorded_at,
                payload: event.payload.into(),
                metadata: metadata.clone(),
            });
            *next = next.plus(1);
        }
    }
    Answer::Executed(if events.is_empty() {
        Outcome::Empty
    } else {
        Outcome::Committed(events)
    })
}

fn conflict(append: Append, stream: i32, versions: &[Version]) -> AppendError {
    let conflicting = (1_i32..)
        .zip(append.writes)
        .zip(versions)
        .find(|((number, _), _)| *number == stream);
    match conflicting {
        Some(((_, write), actual)) => AppendError::VersionConflict {
            stream: write.stream,
            expected: write.expected,
            actual: *actual,
        },
        None => unexpected(&format_args!(
            "a conflict on stream {stream} of a command that has no such stream"
        )),
    }
}

fn unexpected(what: &dyn std::fmt::Display) -> AppendError {
    AppendError::Failed(
        format!("store.append_many answered {what}; was it migrated by another version?").into(),
    )
}

/// Whether a batch may take one more request: each command once, because a repeat must find the
/// first one's outcome on record.
#[derive(Debug, Default)]
pub(super) struct Commands(HashSet<CommandId>);

impl Commands {
    pub(super) fn admit(&mut self, command: CommandId) -> bool {
        self.0.insert(command)
    }
}

/// An error that several requests share.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub(super) struct Shared(std::sync::Arc<dyn std::error::Error + Send + Sync>);

impl Shared {
    pub(super) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(std::sync::Arc::new(error))
    }

    pub(super) fn boxed(&self) -> folio_core::store::StoreSource {
        boxed(self.clone())
    }
}
