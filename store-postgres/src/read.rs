//! Reading: streams by version, the whole store by position, outcomes by command id.

use deadpool_postgres::{Object, Pool};
use folio_core::store::{Outcome, ReadError};
use folio_core::{
    BatchSize, CommandId, EventId, Position, RecordedEvent, StreamId, Timestamp, Version,
};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::sqlstate::boxed;

const READ_STREAM: &str = include_str!("sql/read_stream.sql");
const READ_ALL: &str = include_str!("sql/read_all.sql");
const OUTCOME: &str = include_str!("sql/outcome.sql");
const HEAD: &str = "SELECT coalesce(max(position), 0) FROM store.events";

pub(crate) async fn stream(
    pool: &Pool,
    stream: &StreamId,
    after: Version,
    limit: BatchSize,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let rows = query(
        pool,
        READ_STREAM,
        &[Type::TEXT, Type::TEXT, Type::INT8, Type::INT8],
        &[
            &stream.category(),
            &stream.id(),
            &after.number(),
            &limit.events(),
        ],
    )
    .await?;
    rows.iter().map(event).collect()
}

pub(crate) async fn all(
    pool: &Pool,
    after: Position,
    limit: BatchSize,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let last = after.plus(limit.events());
    let rows = query(
        pool,
        READ_ALL,
        &[Type::INT8, Type::INT8],
        &[&after.number(), &last.number()],
    )
    .await?;
    let events = rows.iter().map(event).collect::<Result<Vec<_>, _>>()?;
    // The store numbers without gaps. A hole is a lost event, and must not be read over.
    let mut expected = after;
    for event in &events {
        expected = expected.plus(1);
        if event.position != expected {
            return Err(ReadError::Corrupt {
                position: expected,
                what: format!("it is missing; the next one is {}", event.position),
            });
        }
    }
    Ok(events)
}

pub(crate) async fn head(pool: &Pool) -> Result<Position, ReadError> {
    let rows = query(pool, HEAD, &[], &[]).await?;
    let head = match rows.first() {
        Some(row) => row.try_get(0).map_err(failed)?,
        None => 0,
    };
    Ok(Position::START.plus(head))
}

pub(crate) async fn outcome(pool: &Pool, command: CommandId) -> Result<Option<Outcome>, ReadError> {
    let rows = query(pool, OUTCOME, &[Type::UUID], &[&command.as_uuid()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    if let Some(refusal) = row.try_get("refusal").map_err(failed)? {
        return Ok(Some(Outcome::Refused(refusal)));
    }
    let first_position = row.try_get("first_position").map_err(failed)?;
    let event_count = row.try_get("event_count").map_err(failed)?;
    recorded_outcome(pool, first_position, event_count)
        .await
        .map(Some)
}

/// The outcome of a command whose `event_count` events start at `first_position`.
///
/// A command's events are numbered in one go, so they stand side by side.
pub(crate) async fn recorded_outcome(
    pool: &Pool,
    first_position: Option<i64>,
    event_count: i32,
) -> Result<Outcome, ReadError> {
    let Some(first) = first_position else {
        return Ok(Outcome::Empty);
    };
    let last = first
        .saturating_add(i64::from(event_count))
        .saturating_sub(1);
    let rows = query(
        pool,
        READ_ALL,
        &[Type::INT8, Type::INT8],
        &[&first.saturating_sub(1), &last],
    )
    .await?;
    let events = rows.iter().map(event).collect::<Result<Vec<_>, _>>()?;
    let found = i32::try_from(events.len()).unwrap_or(i32::MAX);
    if found != event_count {
        return Err(ReadError::Corrupt {
            position: Position::START.plus(first),
            what: format!("its command has {event_count} events on record, {found} are there"),
        });
    }
    Ok(Outcome::Committed(events))
}

async fn query(
    pool: &Pool,
    statement: &str,
    types: &[Type],
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, ReadError> {
    let client: Object = pool
        .get()
        .await
        .map_err(|error| ReadError::Unavailable(boxed(error)))?;
    let statement = client
        .prepare_typed_cached(statement, types)
        .await
        .map_err(failed)?;
    client.query(&statement, parameters).await.map_err(failed)
}

fn failed(error: tokio_postgres::Error) -> ReadError {
    if error.code().is_some() {
        ReadError::Failed(boxed(error))
    } else {
        ReadError::Unavailable(boxed(error))
    }
}

fn event(row: &Row) -> Result<RecordedEvent, ReadError> {
    let number: i64 = row.try_get("position").map_err(failed)?;
    let position = Position::START.plus(number);
    let corrupt = |what: &dyn std::fmt::Display| ReadError::Corrupt {
        position,
        what: what.to_string(),
    };
    let column = |error: tokio_postgres::Error| corrupt(&error);
    let category: String = row.try_get("category").map_err(column)?;
    let stream_id: String = row.try_get("stream_id").map_err(column)?;
    let schema_version: i32 = row.try_get("schema_version").map_err(column)?;
    Ok(RecordedEvent {
        position,
        stream: StreamId::new(category, stream_id).map_err(|error| corrupt(&error))?,
        version: Version::NONE.plus(row.try_get("version").map_err(column)?),
        event_id: EventId::from_uuid(row.try_get("event_id").map_err(column)?),
        event_type: row.try_get("event_type").map_err(column)?,
        schema_version: u16::try_from(schema_version)
            .map_err(|_| corrupt(&format_args!("schema version {schema_version}")))?,
        command_id: CommandId::from_uuid(row.try_get("command_id").map_err(column)?),
        recorded_at: Timestamp::from_micros(row.try_get("recorded_at").map_err(column)?),
        payload: row.try_get("payload").map_err(column)?,
        metadata: row.try_get("metadata").map_err(column)?,
    })
}
