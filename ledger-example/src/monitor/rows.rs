//! What the monitor remembers, loaded and saved as far as a batch is about it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use folio_core::{Aggregate, CommandId, Position, RecordedEvent, StreamId, Timestamp, Version};
use folio_projections::{ModelTransaction, ProjectorError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::hold::{Hold, PlacedHold};
use crate::journal::Entry;
use crate::monitor::content::Content;
use crate::monitor::memory::{Memory, Place};
use crate::monitor::projector::Certainty;
use crate::monitor::{Monitor, Violation};

const PLACE: &str = "SELECT position, command_id, category, stream_id, still_open FROM places";
const STREAMS: &str = "SELECT category, stream_id, version, recorded_at FROM streams \
     JOIN unnest($1::text[], $2::text[]) wanted (category, stream_id) USING (category, stream_id)";
const COMMANDS: &str = "SELECT command_id FROM commands WHERE command_id = ANY($1)";
const ACCOUNTS: &str = "SELECT account_id, watched FROM accounts WHERE account_id = ANY($1)";
const HOLDS: &str = "SELECT hold_id, placed FROM holds WHERE hold_id = ANY($1)";
const UNDONE: &str = "SELECT entry_id FROM undone WHERE entry_id = ANY($1)";

/// The monitor as the last batch left it, as far as these events are about what it remembers.
pub(super) async fn load(
    events: &[RecordedEvent],
    contents: &[Content],
    model: &ModelTransaction,
) -> Result<Monitor, ProjectorError> {
    let place = load_place(model).await?;
    let mut accounts = place.open.touched.clone();
    for (event, content) in events.iter().zip(contents) {
        content.put_accounts(event, &mut accounts);
    }
    let holds = load_holds(&ids_of::<Hold>(events), model).await?;
    // Whatever resolves a hold does not say on which account it was.
    let held = holds.values().flatten();
    accounts.extend(held.map(|placed| placed.account.to_string()));
    let commands: Vec<Uuid> = unique(events.iter().map(|event| event.command_id.as_uuid()));
    let commands = rows(model, COMMANDS, &[&commands]).await?;
    let undone = rows(model, UNDONE, &[&ids_of::<Entry>(events)]).await?;
    let accounts: Vec<String> = accounts.into_iter().collect();
    let accounts = rows(model, ACCOUNTS, &[&accounts]).await?;
    let memory = Memory {
        streams: load_streams(events, model).await?,
        commands: commands
            .iter()
            .map(|row| Ok(CommandId::from_uuid(row.try_get(0)?)))
            .collect::<Result<_, ProjectorError>>()?,
        accounts: accounts
            .iter()
            .map(|row| Ok((row.try_get(0)?, read(row.try_get(1)?)?)))
            .collect::<Result<_, ProjectorError>>()?,
        holds,
        undone: undone
            .iter()
            .map(|row| Ok(row.try_get(0)?))
            .collect::<Result<_, ProjectorError>>()?,
    };
    Ok(Monitor { place, memory })
}

/// Saves what a batch has changed.
pub(super) async fn save(
    before: &Memory,
    monitor: &Monitor,
    model: &ModelTransaction,
) -> Result<(), ProjectorError> {
    let after = &monitor.memory;
    save_place(&monitor.place, model).await?;
    save_streams(before, after, model).await?;
    let commands = after.commands.difference(&before.commands);
    let commands: Vec<Uuid> = commands.map(CommandId::as_uuid).collect();
    model
        .upsert("commands")
        .key("command_id", &commands)
        .execute()
        .await?;
    let undone: Vec<&str> = after
        .undone
        .difference(&before.undone)
        .map(String::as_str)
        .collect();
    model
        .upsert("undone")
        .key("entry_id", &undone)
        .execute()
        .await?;

    let changed = after
        .accounts
        .iter()
        .filter(|(id, account)| before.accounts.get(*id) != Some(account));
    let (mut ids, mut watched) = (Vec::new(), Vec::new());
    for (id, account) in changed {
        ids.push(id.as_str());
        watched.push(written(account)?);
    }
    model
        .upsert("accounts")
        .key("account_id", &ids)
        .set("watched", &watched)
        .execute()
        .await?;

    let changed = after
        .holds
        .iter()
        .filter(|(id, hold)| before.holds.get(*id) != Some(hold));
    let (mut ids, mut placed) = (Vec::new(), Vec::new());
    for (id, hold) in changed {
        ids.push(id.as_str());
        placed.push(hold.as_ref().map(written).transpose()?);
    }
    model
        .upsert("holds")
        .key("hold_id", &ids)
        .set("placed", &placed)
        .execute()
        .await
}

pub(super) async fn save_violations(
    found: &[(Violation, Certainty)],
    model: &ModelTransaction,
) -> Result<(), ProjectorError> {
    let of = |text: fn(&Violation) -> &str| -> Vec<&str> {
        found.iter().map(|(violation, _)| text(violation)).collect()
    };
    let positions: Vec<i64> = found
        .iter()
        .map(|(violation, _)| violation.position.number())
        .collect();
    let certain: Vec<bool> = found
        .iter()
        .map(|(_, certainty)| *certainty == Certainty::Certain)
        .collect();
    model
        .upsert("violations")
        .key("position", &positions)
        .key("invariant", &of(|violation| violation.invariant.as_str()))
        .key("what", &of(|violation| &violation.what))
        .set("category", &of(|violation| violation.stream.category()))
        .set("stream_id", &of(|violation| violation.stream.id()))
        .set("certain", &certain)
        .execute()
        .await
}

async fn load_place(model: &ModelTransaction) -> Result<Place, ProjectorError> {
    let rows = rows(model, PLACE, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(Place::default());
    };
    let command: Option<Uuid> = row.try_get("command_id")?;
    let last = match command {
        Some(command) => Some((CommandId::from_uuid(command), stream(row)?)),
        None => None,
    };
    Ok(Place {
        position: Position::START.plus(row.try_get("position")?),
        last,
        open: read(row.try_get("still_open")?)?,
    })
}

async fn save_place(place: &Place, model: &ModelTransaction) -> Result<(), ProjectorError> {
    let (command, stream) = place.last.as_ref().map(|(c, s)| (c, s)).unzip();
    model
        .upsert("places")
        .key("is_place", &vec![true])
        .set("position", &vec![place.position.number()])
        .set("command_id", &vec![command.map(CommandId::as_uuid)])
        .set("category", &vec![stream.map(StreamId::category)])
        .set("stream_id", &vec![stream.map(StreamId::id)])
        .set("still_open", &vec![written(&place.open)?])
        .execute()
        .await
}

async fn load_streams(
    events: &[RecordedEvent],
    model: &ModelTransaction,
) -> Result<HashMap<StreamId, (Version, Timestamp)>, ProjectorError> {
    let streams: BTreeSet<&StreamId> = events.iter().map(|event| &event.stream).collect();
    let categories: Vec<&str> = streams.iter().map(|stream| stream.category()).collect();
    let ids: Vec<&str> = streams.iter().map(|stream| stream.id()).collect();
    let rows = rows(model, STREAMS, &[&categories, &ids]).await?;
    let last = |row: &Row| {
        let version = Version::NONE.plus(row.try_get("version")?);
        let recorded_at = Timestamp::from_micros(row.try_get("recorded_at")?);
        Ok((stream(row)?, (version, recorded_at)))
    };
    rows.iter().map(last).collect()
}

async fn save_streams(
    before: &Memory,
    after: &Memory,
    model: &ModelTransaction,
) -> Result<(), ProjectorError> {
    let changed: BTreeMap<&StreamId, &(Version, Timestamp)> = after
        .streams
        .iter()
        .filter(|(stream, last)| before.streams.get(*stream) != Some(last))
        .collect();
    let categories: Vec<&str> = changed.keys().map(|stream| stream.category()).collect();
    let ids: Vec<&str> = changed.keys().map(|stream| stream.id()).collect();
    let versions: Vec<i64> = changed
        .values()
        .map(|(version, _)| version.number())
        .collect();
    let times: Vec<i64> = changed.values().map(|(_, time)| time.micros()).collect();
    model
        .upsert("streams")
        .key("category", &categories)
        .key("stream_id", &ids)
        .set("version", &versions)
        .set("recorded_at", &times)
        .execute()
        .await
}

async fn load_holds(
    ids: &[&str],
    model: &ModelTransaction,
) -> Result<HashMap<String, Option<PlacedHold>>, ProjectorError> {
    let rows = rows(model, HOLDS, &[&ids]).await?;
    let hold = |row: &Row| {
        let placed: Option<&str> = row.try_get(1)?;
        Ok((row.try_get(0)?, placed.map(read).transpose()?))
    };
    rows.iter().map(hold).collect()
}

fn ids_of<A: Aggregate>(events: &[RecordedEvent]) -> Vec<&str> {
    let streams = events.iter().map(|event| &event.stream);
    unique(
        streams
            .filter(|stream| stream.category() == A::CATEGORY)
            .map(StreamId::id),
    )
}

fn unique<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.collect::<BTreeSet<T>>().into_iter().collect()
}

async fn rows(
    model: &ModelTransaction,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, ProjectorError> {
    let statement = model.prepare_cached(statement).await?;
    Ok(model.query(&statement, parameters).await?)
}

fn stream(row: &Row) -> Result<StreamId, ProjectorError> {
    let (category, id): (&str, &str) = (row.try_get("category")?, row.try_get("stream_id")?);
    StreamId::new(category, id).map_err(corrupt)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, ProjectorError> {
    serde_json::from_str(text).map_err(corrupt)
}

fn written<T: Serialize>(value: &T) -> Result<String, ProjectorError> {
    serde_json::to_string(value).map_err(corrupt)
}

fn corrupt(error: impl std::fmt::Display) -> ProjectorError {
    ProjectorError::Contradiction(format!("what the monitor remembers is corrupt: {error}"))
}
