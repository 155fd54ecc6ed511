//! Holds, as their events leave them.

use folio_core::{Money, RecordedEvent, Timestamp};
use folio_projections::{Fold, ModelTransaction, ProjectorError, Rows};
use rust_decimal::Decimal;

use crate::hold::{HoldEvent, PlacedHold};
use crate::read_model::projector::{check_version, contradiction};
use crate::read_model::rows::{HeldRow, HoldRow};

const LOAD: &str = "SELECT * FROM holds WHERE hold_id = ANY($1)";

/// Folds the events of holds.
pub(super) struct HoldRows;

pub(super) async fn write(
    events: &[RecordedEvent],
    model: &ModelTransaction,
) -> Result<(), ProjectorError> {
    if events.is_empty() {
        return Ok(());
    }
    let ids = Rows::<HoldRows>::keys(events);
    let statement = model.prepare_cached(LOAD).await?;
    let loaded = model.query(&statement, &[&ids]).await?;
    let loaded = loaded.iter().map(|row| {
        let row = HoldRow::read(row)?;
        Ok((row.hold_id.to_string(), row))
    });
    let mut rows = Rows::<HoldRows>::loaded(loaded.collect::<Result<Vec<_>, ProjectorError>>()?);
    for event in events {
        rows.fold(event)?;
    }
    let changed: Vec<&HoldRow> = rows.changed().map(|(_, row)| row).collect();
    save(&changed, model).await
}

impl Fold for HoldRows {
    type Row = HoldRow;

    fn fold(
        row: Option<HoldRow>,
        recorded: &RecordedEvent,
    ) -> Result<Option<HoldRow>, ProjectorError> {
        if let Some(row) = &row {
            check_version(recorded, row.version)?;
        }
        let mut row = row;
        for event in recorded.decode()? {
            row = Some(apply(row, recorded, event)?);
        }
        Ok(row)
    }
}

fn apply(
    row: Option<HoldRow>,
    recorded: &RecordedEvent,
    event: HoldEvent,
) -> Result<HoldRow, ProjectorError> {
    let resolved = |row: HoldRow, state: &str, captured: Option<(Money, String)>| HoldRow {
        state: state.to_owned(),
        captured,
        resolved_at: Some(recorded.recorded_at),
        version: recorded.version,
        ..row
    };
    match (row, event) {
        (None, HoldEvent::HoldPlaced(placed)) => opened(recorded, Some(placed)),
        (None, HoldEvent::HoldRuledOut) => Ok(resolved(opened(recorded, None)?, "ruled_out", None)),
        (Some(row), event) if row.state == "open" => match event {
            HoldEvent::HoldCaptured { amount, entry } => {
                let captured = (amount.money(), entry.to_string());
                Ok(resolved(row, "captured", Some(captured)))
            }
            HoldEvent::HoldReleased => Ok(resolved(row, "released", None)),
            HoldEvent::HoldExpired => Ok(resolved(row, "expired", None)),
            HoldEvent::HoldPlaced(_) | HoldEvent::HoldRuledOut => {
                Err(contradiction(recorded, &"the hold is in the model already"))
            }
        },
        (Some(_), _) => Err(contradiction(recorded, &"the hold was resolved before")),
        (None, _) => Err(contradiction(recorded, &"the hold is not in the model")),
    }
}

fn opened(recorded: &RecordedEvent, placed: Option<PlacedHold>) -> Result<HoldRow, ProjectorError> {
    let id = recorded.stream.id().parse();
    Ok(HoldRow {
        hold_id: id.map_err(|error| contradiction(recorded, &error))?,
        held: placed.map(|placed| HeldRow {
            account_id: placed.account,
            side: placed.side,
            amount: placed.amount,
            placed_at: recorded.recorded_at,
            expires_at: placed.expires_at,
            reference: placed.reference.map(String::from),
        }),
        state: "open".to_owned(),
        captured: None,
        resolved_at: None,
        version: recorded.version,
    })
}

async fn save(changed: &[&HoldRow], model: &ModelTransaction) -> Result<(), ProjectorError> {
    let held = |row: &&HoldRow| row.held.clone();
    let of: Vec<Option<HeldRow>> = changed.iter().map(held).collect();
    let ids: Vec<&str> = changed.iter().map(|row| row.hold_id.as_str()).collect();
    let accounts: Vec<Option<&str>> = of
        .iter()
        .map(|held| held.as_ref().map(|held| held.account_id.as_str()))
        .collect();
    let sides: Vec<Option<&str>> = of
        .iter()
        .map(|held| held.as_ref().map(|held| held.side.as_str()))
        .collect();
    let amounts: Vec<Option<Decimal>> = of
        .iter()
        .map(|held| held.as_ref().map(|held| held.amount.money().amount()))
        .collect();
    let currencies: Vec<Option<&str>> = of
        .iter()
        .map(|held| held.as_ref().map(|held| held.amount.currency().code()))
        .collect();
    let placed: Vec<Option<i64>> = of
        .iter()
        .map(|held| held.as_ref().map(|held| held.placed_at.micros()))
        .collect();
    let expires: Vec<Option<i64>> = of
        .iter()
        .map(|held| held.as_ref().map(|held| held.expires_at.micros()))
        .collect();
    let references: Vec<Option<&str>> = of
        .iter()
        .map(|held| held.as_ref()?.reference.as_deref())
        .collect();
    let states: Vec<&str> = changed.iter().map(|row| row.state.as_str()).collect();
    let captured: Vec<Option<Decimal>> = changed
        .iter()
        .map(|row| row.captured.as_ref().map(|(amount, _)| amount.amount()))
        .collect();
    let entries: Vec<Option<&str>> = changed
        .iter()
        .map(|row| row.captured.as_ref().map(|(_, entry)| entry.as_str()))
        .collect();
    let resolved: Vec<Option<i64>> = changed
        .iter()
        .map(|row| row.resolved_at.map(Timestamp::micros))
        .collect();
    let versions: Vec<i64> = changed.iter().map(|row| row.version.number()).collect();
    model
        .upsert("holds")
        .key("hold_id", &ids)
        .set_once("account_id", &accounts)
        .set_once("side", &sides)
        .set_once("amount", &amounts)
        .set_once("currency", &currencies)
        .set_once("placed_at", &placed)
        .set_once("expires_at", &expires)
        .set_once("reference", &references)
        .set("state", &states)
        .set("captured", &captured)
        .set("entry_id", &entries)
        .set("resolved_at", &resolved)
        .set("version", &versions)
        .execute()
        .await
}
