//! What is asked of the read model: accounts and holds.

use std::time::Duration;

use folio_core::{Aggregate, Position, StoreId, StreamId};
use folio_projections::{ReadModelError, Reader, Reading};
use thiserror::Error;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::account::{Account, AccountId, Kind, Sides};
use crate::hold::{Hold, HoldId};
use crate::read_model::rows::{AccountRow, HoldRow, MetadataChangeRow, TotalRow};

const ACCOUNT: &str = "SELECT * FROM accounts WHERE account_id = $1";
const ACCOUNTS: &str = "SELECT * FROM accounts \
     WHERE account_id > $1 AND starts_with(account_id, $3) \
       AND ($4::text IS NULL OR metadata::jsonb @> $4::text::jsonb) \
     ORDER BY account_id LIMIT $2";
const METADATA: &str = "SELECT version, recorded_at, actor, changes FROM metadata_changes \
     WHERE account_id = $1 ORDER BY version";
const TOTALS: &str = "SELECT account_id, currency, sum(debits) AS debits, sum(credits) AS credits \
     FROM totals WHERE account_id = ANY($1) GROUP BY account_id, currency";
const HOLD: &str = "SELECT * FROM holds WHERE hold_id = $1";
const HOLDS: &str = "SELECT * FROM holds \
     WHERE account_id = $1 AND hold_id > $2 AND ($4::text IS NULL OR state = $4) \
     ORDER BY hold_id LIMIT $3";
const ALL: &str = "SELECT * FROM accounts";
const ALL_TOTALS: &str = "SELECT account_id, currency, sum(debits) AS debits, \
     sum(credits) AS credits FROM totals GROUP BY account_id, currency";
const ALL_LEGS: &str = "SELECT account_id, currency, \
     coalesce(sum(amount) FILTER (WHERE side = 'debit'), 0) AS debits, \
     coalesce(sum(amount) FILTER (WHERE side = 'credit'), 0) AS credits \
     FROM legs GROUP BY account_id, currency";
const ALL_HOLDS: &str = "SELECT * FROM holds";

/// Reads the model.
#[derive(Debug, Clone)]
pub struct BalancesQueries {
    reader: Reader,
}

/// The model as it is at one moment.
#[derive(Debug)]
pub struct Balances {
    reading: Reading,
}

/// Which accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountsFilter {
    /// Those whose ids begin with this.
    pub prefix: String,
    /// Those whose metadata has all of these, as a JSON object.
    pub metadata: Option<String>,
}

/// Which holds of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldsFilter {
    /// Those in this state.
    pub state: Option<String>,
}

/// The whole model at one moment.
pub(crate) struct Snapshot {
    /// The store that it is a model of; none when it is empty.
    pub(crate) store_id: Option<StoreId>,
    /// Up to where.
    pub(crate) position: Position,
    /// Every account.
    pub(crate) accounts: Vec<AccountRow>,
    /// What was posted to every account, as it was added up.
    pub(crate) totals: Vec<TotalRow>,
    /// The same, out of the legs.
    pub(crate) legs: Vec<TotalRow>,
    /// Every hold.
    pub(crate) holds: Vec<HoldRow>,
}

impl BalancesQueries {
    /// Queries through a reader of the projection of balances.
    #[must_use]
    pub const fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// The model as it is now.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn now(&self) -> Result<Balances, QueryError> {
        let reading = self.reader.read().await?;
        Ok(Balances { reading })
    }

    /// The model once it has `position`, within `patience`.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn at(&self, position: Position, patience: Duration) -> Result<Balances, QueryError> {
        let reading = self.reader.read_at(position, patience).await?;
        Ok(Balances { reading })
    }
}

impl Balances {
    /// Up to where the model is.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.reading.position()
    }

    /// The store that it is a model of; none before its first event.
    #[must_use]
    pub const fn store_id(&self) -> Option<StoreId> {
        self.reading.store_id()
    }

    /// One account.
    ///
    /// # Errors
    ///
    /// [`QueryError`]; what is known of a parked account is old, and not answered.
    pub async fn account(&self, id: &AccountId) -> Result<Option<AccountRow>, QueryError> {
        self.check_stream::<Account>(id.as_str())?;
        let rows = self.rows(ACCOUNT, &[&id.as_str()]).await?;
        let accounts: Vec<AccountRow> = rows
            .iter()
            .map(AccountRow::read)
            .collect::<Result<_, _>>()?;
        Ok(self.with_totals(accounts).await?.pop())
    }

    /// Accounts in the order of their ids, from after `after`, each with whether it is parked.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn accounts(
        &self,
        filter: &AccountsFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(AccountRow, Freshness)>, QueryError> {
        let rows = self
            .rows(
                ACCOUNTS,
                &[&after, &limit, &filter.prefix, &filter.metadata],
            )
            .await?;
        let accounts = rows
            .iter()
            .map(AccountRow::read)
            .collect::<Result<_, _>>()?;
        let accounts = self.with_totals(accounts).await?;
        let freshness = |id: &AccountId| match self.check_stream::<Account>(id.as_str()) {
            Ok(()) => Freshness::UpToDate,
            Err(_) => Freshness::Parked,
        };
        Ok(accounts
            .into_iter()
            .map(|account| {
                let freshness = freshness(&account.account_id);
                (account, freshness)
            })
            .collect())
    }

    /// How an account's metadata came to be what it is.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn metadata_changes(
        &self,
        id: &AccountId,
    ) -> Result<Vec<MetadataChangeRow>, QueryError> {
        let rows = self.rows(METADATA, &[&id.as_str()]).await?;
        rows.iter().map(MetadataChangeRow::read).collect()
    }

    /// One hold.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn hold(&self, id: &HoldId) -> Result<Option<HoldRow>, QueryError> {
        self.check_stream::<Hold>(id.as_str())?;
        let rows = self.rows(HOLD, &[&id.as_str()]).await?;
        rows.first().map(HoldRow::read).transpose()
    }

    /// The holds on an account in the order of their ids, from after `after`.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn holds(
        &self,
        account: &AccountId,
        filter: &HoldsFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<HoldRow>, QueryError> {
        let rows = self
            .rows(HOLDS, &[&account.as_str(), &after, &limit, &filter.state])
            .await?;
        rows.iter().map(HoldRow::read).collect()
    }

    /// The whole model.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, QueryError> {
        let accounts = self.rows(ALL, &[]).await?;
        let totals = self.rows(ALL_TOTALS, &[]).await?;
        let legs = self.rows(ALL_LEGS, &[]).await?;
        let holds = self.rows(ALL_HOLDS, &[]).await?;
        Ok(Snapshot {
            store_id: self.reading.store_id(),
            position: self.reading.position(),
            accounts: accounts
                .iter()
                .map(AccountRow::read)
                .collect::<Result<_, _>>()?,
            totals: totals
                .iter()
                .map(TotalRow::read)
                .collect::<Result<_, _>>()?,
            legs: legs.iter().map(TotalRow::read).collect::<Result<_, _>>()?,
            holds: holds.iter().map(HoldRow::read).collect::<Result<_, _>>()?,
        })
    }

    /// Ends the reading, and hands its connection back.
    ///
    /// # Errors
    ///
    /// [`QueryError`] when the server is gone.
    pub async fn close(self) -> Result<(), QueryError> {
        Ok(self.reading.close().await?)
    }

    /// Recording accounts have what was posted to them elsewhere.
    async fn with_totals(&self, accounts: Vec<AccountRow>) -> Result<Vec<AccountRow>, QueryError> {
        let recording: Vec<&str> = accounts
            .iter()
            .filter(|account| account.kind == Kind::Recording)
            .map(|account| account.account_id.as_str())
            .collect();
        if recording.is_empty() {
            return Ok(accounts);
        }
        let totals = self.rows(TOTALS, &[&recording]).await?;
        let totals: Vec<TotalRow> = totals
            .iter()
            .map(TotalRow::read)
            .collect::<Result<_, _>>()?;
        let posted = |account: &AccountRow| -> Sides {
            let total = totals
                .iter()
                .find(|total| total.account_id == account.account_id);
            total.map_or_else(|| Sides::zero(account.currency), |total| total.posted)
        };
        let with_its = |account: AccountRow| match account.kind {
            Kind::Authorising => Ok(account),
            Kind::Recording => {
                let posted = posted(&account);
                account.with_posted(posted)
            }
        };
        accounts.into_iter().map(with_its).collect()
    }

    /// What is known of a parked stream is old, and not answered.
    pub(super) fn check_stream<A: Aggregate>(&self, id: &str) -> Result<(), QueryError> {
        self.check_parked(|stream| stream.category() == A::CATEGORY && stream.id() == id)
    }

    pub(super) fn check_parked(
        &self,
        is_asked: impl Fn(&StreamId) -> bool,
    ) -> Result<(), QueryError> {
        match self.reading.parked().iter().find(|stream| is_asked(stream)) {
            Some(stream) => Err(QueryError::Parked {
                stream: stream.clone(),
            }),
            None => Ok(()),
        }
    }

    pub(super) async fn rows(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, QueryError> {
        let statement = self.reading.prepare_cached(statement).await?;
        Ok(self.reading.query(&statement, parameters).await?)
    }
}

/// Whether what the model says of an account is as new as the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It is.
    UpToDate,
    /// An event of the account could not be taken in; what came after it is missing.
    Parked,
}

/// Why the model gave no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The model cannot be read, or is not far enough.
    #[error(transparent)]
    Model(#[from] ReadModelError),
    /// The database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// An event that the answer depends on could not be taken in.
    #[error("an event of {stream} could not be taken in by the read model; see its dead letters")]
    Parked {
        /// The event's stream.
        stream: StreamId,
    },
    /// A row cannot be right.
    #[error("the read model is corrupt: {0}; rebuild it")]
    Corrupt(String),
}

impl QueryError {
    pub(crate) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt(what.to_string())
    }
}
