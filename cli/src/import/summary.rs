//! What an import did.

use std::{fmt, time::Duration};

use crate::{
    bank_file::{BadRow, first_of, rows_of},
    client::PositionToken,
};

/// What an import did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ImportSummary {
    /// How many rows of the file were imported: those posted and those that were there.
    pub rows: usize,
    /// How many rows were posted.
    pub posted: usize,
    /// How many rows were in the ledger before: from an earlier import, or from a request of this
    /// one that had to be repeated because its answer was lost.
    pub already_there: usize,
    /// How many accounts the rows are about.
    pub accounts: usize,
    /// How many of them were opened by this import, as far as it got the answers.
    pub accounts_opened: usize,
    /// How long it took, with the reading of the file.
    pub elapsed: Duration,
    /// From where on a read sees all of it.
    pub position: Option<PositionToken>,
    /// The bad rows that were left out.
    pub skipped: Vec<BadRow>,
}

impl ImportSummary {
    /// How many rows were imported in a second.
    #[must_use]
    pub fn rows_per_second(&self) -> u128 {
        // usize is never wider than u128.
        let rows = u128::try_from(self.rows).unwrap_or(u128::MAX);
        rows.saturating_mul(1_000_000) / self.elapsed.as_micros().max(1)
    }
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows             {:>9}", self.rows)?;
        writeln!(f, "  new            {:>9}", self.posted)?;
        writeln!(f, "  already there  {:>9}", self.already_there)?;
        writeln!(f, "accounts         {:>9}", self.accounts)?;
        writeln!(f, "  opened         {:>9}", self.accounts_opened)?;
        writeln!(f, "elapsed          {:>8.2}s", self.elapsed.as_secs_f64())?;
        writeln!(f, "rows per second  {:>9}", self.rows_per_second())?;
        if let Some(position) = &self.position {
            writeln!(f, "position         {position}")?;
        }
        if !self.skipped.is_empty() {
            writeln!(f, "rows left out    {:>9}", rows_of(&self.skipped))?;
            writeln!(f, "{}", first_of(&self.skipped))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_all_rows() {
        let mut summary = ImportSummary {
            rows: 50,
            elapsed: Duration::from_millis(200),
            ..ImportSummary::default()
        };
        assert_eq!(summary.rows_per_second(), 250);
        summary.elapsed = Duration::ZERO;
        assert_eq!(summary.rows_per_second(), 50_000_000);
    }
}
