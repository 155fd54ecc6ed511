//! A book as a plain-text journal, in a documented part of the format of [`hledger`] or of [`beancount`].
//!
//! What is outside of that part is refused, with its line. Amounts are exact, whatever their size.

mod accounts;
mod amount;
pub mod beancount;
mod draft;
pub mod hledger;

use std::io::{self, Write};
use std::path::Path;

use beancount::AccountNames;
use chrono::NaiveDate;
use folio_core::Currency;
use thiserror::Error;

use crate::client::{EntryLeg, Exchange};

/// Whose format a journal is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum JournalFormat {
    /// As hledger reads it
    Hledger,
    /// As beancount reads it
    Beancount,
}

/// A journal.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Journal {
    /// The accounts that are declared, and those that only occur.
    pub accounts: Vec<JournalAccount>,
    /// In the order of the file.
    pub transactions: Vec<Transaction>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalAccount {
    /// Its id.
    pub id: String,
    /// Its currency; none where nothing is posted to it.
    pub currency: Option<Currency>,
    /// `authorising` or `recording`.
    pub kind: String,
    /// `debit` or `credit`.
    pub normal_side: String,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// Its first line, from 1; 0 of one that was not read from a file.
    pub line: usize,
    /// The day on which it takes effect.
    pub date: NaiveDate,
    /// The entry's id, where it has one.
    pub id: Option<String>,
    /// Its legs.
    pub legs: Vec<EntryLeg>,
    /// The client's name for it.
    pub reference: Option<String>,
    /// What it was for.
    pub description: Option<String>,
    /// At what one currency was exchanged for another.
    pub exchange: Option<Exchange>,
    /// The entry that it undoes.
    pub reverses: Option<String>,
}

/// Why a text is no journal that can be taken in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct JournalError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, or outside of what is read.
    pub what: String,
}

/// A journal that is being written.
#[derive(Debug)]
pub struct JournalWriter<W> {
    out: W,
    style: Style,
}

/// What has to be known of a journal's head when its transactions are written.
#[derive(Debug)]
enum Style {
    Hledger,
    Beancount(AccountNames),
}

/// What comes of a part of a line; what is wrong with it is told with the line's number further up.
type Line<T> = Result<T, String>;

impl JournalFormat {
    /// The format of a file by its name: beancount's where that ends in `.beancount` or `.bean`, and
    /// hledger's for any other.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        let is = |ending: &str| {
            file.extension()
                .is_some_and(|found| found.eq_ignore_ascii_case(ending))
        };
        if is("beancount") || is("bean") {
            Self::Beancount
        } else {
            Self::Hledger
        }
    }

    /// Reads a journal.
    ///
    /// # Errors
    ///
    /// [`JournalError`], which names a line that is not understood.
    pub fn parse(self, text: &str) -> Result<Journal, JournalError> {
        match self {
            Self::Hledger => hledger::parse(text),
            Self::Beancount => beancount::parse(text),
        }
    }
}

impl<W: Write> JournalWriter<W> {
    /// Writes the head of a journal: its accounts; `note` is a comment on its first line.
    ///
    /// # Errors
    ///
    /// When `out` fails.
    pub fn begin(
        format: JournalFormat,
        mut out: W,
        note: &str,
        accounts: &[JournalAccount],
    ) -> io::Result<Self> {
        let style = match format {
            JournalFormat::Hledger => {
                hledger::head(&mut out, note, accounts)?;
                Style::Hledger
            }
            JournalFormat::Beancount => {
                Style::Beancount(beancount::head(&mut out, note, accounts)?)
            }
        };
        Ok(Self { out, style })
    }

    /// Writes a transaction.
    ///
    /// # Errors
    ///
    /// When `out` fails, and in beancount's format where an account is not one of those that the
    /// journal began with.
    pub fn write(&mut self, transaction: &Transaction) -> io::Result<()> {
        match &self.style {
            Style::Hledger => hledger::write(&mut self.out, transaction),
            Style::Beancount(names) => beancount::write(&mut self.out, names, transaction),
        }
    }

    /// Writes out what is still in memory.
    ///
    /// # Errors
    ///
    /// When `out` fails.
    pub fn end(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl JournalAccount {
    /// An account of which nothing is told: a recording one that grows by debits.
    fn undeclared(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            currency: None,
            kind: "recording".to_owned(),
            normal_side: "debit".to_owned(),
        }
    }
}

impl Transaction {
    /// What a transaction has no place for, by the names of its notes.
    fn notes(&self) -> io::Result<Vec<(&'static str, String)>> {
        let exchange = self.exchange.as_ref();
        let notes = [
            ("entry", self.id.clone()),
            ("reverses", self.reverses.clone()),
            ("exchange", exchange.map(serde_json::to_string).transpose()?),
        ];
        let told = notes
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?)));
        Ok(told.collect())
    }
}

#[cfg(test)]
mod tests;
