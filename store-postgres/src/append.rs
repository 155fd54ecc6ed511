//! Appending: one statement, whatever the command writes.
//!
//! The statement calls `store.append` (see `migrations/store`), which takes the store's lock, looks
//! for the command id, checks the versions and numbers the events. Gathering several commands into
//! one statement belongs here too: the arrays go in as they are, one level deeper.

use deadpool_postgres::Pool;
use folio_core::store::{Append, AppendError, AppendStatus, Appended, Outcome};
use folio_core::{EventId, ExpectedVersion, Position, RecordedEvent, Timestamp, Version};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::read;
use crate::sqlstate::{Effect, boxed};

const APPEND: &str = include_str!("sql/append.sql");

/// Types of the parameters, so that preparing needs no second round trip to look them up.
const APPEND_TYPES: [Type; 12] = [
    Type::UUID,
    Type::BYTEA,
    Type::BYTEA,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT8_ARRAY,
    Type::INT4_ARRAY,
    Type::UUID_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT4_ARRAY,
    Type::BYTEA_ARRAY,
    Type::BYTEA,
];

pub(crate) async fn append(
    appenders: &Pool,
    readers: &Pool,
    request: Append,
) -> Result<Appended, AppendError> {
    let metadata = serde_json::to_vec(&request.context.metadata())
        .map_err(|error| AppendError::Failed(boxed(error)))?;
    let row = send(appenders, &request, &metadata).await?;
    let command = request.context.id;
    match answer(&row).map_err(|error| AppendError::Failed(boxed(error)))? {
        Answer::Executed {
            first_position,
            recorded_at,
            versions,
        } => Ok(Appended {
            status: AppendStatus::Executed,
            outcome: executed(request, metadata, first_position, recorded_at, &versions),
        }),
        Answer::AlreadyApplied {
            first_position,
            event_count,
        } => {
            let outcome = read::recorded_outcome(readers, first_position, event_count)
                .await
                .map_err(|error| AppendError::Failed(boxed(error)))?;
            Ok(Appended {
                status: AppendStatus::AlreadyApplied,
                outcome,
            })
        }
        Answer::RefusedBefore { refusal } => Ok(Appended {
            status: AppendStatus::AlreadyApplied,
            outcome: Outcome::Refused(refusal),
        }),
        Answer::Conflict { stream, versions } => Err(conflict(request, stream, &versions)),
        Answer::Reused => Err(AppendError::CommandReused { command }),
        Answer::Unexpected(status) => Err(AppendError::Failed(
            format!("store.append answered {status:?}; was it migrated by another version?").into(),
        )),
    }
}

/// What `store.append` answered.
enum Answer {
    Executed {
        first_position: Option<i64>,
        recorded_at: i64,
        versions: Vec<i64>,
    },
    AlreadyApplied {
        first_position: Option<i64>,
        event_count: i32,
    },
    RefusedBefore {
        refusal: Vec<u8>,
    },
    Conflict {
        stream: i32,
        versions: Vec<i64>,
    },
    Reused,
    Unexpected(String),
}

fn answer(row: &Row) -> Result<Answer, tokio_postgres::Error> {
    let status: String = row.try_get("status")?;
    Ok(match status.as_str() {
        "executed" => Answer::Executed {
            first_position: row.try_get("first_position")?,
            recorded_at: row.try_get("recorded_at")?,
            versions: row
                .try_get::<_, Option<Vec<i64>>>("versions")?
                .unwrap_or_default(),
        },
        "already_applied" => Answer::AlreadyApplied {
            first_position: row.try_get("first_position")?,
            event_count: row.try_get("event_count")?,
        },
        "refused_before" => Answer::RefusedBefore {
            refusal: row.try_get("refusal")?,
        },
        "conflict" => Answer::Conflict {
            stream: row.try_get("stream")?,
            versions: row.try_get("versions")?,
        },
        "reused" => Answer::Reused,
        _ => Answer::Unexpected(status),
    })
}

async fn send(pool: &Pool, request: &Append, metadata: &[u8]) -> Result<Row, AppendError> {
    let client = pool
        .get()
        .await
        .map_err(|error| AppendError::Unavailable(boxed(error)))?;
    let statement = client
        .prepare_typed_cached(APPEND, &APPEND_TYPES)
        .await
        .map_err(|error| AppendError::Unavailable(boxed(error)))?;

    let writes = &request.writes;
    let categories: Vec<&str> = writes.iter().map(|w| w.stream.category()).collect();
    let stream_ids: Vec<&str> = writes.iter().map(|w| w.stream.id()).collect();
    let expected: Vec<i64> = writes.iter().map(|w| expected_code(w.expected)).collect();

    let mut event_streams: Vec<i32> = Vec::new();
    let mut event_ids: Vec<Uuid> = Vec::new();
    let mut event_types: Vec<&str> = Vec::new();
    let mut schema_versions: Vec<i32> = Vec::new();
    let mut payloads: Vec<&[u8]> = Vec::new();
    for (number, write) in (1_i32..).zip(writes) {
        for event in &write.events {
            event_ids.push(EventId::of_command(request.context.id, event_ids.len()).as_uuid());
            event_streams.push(number);
            event_types.push(&event.event_type);
            schema_versions.push(i32::from(event.schema_version));
            payloads.push(&event.payload);
        }
    }

    let command_id = request.context.id.as_uuid();
    let fingerprint: &[u8] = request.fingerprint.as_bytes();
    let refusal = request.refusal.as_deref();
    let parameters: [&(dyn ToSql + Sync); 12] = [
        &command_id,
        &fingerprint,
        &metadata,
        &categories,
        &stream_ids,
        &expected,
        &event_streams,
        &event_ids,
        &event_types,
        &schema_versions,
        &payloads,
        &refusal,
    ];
    client
        .query_one(&statement, &parameters)
        .await
        .map_err(|error| match Effect::of(&error) {
            Effect::None => AppendError::Failed(boxed(error)),
            Effect::Unknown => AppendError::OutcomeUnknown {
                command: request.context.id,
                source: boxed(error),
            },
        })
}

/// The codes that `store.append` knows expectations by.
const fn expected_code(expected: ExpectedVersion) -> i64 {
    match expected {
        ExpectedVersion::Any => -1,
        ExpectedVersion::StreamExists => -2,
        ExpectedVersion::NoStream => 0,
        ExpectedVersion::Exact(version) => version.number(),
    }
}

/// The events as the store has just recorded them: what was sent, and the numbers it gave them.
fn executed(
    request: Append,
    metadata: Vec<u8>,
    first_position: Option<i64>,
    recorded_at: i64,
    versions: &[i64],
) -> Outcome {
    if let Some(refusal) = request.refusal {
        return Outcome::Refused(refusal);
    }
    let Some(mut next) = first_position.and_then(Position::new) else {
        return Outcome::Empty;
    };
    let command_id = request.context.id;
    let mut events = Vec::new();
    for (write, before) in request.writes.into_iter().zip(versions) {
        let mut version = Version::NONE.plus(*before);
        for event in write.events {
            version = version.plus(1);
            events.push(RecordedEvent {
                position: next,
                stream: write.stream.clone(),
                version,
                event_id: EventId::of_command(command_id, events.len()),
                event_type: event.event_type,
                schema_version: event.schema_version,
                command_id,
                recorded_at: Timestamp::from_micros(recorded_at),
                payload: event.payload,
                metadata: metadata.clone(),
            });
            next = next.plus(1);
        }
    }
    Outcome::Committed(events)
}

fn conflict(request: Append, stream: i32, versions: &[i64]) -> AppendError {
    let conflicting = (1_i32..)
        .zip(request.writes)
        .zip(versions)
        .find(|((number, _), _)| *number == stream);
    match conflicting {
        Some(((_, write), actual)) => AppendError::VersionConflict {
            stream: write.stream,
            expected: write.expected,
            actual: Version::NONE.plus(*actual),
        },
        None => AppendError::Failed(
            format!("store.append reports a conflict on stream {stream} of the request, which has no such stream").into(),
        ),
    }
}
