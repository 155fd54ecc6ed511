//! In what two builds differ, row by row.

use folio_core::Position;
use folio_postgres::Transaction;
use tokio_postgres::Client;

use crate::build::ModelError;
use crate::name::BuildName;
use crate::operations::{OperationError, named};
use crate::projection::{Projection, live};
use crate::seize::{TakenFrom, seize};

/// How many rows are shown of those that differ in a table.
const SHOWN: i64 = 20;

pub(crate) const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
const TABLES: &str = include_str!("sql/tables.sql");

/// In what a build differs from the live one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The live build.
    pub live: BuildName,
    /// The other one.
    pub build: BuildName,
    /// Both were compared as of this position.
    pub position: Position,
    /// The tables of both.
    pub tables: Vec<TableDiff>,
}

/// A table in which two builds are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDiff {
    /// Its name.
    pub table: String,
    /// What became of it.
    pub comparison: Comparison,
}

/// What a comparison of a table came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// It was compared by its primary key.
    Compared {
        /// How many rows differ, or are in one of the two only.
        differing: i64,
        /// The first of them.
        rows: Vec<RowDiff>,
    },
    /// One of the two builds has no such table, or one with another key.
    OnlyInOne,
    /// It has no primary key to tell rows by.
    NoKey,
}

/// A row that is not the same in both builds, as JSON; none where it is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDiff {
    /// In the live build.
    pub live: Option<String>,
    /// In the other one.
    pub build: Option<String>,
}

impl Diff {
    /// Whether everything that can be compared is the same, and everything could be compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(TableDiff::is_same)
    }
}

impl TableDiff {
    /// Whether it could be compared, and no row differs.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        matches!(self.comparison, Comparison::Compared { differing: 0, .. })
    }
}

impl Projection {
    /// Compares a build with the live one as of one position, row by row. Traffic goes on meanwhile;
    /// the live build stands still for the moment in which both are brought to that position.
    ///
    /// # Errors
    ///
    /// [`OperationError`].
    pub async fn diff(&self, build: i32) -> Result<Diff, OperationError> {
        let all = self.builds().await?;
        let (Some(live), Some(other)) = (live(&all), named(&all, build)) else {
            return Err(OperationError::NoBuild {
                build: self.build_name(build),
            });
        };
        let seized = seize(&self.shared, &live.name, TakenFrom::Anybody).await?;
        let snapshot = async {
            self.level(&seized, live).await?;
            let position = seized.highest();
            self.wait_until_filled(&other.name, position).await?;
            let client = self.shared.models.get().await.map_err(ModelError::Pool)?;
            let transaction = Transaction::begin(client, SNAPSHOT).await?;
            // The snapshot is taken with the first question.
            let tables = tables(&transaction, &live.name.schema(), &other.name.schema()).await?;
            Ok::<_, OperationError>((transaction, tables, position))
        }
        .await;
        seized.release(&self.shared).await;
        let (transaction, tables, position) = snapshot?;
        let schemas = [live.name.schema(), other.name.schema()];
        let mut compared = Vec::new();
        for (table, key) in tables {
            let comparison = match key {
                Key::Same(key) => compare(&transaction, &schemas, &table, &key, SHOWN).await?,
                Key::Differs => Comparison::OnlyInOne,
                Key::None => Comparison::NoKey,
            };
            compared.push(TableDiff { table, comparison });
        }
        transaction.rollback().await?;
        Ok(Diff {
            live: live.name.clone(),
            build: other.name.clone(),
            position,
            tables: compared,
        })
    }
}

/// The key of a table in two schemas.
pub(crate) enum Key {
    Same(Vec<String>),
    Differs,
    None,
}

/// The tables of two schemas.
pub(crate) async fn tables(
    client: &Client,
    live: &str,
    other: &str,
) -> Result<Vec<(String, Key)>, tokio_postgres::Error> {
    let rows = client.query(TABLES, &[&live, &other]).await?;
    rows.iter()
        .map(|row| {
            let (of_live, of_other): (Option<Vec<String>>, Option<Vec<String>>) =
                (row.try_get(1)?, row.try_get(2)?);
            let key = match (of_live, of_other) {
                (Some(a), Some(b)) if a != b => Key::Differs,
                (Some(key), Some(_)) if key.is_empty() => Key::None,
                (Some(key), Some(_)) => Key::Same(key),
                _ => Key::Differs,
            };
            Ok((row.try_get(0)?, key))
        })
        .collect()
}

/// Compares a table in two schemas, of which the first is that of the live build, and shows the first rows that differ.
pub(crate) async fn compare(
    client: &Client,
    [live, other]: &[String; 2],
    table: &str,
    key: &[String],
    shown: i64,
) -> Result<Comparison, tokio_postgres::Error> {
    let on: Vec<String> = key
        .iter()
        .map(|column| format!("a.{column} = b.{column}"))
        .collect();
    // As JSON, so that a table of another shape can be compared too. Numbers are compared as numbers.
    let statement = format!(
        "SELECT to_jsonb(a)::text, to_jsonb(b)::text, count(*) OVER () \
         FROM \"{live}\".{table} a FULL JOIN \"{other}\".{table} b ON {} \
         WHERE to_jsonb(a) IS DISTINCT FROM to_jsonb(b) LIMIT {shown}",
        on.join(" AND ")
    );
    let rows = client.query(&statement, &[]).await?;
    let differing = match rows.first() {
        Some(first) => first.try_get(2)?,
        None => 0,
    };
    let rows = rows
        .iter()
        .map(|row| {
            Ok(RowDiff {
                live: row.try_get(0)?,
                build: row.try_get(1)?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()?;
    Ok(Comparison::Compared { differing, rows })
}
