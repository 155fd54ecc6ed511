//! Shows a reconciliation: as a table for people, as CSV for programs.

use std::{fmt, io};

use folio_core::Money;

use super::{AccountReconciliation, FileRow, Finding, LedgerLine, Reconciliation};
use crate::bank_file::first_of;

/// How the differences are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An aligned table, with the figures over all accounts below it.
    Table,
    /// CSV with a header and nothing else.
    Csv,
}

impl Reconciliation {
    /// Writes it to `out`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(&self, format: Format, out: &mut dyn io::Write) -> io::Result<()> {
        match format {
            Format::Table => write!(out, "{self}"),
            Format::Csv => self.write_csv(out),
        }
    }

    /// One record for each finding. Fields that a finding does not have are empty.
    fn write_csv(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(COLUMNS)?;
        for record in self.records() {
            csv.write_record(record)?;
        }
        csv.flush()
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        self.accounts.iter().flat_map(|account| {
            account
                .findings
                .iter()
                .map(|finding| record(account, finding))
        })
    }
}

impl fmt::Display for Reconciliation {
    /// The findings as a table, and the summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records: Vec<_> = self.records().collect();
        if !records.is_empty() {
            let mut widths = COLUMNS.map(str::len);
            for record in &records {
                for (width, field) in widths.iter_mut().zip(record) {
                    *width = field.chars().count().max(*width);
                }
            }
            write_line(f, &COLUMNS.map(str::to_owned), &widths)?;
            for record in &records {
                write_line(f, record, &widths)?;
            }
            writeln!(f)?;
        }
        write!(f, "{}", self.summary)?;
        if !self.skipped.is_empty() {
            writeln!(f, "bad rows left out        {:>9}", self.rows_skipped())?;
            writeln!(f, "{}", first_of(&self.skipped))?;
        }
        Ok(())
    }
}

/// The fields of a finding, in the order of [`COLUMNS`].
type Record = [String; COLUMNS.len()];

const COLUMNS: [&str; 9] = [
    "account_id",
    "transaction_id",
    "line",
    "position",
    "date",
    "finding",
    "bank_balance",
    "ours",
    "difference",
];

/// Of [`COLUMNS`], those that are figures and stand to the right.
const FIGURES: [&str; 5] = ["line", "position", "bank_balance", "ours", "difference"];

fn record(account: &AccountReconciliation, finding: &Finding) -> Record {
    let account = account.account.to_string();
    let text = Money::amount_text;
    let from_file = |row: &FileRow, finding: &str, ours: String, difference: String| {
        [
            account.clone(),
            row.transaction.to_string(),
            row.line.to_string(),
            String::new(),
            row.date.to_string(),
            finding.to_owned(),
            text(&row.bank_balance),
            ours,
            difference,
        ]
    };
    let from_ledger = |line: &LedgerLine| {
        [
            account.clone(),
            line.reference.clone().unwrap_or_default(),
            String::new(),
            line.position.to_string(),
            line.date.map(|date| date.to_string()).unwrap_or_default(),
            "not_in_file".to_owned(),
            String::new(),
            text(&line.balance),
            String::new(),
        ]
    };
    match finding {
        Finding::Balance {
            row,
            ours,
            difference,
        } => from_file(row, "balance_differs", text(ours), text(difference)),
        Finding::MissingInLedger { row } => {
            from_file(row, "missing_in_ledger", String::new(), String::new())
        }
        Finding::NotInFile { line } => from_ledger(line),
    }
}

fn write_line(
    f: &mut fmt::Formatter<'_>,
    record: &Record,
    widths: &[usize; COLUMNS.len()],
) -> fmt::Result {
    let mut line = String::new();
    for ((field, width), column) in record.iter().zip(widths).zip(COLUMNS) {
        let padded = match FIGURES.contains(&column) {
            true => format!("{field:>width$}"),
            false => format!("{field:<width$}"),
        };
        line.push_str(&padded);
        line.push_str("  ");
    }
    writeln!(f, "{}", line.trim_end())
}
