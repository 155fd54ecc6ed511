//! A book as a plain-text journal, in a documented part of the format of [`hledger`].
//!
//! Amounts are exact, whatever their size.

mod accounts;
mod amount;
mod draft;
pub mod hledger;

use std::io;

use chrono::NaiveDate;
use folio_core::Currency;
use thiserror::Error;

pub use hledger::{head, parse, write};

use crate::client::{EntryLeg, Exchange};

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

/// What comes of a part of a line; what is wrong with it is told with the line's number further up.
type Line<T> = Result<T, String>;

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
