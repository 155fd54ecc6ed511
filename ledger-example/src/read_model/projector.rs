//! Fills the read model: a few set-based statements a batch, whatever its size.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::NaiveDate;
use deadpool_postgres::Transaction;
use folio_core::{Aggregate, Money, RecordedEvent};
use folio_projections::{ProjectionName, Projector, ProjectorError};
use rust_decimal::Decimal;

use crate::account::{Account, AccountEvent, AccountId, Overdraft, Posting, Side};
use crate::read_model::QueryError;
use crate::read_model::rows::AccountRow;

const LOAD: &str = "SELECT * FROM balances.accounts WHERE account_id = ANY($1)";
const SAVE_ACCOUNTS: &str = include_str!("sql/save_accounts.sql");
const SAVE_LINES: &str = include_str!("sql/save_lines.sql");
const RESET: &str = "DELETE FROM balances.statement_lines; DELETE FROM balances.accounts";

/// Projects accounts into `balances.accounts` and `balances.statement_lines`.
///
/// It adds up on its own and shares no arithmetic with the [`Account`] aggregate beyond
/// [`Money`], so that an audit which compares the two compares two computations.
#[derive(Debug, Clone, Copy, Default)]
pub struct BalancesProjector;

impl BalancesProjector {
    /// Its name and version.
    pub const NAME: ProjectionName = ProjectionName {
        name: "balances",
        version: 1,
    };
}

#[async_trait]
impl Projector for BalancesProjector {
    fn name(&self) -> ProjectionName {
        Self::NAME
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &Transaction<'_>,
    ) -> Result<(), ProjectorError> {
        let events: Vec<&RecordedEvent> = events
            .iter()
            .filter(|event| event.stream.category() == Account::CATEGORY)
            .collect();
        let mut batch = Batch {
            accounts: load(&events, transaction).await?,
            lines: Lines::default(),
        };
        for event in &events {
            batch.apply(event)?;
        }
        batch.lines.save(transaction).await?;
        save_accounts(batch.accounts.values(), transaction).await
    }

    async fn reset(&self, transaction: &Transaction<'_>) -> Result<(), ProjectorError> {
        Ok(transaction.batch_execute(RESET).await?)
    }
}

/// The accounts that a batch touches, and the statement lines that it adds.
struct Batch {
    accounts: BTreeMap<String, AccountRow>,
    lines: Lines,
}

impl Batch {
    fn apply(&mut self, recorded: &RecordedEvent) -> Result<(), ProjectorError> {
        for event in recorded.decode()? {
            self.apply_event(recorded, event)?;
        }
        Ok(())
    }

    fn apply_event(
        &mut self,
        recorded: &RecordedEvent,
        event: AccountEvent,
    ) -> Result<(), ProjectorError> {
        let id = recorded.stream.id();
        let account = match (&event, self.accounts.get_mut(id)) {
            (
                AccountEvent::AccountOpened {
                    currency,
                    overdraft,
                },
                None,
            ) => {
                let account_id: AccountId = id
                    .parse()
                    .map_err(|error| contradiction(recorded, &error))?;
                let zero = Money::zero(*currency);
                let row = AccountRow {
                    account_id,
                    currency: *currency,
                    status: "open".to_owned(),
                    overdraft: *overdraft,
                    credits_posted: zero,
                    debits_posted: zero,
                    balance: zero,
                    version: folio_core::Version::NONE,
                    position: recorded.position,
                    opened_at: recorded.recorded_at,
                    updated_at: recorded.recorded_at,
                };
                self.accounts.entry(id.to_owned()).or_insert(row)
            }
            (_, Some(account)) => account,
            (_, None) => return Err(contradiction(recorded, &"the account is not in the model")),
        };
        // Versions count without gaps. One too many or too few is a lost or doubled event.
        if recorded.version != account.version.plus(1) {
            let held = format!("the model is at version {}", account.version);
            return Err(contradiction(recorded, &held));
        }
        account.version = recorded.version;
        account.position = recorded.position;
        account.updated_at = recorded.recorded_at;
        let (side, posting) = match event {
            AccountEvent::AccountOpened { .. } => return Ok(()),
            AccountEvent::AccountClosed => {
                "closed".clone_into(&mut account.status);
                return Ok(());
            }
            AccountEvent::AccountCredited(posting) => (Side::Credit, posting),
            AccountEvent::AccountDebited(posting) => (Side::Debit, posting),
        };
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
        self.lines.push(recorded, side, posting, account.balance);
        Ok(())
    }
}

/// New statement lines, by column.
#[derive(Default)]
struct Lines {
    account_ids: Vec<String>,
    versions: Vec<i64>,
    positions: Vec<i64>,
    recorded_at: Vec<i64>,
    effective_dates: Vec<Option<NaiveDate>>,
    sides: Vec<&'static str>,
    amounts: Vec<Decimal>,
    balances: Vec<Decimal>,
    contras: Vec<String>,
    references: Vec<Option<String>>,
    descriptions: Vec<Option<String>>,
}

impl Lines {
    fn push(&mut self, recorded: &RecordedEvent, side: Side, posting: Posting, balance: Money) {
        self.account_ids.push(recorded.stream.id().to_owned());
        self.versions.push(recorded.version.number());
        self.positions.push(recorded.position.number());
        self.recorded_at.push(recorded.recorded_at.micros());
        self.effective_dates.push(posting.effective_date);
        self.sides.push(side.as_str());
        self.amounts.push(posting.amount.money().amount());
        self.balances.push(balance.amount());
        self.contras.push(posting.contra.to_string());
        self.references.push(posting.reference.map(String::from));
        self.descriptions
            .push(posting.description.map(String::from));
    }

    async fn save(&self, transaction: &Transaction<'_>) -> Result<(), ProjectorError> {
        let statement = transaction.prepare_cached(SAVE_LINES).await?;
        transaction
            .execute(
                &statement,
                &[
                    &self.account_ids,
                    &self.versions,
                    &self.positions,
                    &self.recorded_at,
                    &self.effective_dates,
                    &self.sides,
                    &self.amounts,
                    &self.balances,
                    &self.contras,
                    &self.references,
                    &self.descriptions,
                ],
            )
            .await?;
        Ok(())
    }
}

async fn load(
    events: &[&RecordedEvent],
    transaction: &Transaction<'_>,
) -> Result<BTreeMap<String, AccountRow>, ProjectorError> {
    let mut ids: Vec<&str> = events.iter().map(|event| event.stream.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    let statement = transaction.prepare_cached(LOAD).await?;
    let rows = transaction.query(&statement, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            let row = AccountRow::read(row).map_err(|error| match error {
                QueryError::Database(error) => ProjectorError::Database(error),
                other @ (QueryError::Pool(_) | QueryError::Corrupt(_)) => {
                    ProjectorError::Contradiction(other.to_string())
                }
            })?;
            Ok((row.account_id.as_str().to_owned(), row))
        })
        .collect()
}

async fn save_accounts(
    accounts: impl Iterator<Item = &AccountRow>,
    transaction: &Transaction<'_>,
) -> Result<(), ProjectorError> {
    let accounts: Vec<&AccountRow> = accounts.collect();
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
    let statement = transaction.prepare_cached(SAVE_ACCOUNTS).await?;
    transaction
        .execute(
            &statement,
            &[
                &ids,
                &currencies,
                &statuses,
                &overdrafts,
                &limits,
                &credits,
                &debits,
                &versions,
                &positions,
                &opened,
                &updated,
            ],
        )
        .await?;
    Ok(())
}

fn contradiction(recorded: &RecordedEvent, what: &dyn std::fmt::Display) -> ProjectorError {
    ProjectorError::Contradiction(format!(
        "position {} ({}, version {}, {}): {what}",
        recorded.position, recorded.stream, recorded.version, recorded.event_type
    ))
}
