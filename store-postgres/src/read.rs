//! Reading: streams by version, the whole store by position, outcomes by command id.

use folio_core::filter::Scope;
use folio_core::store::{Outcome, ReadError};
use folio_core::{
    BatchSize, CommandId, EventHash, Filter, Page, Position, RecordedEvent, Snapshot, StreamId,
    Timestamp, Version,
};
use futures_util::TryStreamExt as _;
use tokio::task::JoinSet;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::pool::Pool;
use crate::rows::Rows;
use crate::sqlstate::boxed;

const READ_STREAM: &str = include_str!("sql/read_stream.sql");
const READ_STREAM_BACKWARDS: &str = include_str!("sql/read_stream_backwards.sql");
const READ_ALL: &str = include_str!("sql/read_all.sql");
const READ_FILTERED: &str = include_str!("sql/read_filtered.sql");
const KEEP_SNAPSHOT: &str = include_str!("sql/keep_snapshot.sql");
const SNAPSHOT: &str = include_str!("sql/snapshot.sql");
const OUTCOME: &str = include_str!("sql/outcome.sql");
const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
pub(crate) const HEAD: &str = "SELECT coalesce(max(position), 0) FROM store.events";

// By the index alone, where the rows are not new.
const COUNT: &str = "SELECT count(*) FROM store.events WHERE position > $1 AND position <= $2";
const MISSING: &str = "SELECT $1 + place, position FROM \
         (SELECT position, row_number() OVER (ORDER BY position) AS place FROM store.events \
          WHERE position > $1 AND position <= $2) AS found \
     WHERE position <> $1 + place ORDER BY position LIMIT 1";

/// How many events a filtered read looks through at most: few enough that one in which nothing is
/// wanted is over soon.
const LOOKED_THROUGH: i64 = 10_000;

#[tracing::instrument(level = "debug", name = "read_stream", skip_all, fields(%stream, after = after.number()))]
pub(crate) async fn stream(
    pool: &Pool,
    stream: &StreamId,
    after: Version,
    limit: BatchSize,
) -> Result<Vec<RecordedEvent>, ReadError> {
    read_events(
        pool,
        READ_STREAM,
        &[Type::TEXT, Type::TEXT, Type::INT8, Type::INT8],
        vec![
            Box::new(stream.category().to_owned()),
            Box::new(stream.id().to_owned()),
            Box::new(after.number()),
            Box::new(limit.events()),
        ],
        Rows::of(stream.clone()),
    )
    .await
}

#[tracing::instrument(level = "debug", name = "read_stream_backwards", skip_all, fields(%stream, before = before.number()))]
pub(crate) async fn stream_backwards(
    pool: &Pool,
    stream: &StreamId,
    before: Version,
    limit: BatchSize,
) -> Result<Vec<RecordedEvent>, ReadError> {
    read_events(
        pool,
        READ_STREAM_BACKWARDS,
        &[Type::TEXT, Type::TEXT, Type::INT8, Type::INT8],
        vec![
            Box::new(stream.category().to_owned()),
            Box::new(stream.id().to_owned()),
            Box::new(before.number()),
            Box::new(limit.events()),
        ],
        Rows::of(stream.clone()),
    )
    .await
}

#[tracing::instrument(level = "debug", name = "read_all", skip_all, fields(after = after.number()))]
pub(crate) async fn all(
    pool: &Pool,
    after: Position,
    limit: BatchSize,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let last = after.plus(limit.events());
    let events = read_events(
        pool,
        READ_ALL,
        &[Type::INT8, Type::INT8],
        vec![Box::new(after.number()), Box::new(last.number())],
        Rows::of_any_stream(),
    )
    .await?;
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

/// A page that ends before `before` is the same range as one that starts so many positions earlier.
#[tracing::instrument(level = "debug", name = "read_all_backwards", skip_all, fields(before = before.number()))]
pub(crate) async fn all_backwards(
    pool: &Pool,
    before: Position,
    limit: BatchSize,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let last = before.number().saturating_sub(1);
    let last = last.min(head(pool).await?.number());
    let wanted = last.min(limit.events());
    let Some(limit) = u16::try_from(wanted).ok().and_then(BatchSize::new) else {
        return Ok(Vec::new());
    };
    let first = Position::START.plus(last.saturating_sub(wanted));
    let mut events = all(pool, first, limit).await?;
    events.reverse();
    Ok(events)
}

#[tracing::instrument(level = "debug", name = "read_filtered", skip_all, fields(after = after.number()))]
pub(crate) async fn filtered(
    pool: &Pool,
    filter: &Filter,
    after: Position,
    limit: BatchSize,
) -> Result<Page, ReadError> {
    // Asked first: whatever is committed by then, the read below has it.
    let head = head(pool).await?;
    let through = after.plus(LOOKED_THROUGH).min(head).max(after);
    // Positions are dense, so the next so many events are those up to there.
    let looked_through = through.number().saturating_sub(after.number());
    if through == after {
        return Ok(Page {
            events: Vec::new(),
            through,
        });
    }
    let (category, id) = match filter.scope() {
        Scope::All => (None, None),
        Scope::Category(category) => (Some(category.as_str()), None),
        Scope::Stream(stream) => (Some(stream.category()), Some(stream.id())),
        _ => return Err(ReadError::Failed("a filter of an unknown kind".into())),
    };
    let member = filter.member().map(|member| i64::from(member.number()));
    let of = filter.member().map_or(1, |member| i64::from(member.of()));
    let events = read_events(
        pool,
        READ_FILTERED,
        &[
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::TEXT,
            Type::TEXT,
            Type::INT8,
            Type::INT8,
            Type::INT8,
        ],
        vec![
            Box::new(after.number()),
            Box::new(looked_through),
            Box::new(through.number()),
            Box::new(category.map(str::to_owned)),
            Box::new(id.map(str::to_owned)),
            Box::new(member),
            Box::new(of),
            Box::new(limit.events()),
        ],
        Rows::of_any_stream(),
    )
    .await?;
    let is_full = i64::try_from(events.len()).is_ok_and(|count| count == limit.events());
    let through = match events.last() {
        Some(last) if is_full => last.position,
        _ => through,
    };
    check_dense(pool, after, through).await?;
    Ok(Page { events, through })
}

/// What is left out of a page is either not wanted or lost, and only counting tells.
async fn check_dense(pool: &Pool, after: Position, through: Position) -> Result<(), ReadError> {
    let (after, through) = (after.number(), through.number());
    let types = [Type::INT8, Type::INT8];
    let rows = query(pool, COUNT, &types, &[&after, &through]).await?;
    let count: i64 = match rows.first() {
        Some(row) => row.try_get(0).map_err(failed)?,
        None => 0,
    };
    if count == through.saturating_sub(after) {
        return Ok(());
    }
    let rows = query(pool, MISSING, &types, &[&after, &through]).await?;
    // Without one behind it, what is missing is the end of what was counted.
    let (missing, next) = match rows.first() {
        Some(row) => (
            row.try_get(0).map_err(failed)?,
            Some(row.try_get::<_, i64>(1).map_err(failed)?),
        ),
        None => (after.saturating_add(count).saturating_add(1), None),
    };
    Err(ReadError::Corrupt {
        position: Position::START.plus(missing),
        what: next.map_or_else(
            || "it is missing".to_owned(),
            |next| format!("it is missing; the next one is {next}"),
        ),
    })
}

#[tracing::instrument(level = "debug", skip_all, fields(%stream))]
pub(crate) async fn snapshot(
    pool: &Pool,
    stream: &StreamId,
    state_version: u16,
) -> Result<Option<Snapshot>, ReadError> {
    let rows = query(
        pool,
        SNAPSHOT,
        &[Type::TEXT, Type::TEXT, Type::INT4],
        &[&stream.category(), &stream.id(), &i32::from(state_version)],
    )
    .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let hash: &[u8] = row.try_get("event_hash").map_err(failed)?;
    let version: i64 = row.try_get("version").map_err(failed)?;
    // A snapshot that cannot be right is none.
    Ok(match (EventHash::from_slice(hash), Version::new(version)) {
        (Some(event), Some(version)) => Some(Snapshot {
            state_version,
            version,
            event,
            state: row.try_get("state").map_err(failed)?,
        }),
        _ => None,
    })
}

#[tracing::instrument(level = "debug", skip_all, fields(%stream))]
pub(crate) async fn keep_snapshot(
    pool: &Pool,
    stream: &StreamId,
    snapshot: &Snapshot,
) -> Result<(), ReadError> {
    let hash: &[u8] = snapshot.event.as_bytes();
    query(
        pool,
        KEEP_SNAPSHOT,
        &[
            Type::TEXT,
            Type::TEXT,
            Type::INT4,
            Type::INT8,
            Type::BYTEA,
            Type::BYTEA,
        ],
        &[
            &stream.category(),
            &stream.id(),
            &i32::from(snapshot.state_version),
            &snapshot.version.number(),
            &hash,
            &snapshot.state,
        ],
    )
    .await?;
    Ok(())
}

pub(crate) async fn head(pool: &Pool) -> Result<Position, ReadError> {
    let rows = query(pool, HEAD, &[], &[]).await?;
    let head = match rows.first() {
        Some(row) => row.try_get(0).map_err(failed)?,
        None => 0,
    };
    Ok(Position::START.plus(head))
}

pub(crate) async fn clock(pool: &Pool) -> Result<Timestamp, ReadError> {
    let rows = query(pool, CLOCK, &[], &[]).await?;
    let micros = match rows.first() {
        Some(row) => row.try_get(0).map_err(failed)?,
        None => 0,
    };
    Ok(Timestamp::from_micros(micros))
}

#[tracing::instrument(level = "debug", skip_all, fields(%command))]
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
    let events = read_events(
        pool,
        READ_ALL,
        &[Type::INT8, Type::INT8],
        vec![Box::new(first.saturating_sub(1)), Box::new(last)],
        Rows::of_any_stream(),
    )
    .await?;
    let found = i32::try_from(events.len()).unwrap_or(i32::MAX);
    if found != event_count {
        return Err(ReadError::Corrupt {
            position: Position::START.plus(first),
            what: format!("its command has {event_count} events on record, {found} are there"),
        });
    }
    Ok(Outcome::Committed(events))
}

/// A parameter that goes along with a statement to another task.
type Parameter = Box<dyn ToSql + Sync + Send>;

/// The events that a statement gives, each read while the next ones are on their way.
///
/// A task of its own reads them. It takes turns with the one that drives the connection, where a
/// caller on another thread would be woken for every few kilobytes; and it goes on while the caller
/// works on what it has. It ends with the caller's future, so that a server that does not answer
/// keeps no connection for nobody.
async fn read_events(
    pool: &Pool,
    statement: &'static str,
    types: &'static [Type],
    parameters: Vec<Parameter>,
    rows: Rows,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let mut reader = JoinSet::new();
    reader.spawn(take_in(pool.clone(), statement, types, parameters, rows));
    match reader.join_next().await {
        Some(Ok(events)) => events,
        Some(Err(error)) => Err(ReadError::Failed(boxed(error))),
        None => Err(ReadError::Failed("nothing was read".into())),
    }
}

async fn take_in(
    pool: Pool,
    statement: &str,
    types: &[Type],
    parameters: Vec<Parameter>,
    mut rows: Rows,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let mut client = pool
        .get()
        .await
        .map_err(|error| ReadError::Unavailable(boxed(error)))?;
    let statement = client
        .prepare_typed_cached(statement, types)
        .await
        .map_err(failed)?;
    let answer = client
        .query_raw(&statement, parameters)
        .await
        .map_err(failed)?;
    let mut answer = std::pin::pin!(answer);
    let mut events = Vec::new();
    while let Some(row) = answer.try_next().await.map_err(failed)? {
        events.push(rows.event(&row)?);
    }
    client.finished();
    Ok(events)
}

async fn query(
    pool: &Pool,
    statement: &str,
    types: &[Type],
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, ReadError> {
    let mut client = pool
        .get()
        .await
        .map_err(|error| ReadError::Unavailable(boxed(error)))?;
    let statement = client
        .prepare_typed_cached(statement, types)
        .await
        .map_err(failed)?;
    let rows = client.query(&statement, parameters).await.map_err(failed)?;
    client.finished();
    Ok(rows)
}

pub(crate) fn failed(error: tokio_postgres::Error) -> ReadError {
    if error.code().is_some() {
        ReadError::Failed(boxed(error))
    } else {
        ReadError::Unavailable(boxed(error))
    }
}
