//! What the server has answered to a batch, and what that is to each request of it.

use bytes::Bytes;
use folio_core::store::{Append, AppendError, Outcome};
use folio_core::{EventId, Position, RecordedEvent, Timestamp, Version};
use tokio_postgres::Row;

use super::batch::{Entry, Layout};

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

/// What the server has answered.
pub(super) enum Answered {
    /// It has recorded everything at once.
    Recorded(Recorded),
    /// A row for each command, which it has looked at one after another.
    OneByOne(Vec<Row>),
}

/// What was recorded at once.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) first_position: Position,
    pub(super) recorded_at: Timestamp,
    /// The versions that the streams had before.
    pub(super) versions: Vec<i64>,
}

impl Recorded {
    /// From the row of `store.append_many` or `store.append_alone`, if it says so.
    pub(super) fn of(rows: &[Row]) -> Result<Option<Self>, tokio_postgres::Error> {
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let one_by_one = row.try_get::<_, Option<i32>>("command")?.is_some();
        if one_by_one || row.try_get::<_, Option<&str>>("status")?.is_none() {
            return Ok(None);
        }
        let versions: Option<Vec<i64>> = row.try_get("versions")?;
        Ok(Some(Self {
            first_position: Position::START.plus(row.try_get("first_position")?),
            recorded_at: Timestamp::from_micros(row.try_get("recorded_at")?),
            versions: versions.unwrap_or_default(),
        }))
    }
}

/// The answers to `entries`, of which each stands in `layout`.
pub(super) fn answers(
    entries: Vec<Entry>,
    layout: Layout,
    answered: Answered,
) -> Result<Vec<Result<Answer, AppendError>>, tokio_postgres::Error> {
    let rows = match answered {
        Answered::Recorded(recorded) => return Ok(all_executed(entries, layout, &recorded)),
        Answered::OneByOne(rows) => rows,
    };
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
        .zip(&rows)
        .map(|(entry, row)| one(entry, row))
        .collect()
}

fn all_executed(
    entries: Vec<Entry>,
    layout: Layout,
    recorded: &Recorded,
) -> Vec<Result<Answer, AppendError>> {
    let mut next = recorded.first_position;
    let mut versions = layout.versions(&recorded.versions);
    let mut ids = layout.event_ids.iter().copied().map(EventId::from_uuid);
    entries
        .into_iter()
        .map(|entry| {
            let before = versions.by_ref().take(entry.append.writes.len()).collect();
            Ok(executed(
                entry,
                &mut next,
                recorded.recorded_at,
                before,
                &mut ids,
            ))
        })
        .collect()
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
            let event_ids = entry.event_ids;
            let mut ids = (0..).map(|index| event_ids.nth(index));
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
    let Entry {
        append, metadata, ..
    } = entry;
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
