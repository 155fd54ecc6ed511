//! The rows of the read model.

use chrono::NaiveDate;
use folio_core::{Amount, Currency, Money, Position, Timestamp, Version};
use rust_decimal::Decimal;
use tokio_postgres::Row;

use crate::account::{AccountId, Overdraft, Side};
use crate::read_model::QueryError;

/// One account, as the last projected event left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Its id.
    pub account_id: AccountId,
    /// Its currency.
    pub currency: Currency,
    /// `open` or `closed`.
    pub status: String,
    /// How far below zero it may go.
    pub overdraft: Overdraft,
    /// All that came in.
    pub credits_posted: Money,
    /// All that went out.
    pub debits_posted: Money,
    /// What came in less what went out.
    pub balance: Money,
    /// The version of its last event.
    pub version: Version,
    /// The position of its last event.
    pub position: Position,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
}

/// One posting, with the balance after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    /// Its place among the account's events.
    pub version: Version,
    /// Its place in the store.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// When it took effect, where that is another day.
    pub effective_date: Option<NaiveDate>,
    /// In or out.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// The account's balance after it.
    pub balance: Money,
    /// The other side of it.
    pub contra: String,
    /// The client's name for it.
    pub reference: Option<String>,
    /// What it was for.
    pub description: Option<String>,
}

impl AccountRow {
    pub(super) fn read(row: &Row) -> Result<Self, QueryError> {
        let code: String = row.try_get("currency")?;
        let currency = Currency::from_code(&code).map_err(QueryError::corrupt)?;
        let money = |column: &str| money(row, column, currency);
        let limit: Option<Decimal> = row.try_get("overdraft_limit")?;
        let overdraft: String = row.try_get("overdraft")?;
        let overdraft = match (overdraft.as_str(), limit) {
            ("none", None) => Overdraft::None,
            ("unlimited", None) => Overdraft::Unlimited,
            ("limit", Some(limit)) => {
                let limit = Money::from_decimal(limit, currency).map_err(QueryError::corrupt)?;
                Overdraft::Limit {
                    limit: Amount::try_from(limit).map_err(QueryError::corrupt)?,
                }
            }
            (other, _) => return Err(QueryError::corrupt(format!("overdraft {other}"))),
        };
        let (credits_posted, debits_posted) = (money("credits_posted")?, money("debits_posted")?);
        let balance = money("balance")?;
        // Asserted after the read as it is before the write.
        let derived = credits_posted
            .checked_sub(debits_posted)
            .map_err(QueryError::corrupt)?;
        if derived != balance {
            return Err(QueryError::corrupt(format!(
                "balance {balance} is not {derived}"
            )));
        }
        let id: String = row.try_get("account_id")?;
        Ok(Self {
            account_id: id.parse().map_err(QueryError::corrupt)?,
            currency,
            status: row.try_get("status")?,
            overdraft,
            credits_posted,
            debits_posted,
            balance,
            version: Version::NONE.plus(row.try_get("version")?),
            position: Position::START.plus(row.try_get("position")?),
            opened_at: Timestamp::from_micros(row.try_get("opened_at")?),
            updated_at: Timestamp::from_micros(row.try_get("updated_at")?),
        })
    }
}

impl StatementLine {
    pub(super) fn read(row: &Row, currency: Currency) -> Result<Self, QueryError> {
        let side: String = row.try_get("side")?;
        Ok(Self {
            version: Version::NONE.plus(row.try_get("version")?),
            position: Position::START.plus(row.try_get("position")?),
            recorded_at: Timestamp::from_micros(row.try_get("recorded_at")?),
            effective_date: row.try_get("effective_date")?,
            side: side.parse().map_err(QueryError::corrupt)?,
            amount: Amount::try_from(money(row, "amount", currency)?)
                .map_err(QueryError::corrupt)?,
            balance: money(row, "balance", currency)?,
            contra: row.try_get("contra")?,
            reference: row.try_get("reference")?,
            description: row.try_get("description")?,
        })
    }
}

fn money(row: &Row, column: &str, currency: Currency) -> Result<Money, QueryError> {
    Money::from_decimal(row.try_get(column)?, currency).map_err(QueryError::corrupt)
}
