//! Writing sets of rows: one statement, one array a column.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::model::ModelTransaction;
use crate::projector::ProjectorError;

/// Rows to be written in one statement. Made by [`ModelTransaction::upsert`] and
/// [`ModelTransaction::insert`].
#[derive(Debug)]
#[must_use = "nothing is written before execute"]
pub struct Upsert<'a> {
    model: &'a ModelTransaction,
    table: &'a str,
    columns: Vec<Column<'a>>,
    existing: Existing,
}

/// What is done where a row of the key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Changed,
    Refused,
}

#[derive(Debug)]
struct Column<'a> {
    name: &'a str,
    of: &'static str,
    rows: usize,
    values: &'a (dyn ToSql + Sync),
    then: Then,
}

/// What becomes of a column where a row of the key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    IsKey,
    IsReplaced,
    IsAddedTo,
    Stays,
}

impl<'a> Upsert<'a> {
    pub(crate) const fn changing(model: &'a ModelTransaction, table: &'a str) -> Self {
        Self {
            model,
            table,
            columns: Vec::new(),
            existing: Existing::Changed,
        }
    }

    pub(crate) const fn adding(model: &'a ModelTransaction, table: &'a str) -> Self {
        Self {
            model,
            table,
            columns: Vec::new(),
            existing: Existing::Refused,
        }
    }

    /// A column of the key. No two rows may have the same key.
    pub fn key<T: SqlValue>(self, name: &'a str, values: &'a Vec<T>) -> Self {
        self.column(name, values, Then::IsKey)
    }

    /// A column that gets the value.
    pub fn set<T: SqlValue>(self, name: &'a str, values: &'a Vec<T>) -> Self {
        self.column(name, values, Then::IsReplaced)
    }

    /// A column to which the value is added; in a new row it is the value.
    pub fn add<T: SqlValue>(self, name: &'a str, values: &'a Vec<T>) -> Self {
        self.column(name, values, Then::IsAddedTo)
    }

    /// A column that gets the value in a new row, and stays as it is in one that is there.
    pub fn set_once<T: SqlValue>(self, name: &'a str, values: &'a Vec<T>) -> Self {
        self.column(name, values, Then::Stays)
    }

    /// Writes them.
    ///
    /// # Errors
    ///
    /// [`ProjectorError::Contradiction`] when the columns are not equally long or there is no key to
    /// change rows by; [`ProjectorError::Database`] when the server refuses.
    pub async fn execute(self) -> Result<(), ProjectorError> {
        let rows = self.columns.first().map_or(0, |column| column.rows);
        if self.columns.iter().any(|column| column.rows != rows) {
            let what = format!("the columns for {} are not equally long", self.table);
            return Err(ProjectorError::Contradiction(what));
        }
        let has_key = self.columns.iter().any(|column| column.then == Then::IsKey);
        if self.existing == Existing::Changed && !has_key {
            let what = format!("rows of {} are to be changed by no key", self.table);
            return Err(ProjectorError::Contradiction(what));
        }
        if rows == 0 {
            return Ok(());
        }
        let statement = self.model.prepare_cached(&self.statement()).await?;
        let values: Vec<&(dyn ToSql + Sync)> =
            self.columns.iter().map(|column| column.values).collect();
        self.model.execute(&statement, &values).await?;
        Ok(())
    }

    fn column<T: SqlValue>(mut self, name: &'a str, values: &'a Vec<T>, then: Then) -> Self {
        self.columns.push(Column {
            name,
            of: T::TYPE,
            rows: values.len(),
            values,
            then,
        });
        self
    }

    fn statement(&self) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let list = |then: Option<Then>| {
            let of = self
                .columns
                .iter()
                .filter(|c| then.is_none_or(|t| c.then == t));
            of.map(|column| quoted(column.name))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let arrays: Vec<String> = self
            .columns
            .iter()
            .zip(1..)
            .map(|(column, number)| format!("${number}::{}[]", column.of))
            .collect();
        let insert = format!(
            "INSERT INTO {} AS t ({}) SELECT * FROM unnest({})",
            quoted(self.table),
            list(None),
            arrays.join(", ")
        );
        if self.existing == Existing::Refused {
            return insert;
        }
        let changes: Vec<String> = self
            .columns
            .iter()
            .filter_map(|column| {
                let name = quoted(column.name);
                match column.then {
                    Then::IsKey | Then::Stays => None,
                    Then::IsReplaced => Some(format!("{name} = excluded.{name}")),
                    Then::IsAddedTo => Some(format!("{name} = t.{name} + excluded.{name}")),
                }
            })
            .collect();
        let action = if changes.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", changes.join(", "))
        };
        format!(
            "{insert} ON CONFLICT ({}) DO {action}",
            list(Some(Then::IsKey))
        )
    }
}

/// A value that a column can hold, with the name of its type in SQL.
pub trait SqlValue: ToSql + Sync {
    /// The type's name.
    const TYPE: &'static str;
}

macro_rules! sql_values {
    ($($rust:ty => $sql:literal),* $(,)?) => {
        $(impl SqlValue for $rust { const TYPE: &'static str = $sql; })*
    };
}

sql_values! {
    bool => "boolean",
    i16 => "smallint",
    i32 => "integer",
    i64 => "bigint",
    &str => "text",
    String => "text",
    Vec<u8> => "bytea",
    Decimal => "numeric",
    NaiveDate => "date",
    DateTime<Utc> => "timestamptz",
    Uuid => "uuid",
}

impl<T: SqlValue> SqlValue for Option<T> {
    const TYPE: &'static str = T::TYPE;
}
