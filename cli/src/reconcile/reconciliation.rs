//! What a reconciliation found, over all accounts.

use std::fmt;

use folio_core::{Currency, Money, MoneyError};

use super::{AccountReconciliation, Finding};
use crate::bank_file::{BadRow, rows_of};

/// What a reconciliation found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reconciliation {
    /// The accounts, in the order in which they first occur in the file.
    pub accounts: Vec<AccountReconciliation>,
    /// The figures over all accounts.
    pub summary: ReconciliationSummary,
    /// The bad rows of the file, which were left out.
    pub skipped: Vec<BadRow>,
}

impl Reconciliation {
    /// Whether the file and the ledger agree on everything that was compared.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.accounts.iter().all(AccountReconciliation::agrees)
    }

    /// How many rows of the file could not be compared, because they are bad.
    #[must_use]
    pub fn rows_skipped(&self) -> usize {
        rows_of(&self.skipped)
    }
}

/// The figures over all accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReconciliationSummary {
    /// How many accounts were compared.
    pub accounts: usize,
    /// How many accounts agree on every row.
    pub accounts_agreeing: usize,
    /// How many accounts do not.
    pub accounts_differing: usize,
    /// How many rows were compared.
    pub rows: usize,
    /// How many rows have another balance in the ledger.
    pub rows_differing: usize,
    /// How many rows the ledger does not have.
    pub rows_missing: usize,
    /// How many lines of the ledger are not in the file.
    pub lines_not_in_file: usize,
    /// The sum of the accounts' final differences, the ledger's balance less the bank's.
    pub final_differences: Money,
}

impl ReconciliationSummary {
    /// Adds up what was found account by account.
    ///
    /// # Errors
    ///
    /// When the sum of the differences is too large to be money, or not in `currency`.
    pub fn of(accounts: &[AccountReconciliation], currency: Currency) -> Result<Self, MoneyError> {
        let findings = || accounts.iter().flat_map(|account| &account.findings);
        let agreeing = accounts.iter().filter(|account| account.agrees()).count();
        let last = accounts.iter().map(|account| account.final_difference);
        Ok(Self {
            accounts: accounts.len(),
            accounts_agreeing: agreeing,
            accounts_differing: accounts.len().saturating_sub(agreeing),
            rows: accounts.iter().map(|account| account.rows).sum(),
            rows_differing: findings()
                .filter(|finding| matches!(finding, Finding::Balance { .. }))
                .count(),
            rows_missing: findings()
                .filter(|finding| matches!(finding, Finding::MissingInLedger { .. }))
                .count(),
            lines_not_in_file: findings()
                .filter(|finding| matches!(finding, Finding::NotInFile { .. }))
                .count(),
            final_differences: Money::sum(last, currency)?,
        })
    }
}

impl fmt::Display for ReconciliationSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "accounts compared        {:>9}", self.accounts)?;
        writeln!(f, "  agree on every row     {:>9}", self.accounts_agreeing)?;
        writeln!(f, "  differ                 {:>9}", self.accounts_differing)?;
        writeln!(f, "rows compared            {:>9}", self.rows)?;
        writeln!(f, "  with another balance   {:>9}", self.rows_differing)?;
        writeln!(f, "  missing in the ledger  {:>9}", self.rows_missing)?;
        writeln!(f, "lines not in the file    {:>9}", self.lines_not_in_file)?;
        writeln!(
            f,
            "sum of final differences {:>9}",
            self.final_differences.amount_text()
        )
    }
}
