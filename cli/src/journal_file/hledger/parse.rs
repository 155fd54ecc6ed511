//! Reading a journal in hledger's format.

use folio_core::Money;

use crate::journal_file::accounts::{self, Accounts};
use crate::journal_file::amount::{currency, has_none_of, money};
use crate::journal_file::draft::{Draft, day};
use crate::journal_file::{Journal, JournalAccount, JournalError, Line, Transaction};

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
        accounts: reader.accounts.into_vec(),
        transactions: reader.transactions,
    })
}

#[derive(Default)]
struct Reader {
    accounts: Accounts,
    transactions: Vec<Transaction>,
    open: Option<Draft>,
}

impl Reader {
    fn take_in(&mut self, number: usize, line: &str) -> Result<(), JournalError> {
        let here = |what| JournalError { line: number, what };
        if line.contains('\0') {
            return Err(here("there is a NUL".to_owned()));
        }
        let is_indented = line.starts_with([' ', '\t']);
        let text = line.trim();
        if is_indented && !text.is_empty() {
            return self.part(text).map_err(here);
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
        let Some(draft) = &mut self.open else {
            return Err("an indented line belongs to no transaction".to_owned());
        };
        if let Some(comment) = text.strip_prefix(';') {
            return note(draft, comment.trim());
        }
        if text.starts_with(['(', '[']) {
            return Err("virtual postings are outside of what is read".to_owned());
        }
        if text.starts_with(['*', '!']) {
            return Err("the status of a posting is outside of what is read".to_owned());
        }
        let text = text.split(';').next().unwrap_or_default().trim_end();
        let split = text.find("  ").into_iter().chain(text.find('\t')).min();
        let (name, told) = match split {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let id = id(name.trim(), &mut self.accounts)?;
        let told = Some(told.trim()).filter(|told| !told.is_empty());
        let amount = told.map(amount).transpose()?;
        draft.post(id, amount, &mut self.accounts)
    }

    fn end_transaction(&mut self) -> Result<(), JournalError> {
        if let Some(draft) = self.open.take() {
            self.transactions.push(draft.end(&mut self.accounts)?);
        }
        Ok(())
    }

    /// An account that is declared.
    fn declare(&mut self, rest: &str) -> Line<()> {
        let (name, comment) = rest.split_once(';').unwrap_or((rest, ""));
        let id = id(name.trim(), &mut self.accounts)?;
        let mut account = JournalAccount::undeclared(&id);
        for tag in comment.split(',') {
            let Some((tag, value)) = tag.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match (tag.trim(), value) {
                ("kind", kind) => account.kind = accounts::kind(kind)?,
                ("normal-side", "debit" | "credit") => value.clone_into(&mut account.normal_side),
                ("normal-side", _) => return Err(format!("{value} is no normal-side")),
                ("currency", code) => account.currency = Some(currency(code)?),
                _ => {}
            }
        }
        self.accounts.declare(account)
    }
}

/// The id that an account's name stands for.
fn id(name: &str, accounts: &mut Accounts) -> Line<String> {
    let id = name.replace(':', ".");
    if !accounts::is_id(&id) {
        return Err(format!(
            "{name:?} cannot be an account: a name is 1 to 64 letters, digits, '.', '_', '-' and ':', \
             the first a letter or a digit, with two spaces before an amount"
        ));
    }
    accounts.named(&id, name)?;
    Ok(id)
}

/// The first line of a transaction.
fn begin(line: usize, text: &str) -> Line<Draft> {
    let text = text.split(';').next().unwrap_or_default().trim_end();
    let (date, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if date.contains('=') {
        return Err("a second date is outside of what is read".to_owned());
    }
    let date = day(date)?;
    let mut rest = rest.trim_start();
    if rest.starts_with('!') {
        return Err(
            "a pending transaction is outside of what is read; it is posted or not".to_owned(),
        );
    }
    rest = rest.strip_prefix('*').unwrap_or(rest).trim_start();
    let mut reference = "";
    if let Some(after) = rest.strip_prefix('(') {
        (reference, rest) = after
            .split_once(')')
            .ok_or_else(|| "a reference in brackets does not end".to_owned())?;
    }
    Ok(Draft::new(line, date, reference, rest.trim_start()))
}

/// A comment of the ledger's own.
fn note(draft: &mut Draft, comment: &str) -> Line<()> {
    let Some((name, value)) = comment
        .strip_prefix("folio-")
        .and_then(|note| note.split_once(": "))
    else {
        return Ok(());
    };
    let text = match name {
        "reference" | "description" => {
            serde_json::from_str(value).map_err(|error| format!("folio-{name}: {error}"))?
        }
        _ => value.to_owned(),
    };
    draft.note(name, text)
}

/// `1000.00 EUR` or `EUR`: nothing of it is needed but that the currency is known.
fn commodity(rest: &str) -> Line<()> {
    let text = rest.split(';').next().unwrap_or_default();
    let code = text.split_whitespace().last().unwrap_or_default();
    currency(code.trim_matches('"')).map(drop)
}

/// `-12.50 EUR` or `EUR -12.50`.
fn amount(text: &str) -> Line<Money> {
    let outside = [
        ('@', "a price"),
        ('=', "a balance assertion"),
        ('{', "a lot"),
        (',', "a comma in a number"),
    ];
    has_none_of(text, &outside)?;
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
    money(number.trim(), code.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal_file::amount::signed;
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
        let legs: Vec<_> = first.legs.iter().map(signed).collect();
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
