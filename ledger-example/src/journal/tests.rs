//! Entries: what can be one, what undoes one, and the periods they fall into.

use chrono::NaiveDate;

use super::*;
use crate::account::{Account, AccountCommand, AccountRefusal, Kind, Opening, Overdraft, Side};
use crate::refusal::LedgerRefusal;
use crate::testing::{
    TestBook, amount, credit, currency, debit, draft, entry_id, eur, leg, limit, of_account,
};

fn two_accounts() -> TestBook {
    let mut book = TestBook::new();
    book.open("1", Overdraft::None);
    book.open("2", Overdraft::None);
    book.pay_in("1", "100.00");
    book
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn on(date: &str, id: &str) -> EntryDraft {
    EntryDraft {
        effective_date: Some(day(date)),
        ..draft(id, vec![debit("1", "1.00"), credit("2", "1.00")])
    }
}

fn post(book: &mut TestBook, entries: Vec<EntryDraft>) -> Result<(), LedgerRefusal> {
    let now = book.now;
    book.run(&PostEntries { entries, now })
}

#[test]
fn an_entry_has_any_number_of_legs_that_balance() {
    let mut book = two_accounts();
    book.open("3", Overdraft::None);
    let legs = vec![
        debit("1", "60.00"),
        credit("2", "50.00"),
        credit("3", "9.50"),
        credit("contra.fees.EUR", "0.50"),
    ];
    book.post("split", legs).unwrap();
    for (id, balance) in [("1", "40.00"), ("2", "50.00"), ("3", "9.50")] {
        assert_eq!(book.balance(id), balance);
    }
    let sums = book.trial_balance(currency("EUR"));
    assert_eq!(sums.debits, sums.credits);
}

#[test]
fn what_does_not_balance_is_no_entry() {
    let mut book = two_accounts();
    let legs = vec![debit("1", "1.00"), credit("2", "1.01")];
    let unbalanced = LedgerRefusal::Unbalanced {
        currency: currency("EUR"),
        debits: eur("1.00").money(),
        credits: eur("1.01").money(),
    };
    assert_eq!(book.post("a", legs), Err(unbalanced));
    assert_eq!(
        book.post("b", vec![debit("1", "1.00")]),
        Err(LedgerRefusal::TooFewLegs)
    );
    assert_eq!(book.post("c", Vec::new()), Err(LedgerRefusal::TooFewLegs));
    let many = (0..501).map(|_| debit("1", "0.01")).collect();
    assert_eq!(
        book.post("d", many),
        Err(LedgerRefusal::TooManyLegs { most: 500 })
    );
    assert_eq!(book.balance("1"), "100.00");
}

/// Case 1: the money would go nowhere.
#[test]
fn a_transfer_to_oneself_is_refused() {
    let mut book = two_accounts();
    let legs = vec![debit("1", "1.00"), credit("1", "1.00")];
    let account = "1".parse().unwrap();
    assert_eq!(
        book.post("a", legs),
        Err(LedgerRefusal::SameAccount { account })
    );
    // Two legs on one side are two legs.
    let legs = vec![debit("1", "1.00"), debit("1", "2.00"), credit("2", "3.00")];
    book.post("b", legs).unwrap();
    assert_eq!(book.balance("1"), "97.00");
}

/// Each leg is decided on what the ones before it leave.
#[test]
fn the_legs_of_an_entry_together_stay_within_a_limit() {
    let mut book = two_accounts();
    let legs = vec![
        debit("1", "60.00"),
        debit("1", "60.00"),
        credit("2", "120.00"),
    ];
    let available = eur("40.00").money();
    let refused = of_account("1", AccountRefusal::InsufficientFunds { available });
    assert_eq!(book.post("a", legs), Err(refused));
    assert_eq!(
        (book.balance("1"), book.balance("2")),
        ("100.00".into(), "0.00".into())
    );
}

#[test]
fn entries_together_are_posted_in_their_order_or_not_at_all() {
    let mut book = two_accounts();
    let there = draft("there", vec![debit("1", "100.00"), credit("2", "100.00")]);
    let back = draft("back", vec![debit("2", "100.00"), credit("1", "100.00")]);
    post(&mut book, vec![there.clone(), back.clone()]).unwrap();
    let (there, back) = (
        EntryDraft {
            id: entry_id("there-2"),
            ..there
        },
        EntryDraft {
            id: entry_id("back-2"),
            ..back
        },
    );
    let refused = post(&mut book, vec![back, there]);
    assert!(
        matches!(refused, Err(LedgerRefusal::Among { index: 0, .. })),
        "{refused:?}"
    );
    assert_eq!(book.balance("1"), "100.00");
    let twice = vec![on("2026-01-01", "same"), on("2026-01-01", "same")];
    let refused = post(&mut book, twice);
    assert!(
        matches!(
            &refused,
            Err(LedgerRefusal::Among { index: 1, refusal })
                if matches!(**refusal, LedgerRefusal::EntryExists { .. })
        ),
        "{refused:?}"
    );
    assert_eq!(book.balance("1"), "100.00");
}

#[test]
fn an_id_names_one_entry_for_ever() {
    let mut book = two_accounts();
    let legs = vec![debit("1", "1.00"), credit("2", "1.00")];
    book.post("a", legs.clone()).unwrap();
    let entry = entry_id("a");
    assert_eq!(
        book.post("a", legs),
        Err(LedgerRefusal::EntryExists { entry })
    );
}

/// Case 33.
#[test]
fn an_entry_is_reversed_once_and_a_reversal_never() {
    let mut book = two_accounts();
    book.post("a", vec![debit("1", "30.00"), credit("2", "30.00")])
        .unwrap();
    book.reverse("a", "undo-a").unwrap();
    assert_eq!(
        (book.balance("1"), book.balance("2")),
        ("100.00".into(), "0.00".into())
    );
    let by = entry_id("undo-a");
    assert_eq!(
        book.reverse("a", "again"),
        Err(LedgerRefusal::AlreadyReversed { by })
    );
    let of = entry_id("a");
    assert_eq!(
        book.reverse("undo-a", "redo"),
        Err(LedgerRefusal::IsReversal { of })
    );
    assert_eq!(
        book.reverse("b", "undo-b"),
        Err(LedgerRefusal::EntryNotFound)
    );
}

/// Case 33: the money may be gone by then.
#[test]
fn a_reversal_takes_back_no_more_than_there_is() {
    let mut book = two_accounts();
    book.post("a", vec![debit("1", "30.00"), credit("2", "30.00")])
        .unwrap();
    book.post("b", vec![debit("2", "0.01"), credit("1", "0.01")])
        .unwrap();
    let available = eur("29.99").money();
    let refused = of_account("2", AccountRefusal::InsufficientFunds { available });
    assert_eq!(book.reverse("a", "undo-a"), Err(refused));
    assert_eq!(book.of::<Entry>("a").unwrap().reversed_by, None);

    let close = |id: &str| CloseAccount {
        account: id.parse().unwrap(),
    };
    book.post("c", vec![debit("2", "29.99"), credit("1", "29.99")])
        .unwrap();
    book.run(&close("2")).unwrap();
    let closed = of_account("2", AccountRefusal::Closed);
    assert_eq!(book.reverse("a", "undo-a"), Err(closed));
}

#[test]
fn a_closed_period_takes_nothing_more() {
    let mut book = two_accounts();
    let through = |date| ClosePeriod { through: day(date) };
    book.run(&through("2026-03-31")).unwrap();
    let closed = LedgerRefusal::PeriodClosed {
        through: day("2026-03-31"),
    };
    for date in ["2026-03-31", "2026-01-01", "0001-01-01"] {
        assert_eq!(post(&mut book, vec![on(date, "a")]), Err(closed.clone()));
    }
    post(&mut book, vec![on("2026-04-01", "a")]).unwrap();
    assert_eq!(book.run(&through("2026-03-31")), Err(closed.clone()));
    assert_eq!(book.run(&through("2026-02-01")), Err(closed));
    book.run(&through("2026-04-30")).unwrap();

    // A reversal falls into the period that it names, not into that of what it undoes.
    let reversal = |date| ReverseEntry {
        entry: entry_id("a"),
        legs: vec![debit("1", "1.00"), credit("2", "1.00")],
        reversal: entry_id("undo"),
        effective_date: day(date),
        description: None,
        now: book.now,
    };
    let (early, late) = (reversal("2026-04-01"), reversal("2026-05-01"));
    assert!(matches!(
        book.run(&early),
        Err(LedgerRefusal::PeriodClosed { .. })
    ));
    book.run(&late).unwrap();
}

/// Case 22: days in the past and the future are the client's to choose; a day that cannot be written
/// is none.
#[test]
fn any_day_that_can_be_written_may_be_an_effective_date() {
    let mut book = two_accounts();
    for (id, date) in [
        ("a", "0001-01-01"),
        ("b", "9999-12-31"),
        ("c", "2100-02-28"),
    ] {
        post(&mut book, vec![on(date, id)]).unwrap();
    }
    let mut far = on("2026-01-01", "d");
    far.effective_date = NaiveDate::from_ymd_opt(10_000, 1, 1);
    assert_eq!(
        post(&mut book, vec![far]),
        Err(LedgerRefusal::DateOutOfRange)
    );
}

fn exchange(rate: &str, sold: &str, bought: &str) -> Exchange {
    Exchange {
        sold: eur(sold),
        bought: amount(bought, "JPY"),
        rate: Rate::try_from(rate.to_owned()).unwrap(),
        market_rate: None,
    }
}

fn fx_book() -> TestBook {
    let mut book = two_accounts();
    let yen = Opening::new(currency("JPY"));
    book.ask("yen", AccountCommand::OpenAccount(yen)).unwrap();
    for (id, code) in [("fx.EUR", "EUR"), ("fx.JPY", "JPY")] {
        let opening = Opening {
            kind: Kind::Recording,
            ..Opening::new(currency(code))
        };
        book.ask(id, AccountCommand::OpenAccount(opening)).unwrap();
    }
    book
}

fn exchanged(sold: &str, bought: &str) -> Vec<Leg> {
    vec![
        debit("1", sold),
        credit("fx.EUR", sold),
        leg("fx.JPY", Side::Debit, amount(bought, "JPY")),
        leg("yen", Side::Credit, amount(bought, "JPY")),
    ]
}

#[test]
fn two_currencies_balance_each_on_their_own_at_a_rate_that_is_told() {
    let mut book = fx_book();
    let of = |id: &str, legs, exchange| EntryDraft {
        exchange,
        ..draft(id, legs)
    };
    let good = of(
        "a",
        exchanged("10.00", "1634"),
        Some(exchange("163.455", "10.00", "1634")),
    );
    post(&mut book, vec![good]).unwrap();
    assert_eq!(
        (book.balance("1"), book.balance("yen")),
        ("90.00".into(), "1634".into())
    );
    for code in ["EUR", "JPY"] {
        let sums = book.trial_balance(currency(code));
        assert_eq!(sums.debits, sums.credits);
    }

    let told = Some(exchange("163.455", "10.00", "1634"));
    let refusals = [
        (
            of("b", exchanged("10.00", "1634"), None),
            LedgerRefusal::ExchangeMissing,
        ),
        (
            of(
                "c",
                exchanged("10.00", "1636"),
                Some(exchange("163.455", "10.00", "1636")),
            ),
            LedgerRefusal::ExchangeOffRate {
                rate: Rate::try_from("163.455".to_owned()).unwrap(),
            },
        ),
        (
            of("d", exchanged("10.01", "1634"), told.clone()),
            LedgerRefusal::ExchangeNotInLegs,
        ),
        (
            of("e", vec![debit("1", "10.00"), credit("2", "10.00")], told),
            LedgerRefusal::ExchangeOfOneCurrency,
        ),
    ];
    for (draft, refusal) in refusals {
        let id = draft.id.clone();
        assert_eq!(post(&mut book, vec![draft]), Err(refusal), "{id}");
    }
}

/// Case 21: what is lost by rounding there and back is the customer's, never more than a minor unit
/// each way, and nothing comes into being.
#[test]
fn an_exchange_there_and_back_creates_nothing() {
    let mut book = fx_book();
    let there = EntryDraft {
        exchange: Some(exchange("163.455", "10.00", "1634")),
        ..draft("there", exchanged("10.00", "1634"))
    };
    post(&mut book, vec![there]).unwrap();
    let back = Exchange {
        sold: amount("1634", "JPY"),
        bought: eur("10.00"),
        rate: Rate::try_from("0.006117".to_owned()).unwrap(),
        market_rate: None,
    };
    let legs: Vec<Leg> = exchanged("10.00", "1634")
        .iter()
        .map(Leg::reversed)
        .collect();
    let too_much = EntryDraft {
        exchange: Some(back.clone()),
        ..draft("back", legs)
    };
    // 1634 × 0.006117 = 9.995: 9.99 and 10.00 are both within a cent of it.
    post(&mut book, vec![too_much]).unwrap();
    let created = Exchange {
        bought: eur("10.01"),
        ..back
    };
    let legs: Vec<Leg> = exchanged("10.01", "1634")
        .iter()
        .map(Leg::reversed)
        .collect();
    let refused = post(
        &mut book,
        vec![EntryDraft {
            exchange: Some(created),
            ..draft("more", legs)
        }],
    );
    assert!(
        matches!(refused, Err(LedgerRefusal::ExchangeOffRate { .. })),
        "{refused:?}"
    );
    for code in ["EUR", "JPY"] {
        let sums = book.trial_balance(currency(code));
        assert_eq!(sums.debits, sums.credits);
    }
}

/// The shorthand is the same entry, under the same limits.
#[test]
fn a_posting_against_a_contra_account_is_an_entry_of_two_legs() {
    let mut book = TestBook::new();
    book.open("1", limit("5.00"));
    let one = |side, text: &str, entry: &str| PostOne {
        account: "1".parse().unwrap(),
        side,
        posting: crate::account::Posting {
            amount: eur(text),
            contra: "bank:AB".parse().unwrap(),
            effective_date: None,
            reference: None,
            description: None,
        },
        entry: entry_id(entry),
        now: crate::testing::morning(),
    };
    book.run(&one(Side::Credit, "10.00", "a")).unwrap();
    assert!(book.run(&one(Side::Debit, "15.01", "b")).is_err());
    book.run(&one(Side::Debit, "15.00", "c")).unwrap();
    let posted = &book.of::<Entry>("c").unwrap().posted;
    let legs = [debit("1", "15.00"), credit("contra.bank-AB.EUR", "15.00")];
    assert_eq!(posted.legs, legs);
    let contra = book.account("contra.bank-AB.EUR");
    assert_eq!(
        (contra.kind(), contra.normal_side()),
        (Kind::Recording, Side::Debit)
    );
    let recorded = book.of::<Recording>("contra.bank-AB.EUR").unwrap();
    assert_eq!(recorded.posted.unwrap().debits, eur("10.00").money());
    assert!(book.of::<Account>("contra.bank-AB.EUR").is_some());
}
