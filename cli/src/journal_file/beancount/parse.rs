//! Reading a journal in beancount's format.

use std::collections::HashMap;

use chrono::NaiveDate;
use folio_core::{Currency, Money};

use super::lines::Token::{Text, Word};
use super::lines::{Directive, Token, Tokens, directives};
use super::names;
use crate::journal_file::accounts::{self, Accounts};
use crate::journal_file::amount::{currency, has_none_of, money};
use crate::journal_file::draft::{Draft, day, once};
use crate::journal_file::{Journal, JournalAccount, JournalError, Line, Transaction};

/// Reads a journal.
///
/// # Errors
///
/// [`JournalError`], which names a line that is not understood.
pub fn parse(text: &str) -> Result<Journal, JournalError> {
    let directives = directives(text)?;
    let mut reader = Reader::default();
    let mut drafts = Vec::new();
    for directive in &directives {
        if let Some(draft) = reader.take_in(directive)? {
            drafts.push((draft, directive));
        }
    }
    // An account may be opened further down than what is posted to it.
    let mut transactions = Vec::new();
    for (draft, directive) in drafts {
        transactions.push(reader.transaction(draft, directive)?);
    }
    Ok(Journal {
        accounts: reader.accounts.into_vec(),
        transactions,
    })
}

#[derive(Default)]
struct Reader<'a> {
    accounts: Accounts,
    /// The ids of those that are opened, by their names.
    ids: HashMap<&'a str, String>,
}

impl<'a> Reader<'a> {
    /// Takes in a directive; of a transaction, its first line.
    fn take_in(&mut self, directive: &Directive<'a>) -> Result<Option<Draft>, JournalError> {
        let line = directive.head.line;
        let here = |what| JournalError { line, what };
        match directive.head.tokens.as_slice() {
            [Word("option"), rest @ ..] => {
                option(rest).map_err(here)?;
                each_part(directive, |part| part.is_foreign("an option"))?;
            }
            [Word(date), Word(what), rest @ ..] if is_date(date) => {
                let date = day(date).map_err(here)?;
                match (*what, rest) {
                    ("*" | "txn", texts) => {
                        return begin(line, date, texts).map(Some).map_err(here);
                    }
                    ("open", [Word(name), rest @ ..]) => self.open(directive, name, rest)?,
                    ("commodity", [Word(code)]) => {
                        currency(code).map_err(here)?;
                        each_part(directive, |part| part.is_foreign("a commodity"))?;
                    }
                    (what, _) => return Err(here(outside(what))),
                }
            }
            [Word(what), ..] => return Err(here(outside(what))),
            [Text(_), ..] | [] => return Err(here(outside("a text in quotes"))),
        }
        Ok(None)
    }

    /// An account that is opened.
    fn open(
        &mut self,
        directive: &Directive<'a>,
        name: &'a str,
        rest: &[Token<'a>],
    ) -> Result<(), JournalError> {
        let (mut id, mut kind) = (None, None);
        each_part(directive, |part| match part {
            Part::Note("account", text) => once("account", &mut id, text.to_owned()),
            Part::Note("kind", text) => once("kind", &mut kind, accounts::kind(text)?),
            Part::Note(..) | Part::Foreign | Part::Other(_) => part.is_foreign("an account"),
        })?;
        let declared = || {
            let id = id.unwrap_or_else(|| names::id(name));
            let mut account = JournalAccount::undeclared(&id);
            names::normal_side(name)?.clone_into(&mut account.normal_side);
            account.kind = kind.unwrap_or(account.kind);
            account.currency = only_currency(rest)?;
            self.declare(name, account)
        };
        declared().map_err(|what| JournalError {
            line: directive.head.line,
            what,
        })
    }

    fn declare(&mut self, name: &'a str, account: JournalAccount) -> Line<()> {
        let id = account.id.clone();
        if !accounts::is_id(&id) {
            return Err(format!(
                "{name} would be account {id:?}, which is no id: 1 to 64 letters, digits, '.', '_' or '-', the \
                 first a letter or a digit; name one, as in folio-account: \"cash\""
            ));
        }
        self.accounts.named(&id, name)?;
        self.accounts.declare(account)?;
        self.ids.insert(name, id);
        Ok(())
    }

    /// A transaction, with what belongs to it.
    fn transaction(
        &mut self,
        mut draft: Draft,
        directive: &Directive<'a>,
    ) -> Result<Transaction, JournalError> {
        each_part(directive, |part| match part {
            Part::Note(name, _) if draft.has_postings() => Err(format!(
                "folio-{name} is told of a posting; put it before the first one"
            )),
            Part::Note(name, text) => draft.note(name, text.to_owned()),
            Part::Foreign => Ok(()),
            Part::Other(tokens) => self.posting(&mut draft, tokens),
        })?;
        draft.end(&mut self.accounts)
    }

    fn posting(&mut self, draft: &mut Draft, tokens: &[Token<'a>]) -> Line<()> {
        let [Word(name), amount @ ..] = tokens else {
            return Err("a posting begins with its account".to_owned());
        };
        if name.chars().count() == 1 {
            return Err(format!(
                "the flag of a posting ({name}) is outside of what is read"
            ));
        }
        no_tags(tokens)?;
        let Some(id) = self.ids.get(name) else {
            names::normal_side(name)?;
            return Err(format!(
                "account {name} is not opened; add the line 0001-01-01 open {name}"
            ));
        };
        draft.post(id.clone(), self::amount(amount)?, &mut self.accounts)
    }
}

/// What an indented line is.
enum Part<'d, 'a> {
    /// Metadata of the ledger's own: its name without `folio-`, and what it says.
    Note(&'d str, &'d str),
    /// Metadata of others.
    Foreign,
    /// Anything else.
    Other(&'d [Token<'a>]),
}

impl<'d, 'a> Part<'d, 'a> {
    fn of(line: &'d Tokens<'a>) -> Line<Self> {
        let tokens = line.tokens.as_slice();
        let [Word(word), value @ ..] = tokens else {
            return Ok(Self::Other(tokens));
        };
        let is_key = word.starts_with(|c: char| c.is_ascii_lowercase());
        let Some((key, behind)) = word.split_once(':').filter(|_| is_key) else {
            return Ok(Self::Other(tokens));
        };
        match (key.strip_prefix("folio-"), behind, value) {
            (Some(name), "", [Text(text)]) => Ok(Self::Note(name, text)),
            (Some(_), ..) => Err(format!("what {key} says is one text in quotes")),
            (None, ..) => Ok(Self::Foreign),
        }
    }

    /// Whether it may be left out: of some directives, the ledger has nothing to tell.
    fn is_foreign(&self, of: &str) -> Line<()> {
        match self {
            Self::Note(name, _) => Err(format!("folio-{name} is not known of {of}")),
            Self::Foreign => Ok(()),
            Self::Other(_) => Err(format!("nothing but metadata belongs to {of}")),
        }
    }
}

/// Does something with each indented line of a directive.
fn each_part<'d, 'a>(
    directive: &'d Directive<'a>,
    mut take_in: impl FnMut(Part<'d, 'a>) -> Line<()>,
) -> Result<(), JournalError> {
    directive.parts.iter().try_for_each(|line| {
        let taken_in = Part::of(line).and_then(&mut take_in);
        taken_in.map_err(|what| JournalError {
            line: line.line,
            what,
        })
    })
}

fn outside(what: &str) -> String {
    if what == "!" {
        return "a pending transaction is outside of what is read; it is posted or not".to_owned();
    }
    format!("{what} is outside of what is read: comments, option, commodity, open and transactions")
}

fn is_date(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || "-/".contains(c))
}

/// Those that change the meaning of nothing.
fn option(rest: &[Token<'_>]) -> Line<()> {
    match rest {
        [Text(name), Text(_)] if matches!(name.as_str(), "title" | "operating_currency") => Ok(()),
        [Text(name), ..] => Err(format!("option {name} is outside of what is read")),
        _ => Err("an option has a name and a value in quotes".to_owned()),
    }
}

/// The first line of a transaction, behind its flag.
fn begin(line: usize, date: NaiveDate, texts: &[Token<'_>]) -> Line<Draft> {
    no_tags(texts)?;
    let (reference, description) = match texts {
        [] => ("", ""),
        [Text(description)] => ("", description.as_str()),
        [Text(reference), Text(description)] => (reference.as_str(), description.as_str()),
        _ => {
            return Err(
                "a transaction has at most a reference and a description, in quotes".to_owned(),
            );
        }
    };
    Ok(Draft::new(line, date, reference, description))
}

fn no_tags(tokens: &[Token<'_>]) -> Line<()> {
    let of_words = tokens.iter().filter_map(|token| match token {
        Word(word) => Some(*word),
        Text(_) => None,
    });
    match of_words
        .into_iter()
        .find(|word| word.starts_with(['#', '^']))
    {
        Some(word) => Err(format!("a tag or link ({word}) is outside of what is read")),
        None => Ok(()),
    }
}

/// The currency of an account, where it is told.
fn only_currency(rest: &[Token<'_>]) -> Line<Option<Currency>> {
    match rest {
        [] => Ok(None),
        [Word(code)] if !code.contains(',') => currency(code).map(Some),
        [.., Text(_)] => Err("a booking method is outside of what is read".to_owned()),
        _ => Err("an account has one currency".to_owned()),
    }
}

/// `-12.50 EUR`, or nothing.
fn amount(tokens: &[Token<'_>]) -> Line<Option<Money>> {
    let words = tokens.iter().map(|token| match token {
        Word(word) => Ok(*word),
        Text(_) => Err("a text in quotes belongs to no posting".to_owned()),
    });
    let words: Vec<&str> = words.collect::<Line<_>>()?;
    let outside = [
        ('{', "a cost"),
        ('@', "a price"),
        (',', "a comma in a number"),
        ('(', "arithmetic"),
        ('*', "arithmetic"),
        ('/', "arithmetic"),
    ];
    let told = words.join(" ");
    has_none_of(&told, &outside)?;
    match words.as_slice() {
        [] => Ok(None),
        [number, code] => money(number, code).map(Some),
        _ => Err(format!("{told} is no amount; one is written -12.50 EUR")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal_file::amount::signed;

    const SAMPLE: &str = "\
; as known at position 9

option \"title\" \"mine\"
2020-01-01 commodity EUR
  name: \"Euro\"

2026-03-31 * \"r-1\" \"rent, in part\" ; by hand
  folio-entry: \"e-1\"
  paid: 2026-03-30
  Liabilities:Customers:1                12.50 EUR
    ; counted twice
    note: \"in cash\"
  Assets:Cash

2026/4/1 txn \"an exchange\"
  folio-exchange: \"{\\\"sold\\\":{\\\"amount\\\":\\\"10.00\\\",\\\"currency\\\":\\\"EUR\\\"},\\\"bought\\\":{\\\"amount\\\":\\\"1634\\\",\\\"currency\\\":\\\"JPY\\\"},\\\"rate\\\":\\\"163.455\\\"}\"
  Assets:Cash -10.00 EUR
  Equity:FX:EUR +10.00 EUR
  Equity:FX:JPY -1634 JPY
  Assets:Yen 1634 JPY

0001-01-01 open Liabilities:Customers:1 EUR
  folio-account: \"1\"
  folio-kind: \"authorising\"
2020-01-01 open Assets:Cash
2020-01-01 open Equity:FX:EUR EUR
2020-01-01 open Equity:FX:JPY JPY
2020-01-01 open Assets:Yen JPY
";

    #[test]
    fn a_journal_of_beancounts_is_read() {
        let journal = parse(SAMPLE).unwrap();
        let accounts = journal.accounts.iter();
        let accounts: Vec<_> = accounts
            .map(|a| (a.id.as_str(), a.kind.as_str(), a.normal_side.as_str()))
            .collect();
        let expected = [
            ("1", "authorising", "credit"),
            ("Assets.Cash", "recording", "debit"),
            ("Assets.Yen", "recording", "debit"),
            ("Equity.FX.EUR", "recording", "credit"),
            ("Equity.FX.JPY", "recording", "credit"),
        ];
        assert_eq!(accounts, expected);
        assert!(journal.accounts.iter().all(|a| a.currency.is_some()));
        let [first, second] = journal.transactions.as_slice() else {
            panic!("{journal:?}");
        };
        assert_eq!((first.line, first.id.as_deref()), (7, Some("e-1")));
        assert_eq!(first.reference.as_deref(), Some("r-1"));
        assert_eq!(first.description.as_deref(), Some("rent, in part"));
        let legs: Vec<_> = first.legs.iter().map(signed).collect();
        assert_eq!(legs, ["12.50 EUR", "-12.50 EUR"]);
        assert_eq!(first.legs[1].account_id, "Assets.Cash");
        assert_eq!((second.line, second.reference.as_deref()), (15, None));
        assert_eq!(second.exchange.as_ref().unwrap().rate, "163.455");
    }

    #[test]
    fn what_is_outside_of_beancounts_part_is_named_with_its_line() {
        const OPEN: &str = "2020-01-01 open Assets:A EUR\n2020-01-01 open Assets:B\n";
        let posting =
            |posting: &str| format!("{OPEN}2026-01-01 * \"x\"\n  Assets:A  1 EUR\n  {posting}\n");
        let after = |line: &str| format!("{OPEN}{line}");
        for (text, line, what) in [
            ("include \"other\"".to_owned(), 1, "include is outside"),
            ("\nplugin \"p\"".to_owned(), 2, "plugin is outside"),
            ("pushtag #t".to_owned(), 1, "pushtag is outside"),
            ("\"x\"".to_owned(), 1, "a text in quotes is outside"),
            (
                "option \"name_assets\" \"Vermögen\"".to_owned(),
                1,
                "option name_assets",
            ),
            ("option title".to_owned(), 1, "a name and a value"),
            (
                "2026-01-01 pad Assets:A Assets:B".to_owned(),
                1,
                "pad is outside",
            ),
            (
                "2026-01-01 balance Assets:A 1 EUR".to_owned(),
                1,
                "balance is outside",
            ),
            (
                "2026-01-01 price EUR 1.1 USD".to_owned(),
                1,
                "price is outside",
            ),
            (
                "2026-01-01 close Assets:A".to_owned(),
                1,
                "close is outside",
            ),
            ("2026-01-01 ! \"x\"".to_owned(), 1, "a pending transaction"),
            ("2026-01-01 P \"x\"".to_owned(), 1, "P is outside"),
            ("2026-01-01".to_owned(), 1, "2026-01-01 is outside"),
            ("2026-02-30 * \"x\"".to_owned(), 1, "is no day"),
            ("2026-01-01 * \"x\" #t".to_owned(), 1, "a tag or link (#t)"),
            ("2026-01-01 * \"x\" ^l".to_owned(), 1, "a tag or link (^l)"),
            (
                "2026-01-01 * \"a\" \"b\" \"c\"".to_owned(),
                1,
                "at most a reference",
            ),
            ("2026-01-01 * \"a".to_owned(), 1, "does not end"),
            ("  Assets:A  1 EUR".to_owned(), 1, "belongs to no directive"),
            (posting("Assets:B  -1 EUR @ 2 USD"), 5, "a price (@)"),
            (posting("Assets:B  -1 EUR {2 USD}"), 5, "a cost ({)"),
            (posting("Assets:B  -1,000 EUR"), 5, "a comma in a number"),
            (posting("Assets:B  -3/3 EUR"), 5, "arithmetic (/)"),
            (posting("Assets:B  - 1 EUR"), 5, "is no amount"),
            (posting("Assets:B  -1"), 5, "is no amount"),
            (posting("Assets:B  EUR"), 5, "is no amount"),
            (posting("Assets:B  EUR -1"), 5, "EUR"),
            (posting("Assets:B  -1 EUR \"x\""), 5, "a text in quotes"),
            (
                posting("! Assets:B  -1 EUR"),
                5,
                "the flag of a posting (!)",
            ),
            (posting("#t"), 5, "a tag or link (#t)"),
            (posting("\"x\""), 5, "begins with its account"),
            (posting("Assets:B  -1.001 EUR"), 5, "decimals"),
            (posting("Assets:B  -1 EURO"), 5, "EURO"),
            (posting("Assets:B  0 EUR"), 5, "above zero"),
            (
                posting("Assets:A  -1 USD"),
                5,
                "an account has one currency",
            ),
            (posting("Assets:C  -1 EUR"), 5, "0001-01-01 open Assets:C"),
            (posting("Cash:C  -1 EUR"), 5, "begins with Assets"),
            (posting("Assets:B\n  Assets:B"), 6, "have no amount"),
            (
                posting("Assets:B  -2 EUR"),
                3,
                "add up to -1.00, not to zero",
            ),
            (posting("folio-entry: \"e\""), 5, "before the first one"),
            (posting(""), 3, "two postings or more"),
            (
                after("2026-01-01 *\n  folio-x: \"y\""),
                4,
                "folio-x is not known",
            ),
            (
                after("2026-01-01 *\n  folio-entry: 1"),
                4,
                "one text in quotes",
            ),
            (
                after("2026-01-01 *\n  folio-entry: \"1\"\n  folio-entry: \"2\""),
                5,
                "folio-entry is told twice",
            ),
            (
                after("2026-01-01 *\n  folio-exchange: \"x\""),
                4,
                "folio-exchange: ",
            ),
            (after("2020-01-01 open Assets:A"), 3, "declared twice"),
            (
                after("2020-01-01 open Assets:C\n  folio-account: \"Assets.A\""),
                3,
                "would be one",
            ),
            (
                after("2020-01-01 open Assets:C\n  folio-account: \"a b\""),
                3,
                "which is no id",
            ),
            (after("2020-01-01 open Assets:Ä"), 3, "which is no id"),
            (
                after("2020-01-01 open Assets:C\n  folio-kind: \"other\""),
                4,
                "other is no kind",
            ),
            (
                after("2020-01-01 open Assets:C\n  folio-entry: \"e\""),
                4,
                "not known of an account",
            ),
            (
                after("2020-01-01 open Assets:C\n  EUR"),
                4,
                "nothing but metadata",
            ),
            (after("2020-01-01 open Assets:c"), 3, "cannot be an account"),
            (after("2020-01-01 open Assets:C EUR,USD"), 3, "one currency"),
            (
                after("2020-01-01 open Assets:C EUR \"FIFO\""),
                3,
                "a booking method",
            ),
            (
                after("2020-01-01 open Assets:C \"FIFO\""),
                3,
                "a booking method",
            ),
            ("2020-01-01 commodity HOOL".to_owned(), 1, "HOOL"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(
                error.line == line && error.what.contains(what),
                "{text:?} gives {error}"
            );
        }
    }
}
