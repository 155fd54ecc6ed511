//! The rows of the read model.

use chrono::NaiveDate;
use folio_core::{Amount, Currency, Money, MoneyError, Position, Timestamp, Version};
use folio_projections::ProjectorError;
use rust_decimal::Decimal;
use tokio_postgres::Row;

use crate::account::{
    AccountId, AccountMetadata, Freeze, Kind, Overdraft, Side, Sides, VelocityLimit,
};
use crate::hold::HoldId;
use crate::read_model::QueryError;

/// One account, as the last projected event left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Its id.
    pub account_id: AccountId,
    /// Its currency.
    pub currency: Currency,
    /// Whether its limits are checked.
    pub kind: Kind,
    /// On which side it grows.
    pub normal_side: Side,
    /// `open`, `closing` or `closed`.
    pub status: String,
    /// What it refuses.
    pub freeze: Option<Freeze>,
    /// How far below zero it may go.
    pub overdraft: Overdraft,
    /// How fast money may go out.
    pub velocity: Vec<VelocityLimit>,
    /// What is noted about it.
    pub metadata: AccountMetadata,
    /// What was posted.
    pub posted: Sides,
    /// What is held.
    pub pending: Sides,
    /// What was posted on its normal side less what was posted on the other.
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

/// What was posted to one account, or to all of a currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalRow {
    /// The account.
    pub account_id: AccountId,
    /// All that was posted.
    pub posted: Sides,
}

/// One leg of an entry, with what is known of the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegRow {
    /// The entry's id; none of a posting of the first version.
    pub entry_id: Option<String>,
    /// The entry's place in the store.
    pub position: Position,
    /// Which of its legs, from 0.
    pub leg: i16,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// When it took effect.
    pub effective_date: NaiveDate,
    /// Which side.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// The account on the other side; none where there are several.
    pub contra: Option<AccountId>,
    /// The client's name for it.
    pub reference: Option<String>,
    /// What it was for.
    pub description: Option<String>,
    /// The entry that it undoes.
    pub reverses: Option<String>,
    /// The entry that undid it, where that is known.
    pub reversed_by: Option<String>,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    /// Its id.
    pub hold_id: HoldId,
    /// What was placed; none where it was given up before.
    pub held: Option<HeldRow>,
    /// `open`, `captured`, `released`, `expired` or `ruled_out`.
    pub state: String,
    /// How much was captured, and by which entry.
    pub captured: Option<(Money, String)>,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
    /// The version of its last event.
    pub version: Version,
}

/// What a hold sets aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRow {
    /// On which account.
    pub account_id: AccountId,
    /// Which side.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The client's name for it.
    pub reference: Option<String>,
}

/// A change of an account's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataChangeRow {
    /// The account's version right after it.
    pub version: Version,
    /// When.
    pub recorded_at: Timestamp,
    /// Who asked.
    pub actor: String,
    /// The change, as JSON.
    pub changes: String,
}

impl AccountRow {
    /// What may still go out; none where there is no bound.
    ///
    /// # Errors
    ///
    /// When the figure is too large to hold.
    pub fn available(&self) -> Result<Option<Money>, MoneyError> {
        match self.kind {
            Kind::Recording => Ok(None),
            Kind::Authorising => {
                let held = self.pending.on(self.normal_side.opposite());
                self.overdraft.available(self.balance.checked_sub(held)?)
            }
        }
    }

    pub(super) fn read(row: &Row) -> Result<Self, QueryError> {
        let currency = currency(row)?;
        let sides = |debits: &str, credits: &str| sides(row, debits, credits, currency);
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
        let normal_side = parsed(row, "normal_side")?;
        let posted = sides("debits_posted", "credits_posted")?;
        let balance = money(row, "balance", currency)?;
        // Asserted after the read as it is before the write.
        let derived = posted.balance(normal_side).map_err(QueryError::corrupt)?;
        if derived != balance {
            return Err(QueryError::corrupt(format!(
                "balance {balance} is not {derived}"
            )));
        }
        let freeze: Option<String> = row.try_get("frozen")?;
        Ok(Self {
            account_id: parsed(row, "account_id")?,
            currency,
            kind: parsed(row, "kind")?,
            normal_side,
            status: row.try_get("status")?,
            freeze: freeze
                .map(|freeze| freeze.parse())
                .transpose()
                .map_err(QueryError::corrupt)?,
            overdraft,
            velocity: json(row, "velocity")?,
            metadata: json(row, "metadata")?,
            posted,
            pending: sides("debits_pending", "credits_pending")?,
            balance,
            version: Version::NONE.plus(row.try_get("version")?),
            position: Position::START.plus(row.try_get("position")?),
            opened_at: Timestamp::from_micros(row.try_get("opened_at")?),
            updated_at: Timestamp::from_micros(row.try_get("updated_at")?),
        })
    }

    /// With what was posted to it, which of a recording account stands elsewhere.
    pub(super) fn with_posted(self, posted: Sides) -> Result<Self, QueryError> {
        let balance = posted.balance(self.normal_side);
        Ok(Self {
            posted,
            balance: balance.map_err(QueryError::corrupt)?,
            ..self
        })
    }
}

impl TotalRow {
    pub(super) fn read(row: &Row) -> Result<Self, QueryError> {
        Ok(Self {
            account_id: parsed(row, "account_id")?,
            posted: sides(row, "debits", "credits", currency(row)?)?,
        })
    }
}

impl LegRow {
    pub(super) fn read(row: &Row) -> Result<Self, QueryError> {
        let amount = money(row, "amount", currency(row)?)?;
        let contra: Option<String> = row.try_get("contra")?;
        Ok(Self {
            entry_id: row.try_get("entry_id")?,
            position: Position::START.plus(row.try_get("position")?),
            leg: row.try_get("leg")?,
            recorded_at: Timestamp::from_micros(row.try_get("recorded_at")?),
            effective_date: row.try_get("effective_date")?,
            side: parsed(row, "side")?,
            amount: Amount::try_from(amount).map_err(QueryError::corrupt)?,
            contra: contra
                .map(AccountId::try_from)
                .transpose()
                .map_err(QueryError::corrupt)?,
            reference: row.try_get("reference")?,
            description: row.try_get("description")?,
            reverses: row.try_get("reverses")?,
            reversed_by: row.try_get("reversed_by")?,
        })
    }
}

impl HoldRow {
    pub(super) fn read(row: &Row) -> Result<Self, QueryError> {
        let account: Option<String> = row.try_get("account_id")?;
        let mut captured = None;
        let held = match account {
            None => None,
            Some(account) => {
                let currency = currency(row)?;
                let amount = money(row, "amount", currency)?;
                let (posted, entry): (Option<Decimal>, Option<String>) =
                    (row.try_get("captured")?, row.try_get("entry_id")?);
                if let (Some(posted), Some(entry)) = (posted, entry) {
                    let posted = Money::from_decimal(posted, currency);
                    captured = Some((posted.map_err(QueryError::corrupt)?, entry));
                }
                Some(HeldRow {
                    account_id: account.parse().map_err(QueryError::corrupt)?,
                    side: parsed(row, "side")?,
                    amount: Amount::try_from(amount).map_err(QueryError::corrupt)?,
                    placed_at: Timestamp::from_micros(row.try_get("placed_at")?),
                    expires_at: Timestamp::from_micros(row.try_get("expires_at")?),
                    reference: row.try_get("reference")?,
                })
            }
        };
        let resolved_at: Option<i64> = row.try_get("resolved_at")?;
        Ok(Self {
            hold_id: parsed(row, "hold_id")?,
            held,
            state: row.try_get("state")?,
            captured,
            resolved_at: resolved_at.map(Timestamp::from_micros),
            version: Version::NONE.plus(row.try_get("version")?),
        })
    }
}

impl MetadataChangeRow {
    pub(super) fn read(row: &Row) -> Result<Self, QueryError> {
        Ok(Self {
            version: Version::NONE.plus(row.try_get("version")?),
            recorded_at: Timestamp::from_micros(row.try_get("recorded_at")?),
            actor: row.try_get("actor")?,
            changes: row.try_get("changes")?,
        })
    }
}

/// While a projector loads its rows.
impl From<QueryError> for ProjectorError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Database(error) => Self::Database(error),
            other @ (QueryError::Model(_) | QueryError::Parked { .. } | QueryError::Corrupt(_)) => {
                Self::Contradiction(other.to_string())
            }
        }
    }
}

pub(super) fn currency(row: &Row) -> Result<Currency, QueryError> {
    let code: String = row.try_get("currency")?;
    Currency::from_code(&code).map_err(QueryError::corrupt)
}

pub(super) fn money(row: &Row, column: &str, currency: Currency) -> Result<Money, QueryError> {
    Money::from_decimal(row.try_get(column)?, currency).map_err(QueryError::corrupt)
}

pub(super) fn sides(
    row: &Row,
    debits: &str,
    credits: &str,
    currency: Currency,
) -> Result<Sides, QueryError> {
    Ok(Sides {
        debits: money(row, debits, currency)?,
        credits: money(row, credits, currency)?,
    })
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &Row,
    column: &str,
) -> Result<T, QueryError> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(QueryError::corrupt)
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<T, QueryError> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(QueryError::corrupt)
}
