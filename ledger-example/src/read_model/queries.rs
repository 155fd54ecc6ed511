//! What is asked of the read model.

use std::time::Duration;

use folio_core::{Aggregate, Position, StoreId, StreamId, Version};
use folio_projections::{ReadModelError, Reader, Reading};
use thiserror::Error;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::account::{Account, AccountId};
use crate::read_model::rows::{AccountRow, StatementLine};

const ACCOUNT: &str = "SELECT * FROM accounts WHERE account_id = $1";
const ACCOUNTS: &str = "SELECT * FROM accounts WHERE account_id > $1 ORDER BY account_id LIMIT $2";
// Versions are never reused or reordered, so a page boundary stays where it is while events come.
const STATEMENT: &str = "SELECT * FROM statement_lines \
                         WHERE account_id = $1 AND version > $2 ORDER BY version LIMIT $3";
const ALL: &str = "SELECT * FROM accounts";
const LAST_LINES: &str = "SELECT DISTINCT ON (account_id) account_id, balance \
                          FROM statement_lines ORDER BY account_id, version DESC";

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

/// The whole model at one moment.
pub(crate) struct Snapshot {
    /// The store that it is a model of; none when it is empty.
    pub(crate) store_id: Option<StoreId>,
    /// Up to where.
    pub(crate) position: Position,
    /// Every account.
    pub(crate) accounts: Vec<AccountRow>,
    /// The balance on the last statement line of every account that has one.
    pub(crate) last_lines: Vec<(String, rust_decimal::Decimal)>,
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

    /// One account.
    ///
    /// # Errors
    ///
    /// [`QueryError`]; what is known of a parked account is old, and not answered.
    pub async fn account(&self, id: &AccountId) -> Result<Option<AccountRow>, QueryError> {
        let parked = self.reading.parked();
        let is_it = |stream: &&StreamId| {
            stream.category() == Account::CATEGORY && stream.id() == id.as_str()
        };
        if let Some(stream) = parked.iter().find(is_it) {
            return Err(QueryError::Parked {
                stream: stream.clone(),
            });
        }
        let rows = self.rows(ACCOUNT, &[&id.as_str()]).await?;
        rows.first().map(AccountRow::read).transpose()
    }

    /// Accounts in the order of their ids, from after `after`, each with whether it is parked.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn accounts(
        &self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(AccountRow, Freshness)>, QueryError> {
        let parked = self.reading.parked();
        let rows = self.rows(ACCOUNTS, &[&after, &limit]).await?;
        rows.iter()
            .map(|row| {
                let row = AccountRow::read(row)?;
                let is_parked = parked.iter().any(|stream| {
                    stream.category() == Account::CATEGORY && stream.id() == row.account_id.as_str()
                });
                let freshness = if is_parked {
                    Freshness::Parked
                } else {
                    Freshness::UpToDate
                };
                Ok((row, freshness))
            })
            .collect()
    }

    /// An account's postings in the order of recording, from after version `after`.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn statement(
        &self,
        account: &AccountRow,
        after: Version,
        limit: i64,
    ) -> Result<Vec<StatementLine>, QueryError> {
        let id = account.account_id.as_str();
        let rows = self
            .rows(STATEMENT, &[&id, &after.number(), &limit])
            .await?;
        rows.iter()
            .map(|row| StatementLine::read(row, account.currency))
            .collect()
    }

    /// The whole model.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, QueryError> {
        let accounts = self.rows(ALL, &[]).await?;
        let last_lines = self.rows(LAST_LINES, &[]).await?;
        Ok(Snapshot {
            store_id: self.reading.store_id(),
            position: self.reading.position(),
            accounts: accounts
                .iter()
                .map(AccountRow::read)
                .collect::<Result<_, _>>()?,
            last_lines: last_lines
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect::<Result<_, tokio_postgres::Error>>()?,
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

    async fn rows(
        &self,
        statement: &'static str,
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
    /// An event of the account could not be taken in.
    #[error("an event of {stream} could not be taken in by the read model; see its dead letters")]
    Parked {
        /// The account's stream.
        stream: StreamId,
    },
    /// A row cannot be right.
    #[error("the read model is corrupt: {0}; rebuild it")]
    Corrupt(String),
}

impl QueryError {
    pub(super) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt(what.to_string())
    }
}
