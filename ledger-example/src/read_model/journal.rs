//! What was posted: as it took effect, and as it was known.
//!
//! Two axes of time: an entry takes effect on a day, and it is known from its position on. Whatever is
//! asked "as known at" a position is answered from the legs up to there, which nothing changes any more,
//! so it is answered the same for ever.

use chrono::NaiveDate;
use folio_core::{Aggregate, Currency, Money, Position, Timestamp};
use tokio_postgres::Row;

use crate::account::{Account, AccountId, Side, Sides};
use crate::journal::{Entry, EntryId, Exchange, Leg};
use crate::read_model::queries::{Balances, QueryError};
use crate::read_model::rows::{self, AccountRow, LegRow, TotalRow};

const LEGS: &str = "SELECT l.position, l.leg, l.side, l.amount, l.currency, l.effective_date, \
            e.entry_id, e.recorded_at, e.reference, e.description, e.reverses, \
            CASE WHEN e.reversed_position <= $2 THEN e.reversed_by END AS reversed_by, \
            (SELECT CASE WHEN count(DISTINCT o.account_id) = 1 THEN min(o.account_id) END \
             FROM legs o WHERE o.position = l.position AND o.side <> l.side) AS contra \
     FROM legs l JOIN entries e ON e.position = l.position \
     WHERE l.account_id = $1 AND l.position <= $2";
const STATEMENT: &str = " AND l.effective_date >= $3 AND l.effective_date <= $4 \
       AND (l.effective_date, l.position, l.leg) > ($5, $6, $7) \
     ORDER BY l.effective_date, l.position, l.leg LIMIT $8";
const BY_POSITION: &str = " AND (l.position, l.leg) > ($3, $4) \
     ORDER BY l.position, l.leg LIMIT $5";
const SUMS: &str = "SELECT coalesce(sum(amount) FILTER (WHERE side = 'debit'), 0) AS debits, \
            coalesce(sum(amount) FILTER (WHERE side = 'credit'), 0) AS credits \
     FROM legs WHERE account_id = $1 AND position <= $2 AND effective_date <= $3";
const TRIAL_NOW: &str = "SELECT currency, sum(debits) AS debits, sum(credits) AS credits \
     FROM totals GROUP BY currency ORDER BY currency";
const TRIAL_AS_OF: &str = "SELECT currency, \
            coalesce(sum(amount) FILTER (WHERE side = 'debit'), 0) AS debits, \
            coalesce(sum(amount) FILTER (WHERE side = 'credit'), 0) AS credits \
     FROM legs WHERE position <= $1 AND effective_date <= $2 GROUP BY currency ORDER BY currency";
const TRIAL_ACCOUNTS: &str = "SELECT account_id, min(currency) AS currency, \
            coalesce(sum(amount) FILTER (WHERE side = 'debit'), 0) AS debits, \
            coalesce(sum(amount) FILTER (WHERE side = 'credit'), 0) AS credits \
     FROM legs WHERE position <= $1 AND effective_date <= $2 AND account_id > $3 \
     GROUP BY account_id ORDER BY account_id LIMIT $4";
const ENTRY: &str = "SELECT * FROM entries WHERE entry_id = $1";
// What was undone later was not undone yet.
const ENTRIES: &str = "SELECT position, entry_id, recorded_at, effective_date, reference, description, exchange, \
            reverses, CASE WHEN reversed_position <= $2 THEN reversed_by END AS reversed_by, \
            captures, actor, correlation_id \
     FROM entries WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3";
const LEGS_OF: &str = "SELECT position, account_id, side, amount, currency FROM legs \
     WHERE position = ANY($1) ORDER BY position, leg";
// Positions and times of recording rise together.
const KNOWN_AT: &str = "SELECT position FROM entries WHERE recorded_at <= $1 \
     ORDER BY position DESC LIMIT 1";

const LATEST: &str = "SELECT recorded_at FROM entries ORDER BY position DESC LIMIT 1";

/// Which legs count: those that take effect up to a day, of those that were recorded up to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The last day.
    pub effective: NaiveDate,
    /// The last position.
    pub known: Position,
}

/// A page of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// In the order in which they take effect, and of these in that of recording.
    pub lines: Vec<StatementLine>,
    /// The balance before the first line.
    pub opening: Money,
    /// The balance after the last day, whatever page this is.
    pub closing: Money,
}

/// A leg, with the balance after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    /// The leg.
    pub leg: LegRow,
    /// The account's balance after it.
    pub balance: Money,
}

/// A place in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The day of the leg before it.
    pub effective_date: NaiveDate,
    /// The position of that leg's entry.
    pub position: Position,
    /// Which of its legs.
    pub leg: i16,
}

/// The sums of all accounts of a currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialBalance {
    /// The currency.
    pub currency: Currency,
    /// All debits and all credits, which are the same.
    pub posted: Sides,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Its id; none of a posting of the first version.
    pub entry_id: Option<String>,
    /// Its place in the store.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// When it took effect.
    pub effective_date: NaiveDate,
    /// Its legs.
    pub legs: Vec<Leg>,
    /// The client's name for it.
    pub reference: Option<String>,
    /// What it was for.
    pub description: Option<String>,
    /// At what one currency was exchanged for another.
    pub exchange: Option<Exchange>,
    /// The entry that it undoes.
    pub reverses: Option<String>,
    /// The entry that undid it.
    pub reversed_by: Option<String>,
    /// The hold that it captures.
    pub captures: Option<String>,
    /// Who posted it.
    pub actor: String,
    /// The request that it belongs to.
    pub correlation_id: String,
}

impl Balances {
    /// The last position at which an entry was recorded up to a moment.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn known_at(&self, moment: Timestamp) -> Result<Position, QueryError> {
        let rows = self.rows(KNOWN_AT, &[&moment.micros()]).await?;
        let position = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok(Position::START.plus(position))
    }

    /// Whether an entry is known that was recorded after `moment`. Then all that was recorded up to it is.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn goes_beyond(&self, moment: Timestamp) -> Result<bool, QueryError> {
        let rows = self.rows(LATEST, &[]).await?;
        let latest = rows.first().map(|row| row.try_get(0)).transpose()?;
        Ok(latest.is_some_and(|latest: i64| latest > moment.micros()))
    }

    /// What was posted to an account.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn posted(&self, account: &AccountRow, as_of: AsOf) -> Result<Sides, QueryError> {
        self.check_entries()?;
        let (id, known) = (account.account_id.as_str(), as_of.known.number());
        let found = self.rows(SUMS, &[&id, &known, &as_of.effective]).await?;
        match found.first() {
            Some(row) => rows::sides(row, "debits", "credits", account.currency),
            None => Ok(Sides::zero(account.currency)),
        }
    }

    /// The legs of an account that take effect from a day on, up to `as_of`, with the balance after
    /// each: at most `limit` from after `after`, where the balance was `before`.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn statement(
        &self,
        account: &AccountRow,
        from: NaiveDate,
        as_of: AsOf,
        after: Option<(Place, Money)>,
        limit: i64,
    ) -> Result<Statement, QueryError> {
        let balance = |posted: Sides| {
            let balance = posted.balance(account.normal_side);
            balance.map_err(QueryError::corrupt)
        };
        let closing = balance(self.posted(account, as_of).await?)?;
        let (place, opening) = match after {
            Some(after) => after,
            None => {
                let opening = match from.pred_opt() {
                    Some(effective) => {
                        let before = AsOf { effective, ..as_of };
                        balance(self.posted(account, before).await?)?
                    }
                    None => Money::zero(account.currency),
                };
                let start = Place {
                    effective_date: from,
                    position: Position::START,
                    leg: -1,
                };
                (start, opening)
            }
        };
        let found = self
            .rows(
                &format!("{LEGS}{STATEMENT}"),
                &[
                    &account.account_id.as_str(),
                    &as_of.known.number(),
                    &from,
                    &as_of.effective,
                    &place.effective_date,
                    &place.position.number(),
                    &place.leg,
                    &limit,
                ],
            )
            .await?;
        let mut running = opening;
        let mut lines = Vec::with_capacity(found.len());
        for row in &found {
            let leg = LegRow::read(row)?;
            running = if leg.side == account.normal_side {
                running.checked_add(leg.amount.money())
            } else {
                running.checked_sub(leg.amount.money())
            }
            .map_err(QueryError::corrupt)?;
            lines.push(StatementLine {
                leg,
                balance: running,
            });
        }
        Ok(Statement {
            lines,
            opening,
            closing,
        })
    }

    /// The legs of an account that were recorded after a position and up to another, in this order: why
    /// its balance changed between the two. `after_leg` is the last leg of the entry at `after` that is
    /// left out.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn legs(
        &self,
        account: &AccountId,
        (after, after_leg): (Position, i16),
        known: Position,
        limit: i64,
    ) -> Result<Vec<LegRow>, QueryError> {
        self.check_entries()?;
        let found = self
            .rows(
                &format!("{LEGS}{BY_POSITION}"),
                &[
                    &account.as_str(),
                    &known.number(),
                    &after.number(),
                    &after_leg,
                    &limit,
                ],
            )
            .await?;
        found.iter().map(LegRow::read).collect()
    }

    /// All debits and credits of each currency.
    ///
    /// # Errors
    ///
    /// [`QueryError`]; [`Corrupt`](QueryError::Corrupt) when they are not the same.
    pub async fn trial_balance(
        &self,
        as_of: Option<AsOf>,
    ) -> Result<Vec<TrialBalance>, QueryError> {
        self.check_journal()?;
        let found = match as_of {
            None => self.rows(TRIAL_NOW, &[]).await?,
            Some(AsOf { effective, known }) => {
                self.rows(TRIAL_AS_OF, &[&known.number(), &effective])
                    .await?
            }
        };
        let read = |row: &Row| {
            let currency = rows::currency(row)?;
            let posted = rows::sides(row, "debits", "credits", currency)?;
            if posted.debits != posted.credits {
                return Err(QueryError::corrupt(format!(
                    "debits of {} are not credits of {}",
                    posted.debits, posted.credits
                )));
            }
            Ok(TrialBalance { currency, posted })
        };
        found.iter().map(read).collect()
    }

    /// What was posted to each account, in the order of their ids, from after `after`.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn trial_balance_accounts(
        &self,
        as_of: AsOf,
        after: &str,
        limit: i64,
    ) -> Result<Vec<TotalRow>, QueryError> {
        self.check_journal()?;
        let (known, effective) = (as_of.known.number(), as_of.effective);
        let found = self
            .rows(TRIAL_ACCOUNTS, &[&known, &effective, &after, &limit])
            .await?;
        found.iter().map(TotalRow::read).collect()
    }

    /// One entry.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn entry(&self, id: &EntryId) -> Result<Option<EntryRow>, QueryError> {
        self.check_stream::<Entry>(id.as_str())?;
        let found = self.rows(ENTRY, &[&id.as_str()]).await?;
        Ok(self.with_legs(&found).await?.pop())
    }

    /// Entries in the order of recording, from after a position and up to another.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn entries(
        &self,
        after: Position,
        known: Position,
        limit: i64,
    ) -> Result<Vec<EntryRow>, QueryError> {
        self.check_journal()?;
        let found = self
            .rows(ENTRIES, &[&after.number(), &known.number(), &limit])
            .await?;
        self.with_legs(&found).await
    }

    async fn with_legs(&self, found: &[Row]) -> Result<Vec<EntryRow>, QueryError> {
        let mut entries: Vec<EntryRow> =
            found.iter().map(EntryRow::read).collect::<Result<_, _>>()?;
        let positions: Vec<i64> = entries
            .iter()
            .map(|entry| entry.position.number())
            .collect();
        let legs = self.rows(LEGS_OF, &[&positions]).await?;
        let mut legs = legs.iter().map(read_leg).peekable();
        for entry in &mut entries {
            while let Some(leg) = legs.next_if(|leg| match leg {
                Ok((position, _)) => *position == entry.position,
                Err(_) => true,
            }) {
                entry.legs.push(leg?.1);
            }
        }
        Ok(entries)
    }

    /// An entry that could not be taken in may be about any account.
    fn check_entries(&self) -> Result<(), QueryError> {
        self.check_parked(|stream| stream.category() == Entry::CATEGORY)
    }

    /// Postings of the first version are events of accounts, each with two legs.
    fn check_journal(&self) -> Result<(), QueryError> {
        self.check_parked(|stream| {
            stream.category() == Entry::CATEGORY || stream.category() == Account::CATEGORY
        })
    }
}

impl EntryRow {
    fn read(row: &Row) -> Result<Self, QueryError> {
        let exchange: Option<String> = row.try_get("exchange")?;
        let exchange = exchange.map(|json| serde_json::from_str(&json));
        Ok(Self {
            entry_id: row.try_get("entry_id")?,
            position: Position::START.plus(row.try_get("position")?),
            recorded_at: Timestamp::from_micros(row.try_get("recorded_at")?),
            effective_date: row.try_get("effective_date")?,
            legs: Vec::new(),
            reference: row.try_get("reference")?,
            description: row.try_get("description")?,
            exchange: exchange.transpose().map_err(QueryError::corrupt)?,
            reverses: row.try_get("reverses")?,
            reversed_by: row.try_get("reversed_by")?,
            captures: row.try_get("captures")?,
            actor: row.try_get("actor")?,
            correlation_id: row.try_get("correlation_id")?,
        })
    }
}

fn read_leg(row: &Row) -> Result<(Position, Leg), QueryError> {
    let position = Position::START.plus(row.try_get("position")?);
    let amount = rows::money(row, "amount", rows::currency(row)?)?;
    let (account, side): (String, String) = (row.try_get("account_id")?, row.try_get("side")?);
    let leg = Leg {
        account: account.parse().map_err(QueryError::corrupt)?,
        side: side.parse::<Side>().map_err(QueryError::corrupt)?,
        amount: amount.try_into().map_err(QueryError::corrupt)?,
    };
    Ok((position, leg))
}
