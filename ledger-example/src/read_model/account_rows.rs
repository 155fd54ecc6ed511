//! Accounts, as their own events leave them.

use folio_core::{Amount, Money, MoneyError, RecordedEvent, Version};
use folio_projections::{Fold, ModelTransaction, ProjectorError, Rows};
use rust_decimal::Decimal;

use crate::account::{AccountEvent, MetadataChange, Opening, Overdraft, Side, Sides};
use crate::read_model::projector::{check_version, contradiction};
use crate::read_model::rows::AccountRow;

const LOAD: &str = "SELECT * FROM accounts WHERE account_id = ANY($1)";

/// Folds the events of accounts.
pub(super) struct AccountRows;

/// An account, and the changes of its metadata that a batch adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccountChange {
    account: AccountRow,
    metadata: Vec<MetadataRow>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MetadataRow {
    version: Version,
    recorded_at: i64,
    actor: String,
    changes: String,
}

pub(super) async fn write(
    events: &[RecordedEvent],
    model: &ModelTransaction,
) -> Result<(), ProjectorError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut rows = load(events, model).await?;
    for event in events {
        rows.fold(event)?;
    }
    let changed: Vec<&AccountChange> = rows.changed().map(|(_, change)| change).collect();
    save_metadata(&changed, model).await?;
    save(&changed, model).await
}

impl Fold for AccountRows {
    type Row = AccountChange;

    fn fold(
        row: Option<AccountChange>,
        recorded: &RecordedEvent,
    ) -> Result<Option<AccountChange>, ProjectorError> {
        if let Some(row) = &row {
            check_version(recorded, row.account.version)?;
        }
        let mut row = row;
        for event in recorded.decode()? {
            row = Some(apply(row, recorded, event)?);
        }
        if let Some(row) = &mut row {
            row.account.version = recorded.version;
            row.account.position = recorded.position;
            row.account.updated_at = recorded.recorded_at;
        }
        Ok(row)
    }
}

fn apply(
    row: Option<AccountChange>,
    recorded: &RecordedEvent,
    event: AccountEvent,
) -> Result<AccountChange, ProjectorError> {
    let (mut row, event) = match (row, event) {
        (None, AccountEvent::AccountOpened(opening)) => return opened(recorded, opening),
        (None, _) => return Err(contradiction(recorded, &"the account is not in the model")),
        (Some(_), AccountEvent::AccountOpened(_)) => {
            return Err(contradiction(
                recorded,
                &"the account is in the model already",
            ));
        }
        (Some(row), event) => (row, event),
    };
    let account = &mut row.account;
    let sum = |error: MoneyError| contradiction(recorded, &error);
    match event {
        // The model does not know who holds an account: what it does not have, nobody finds in it.
        AccountEvent::AccountOpened(_) | AccountEvent::HolderNamed(_) => {}
        AccountEvent::LegPosted(leg) => post(account, leg.side, leg.amount).map_err(sum)?,
        AccountEvent::AccountCredited(posting) => {
            post(account, Side::Credit, posting.amount).map_err(sum)?;
        }
        AccountEvent::AccountDebited(posting) => {
            post(account, Side::Debit, posting.amount).map_err(sum)?;
        }
        AccountEvent::FundsHeld(held) => {
            let pending = sum_on(&mut account.pending, held.side);
            *pending = pending.checked_add(held.amount.money()).map_err(sum)?;
        }
        AccountEvent::FundsReleased(held) => {
            let pending = sum_on(&mut account.pending, held.side);
            *pending = pending.checked_sub(held.amount.money()).map_err(sum)?;
        }
        AccountEvent::LimitsSet(limits) => {
            account.overdraft = limits.overdraft;
            account.velocity = limits.velocity;
        }
        AccountEvent::AccountFrozen { freeze, .. } => account.freeze = Some(freeze),
        AccountEvent::AccountUnfrozen { .. } => account.freeze = None,
        AccountEvent::MetadataChanged(change) => {
            account.metadata = account
                .metadata
                .changed(&change)
                .map_err(|error| contradiction(recorded, &error))?;
            row.metadata.push(metadata_row(recorded, &change)?);
        }
        AccountEvent::ClosingBegun => "closing".clone_into(&mut account.status),
        AccountEvent::AccountClosed => "closed".clone_into(&mut account.status),
    }
    Ok(row)
}

fn post(account: &mut AccountRow, side: Side, amount: Amount) -> Result<(), MoneyError> {
    let posted = sum_on(&mut account.posted, side);
    *posted = posted.checked_add(amount.money())?;
    account.balance = if side == account.normal_side {
        account.balance.checked_add(amount.money())?
    } else {
        account.balance.checked_sub(amount.money())?
    };
    Ok(())
}

const fn sum_on(sides: &mut Sides, side: Side) -> &mut Money {
    match side {
        Side::Debit => &mut sides.debits,
        Side::Credit => &mut sides.credits,
    }
}

fn opened(recorded: &RecordedEvent, opening: Opening) -> Result<AccountChange, ProjectorError> {
    let id = recorded.stream.id();
    let account_id = id
        .parse()
        .map_err(|error| contradiction(recorded, &error))?;
    let metadata = if opening.metadata.is_empty() {
        Vec::new()
    } else {
        let first = MetadataChange::of(&opening.metadata);
        vec![metadata_row(recorded, &first)?]
    };
    let account = AccountRow {
        account_id,
        currency: opening.currency,
        kind: opening.kind,
        normal_side: opening.normal_side.0,
        status: "open".to_owned(),
        freeze: None,
        overdraft: opening.overdraft,
        velocity: opening.velocity,
        metadata: opening.metadata,
        posted: Sides::zero(opening.currency),
        pending: Sides::zero(opening.currency),
        balance: Money::zero(opening.currency),
        version: recorded.version,
        position: recorded.position,
        opened_at: recorded.recorded_at,
        updated_at: recorded.recorded_at,
    };
    Ok(AccountChange { account, metadata })
}

fn metadata_row(
    recorded: &RecordedEvent,
    change: &MetadataChange,
) -> Result<MetadataRow, ProjectorError> {
    let metadata = recorded.decode_metadata();
    let actor = metadata.map_err(|error| contradiction(recorded, &error))?;
    Ok(MetadataRow {
        version: recorded.version,
        recorded_at: recorded.recorded_at.micros(),
        actor: actor.actor.to_string(),
        changes: json(change)?,
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, ProjectorError> {
    serde_json::to_string(value).map_err(|error| ProjectorError::Contradiction(error.to_string()))
}

async fn load(
    events: &[RecordedEvent],
    model: &ModelTransaction,
) -> Result<Rows<AccountRows>, ProjectorError> {
    let ids = Rows::<AccountRows>::keys(events);
    let statement = model.prepare_cached(LOAD).await?;
    let rows = model.query(&statement, &[&ids]).await?;
    let rows = rows.iter().map(|row| {
        let account = AccountRow::read(row)?;
        let id = account.account_id.as_str().to_owned();
        let metadata = Vec::new();
        Ok((id, AccountChange { account, metadata }))
    });
    Ok(Rows::loaded(
        rows.collect::<Result<Vec<_>, ProjectorError>>()?,
    ))
}

async fn save(changed: &[&AccountChange], model: &ModelTransaction) -> Result<(), ProjectorError> {
    let accounts: Vec<&AccountRow> = changed.iter().map(|change| &change.account).collect();
    let ids: Vec<&str> = accounts.iter().map(|a| a.account_id.as_str()).collect();
    let currencies: Vec<&str> = accounts.iter().map(|a| a.currency.code()).collect();
    let kinds: Vec<&str> = accounts.iter().map(|a| a.kind.as_str()).collect();
    let normal_sides: Vec<&str> = accounts.iter().map(|a| a.normal_side.as_str()).collect();
    let statuses: Vec<&str> = accounts.iter().map(|a| a.status.as_str()).collect();
    let freezes: Vec<Option<&str>> = accounts
        .iter()
        .map(|a| a.freeze.map(crate::account::Freeze::as_str))
        .collect();
    let (overdrafts, limits): (Vec<&str>, Vec<Option<Decimal>>) = accounts
        .iter()
        .map(|account| match account.overdraft {
            Overdraft::None => ("none", None),
            Overdraft::Limit { limit } => ("limit", Some(limit.money().amount())),
            Overdraft::Unlimited => ("unlimited", None),
        })
        .unzip();
    let velocities: Vec<String> = accounts
        .iter()
        .map(|a| json(&a.velocity))
        .collect::<Result<_, _>>()?;
    let metadata: Vec<String> = accounts
        .iter()
        .map(|a| json(&a.metadata))
        .collect::<Result<_, _>>()?;
    let sums = |of: fn(&AccountRow) -> Money| -> Vec<Decimal> {
        accounts.iter().map(|a| of(a).amount()).collect()
    };
    let debits_posted = sums(|a| a.posted.debits);
    let credits_posted = sums(|a| a.posted.credits);
    let debits_pending = sums(|a| a.pending.debits);
    let credits_pending = sums(|a| a.pending.credits);
    let balances = sums(|a| a.balance);
    let versions: Vec<i64> = accounts.iter().map(|a| a.version.number()).collect();
    let positions: Vec<i64> = accounts.iter().map(|a| a.position.number()).collect();
    let opened: Vec<i64> = accounts.iter().map(|a| a.opened_at.micros()).collect();
    let updated: Vec<i64> = accounts.iter().map(|a| a.updated_at.micros()).collect();
    model
        .upsert("accounts")
        .key("account_id", &ids)
        .set_once("currency", &currencies)
        .set_once("kind", &kinds)
        .set_once("normal_side", &normal_sides)
        .set("status", &statuses)
        .set("frozen", &freezes)
        .set("overdraft", &overdrafts)
        .set("overdraft_limit", &limits)
        .set("velocity", &velocities)
        .set("metadata", &metadata)
        .set("debits_posted", &debits_posted)
        .set("credits_posted", &credits_posted)
        .set("debits_pending", &debits_pending)
        .set("credits_pending", &credits_pending)
        .set("balance", &balances)
        .set("version", &versions)
        .set("position", &positions)
        .set_once("opened_at", &opened)
        .set("updated_at", &updated)
        .execute()
        .await
}

/// A change that is there already is a doubled event: the primary key refuses it, loudly, and the batch
/// with it.
async fn save_metadata(
    changed: &[&AccountChange],
    model: &ModelTransaction,
) -> Result<(), ProjectorError> {
    let mut ids: Vec<&str> = Vec::new();
    let mut rows: Vec<&MetadataRow> = Vec::new();
    for change in changed {
        for row in &change.metadata {
            ids.push(change.account.account_id.as_str());
            rows.push(row);
        }
    }
    let versions: Vec<i64> = rows.iter().map(|row| row.version.number()).collect();
    let recorded: Vec<i64> = rows.iter().map(|row| row.recorded_at).collect();
    let actors: Vec<&str> = rows.iter().map(|row| row.actor.as_str()).collect();
    let changes: Vec<&str> = rows.iter().map(|row| row.changes.as_str()).collect();
    model
        .insert("metadata_changes")
        .key("account_id", &ids)
        .key("version", &versions)
        .set("recorded_at", &recorded)
        .set("actor", &actors)
        .set("changes", &changes)
        .execute()
        .await
}
