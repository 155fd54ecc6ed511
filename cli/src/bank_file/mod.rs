//! Reads a bank's file of transactions, and says everything that is wrong with it.
//!
//! The file is CSV in UTF-8 with a header: one transaction a row, oldest first, with the columns of
//! [`Column::ALL`] in any order. A row either becomes a [`BankTransaction`] as a whole or is listed
//! as [`BadRow`]s, one for each field that cannot stand. All rows are looked at before anything is
//! answered, so a file is corrected in one go and not row by row.
//!
//! A file with bad rows is refused unless the caller asks for [`BadRows::Skip`]: leaving out a row
//! changes every balance after it.

mod column;
mod error;
mod name;
mod records;
mod row;
mod transaction;

use std::{collections::HashMap, fs::File, io, path::Path};

use folio_core::Currency;

pub use column::Column;
pub use error::{BadRow, BankFileError, ColumnProblem, Reason};
pub(crate) use error::{first_of, rows_of};
pub use name::{AccountId, TransactionId};
pub use transaction::{BankTransaction, Counterparty, Direction, Operation, Purpose};

use column::Columns;
use records::Records;

/// What a bank's file held.
#[derive(Debug)]
#[non_exhaustive]
pub struct BankFile {
    /// The good rows, in the order of the file.
    pub transactions: Vec<BankTransaction>,
    /// What was wrong with the others. Only [`BadRows::Skip`] lets a file with bad rows through.
    pub bad_rows: Vec<BadRow>,
}

/// What becomes of a file that has bad rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BadRows {
    /// Take nothing from it.
    Refuse,
    /// Leave the bad rows out, and list them.
    Skip,
}

impl BankFile {
    /// Reads the file at `path`, whose amounts are in `currency`.
    ///
    /// # Errors
    ///
    /// As [`BankFile::read`], and [`BankFileError::Open`].
    pub fn open(path: &Path, currency: Currency, on: BadRows) -> Result<Self, BankFileError> {
        let file = File::open(path).map_err(|source| BankFileError::Open {
            path: path.to_owned(),
            source,
        })?;
        Self::read(file, currency, on)
    }

    /// Reads a file from `input`, whose amounts are in `currency`.
    ///
    /// # Errors
    ///
    /// [`BankFileError::BadRows`] with every bad row, when `on` is [`BadRows::Refuse`]. In either
    /// mode, whatever makes the file as a whole unreadable: its header, a quote that never closes,
    /// no rows at all.
    pub fn read(
        input: impl io::Read,
        currency: Currency,
        on: BadRows,
    ) -> Result<Self, BankFileError> {
        let mut records = Records::new(input)?;
        let (line, header) = records.next()?.ok_or(BankFileError::Empty)?;
        let columns = Columns::from_header(header)
            .map_err(|problems| BankFileError::Columns { line, problems })?;

        let mut file = Self {
            transactions: Vec::new(),
            bad_rows: Vec::new(),
        };
        let mut first_lines = HashMap::new();
        while let Some((line, record)) = records.next()? {
            match row::read(line, &columns, record, currency, &mut first_lines) {
                Ok(transaction) => file.transactions.push(transaction),
                Err(bad) => file.bad_rows.extend(bad),
            }
        }

        if file.transactions.is_empty() && file.bad_rows.is_empty() {
            return Err(BankFileError::NoRows);
        }
        if on == BadRows::Refuse && !file.bad_rows.is_empty() {
            return Err(BankFileError::BadRows {
                good_rows: file.transactions.len(),
                bad_rows: file.bad_rows,
            });
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
