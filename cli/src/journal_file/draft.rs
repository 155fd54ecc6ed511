//! A transaction that is being read, posting by posting.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use folio_core::{Amount, Currency, Money};

use super::accounts::Accounts;
use super::{JournalError, Line, Transaction};
use crate::client::{EntryLeg, Side};

/// A transaction whose postings are being read.
pub(super) struct Draft {
    transaction: Transaction,
    /// The account of the posting without an amount.
    rest: Option<String>,
}

impl Draft {
    /// What the first line of a transaction says; empty texts are none.
    pub(super) fn new(line: usize, date: NaiveDate, reference: &str, description: &str) -> Self {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            transaction: Transaction {
                line,
                date,
                id: None,
                legs: Vec::new(),
                reference: some(reference),
                description: some(description),
                exchange: None,
                reverses: None,
            },
            rest: None,
        }
    }

    /// A posting; without an amount, it is what the others leave open.
    pub(super) fn post(
        &mut self,
        account_id: String,
        amount: Option<Money>,
        accounts: &mut Accounts,
    ) -> Line<()> {
        let Some(amount) = amount else {
            return match self.rest.replace(account_id) {
                Some(_) => Err("two postings of one transaction have no amount".to_owned()),
                None => Ok(()),
            };
        };
        let leg = leg(account_id, amount)?;
        accounts.occurs(&leg)?;
        self.transaction.legs.push(leg);
        Ok(())
    }

    /// Whether a posting was read.
    pub(super) fn has_postings(&self) -> bool {
        self.rest.is_some() || !self.transaction.legs.is_empty()
    }

    /// A note of the ledger's own: what a transaction has no place for.
    pub(super) fn note(&mut self, name: &str, text: String) -> Line<()> {
        let transaction = &mut self.transaction;
        let slot = match name {
            "entry" => &mut transaction.id,
            "reverses" => &mut transaction.reverses,
            "reference" => &mut transaction.reference,
            "description" => &mut transaction.description,
            "exchange" => {
                let exchange = serde_json::from_str(&text)
                    .map_err(|error| format!("folio-exchange: {error}"))?;
                return once(name, &mut transaction.exchange, exchange);
            }
            _ => return Err(format!("folio-{name} is not known")),
        };
        once(name, slot, text)
    }

    /// The transaction, when its last line was read.
    ///
    /// # Errors
    ///
    /// [`JournalError`], at the transaction's first line, where its postings do not balance.
    pub(super) fn end(self, accounts: &mut Accounts) -> Result<Transaction, JournalError> {
        let line = self.transaction.line;
        self.balanced(accounts)
            .map_err(|what| JournalError { line, what })
    }

    fn balanced(self, accounts: &mut Accounts) -> Line<Transaction> {
        let mut transaction = self.transaction;
        if let Some(id) = self.rest {
            let leg = inferred(id, &transaction.legs)?;
            accounts.occurs(&leg)?;
            transaction.legs.push(leg);
        }
        if transaction.legs.len() < 2 {
            return Err("a transaction has two postings or more".to_owned());
        }
        let sums = sums(&transaction.legs)?;
        match sums.into_iter().find(|(_, sum)| !sum.is_zero()) {
            Some((currency, sum)) => Err(format!(
                "the postings in {currency} add up to {}, not to zero",
                sum.amount_text()
            )),
            None => Ok(transaction),
        }
    }
}

/// The day that a text names, `2026-03-31` or with other signs between.
pub(super) fn day(text: &str) -> Line<NaiveDate> {
    NaiveDate::parse_from_str(&text.replace(['/', '.'], "-"), "%Y-%m-%d")
        .map_err(|_| format!("{text} is no day; one is written 2026-03-31"))
}

/// Fills what is told in one place only.
pub(super) fn once<T>(name: &str, slot: &mut Option<T>, value: T) -> Line<()> {
    match slot.replace(value) {
        Some(_) => Err(format!("folio-{name} is told twice")),
        None => Ok(()),
    }
}

fn leg(account_id: String, amount: Money) -> Line<EntryLeg> {
    let (side, amount) = if amount.is_negative() {
        (Side::Credit, amount.negated())
    } else {
        (Side::Debit, amount)
    };
    let amount = Amount::try_from(amount).map_err(|error| error.to_string())?;
    Ok(EntryLeg {
        account_id,
        side,
        amount,
    })
}

/// The leg that makes the others add up to zero.
fn inferred(account_id: String, legs: &[EntryLeg]) -> Line<EntryLeg> {
    let sums = sums(legs)?;
    let mut open = sums.into_values().filter(|sum| !sum.is_zero());
    match (open.next(), open.next()) {
        (Some(sum), None) => leg(account_id, sum.negated()),
        (None, _) => Err("the posting without an amount would be of zero".to_owned()),
        (Some(_), Some(_)) => {
            Err("the posting without an amount would be in two currencies".to_owned())
        }
    }
}

fn sums(legs: &[EntryLeg]) -> Line<BTreeMap<Currency, Money>> {
    let mut sums: BTreeMap<Currency, Money> = BTreeMap::new();
    for leg in legs {
        let currency = leg.amount.currency();
        let sum = sums
            .entry(currency)
            .or_insert_with(|| Money::zero(currency));
        let amount = leg.amount.money();
        let after = match leg.side {
            Side::Debit => sum.checked_add(amount),
            Side::Credit => sum.checked_sub(amount),
        };
        *sum = after.map_err(|error| error.to_string())?;
    }
    Ok(sums)
}
