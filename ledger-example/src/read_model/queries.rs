//! What is asked of the read model.

use folio_core::Checkpoint;
use folio_core::Version;
use folio_postgres::{Object, Pool};
use folio_projections::read_checkpoint;
use thiserror::Error;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::account::AccountId;
use crate::read_model::projector::BalancesProjector;
use crate::read_model::rows::{AccountRow, StatementLine};

const ACCOUNT: &str = "SELECT * FROM balances.accounts WHERE account_id = $1";
const ACCOUNTS: &str = "SELECT * FROM balances.accounts WHERE account_id > $1 \
                        ORDER BY account_id LIMIT $2";
// Versions are never reused or reordered, so a page boundary stays where it is while events come.
const STATEMENT: &str = "SELECT * FROM balances.statement_lines \
                         WHERE account_id = $1 AND version > $2 ORDER BY version LIMIT $3";
const LAST_LINES: &str = "SELECT DISTINCT ON (account_id) account_id, balance \
                          FROM balances.statement_lines ORDER BY account_id, version DESC";

/// Reads the model.
#[derive(Debug, Clone)]
pub struct BalancesQueries {
    readers: Pool,
}

/// The whole model at one moment.
pub(crate) struct Snapshot {
    /// What it is a model of.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Every account.
    pub(crate) accounts: Vec<AccountRow>,
    /// The balance on the last statement line of every account that has one.
    pub(crate) last_lines: Vec<(String, rust_decimal::Decimal)>,
}

impl BalancesQueries {
    /// Queries through a pool of the reader role.
    #[must_use]
    pub const fn new(readers: Pool) -> Self {
        Self { readers }
    }

    /// One account.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn account(&self, id: &AccountId) -> Result<Option<AccountRow>, QueryError> {
        let rows = self.rows(ACCOUNT, &[&id.as_str()]).await?;
        rows.first().map(AccountRow::read).transpose()
    }

    /// Accounts in the order of their ids, from after `after`.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn accounts(&self, after: &str, limit: i64) -> Result<Vec<AccountRow>, QueryError> {
        let rows = self.rows(ACCOUNTS, &[&after, &limit]).await?;
        rows.iter().map(AccountRow::read).collect()
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

    /// The whole model and its checkpoint, all as of one moment.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, QueryError> {
        let mut client = self.client().await?;
        let transaction = client
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let checkpoint = read_checkpoint(&*transaction, BalancesProjector::NAME).await?;
        let accounts = transaction
            .query("SELECT * FROM balances.accounts", &[])
            .await?;
        let last_lines = transaction.query(LAST_LINES, &[]).await?;
        Ok(Snapshot {
            checkpoint,
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

    async fn rows(
        &self,
        statement: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, QueryError> {
        let mut client = self.client().await?;
        let statement = client.prepare_cached(statement).await?;
        let rows = client.query(&statement, parameters).await?;
        client.finished();
        Ok(rows)
    }

    async fn client(&self) -> Result<Object, QueryError> {
        self.readers.get().await.map_err(QueryError::Pool)
    }
}

/// Why the model gave no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// No connection.
    #[error("no connection to the read model's database")]
    Pool(#[source] deadpool_postgres::PoolError),
    /// The database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// A row cannot be right.
    #[error("the read model is corrupt: {0}; rebuild it")]
    Corrupt(String),
}

impl QueryError {
    pub(super) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt(what.to_string())
    }
}
