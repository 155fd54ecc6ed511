//! The columns of a bank's file, and where a file has them.

use std::fmt;

use csv::ByteRecord;

use super::error::{ColumnProblem, excerpt};

/// A column of a bank's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The bank's own id of the transaction.
    TransactionId,
    /// The customer's account.
    AccountId,
    /// The day it took effect, as `1993-01-31`.
    Date,
    /// `credit` or `debit`, as the customer sees it.
    Direction,
    /// By what means.
    Operation,
    /// How much, above zero.
    Amount,
    /// The balance that the bank printed after the transaction.
    BankBalance,
    /// What it was for; may be empty.
    Purpose,
    /// The other bank of a transfer; else empty.
    CounterpartyBank,
    /// The account at the other bank; may be empty.
    CounterpartyAccount,
}

impl Column {
    /// Every column. A file has exactly these, in any order.
    pub const ALL: [Self; 10] = [
        Self::TransactionId,
        Self::AccountId,
        Self::Date,
        Self::Direction,
        Self::Operation,
        Self::Amount,
        Self::BankBalance,
        Self::Purpose,
        Self::CounterpartyBank,
        Self::CounterpartyAccount,
    ];

    /// Its name in the header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TransactionId => "transaction_id",
            Self::AccountId => "account_id",
            Self::Date => "date",
            Self::Direction => "direction",
            Self::Operation => "operation",
            Self::Amount => "amount",
            Self::BankBalance => "bank_balance",
            Self::Purpose => "purpose",
            Self::CounterpartyBank => "counterparty_bank",
            Self::CounterpartyAccount => "counterparty_account",
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The columns in the order in which a file has them.
pub(super) struct Columns(Vec<Column>);

impl Columns {
    /// Finds every column in the header, or all that is wrong with the header.
    pub(super) fn from_header(header: &ByteRecord) -> Result<Self, Vec<ColumnProblem>> {
        let mut found = Vec::with_capacity(Column::ALL.len());
        let mut problems = Vec::new();
        for name in header {
            match Column::ALL
                .into_iter()
                .find(|column| column.name().as_bytes() == name)
            {
                None => problems.push(ColumnProblem::Unknown {
                    name: excerpt(&String::from_utf8_lossy(name)),
                }),
                Some(column) if found.contains(&column) => {
                    problems.push(ColumnProblem::Repeated { column });
                }
                Some(column) => found.push(column),
            }
        }
        let missing = Column::ALL
            .into_iter()
            .filter(|column| !found.contains(column));
        problems.extend(missing.map(|column| ColumnProblem::Missing { column }));

        if problems.is_empty() {
            Ok(Self(found))
        } else {
            Err(problems)
        }
    }

    /// The field of `column`, when the record is long enough to have one.
    pub(super) fn field<'r>(&self, record: &'r ByteRecord, column: Column) -> Option<&'r [u8]> {
        let place = self.0.iter().position(|found| *found == column)?;
        record.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(header: &[&str]) -> Vec<String> {
        Columns::from_header(&ByteRecord::from(header.to_vec()))
            .err()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn any_order_will_do() {
        let mut names = Column::ALL.map(Column::name);
        assert!(problems(&names).is_empty());
        names.reverse();
        assert!(problems(&names).is_empty());
    }

    #[test]
    fn a_field_is_found_by_its_column() {
        let mut names = Column::ALL.map(Column::name);
        names.reverse();
        let columns = Columns::from_header(&ByteRecord::from(names.to_vec())).unwrap();
        let record = ByteRecord::from(names.to_vec());
        for column in Column::ALL {
            let field = columns.field(&record, column);
            assert_eq!(field, Some(column.name().as_bytes()), "{column}");
        }
    }

    #[test]
    fn every_problem_of_a_header_is_named() {
        let mut names = Column::ALL.map(Column::name).to_vec();
        names[2] = "Date";
        names.push("amount");
        assert_eq!(
            problems(&names),
            [
                "column \"Date\" is unknown",
                "column amount occurs twice",
                "column date is missing",
            ]
        );
        assert_eq!(problems(&[]).len(), 10);
    }
}
