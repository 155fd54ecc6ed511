//! A batch: requests as the arrays that `store.append_many` takes.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use folio_core::store::Append;
use folio_core::{CommandId, EventId, EventIds, ExpectedVersion, StreamId, Version};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::answer::Recorded;
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

/// A request with what will be stored beside it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) append: Append,
    pub(super) event_ids: EventIds,
    pub(super) metadata: Vec<u8>,
}

impl Entry {
    pub(super) fn new(append: Append) -> Result<Self, serde_json::Error> {
        let metadata = serde_json::to_vec(&append.context.metadata())?;
        let event_ids = append.event_ids();
        Ok(Self {
            append,
            event_ids,
            metadata,
        })
    }
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
    touched: HashMap<&'a StreamId, Touched, RandomState>,
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

    fn push(&mut self, entry: &'a Entry, ends: &Ends) {
        let Entry {
            append,
            event_ids,
            metadata,
        } = entry;
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
                let event_id = event_ids.nth(events);
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

    /// Keeps in mind where the store and the streams end, once all has been recorded.
    pub(super) fn tell(&self, recorded: &Recorded, ends: &mut Ends) {
        ends.recorded(recorded, self.event_ids.len());
        for (stream, touched) in &self.touched {
            let base = recorded
                .versions
                .get(index(touched.first))
                .copied()
                .unwrap_or(0);
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
    pub(super) event_ids: Vec<Uuid>,
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
    pub(super) fn versions(&self, at_first: &[i64]) -> impl Iterator<Item = Version> {
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

/// Whether a batch may take one more request: each command once, because a repeat must find the
/// first one's outcome on record.
#[derive(Debug, Default)]
pub(super) struct Commands(HashSet<CommandId, RandomState>);

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
