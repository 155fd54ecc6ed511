//! One account as the bank tells it, beside the same account as the ledger tells it.

use std::collections::HashMap;

use chrono::NaiveDate;
use folio_core::{Currency, Money, MoneyError, Position};

use crate::{
    bank_file::{AccountId, BankTransaction, TransactionId},
    client::StatementLine,
};

/// What comparing one account found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountReconciliation {
    /// The account.
    pub account: AccountId,
    /// How many rows of the file are about it.
    pub rows: usize,
    /// Where the two differ: the rows in the order of the file, then the lines that it lacks.
    pub findings: Vec<Finding>,
    /// The ledger's balance after the last row, less the bank's. Where the ledger does not have the
    /// last row, the balance is the one that it has in the end.
    pub final_difference: Money,
}

/// A place where the file and the ledger differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The balances after a transaction differ.
    Balance {
        /// The transaction in the file.
        row: FileRow,
        /// The balance in the ledger.
        ours: Money,
        /// The ledger's balance less the bank's.
        difference: Money,
    },
    /// The ledger does not have a transaction.
    MissingInLedger {
        /// The transaction in the file.
        row: FileRow,
    },
    /// The ledger has a posting that is in no row, or in a row that another posting is for already.
    NotInFile {
        /// The posting in the ledger.
        line: LedgerLine,
    },
}

/// A row of the file, as far as a finding is about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileRow {
    /// The transaction.
    pub transaction: TransactionId,
    /// The line that the row starts on.
    pub line: u64,
    /// The day it took effect.
    pub date: NaiveDate,
    /// The balance that the bank printed.
    pub bank_balance: Money,
}

/// A posting of the ledger, as far as a finding is about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerLine {
    /// Its entry's place in the store.
    pub position: Position,
    /// The name that its sender gave it.
    pub reference: Option<String>,
    /// The day it took effect.
    pub date: Option<NaiveDate>,
    /// The balance after it.
    pub balance: Money,
}

impl AccountReconciliation {
    /// Compares the rows of one account with its statement; both in their own order.
    ///
    /// # Errors
    ///
    /// When a difference is too large to be money, or the currencies are two.
    pub fn compare(
        account: &AccountId,
        currency: Currency,
        rows: &[&BankTransaction],
        lines: &[StatementLine],
    ) -> Result<Self, MoneyError> {
        let mut unmatched: Vec<&StatementLine> = Vec::new();
        let mut by_reference = HashMap::new();
        for line in lines {
            match line.reference.as_deref() {
                Some(reference) if !by_reference.contains_key(reference) => {
                    by_reference.insert(reference, line);
                }
                // A second posting of one transaction is one too many.
                _ => unmatched.push(line),
            }
        }

        let nothing = Money::zero(currency);
        let ours_in_the_end = lines.last().map_or(nothing, |line| line.balance);
        let mut findings = Vec::new();
        let mut final_difference = nothing;
        for row in rows {
            let Some(line) = by_reference.remove(row.id.as_str()) else {
                findings.push(Finding::MissingInLedger { row: row_of(row) });
                final_difference = ours_in_the_end.checked_sub(row.bank_balance)?;
                continue;
            };
            let ours = line.balance;
            let difference = ours.checked_sub(row.bank_balance)?;
            final_difference = difference;
            if !difference.is_zero() {
                findings.push(Finding::Balance {
                    row: row_of(row),
                    ours,
                    difference,
                });
            }
        }
        unmatched.extend(by_reference.into_values());
        unmatched.sort_by_key(|line| line.position);
        findings.extend(unmatched.into_iter().map(|line| Finding::NotInFile {
            line: line_of(line),
        }));

        Ok(Self {
            account: account.clone(),
            rows: rows.len(),
            findings,
            final_difference,
        })
    }

    /// Whether every row has its posting with the same balance, and every posting its row.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.findings.is_empty()
    }
}

fn row_of(row: &BankTransaction) -> FileRow {
    FileRow {
        transaction: row.id.clone(),
        line: row.line,
        date: row.date,
        bank_balance: row.bank_balance,
    }
}

fn line_of(line: &StatementLine) -> LedgerLine {
    LedgerLine {
        position: line.position,
        reference: line.reference.clone(),
        date: line.effective_date,
        balance: line.balance,
    }
}

#[cfg(test)]
mod tests {
    use folio_core::Amount;

    use super::*;
    use crate::{
        bank_file::{BadRows, BankFile},
        client::Side,
    };

    fn czk(text: &str) -> Money {
        Money::parse(text, Currency::from_code("CZK").unwrap()).unwrap()
    }

    /// Rows of account 101, each a transaction and the bank's balance.
    fn rows(rows: &[(&str, &str)]) -> Vec<BankTransaction> {
        let mut text = "transaction_id,account_id,date,direction,operation,amount,bank_balance,\
                        purpose,counterparty_bank,counterparty_account\n"
            .to_owned();
        for (id, balance) in rows {
            text += &format!("{id},101,1996-02-01,credit,cash_deposit,1,{balance},,,\n");
        }
        let currency = czk("0").currency();
        BankFile::read(text.as_bytes(), currency, BadRows::Refuse)
            .unwrap()
            .transactions
    }

    /// Lines of a statement, each a reference and the balance.
    fn lines(lines: &[(Option<&str>, &str)]) -> Vec<StatementLine> {
        let line = |(position, (reference, balance)): (i64, &(Option<&str>, &str))| StatementLine {
            position: Position::new(position).unwrap(),
            effective_date: None,
            side: Side::Credit,
            amount: Amount::try_from(czk("1")).unwrap(),
            balance: czk(balance),
            reference: reference.map(str::to_owned),
        };
        (2..).zip(lines).map(line).collect()
    }

    /// The findings in short, and the final difference.
    fn compare(file: &[(&str, &str)], ledger: &[(Option<&str>, &str)]) -> (Vec<String>, String) {
        let rows = rows(file);
        let rows: Vec<_> = rows.iter().collect();
        let account = AccountId::new("101").unwrap();
        let found =
            AccountReconciliation::compare(&account, czk("0").currency(), &rows, &lines(ledger))
                .unwrap();
        assert_eq!(found.rows, file.len());
        assert_eq!(found.agrees(), found.findings.is_empty());
        let findings = found.findings.iter().map(|finding| match finding {
            Finding::Balance {
                row,
                ours,
                difference,
            } => format!(
                "{} on line {}: {} not {}, {}",
                row.transaction,
                row.line,
                ours.amount_text(),
                row.bank_balance.amount_text(),
                difference.amount_text()
            ),
            Finding::MissingInLedger { row } => format!("{} missing", row.transaction),
            Finding::NotInFile { line } => format!("position {} extra", line.position),
        });
        (findings.collect(), found.final_difference.amount_text())
    }

    #[test]
    fn equal_balances_agree_whatever_the_order() {
        let file = [("a", "10.00"), ("b", "7.50"), ("c", "-1.00")];
        let ledger = [
            (Some("c"), "-1.00"),
            (Some("a"), "10.00"),
            (Some("b"), "7.50"),
        ];
        assert_eq!(compare(&file, &ledger), (vec![], "0.00".to_owned()));
    }

    #[test]
    fn a_difference_is_ours_less_the_banks() {
        let file = [("a", "10.10"), ("b", "7.50"), ("c", "3.00")];
        let ledger = [
            (Some("a"), "10.00"),
            (Some("b"), "7.50"),
            (Some("c"), "3.20"),
        ];
        let expected = [
            "a on line 2: 10.00 not 10.10, -0.10",
            "c on line 4: 3.20 not 3.00, 0.20",
        ];
        let (findings, last) = compare(&file, &ledger);
        assert_eq!(findings, expected);
        assert_eq!(last, "0.20");
    }

    #[test]
    fn what_one_side_lacks_is_listed() {
        let file = [("a", "1.00"), ("b", "2.00"), ("c", "3.00")];
        let ledger = [
            (Some("x"), "5.00"),
            (Some("a"), "1.00"),
            (None, "6.00"),
            (Some("a"), "7.00"),
            (Some("b"), "2.00"),
        ];
        let (findings, last) = compare(&file, &ledger);
        let expected = [
            "c missing",
            "position 2 extra",
            "position 4 extra",
            "position 5 extra",
        ];
        assert_eq!(findings, expected);
        assert_eq!(last, "-1.00", "2.00 in the end, and the bank says 3.00");
    }

    #[test]
    fn an_account_that_the_ledger_does_not_have_misses_every_row() {
        let (findings, last) = compare(&[("a", "1.00"), ("b", "2.50")], &[]);
        assert_eq!(findings, ["a missing", "b missing"]);
        assert_eq!(last, "-2.50");
    }
}
