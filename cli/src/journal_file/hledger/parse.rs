//! Reading a journal.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use folio_core::{Amount, Currency, Money};
use serde::de::DeserializeOwned;

use crate::client::{EntryLeg, Side};
use crate::journal_file::{Journal, JournalAccount, JournalError, Transaction};

/// Reads a journal.
///
/// # Errors
///
/// [`JournalError`], which names the first line that is not understood.
pub fn parse(text: &str) -> Result<Journal, JournalError> {
    let mut reader = Reader::default();
    for (number, line) in (1..).zip(text.lines()) {
        reader.take_in(number, line)?;
    }
    reader.end_transaction()?;
    Ok(Journal {
        accounts: reader.accounts.into_values().collect(),
        transactions: reader.transactions,
    })
}

#[derive(Default)]
struct Reader {
    accounts: BTreeMap<String, JournalAccount>,
    /// By which name each id was written first.
    names: BTreeMap<String, String>,
    transactions: Vec<Transaction>,
    open: Option<Open>,
}

/// A transaction whose postings are being read.
struct Open {
    transaction: Transaction,
    /// The account of the posting without an amount.
    rest: Option<String>,
}

type Line<T> = Result<T, String>;

impl Reader {
    fn take_in(&mut self, number: usize, line: &str) -> Result<(), JournalError> {
        let here = |what| JournalError { line: number, what };
        if line.contains('\0') {
            return Err(here("there is a NUL".to_owned()));
        }
        let is_indented = line.starts_with([' ', '\t']);
        let text = line.trim();
        if is_indented && !text.is_empty() {
            return match &mut self.open {
                Some(_) => self.part(text).map_err(here),
                None => Err(here(
                    "an indented line belongs to no transaction".to_owned(),
                )),
            };
        }
        self.end_transaction()?;
        if text.is_empty() || text.starts_with([';', '#', '*']) {
            return Ok(());
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            self.open = Some(begin(number, text).map_err(here)?);
            return Ok(());
        }
        let (directive, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match directive {
            "commodity" => commodity(rest),
            "account" => self.declare(rest),
            _ => Err(format!(
                "{directive} is outside of what is read: comments, commodity, account and transactions"
            )),
        }
        .map_err(here)
    }

    /// A posting, or a comment within a transaction.
    fn part(&mut self, text: &str) -> Line<()> {
        if let Some(comment) = text.strip_prefix(';') {
            let Some(open) = &mut self.open else {
                return Ok(());
            };
            return note(&mut open.transaction, comment.trim());
        }
        if text.starts_with(['(', '[']) {
            return Err("virtual postings are outside of what is read".to_owned());
        }
        if text.starts_with(['*', '!']) {
            return Err("the status of a posting is outside of what is read".to_owned());
        }
        let text = text.split(';').next().unwrap_or_default().trim_end();
        let split = text.find("  ").into_iter().chain(text.find('\t')).min();
        let (name, amount) = match split {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let id = self.id(name.trim())?;
        let amount = amount.trim();
        if amount.is_empty() {
            let Some(open) = &mut self.open else {
                return Ok(());
            };
            if open.rest.replace(id).is_some() {
                return Err("two postings of one transaction have no amount".to_owned());
            }
            return Ok(());
        }
        let leg = leg(id, signed(amount)?)?;
        self.occurs(&leg)?;
        if let Some(open) = &mut self.open {
            open.transaction.legs.push(leg);
        }
        Ok(())
    }

    fn end_transaction(&mut self) -> Result<(), JournalError> {
        let Some(Open {
            mut transaction,
            rest,
        }) = self.open.take()
        else {
            return Ok(());
        };
        let line = transaction.line;
        let failed = |what: String| JournalError { line, what };
        if let Some(id) = rest {
            let leg = inferred(id, &transaction.legs).map_err(failed)?;
            self.occurs(&leg).map_err(failed)?;
            transaction.legs.push(leg);
        }
        if transaction.legs.len() < 2 {
            return Err(failed("a transaction has two postings or more".to_owned()));
        }
        for (currency, sum) in sums(&transaction.legs).map_err(failed)? {
            if !sum.is_zero() {
                return Err(failed(format!(
                    "the postings in {currency} add up to {}, not to zero",
                    sum.amount_text()
                )));
            }
        }
        self.transactions.push(transaction);
        Ok(())
    }

    /// An account that is declared.
    fn declare(&mut self, rest: &str) -> Line<()> {
        let (name, comment) = rest.split_once(';').unwrap_or((rest, ""));
        let id = self.id(name.trim())?;
        let mut account = undeclared(&id);
        for tag in comment.split(',') {
            let Some((tag, value)) = tag.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match (tag.trim(), value) {
                ("kind", "authorising" | "recording") => value.clone_into(&mut account.kind),
                ("normal-side", "debit" | "credit") => value.clone_into(&mut account.normal_side),
                ("kind" | "normal-side", _) => return Err(format!("{value} is no {}", tag.trim())),
                ("currency", code) => account.currency = Some(currency(code)?),
                _ => {}
            }
        }
        if self.accounts.insert(id.clone(), account).is_some() {
            return Err(format!(
                "account {id} is declared twice, or after its first posting"
            ));
        }
        Ok(())
    }

    /// Notes that something is posted to an account.
    fn occurs(&mut self, leg: &EntryLeg) -> Line<()> {
        let id = &leg.account_id;
        let account = self
            .accounts
            .entry(id.clone())
            .or_insert_with(|| undeclared(id));
        let currency = leg.amount.currency();
        match account.currency {
            Some(known) if known != currency => Err(format!(
                "account {id} has postings in {known} and {currency}; an account has one currency"
            )),
            Some(_) | None => {
                account.currency = Some(currency);
                Ok(())
            }
        }
    }

    /// The id that an account's name stands for.
    fn id(&mut self, name: &str) -> Line<String> {
        let id = name.replace(':', ".");
        if id.parse::<ledger_example::account::AccountId>().is_err() {
            return Err(format!(
                "{name:?} cannot be an account: a name is 1 to 64 letters, digits, '.', '_', '-' and ':', \
                 the first a letter or a digit, with two spaces before an amount"
            ));
        }
        let known = self
            .names
            .entry(id.clone())
            .or_insert_with(|| name.to_owned());
        if known != name {
            return Err(format!("accounts {known} and {name} would be one, {id}"));
        }
        Ok(id)
    }
}

fn undeclared(id: &str) -> JournalAccount {
    JournalAccount {
        id: id.to_owned(),
        currency: None,
        kind: "recording".to_owned(),
        normal_side: "debit".to_owned(),
    }
}

/// The first line of a transaction.
fn begin(line: usize, text: &str) -> Line<Open> {
    let text = text.split(';').next().unwrap_or_default().trim_end();
    let (date, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if date.contains('=') {
        return Err("a second date is outside of what is read".to_owned());
    }
    let date = NaiveDate::parse_from_str(&date.replace(['/', '.'], "-"), "%Y-%m-%d")
        .map_err(|_| format!("{date} is no day; one is written 2026-03-31"))?;
    let mut rest = rest.trim_start();
    if rest.starts_with('!') {
        return Err(
            "a pending transaction is outside of what is read; it is posted or not".to_owned(),
        );
    }
    rest = rest.strip_prefix('*').unwrap_or(rest).trim_start();
    let mut reference = None;
    if let Some(after) = rest.strip_prefix('(') {
        let (code, after) = after
            .split_once(')')
            .ok_or_else(|| "a reference in brackets does not end".to_owned())?;
        reference = Some(code.to_owned()).filter(|code| !code.is_empty());
        rest = after.trim_start();
    }
    Ok(Open {
        transaction: Transaction {
            line,
            date,
            id: None,
            legs: Vec::new(),
            reference,
            description: Some(rest.to_owned()).filter(|text| !text.is_empty()),
            exchange: None,
            reverses: None,
        },
        rest: None,
    })
}

/// A comment of the ledger's own.
fn note(transaction: &mut Transaction, comment: &str) -> Line<()> {
    let Some((name, value)) = comment
        .strip_prefix("folio-")
        .and_then(|note| note.split_once(": "))
    else {
        return Ok(());
    };
    match name {
        "entry" => transaction.id = Some(value.to_owned()),
        "reverses" => transaction.reverses = Some(value.to_owned()),
        "reference" => transaction.reference = Some(json(name, value)?),
        "description" => transaction.description = Some(json(name, value)?),
        "exchange" => transaction.exchange = Some(json(name, value)?),
        _ => return Err(format!("folio-{name} is not known")),
    }
    Ok(())
}

fn json<T: DeserializeOwned>(name: &str, value: &str) -> Line<T> {
    serde_json::from_str(value).map_err(|error| format!("folio-{name}: {error}"))
}

/// `1000.00 EUR` or `EUR`: nothing of it is needed but that the currency is known.
fn commodity(rest: &str) -> Line<()> {
    let text = rest.split(';').next().unwrap_or_default();
    let code = text.split_whitespace().last().unwrap_or_default();
    currency(code).map(drop)
}

fn currency(code: &str) -> Line<Currency> {
    Currency::from_code(code.trim_matches('"')).map_err(|error| error.to_string())
}

/// `-12.50 EUR` or `EUR -12.50`.
fn signed(text: &str) -> Line<Money> {
    for (sign, what) in [
        ('@', "a price"),
        ('=', "a balance assertion"),
        ('{', "a lot"),
        (',', "a comma in a number"),
    ] {
        if text.contains(sign) {
            return Err(format!("{what} ({sign}) is outside of what is read"));
        }
    }
    let is_code = |c: char| c.is_ascii_alphabetic() || c == '"';
    let (number, code) = match text.find(is_code) {
        Some(0) => {
            let end = text.find(|c: char| !is_code(c)).unwrap_or(text.len());
            let (code, number) = text.split_at(end);
            (number, code)
        }
        Some(start) => text.split_at(start),
        None => return Err(format!("{text} has no currency; write {text} EUR")),
    };
    let number = number.trim();
    let number = number.strip_prefix('+').unwrap_or(number);
    Money::parse(number, currency(code.trim())?).map_err(|error| error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal_file::hledger::{head, write};

    const SAMPLE: &str = "\
; as known at position 9

commodity 1000.00 EUR
commodity 1000. JPY

account 1  ; kind: authorising, normal-side: credit, currency: EUR
account assets:cash  ; type: A

2026-03-31 * (r-1) rent, in part ; by hand
    1                12.50 EUR
    ; folio-entry: e-1
    assets:cash

2026/4/1 an exchange
    assets:cash\tEUR -10.00
    fx.EUR  10.00 EUR
    fx.JPY  -1634 JPY
    yen  1634 JPY
    ; folio-exchange: {\"sold\":{\"amount\":\"10.00\",\"currency\":\"EUR\"},\"bought\":{\"amount\":\"1634\",\"currency\":\"JPY\"},\"rate\":\"163.455\"}
";

    #[test]
    fn a_journal_is_read() {
        let journal = parse(SAMPLE).unwrap();
        let ids: Vec<_> = journal.accounts.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["1", "assets.cash", "fx.EUR", "fx.JPY", "yen"]);
        assert_eq!(journal.accounts[0].kind, "authorising");
        assert_eq!(journal.accounts[1].normal_side, "debit");
        let [first, second] = journal.transactions.as_slice() else {
            panic!("{journal:?}");
        };
        assert_eq!((first.line, first.id.as_deref()), (9, Some("e-1")));
        assert_eq!(first.reference.as_deref(), Some("r-1"));
        assert_eq!(first.description.as_deref(), Some("rent, in part"));
        let legs: Vec<_> = first.legs.iter().map(crate::journal_file::signed).collect();
        assert_eq!(legs, ["12.50 EUR", "-12.50 EUR"]);
        assert_eq!(second.exchange.as_ref().unwrap().rate, "163.455");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let journal = parse(SAMPLE).unwrap();
        let mut odd = journal.transactions[0].clone();
        odd.reference = Some("a) b; c".to_owned());
        odd.description = Some("! not | so; \"easy\"".to_owned());
        odd.reverses = Some("e-0".to_owned());
        let mut text = Vec::new();
        head(&mut text, "a copy", &journal.accounts).unwrap();
        for transaction in journal.transactions.iter().chain([&odd]) {
            write(&mut text, transaction).unwrap();
        }
        let mut again = parse(std::str::from_utf8(&text).unwrap()).unwrap();
        let without_line = |transaction: &mut Transaction| transaction.line = 0;
        again.transactions.iter_mut().for_each(without_line);
        let mut expected = journal;
        expected.transactions.push(odd);
        expected.transactions.iter_mut().for_each(without_line);
        assert_eq!(again, expected);
    }

    #[test]
    fn what_is_outside_is_named_with_its_line() {
        let transaction = |posting: &str| format!("2026-01-01 x\n    a  1 EUR\n    {posting}\n");
        for (text, line, what) in [
            ("include other.journal".to_owned(), 1, "include is outside"),
            ("\n~ monthly\n    a  1 EUR".to_owned(), 2, "~ is outside"),
            ("P 2026-01-01 EUR 1.1 USD".to_owned(), 1, "P is outside"),
            ("2026-01-01=2026-01-02 x".to_owned(), 1, "a second date"),
            ("2026-02-30 x".to_owned(), 1, "is no day"),
            ("2026-01-01 ! x".to_owned(), 1, "a pending transaction"),
            ("    a  1 EUR".to_owned(), 1, "belongs to no transaction"),
            (transaction("b  -1 EUR @ 2 USD"), 3, "a price (@)"),
            (
                transaction("b  -1 EUR = 4 EUR"),
                3,
                "a balance assertion (=)",
            ),
            (transaction("b  -1,00 EUR"), 3, "a comma in a number"),
            (transaction("(b)  -1 EUR"), 3, "virtual postings"),
            (transaction("* b  -1 EUR"), 3, "the status of a posting"),
            (transaction("b  -1"), 3, "has no currency"),
            (transaction("b  -1.001 EUR"), 3, "decimals"),
            (transaction("b  -1 EURO"), 3, "EURO"),
            (transaction("b c  -1 EUR"), 3, "cannot be an account"),
            (transaction("b -1 EUR"), 3, "cannot be an account"),
            (transaction("b  -2 EUR"), 1, "add up to -1.00, not to zero"),
            (transaction("b  0 EUR"), 3, "above zero"),
            (transaction("a  -1 USD"), 3, "an account has one currency"),
            (transaction("b\n    c"), 4, "have no amount"),
            (
                "2026-01-01 x\n    a  1 EUR\n".to_owned(),
                1,
                "two postings or more",
            ),
            ("account a:b\naccount a.b".to_owned(), 2, "would be one"),
            ("account a\naccount a".to_owned(), 2, "declared twice"),
            ("account a  ; kind: other".to_owned(), 1, "other is no kind"),
            ("commodity 1.00 XYZ".to_owned(), 1, "XYZ"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(
                error.line == line && error.what.contains(what),
                "{text:?} gives {error}"
            );
        }
    }
}
