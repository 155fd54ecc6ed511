//! From the fields of a row to a transaction, or to everything that is wrong with the row.

use std::collections::HashMap;

use chrono::NaiveDate;
use csv::ByteRecord;
use folio_core::{Amount, Currency, Money};

use super::{
    AccountId, BadRow, BankTransaction, Column, Counterparty, Direction, Operation, Purpose,
    Reason, TransactionId,
    column::Columns,
    error::excerpt,
    name::NAME_CHARS_MAX,
    transaction::{Word, contra},
};

/// Reads one row. `first_lines` remembers on which line a transaction was seen first.
pub(super) fn read(
    line: u64,
    columns: &Columns,
    record: &ByteRecord,
    currency: Currency,
    first_lines: &mut HashMap<TransactionId, u64>,
) -> Result<BankTransaction, Vec<BadRow>> {
    if record.len() != Column::ALL.len() {
        return Err(vec![BadRow {
            line,
            column: None,
            reason: Reason::FieldCount {
                found: record.len(),
                needed: Column::ALL.len(),
            },
        }]);
    }
    let mut row = Row {
        line,
        columns,
        record,
        bad: Vec::new(),
    };
    // A bad row claims its id too: a second row with this id is no better for the first being bad.
    let id = row.field(Column::TransactionId, |text| {
        let id = TransactionId::new(text).ok_or_else(|| Reason::not_a_name(text))?;
        match *first_lines.entry(id.clone()).or_insert(line) {
            first_line if first_line == line => Ok(id),
            first_line => Err(Reason::RepeatedTransaction { id, first_line }),
        }
    });
    let transaction = row.transaction(id, currency);
    match transaction {
        Some(transaction) if row.bad.is_empty() => Ok(transaction),
        _ => Err(row.bad),
    }
}

/// A row that is being read, with what was found wrong so far.
struct Row<'a> {
    line: u64,
    columns: &'a Columns,
    record: &'a ByteRecord,
    bad: Vec<BadRow>,
}

impl Row<'_> {
    /// Reads all fields before it gives up on any, so that all bad ones are listed.
    fn transaction(
        &mut self,
        id: Option<TransactionId>,
        currency: Currency,
    ) -> Option<BankTransaction> {
        let account = self.field(Column::AccountId, |text| {
            AccountId::new(text).ok_or_else(|| Reason::not_a_name(text))
        });
        let date = self.field(Column::Date, date);
        let direction = self.field(Column::Direction, word::<Direction>);
        let operation = self.field(Column::Operation, word::<Operation>);
        let amount = self.field(Column::Amount, |text| Ok(Amount::parse(text, currency)?));
        let bank_balance = self.field(Column::BankBalance, |text| {
            Ok(Money::parse(text, currency)?)
        });
        let purpose = self.field(Column::Purpose, |text| match text {
            "" => Ok(None),
            _ => word::<Purpose>(text).map(Some),
        });
        // Which fields the other bank may have depends on the operation: without it, neither can
        // be told good from bad.
        let counterparty = self.counterparty(operation?);
        let (direction, operation) = (direction?, operation?);
        if operation.direction().is_some_and(|only| only != direction) {
            self.note(Column::Direction, Reason::WrongWay { operation });
        }
        let (purpose, counterparty) = (purpose?, counterparty?);
        Some(BankTransaction {
            line: self.line,
            id: id?,
            account: account?,
            date: date?,
            direction,
            operation,
            amount: amount?,
            bank_balance: bank_balance?,
            purpose,
            contra: contra(operation, purpose, counterparty.as_ref()),
            counterparty,
        })
    }

    fn counterparty(&mut self, operation: Operation) -> Option<Option<Counterparty>> {
        let only_transfers = |text: &str| match text {
            "" => Ok(None),
            _ => Err(Reason::NotATransfer { operation }),
        };
        if !operation.is_transfer() {
            let bank = self.field(Column::CounterpartyBank, only_transfers);
            let account = self.field(Column::CounterpartyAccount, only_transfers);
            return bank.and(account);
        }
        let bank = self.field(Column::CounterpartyBank, bank_code);
        let account = self.field(Column::CounterpartyAccount, foreign_account);
        Some(Some(Counterparty {
            bank: bank?,
            account: account?,
        }))
    }

    /// Reads one field, or notes why it cannot be read.
    fn field<T>(
        &mut self,
        column: Column,
        read: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        let bytes = self.columns.field(self.record, column).unwrap_or_default();
        match str::from_utf8(bytes)
            .map_err(|_| Reason::NotUtf8)
            .and_then(read)
        {
            Ok(value) => Some(value),
            Err(reason) => {
                self.note(column, reason);
                None
            }
        }
    }

    fn note(&mut self, column: Column, reason: Reason) {
        self.bad.push(BadRow {
            line: self.line,
            column: Some(column),
            reason,
        });
    }
}

fn word<W: Word>(text: &str) -> Result<W, Reason> {
    W::from_word(text).ok_or_else(|| Reason::UnknownWord {
        text: excerpt(text),
        known: W::ALL.iter().map(|(word, _)| *word).collect(),
    })
}

fn date(text: &str) -> Result<NaiveDate, Reason> {
    // The parser also takes single digits, signs and spaces.
    let has_form = text.len() == FORM_OF_A_DATE.len()
        && text
            .bytes()
            .zip(FORM_OF_A_DATE.bytes())
            .all(|(byte, form)| match form {
                b'-' => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    date.filter(|_| has_form).ok_or_else(|| Reason::NotADate {
        text: excerpt(text),
    })
}

fn bank_code(text: &str) -> Result<String, Reason> {
    let is_code = (1..=BANK_CODE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_code
        .then(|| text.to_owned())
        .ok_or_else(|| Reason::NotABankCode {
            text: excerpt(text),
        })
}

fn foreign_account(text: &str) -> Result<Option<String>, Reason> {
    if text.chars().count() > NAME_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(Reason::not_an_account(text));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

const FORM_OF_A_DATE: &str = "dddd-dd-dd";

/// Longest code of a bank that the ledger takes, in characters: a BIC has 11.
pub(super) const BANK_CODE_CHARS_MAX: usize = 11;
