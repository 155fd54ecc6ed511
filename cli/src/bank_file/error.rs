//! What can be wrong with a bank's file.

use std::{fmt, io, path::PathBuf};

use folio_core::MoneyError;
use thiserror::Error;

use super::{Column, Operation, TransactionId, name::NAME_CHARS_MAX, row::BANK_CODE_CHARS_MAX};

/// Why nothing is taken from a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BankFileError {
    /// There is no file to read.
    #[error("the file {path:?} cannot be opened; check its name and whether you may read it")]
    Open {
        /// Its name.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading stopped in the middle.
    #[error("the file cannot be read to its end; nothing was taken from it, try again")]
    Read {
        /// Why.
        source: csv::Error,
    },
    /// There is nothing in it.
    #[error("the file is empty; it needs a header with the columns {}", names())]
    Empty,
    /// There is nothing but the header.
    #[error("the file has a header and no rows; check that it is the right one")]
    NoRows,
    /// The header is not the one of a bank's file.
    #[error(
        "line {line}: {}; the columns are {}, in any order",
        list(problems),
        names()
    )]
    Columns {
        /// The line of the header.
        line: u64,
        /// Everything that is wrong with it.
        problems: Vec<ColumnProblem>,
    },
    /// A quote has no end, so all rows after it look like one field.
    #[error("line {line}: a quote in this row is never closed; close it or take it out")]
    UnclosedQuote {
        /// The line on which its row starts.
        line: u64,
    },
    /// There are bad rows, and they are not to be skipped.
    #[error(
        "{} of {} rows are bad, so nothing was taken from the file; correct them, or leave them \
         out with --bad-rows skip\n{}",
        rows_of(bad_rows),
        rows_of(bad_rows).saturating_add(*good_rows),
        first_of(bad_rows)
    )]
    BadRows {
        /// Every bad field, in the order of the file.
        bad_rows: Vec<BadRow>,
        /// How many rows are good.
        good_rows: usize,
    },
}

/// What is wrong with a header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ColumnProblem {
    /// No column is called so.
    #[error("column {name:?} is unknown")]
    Unknown {
        /// The start of the name.
        name: String,
    },
    /// A column that every file has is not there.
    #[error("column {column} is missing")]
    Missing {
        /// Which.
        column: Column,
    },
    /// A column is there more than once.
    #[error("column {column} occurs twice")]
    Repeated {
        /// Which.
        column: Column,
    },
}

/// A field, or the number of fields, that makes a row bad.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRow {
    /// The line that the row starts on, counted from 1.
    pub line: u64,
    /// The column of the field; none when the row as a whole is bad.
    pub column: Option<Column>,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a field or a row. Texts from the file are cut to 40 characters.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Reason {
    /// The row is too short or too long.
    #[error("the row has {found} fields instead of {needed}")]
    FieldCount { found: usize, needed: usize },
    /// The field is not text.
    #[error("not UTF-8; save the file in this encoding")]
    NotUtf8,
    /// The field cannot name an account or a transaction.
    #[error(
        "{text:?} is not an id: 1 to {NAME_CHARS_MAX} letters, digits, '.', '_' or '-', a letter \
         or digit first"
    )]
    NotAName { text: String },
    /// An earlier row is about the same transaction.
    #[error("transaction {id} is on line {first_line} already")]
    RepeatedTransaction { id: TransactionId, first_line: u64 },
    /// The field is not a day of the calendar.
    #[error("{text:?} is not a date, such as \"1993-01-31\"")]
    NotADate { text: String },
    /// The field is none of the words that the column may have.
    #[error("{text:?} is none of {}", known.join(", "))]
    UnknownWord {
        text: String,
        known: Vec<&'static str>,
    },
    /// The field is not an amount in the file's currency.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// Money cannot go this way by these means.
    #[error("a {operation} goes the other way")]
    WrongWay { operation: Operation },
    /// A transfer needs the other bank.
    #[error(
        "{text:?} is not the code of a bank, which a transfer needs: 1 to {BANK_CODE_CHARS_MAX} \
         letters and digits"
    )]
    NotABankCode { text: String },
    /// The account at the other bank is too long or not one line of text.
    #[error("{text:?} is not an account: at most {NAME_CHARS_MAX} characters on one line")]
    NotAnAccount { text: String },
    /// Only a transfer has another bank.
    #[error("only a transfer has a counterparty, a {operation} has none")]
    NotATransfer { operation: Operation },
}

impl Reason {
    pub(super) fn not_a_name(text: &str) -> Self {
        Self::NotAName {
            text: excerpt(text),
        }
    }

    pub(super) fn not_an_account(text: &str) -> Self {
        Self::NotAnAccount {
            text: excerpt(text),
        }
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "line {}, {column}: {}", self.line, self.reason),
            None => write!(f, "line {}: {}", self.line, self.reason),
        }
    }
}

/// How many rows the bad fields are in. A row's bad fields stand together.
pub(crate) fn rows_of(bad_rows: &[BadRow]) -> usize {
    bad_rows.chunk_by(|a, b| a.line == b.line).count()
}

/// The first bad fields, one a line, and how many more there are.
pub(crate) fn first_of(bad_rows: &[BadRow]) -> String {
    let mut lines: Vec<_> = bad_rows
        .iter()
        .take(LISTED_MAX)
        .map(|bad_row| format!("  {bad_row}"))
        .collect();
    match bad_rows.len().saturating_sub(LISTED_MAX) {
        0 => {}
        more => lines.push(format!("  … and {more} more")),
    }
    lines.join("\n")
}

/// The start of a foreign text, enough to recognise it.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn names() -> String {
    Column::ALL.map(Column::name).join(", ")
}

fn list(problems: &[ColumnProblem]) -> String {
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    problems.join(", ")
}

const EXCERPT_CHARS_MAX: usize = 40;

/// How many bad fields a message lists.
const LISTED_MAX: usize = 20;
