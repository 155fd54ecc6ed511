//! What holds of both formats.

use folio_core::Amount;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::client::Side;

const BOTH: [JournalFormat; 2] = [JournalFormat::Hledger, JournalFormat::Beancount];

#[test]
fn the_format_is_told_by_the_name_of_the_file() {
    for (name, format) in [
        ("book.beancount", JournalFormat::Beancount),
        ("a.b/book.BEAN", JournalFormat::Beancount),
        ("book.journal", JournalFormat::Hledger),
        ("a.bean/book", JournalFormat::Hledger),
        ("beancount", JournalFormat::Hledger),
    ] {
        assert_eq!(JournalFormat::of(Path::new(name)), format, "{name}");
    }
}

#[test]
fn a_transaction_on_an_account_that_was_not_declared_is_not_written() {
    let journal = hledger::parse("2026-01-01 x\n    a  1 EUR\n    b\n").unwrap();
    let [account, _] = journal.accounts.as_slice() else {
        panic!("{journal:?}");
    };
    let accounts = [account.clone()];
    let mut writer =
        JournalWriter::begin(JournalFormat::Beancount, Vec::new(), "", &accounts).unwrap();
    let error = writer.write(&journal.transactions[0]).unwrap_err();
    assert!(
        error.to_string().contains("account b is not one"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn what_is_written_in_either_format_is_read_again(journal in journals()) {
        for format in BOTH {
            let mut text = Vec::new();
            let mut writer =
                JournalWriter::begin(format, &mut text, "a copy", &journal.accounts).unwrap();
            for transaction in &journal.transactions {
                writer.write(transaction).unwrap();
            }
            writer.end().unwrap();
            let text = String::from_utf8(text).unwrap();
            let mut again = format.parse(&text).map_err(|error| {
                TestCaseError::fail(format!("{error} of {text}"))
            })?;
            for transaction in &mut again.transactions {
                transaction.line = 0;
            }
            prop_assert_eq!(&again, &journal, "{}", text);
        }
    }
}

/// Journals of a few accounts, whose ids are much alike, in three currencies.
fn journals() -> impl Strategy<Value = Journal> {
    let currencies = ["EUR", "JPY", "KWD"].map(|code| Currency::from_code(code).unwrap());
    let kinds = prop_oneof![Just("authorising"), Just("recording")];
    let sides = prop_oneof![Just("debit"), Just("credit")];
    let ids = "[aA1][aA.b_B-]{0,4}";
    let accounts = proptest::collection::btree_map(
        ids,
        (prop::sample::select(currencies.to_vec()), kinds, sides),
        1..9,
    );
    let accounts = accounts.prop_map(|accounts| {
        let accounts = accounts
            .into_iter()
            .map(|(id, (currency, kind, side))| JournalAccount {
                id,
                currency: Some(currency),
                kind: kind.to_owned(),
                normal_side: side.to_owned(),
            });
        accounts.collect::<Vec<_>>()
    });
    accounts.prop_flat_map(|accounts| {
        let transactions = vec(transactions(accounts.clone()), 0..4);
        transactions.prop_map(move |transactions| Journal {
            accounts: accounts.clone(),
            transactions,
        })
    })
}

fn transactions(accounts: Vec<JournalAccount>) -> impl Strategy<Value = Transaction> {
    let account = prop::sample::select(accounts);
    let pairs = vec((account, 1..10_000_000_000_i64), 1..3);
    let legs = pairs.prop_map(|pairs| {
        let legs = pairs.into_iter().flat_map(|(account, units)| {
            [Side::Debit, Side::Credit].map(|side| EntryLeg {
                account_id: account.id.clone(),
                side,
                amount: amount(units, account.currency.unwrap()),
            })
        });
        legs.collect::<Vec<_>>()
    });
    let exchange = (1..1000_i64, texts()).prop_map(|(units, rate)| {
        let of = |code| amount(units, Currency::from_code(code).unwrap());
        Exchange {
            sold: of("EUR"),
            bought: of("JPY"),
            market_rate: Some(rate.clone()).filter(|rate| rate.len() > 2),
            rate,
        }
    });
    let ids = || option::of("[a-zA-Z0-9][a-zA-Z0-9._-]{0,9}");
    let said = (
        option::of(texts()),
        option::of(texts()),
        option::of(exchange),
    );
    // All days of the years 1 to 9999.
    let days = 1..3_652_060_i32;
    (days, ids(), legs, said, ids()).prop_map(|(day, id, legs, said, reverses)| Transaction {
        line: 0,
        date: NaiveDate::from_num_days_from_ce_opt(day).unwrap(),
        id,
        legs,
        reference: said.0,
        description: said.1,
        exchange: said.2,
        reverses,
    })
}

/// So many minor units.
fn amount(units: i64, currency: Currency) -> Amount {
    let places = usize::try_from(currency.exponent()).unwrap();
    let digits = format!("{units:0>width$}", width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    let mark = if places == 0 { "" } else { "." };
    Amount::parse(&format!("{whole}{mark}{part}"), currency).unwrap()
}

/// Texts in which what means something in a journal is frequent; a journal has no NUL.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \"\\\\\n\r\t;:|()*!#^@{}=,ab1-]{0,9}",
        "[^\0]{0,9}",
        "\\PC{0,9}"
    ]
}
