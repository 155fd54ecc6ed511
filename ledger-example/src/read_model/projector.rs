//! Fills the read model: a few set-based statements a batch, whatever its size.

use async_trait::async_trait;
use chrono::NaiveDate;
use folio_core::{Aggregate, Money, RecordedEvent};
use folio_projections::{
    Fold, ModelTransaction, ProjectionName, Projector, ProjectorError, Rows, Wanted,
};
use rust_decimal::Decimal;

use crate::account::{Account, AccountEvent, AccountId, Overdraft, Posting, Side};
use crate::read_model::QueryError;
use crate::read_model::rows::{AccountRow, StatementLine};

const LOAD: &str = "SELECT * FROM accounts WHERE account_id = ANY($1)";

/// Projects accounts into the tables `accounts` and `statement_lines`.
///
/// It adds up on its own and shares no arithmetic with the [`Account`] aggregate beyond
/// [`Money`], so that an audit which compares the two compares two computations.
#[derive(Debug, Clone, Copy, Default)]
pub struct BalancesProjector;

impl BalancesProjector {
    /// Its name and revision.
    pub const NAME: ProjectionName = ProjectionName::new("balances", 1);
}

#[async_trait]
impl Projector for BalancesProjector {
    fn name(&self) -> ProjectionName {
        Self::NAME
    }

    fn wants(&self) -> Wanted {
        Wanted::category(Account::CATEGORY)
    }

    fn tables(&self) -> &str {
        include_str!("sql/tables.sql")
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let mut rows = load(events, model).await?;
        for event in events {
            rows.fold(event)?;
        }
        let changed: Vec<&AccountChange> = rows.changed().map(|(_, change)| change).collect();
        save_lines(&changed, model).await?;
        save_accounts(&changed, model).await
    }
}

/// An account, and the statement lines that a batch adds to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountChange {
    /// The account as it is after them.
    pub account: AccountRow,
    /// The new lines, in order.
    pub lines: Vec<StatementLine>,
}

impl Fold for BalancesProjector {
    type Row = AccountChange;

    fn fold(
        row: Option<AccountChange>,
        recorded: &RecordedEvent,
    ) -> Result<Option<AccountChange>, ProjectorError> {
        // Versions count without gaps. One too many or too few is a lost or doubled event.
        if let Some(row) = &row
            && recorded.version != row.account.version.plus(1)
        {
            let held = format!("the model is at version {}", row.account.version);
            return Err(contradiction(recorded, &held));
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
    let (mut row, side, posting) = match (event, row) {
        (
            AccountEvent::AccountOpened {
                currency,
                overdraft,
            },
            None,
        ) => return opened(recorded, Money::zero(currency), overdraft),
        (_, None) => return Err(contradiction(recorded, &"the account is not in the model")),
        (AccountEvent::AccountOpened { .. }, Some(_)) => {
            return Err(contradiction(
                recorded,
                &"the account is in the model already",
            ));
        }
        (AccountEvent::AccountClosed, Some(mut row)) => {
            "closed".clone_into(&mut row.account.status);
            return Ok(row);
        }
        (AccountEvent::AccountCredited(posting), Some(row)) => (row, Side::Credit, posting),
        (AccountEvent::AccountDebited(posting), Some(row)) => (row, Side::Debit, posting),
    };
    let account = &mut row.account;
    let total = match side {
        Side::Credit => &mut account.credits_posted,
        Side::Debit => &mut account.debits_posted,
    };
    let sum = |error| contradiction(recorded, &error);
    *total = total.checked_add(posting.amount.money()).map_err(sum)?;
    account.balance = account
        .credits_posted
        .checked_sub(account.debits_posted)
        .map_err(sum)?;
    let line = line(recorded, side, posting, account.balance);
    row.lines.push(line);
    Ok(row)
}

fn opened(
    recorded: &RecordedEvent,
    zero: Money,
    overdraft: Overdraft,
) -> Result<AccountChange, ProjectorError> {
    let account_id: AccountId = recorded
        .stream
        .id()
        .parse()
        .map_err(|error| contradiction(recorded, &error))?;
    let account = AccountRow {
        account_id,
        currency: zero.currency(),
        status: "open".to_owned(),
        overdraft,
        credits_posted: zero,
        debits_posted: zero,
        balance: zero,
        version: recorded.version,
        position: recorded.position,
        opened_at: recorded.recorded_at,
        updated_at: recorded.recorded_at,
    };
    Ok(AccountChange {
        account,
        lines: Vec::new(),
    })
}

fn line(recorded: &RecordedEvent, side: Side, posting: Posting, balance: Money) -> StatementLine {
    StatementLine {
        version: recorded.version,
        position: recorded.position,
        recorded_at: recorded.recorded_at,
        effective_date: posting.effective_date,
        side,
        amount: posting.amount,
        balance,
        contra: posting.contra.to_string(),
        reference: posting.reference.map(String::from),
        description: posting.description.map(String::from),
    }
}

async fn load(
    events: &[RecordedEvent],
    model: &ModelTransaction,
) -> Result<Rows<BalancesProjector>, ProjectorError> {
    let ids = Rows::<BalancesProjector>::keys(events);
    let statement = model.prepare_cached(LOAD).await?;
    let rows = model.query(&statement, &[&ids]).await?;
    let rows = rows.iter().map(|row| {
        let account = AccountRow::read(row).map_err(|error| match error {
            QueryError::Database(error) => ProjectorError::Database(error),
            other @ (QueryError::Model(_) | QueryError::Parked { .. } | QueryError::Corrupt(_)) => {
                ProjectorError::Contradiction(other.to_string())
            }
        })?;
        let id = account.account_id.as_str().to_owned();
        let lines = Vec::new();
        Ok((id, AccountChange { account, lines }))
    });
    Ok(Rows::loaded(
        rows.collect::<Result<Vec<_>, ProjectorError>>()?,
    ))
}

/// A line that is there already is a doubled event: the primary key refuses it, loudly, and the batch
/// with it.
async fn save_lines(
    changed: &[&AccountChange],
    model: &ModelTransaction,
) -> Result<(), ProjectorError> {
    let mut lines = Vec::new();
    for change in changed {
        let id = change.account.account_id.as_str();
        lines.extend(change.lines.iter().map(|line| (id, line)));
    }
    let ids: Vec<&str> = lines.iter().map(|(id, _)| *id).collect();
    let versions: Vec<i64> = lines.iter().map(|(_, l)| l.version.number()).collect();
    let positions: Vec<i64> = lines.iter().map(|(_, l)| l.position.number()).collect();
    let recorded: Vec<i64> = lines.iter().map(|(_, l)| l.recorded_at.micros()).collect();
    let effective: Vec<Option<NaiveDate>> = lines.iter().map(|(_, l)| l.effective_date).collect();
    let sides: Vec<&str> = lines.iter().map(|(_, l)| l.side.as_str()).collect();
    let amounts: Vec<Decimal> = lines
        .iter()
        .map(|(_, l)| l.amount.money().amount())
        .collect();
    let balances: Vec<Decimal> = lines.iter().map(|(_, l)| l.balance.amount()).collect();
    let contras: Vec<&str> = lines.iter().map(|(_, l)| l.contra.as_str()).collect();
    let references: Vec<Option<&str>> = lines.iter().map(|(_, l)| l.reference.as_deref()).collect();
    let texts: Vec<Option<&str>> = lines
        .iter()
        .map(|(_, l)| l.description.as_deref())
        .collect();
    model
        .insert("statement_lines")
        .key("account_id", &ids)
        .key("version", &versions)
        .set("position", &positions)
        .set("recorded_at", &recorded)
        .set("effective_date", &effective)
        .set("side", &sides)
        .set("amount", &amounts)
        .set("balance", &balances)
        .set("contra", &contras)
        .set("reference", &references)
        .set("description", &texts)
        .execute()
        .await
}

async fn save_accounts(
    changed: &[&AccountChange],
    model: &ModelTransaction,
) -> Result<(), ProjectorError> {
    let accounts: Vec<&AccountRow> = changed.iter().map(|change| &change.account).collect();
    let ids: Vec<&str> = accounts.iter().map(|a| a.account_id.as_str()).collect();
    let currencies: Vec<&str> = accounts.iter().map(|a| a.currency.code()).collect();
    let statuses: Vec<&str> = accounts.iter().map(|a| a.status.as_str()).collect();
    let (overdrafts, limits): (Vec<&str>, Vec<Option<Decimal>>) = accounts
        .iter()
        .map(|account| match account.overdraft {
            Overdraft::None => ("none", None),
            Overdraft::Limit { limit } => ("limit", Some(limit.money().amount())),
            Overdraft::Unlimited => ("unlimited", None),
        })
        .unzip();
    let credits: Vec<Decimal> = accounts.iter().map(|a| a.credits_posted.amount()).collect();
    let debits: Vec<Decimal> = accounts.iter().map(|a| a.debits_posted.amount()).collect();
    let versions: Vec<i64> = accounts.iter().map(|a| a.version.number()).collect();
    let positions: Vec<i64> = accounts.iter().map(|a| a.position.number()).collect();
    let opened: Vec<i64> = accounts.iter().map(|a| a.opened_at.micros()).collect();
    let updated: Vec<i64> = accounts.iter().map(|a| a.updated_at.micros()).collect();
    model
        .upsert("accounts")
        .key("account_id", &ids)
        .set_once("currency", &currencies)
        .set("status", &statuses)
        .set_once("overdraft", &overdrafts)
        .set_once("overdraft_limit", &limits)
        .set("credits_posted", &credits)
        .set("debits_posted", &debits)
        .set("version", &versions)
        .set("position", &positions)
        .set_once("opened_at", &opened)
        .set("updated_at", &updated)
        .execute()
        .await
}

fn contradiction(recorded: &RecordedEvent, what: &dyn std::fmt::Display) -> ProjectorError {
    ProjectorError::Contradiction(format!(
        "position {} ({}, version {}, {}): {what}",
        recorded.position, recorded.stream, recorded.version, recorded.event_type
    ))
}
