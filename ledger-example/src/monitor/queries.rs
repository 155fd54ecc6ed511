//! What the monitor has found, read from its tables.

use std::time::Duration;

use folio_core::{Position, StreamId};
use folio_projections::{Reader, Reading};
use tokio_postgres::Row;

use crate::monitor::{Invariant, Violation};
use crate::read_model::QueryError;

const FOUND: &str = "SELECT position, invariant, what, category, stream_id FROM violations \
     WHERE certain OR $1 ORDER BY position, invariant, what LIMIT $2";
const COUNT: &str = "SELECT count(*) FROM violations WHERE certain OR $1";

/// Reads what the projection of invariants has found.
#[derive(Debug, Clone)]
pub struct InvariantsQueries {
    reader: Reader,
}

/// What has been found up to one moment.
#[derive(Debug)]
pub struct Invariants {
    reading: Reading,
}

/// Violations, the first ones in the order of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundViolations {
    /// How many there are, up to 1,000: later ones are not kept.
    pub count: i64,
    /// As many as were asked for.
    pub first: Vec<Violation>,
}

impl InvariantsQueries {
    /// Queries through a reader of the projection of invariants.
    #[must_use]
    pub const fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// What has been found by now.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn now(&self) -> Result<Invariants, QueryError> {
        let reading = self.reader.read().await?;
        Ok(Invariants { reading })
    }

    /// What has been found once the monitor has `position`, within `patience`.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn at(
        &self,
        position: Position,
        patience: Duration,
    ) -> Result<Invariants, QueryError> {
        let reading = self.reader.read_at(position, patience).await?;
        Ok(Invariants { reading })
    }
}

impl Invariants {
    /// Up to where the book was watched.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.reading.position()
    }

    /// What is not as it must be, given the store's last position, which was asked for after this reading
    /// was begun: where the monitor is there, the last command has all of its events.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn found(&self, head: Position, most: i64) -> Result<FoundViolations, QueryError> {
        let is_whole = self.position() >= head;
        let statement = self.reading.prepare_cached(FOUND).await?;
        let rows = self.reading.query(&statement, &[&is_whole, &most]).await?;
        let count = self.reading.prepare_cached(COUNT).await?;
        let count = self.reading.query_one(&count, &[&is_whole]).await?;
        Ok(FoundViolations {
            count: count.try_get(0)?,
            first: rows.iter().map(violation).collect::<Result<_, _>>()?,
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
}

fn violation(row: &Row) -> Result<Violation, QueryError> {
    let corrupt = |what: &dyn std::fmt::Display| QueryError::Corrupt(what.to_string());
    let invariant: &str = row.try_get("invariant")?;
    let (category, id): (&str, &str) = (row.try_get("category")?, row.try_get("stream_id")?);
    Ok(Violation {
        invariant: Invariant::named(invariant).ok_or_else(|| corrupt(&invariant))?,
        position: Position::START.plus(row.try_get("position")?),
        stream: StreamId::new(category, id).map_err(|error| corrupt(&error))?,
        what: row.try_get("what")?,
    })
}
