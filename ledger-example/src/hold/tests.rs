//! Holds: each is resolved once, whoever is first.

use super::*;
use crate::account::{AccountRefusal, Overdraft, Side};
use crate::journal::Entry;
use crate::refusal::LedgerRefusal;
use crate::testing::{TestBook, amount, currency, entry_id, eur, hold_id, of_account};

fn held() -> TestBook {
    let mut book = TestBook::new();
    book.open("1", Overdraft::None);
    book.pay_in("1", "100.00");
    book.hold("h", "1", "40.00").unwrap();
    book
}

fn release(book: &mut TestBook, hold: &str) -> Result<(), LedgerRefusal> {
    let account = book.account_of(hold);
    book.run(&ReleaseHold {
        hold: hold_id(hold),
        account,
    })
}

fn expire(book: &mut TestBook, hold: &str) -> Result<(), LedgerRefusal> {
    let now = book.now;
    book.run(&ExpireHold {
        hold: hold_id(hold),
        account: "1".parse().unwrap(),
        now,
    })
}

#[test]
fn what_is_captured_is_posted_and_the_rest_is_free_again() {
    let mut book = held();
    book.capture("h", Some("25.00"), "e").unwrap();
    let account = book.account("1");
    assert_eq!(account.balance(), eur("75.00").money());
    assert_eq!(account.available().unwrap(), Some(eur("75.00").money()));
    assert!(account.pending().debits.is_zero());
    assert_eq!(account.holds().count(), 0);
    let entry = book.of::<Entry>("e").unwrap();
    assert_eq!(entry.posted.captures, Some(hold_id("h")));
}

/// Case 10.
#[test]
fn no_more_is_captured_than_is_held_and_only_once() {
    let mut book = held();
    let held = eur("40.00").money();
    assert_eq!(
        book.capture("h", Some("40.01"), "a"),
        Err(LedgerRefusal::CaptureTooMuch { held })
    );
    book.capture("h", Some("40.00"), "b").unwrap();
    let by = entry_id("b");
    let captured = Err(LedgerRefusal::AlreadyCaptured { by });
    assert_eq!(book.capture("h", Some("0.01"), "c"), captured);
    assert_eq!(release(&mut book, "h"), captured);
    assert_eq!(book.balance("1"), "60.00");
}

#[test]
fn a_capture_is_in_the_currency_of_the_hold() {
    let mut book = held();
    let command = CaptureHold {
        hold: hold_id("h"),
        account: book.account_of("h"),
        amount: Some(amount("1", "JPY")),
        counter_account: "contra.cards.JPY".parse().unwrap(),
        entry: entry_id("e"),
        exchange: None,
        effective_date: None,
        reference: None,
        description: None,
        now: book.now,
    };
    let mismatch = AccountRefusal::CurrencyMismatch {
        account: currency("EUR"),
        amount: currency("JPY"),
    };
    assert_eq!(book.run(&command), Err(of_account("1", mismatch)));
}

#[test]
fn what_is_released_is_available_and_not_captured() {
    let mut book = held();
    release(&mut book, "h").unwrap();
    let available = book.account("1").available().unwrap();
    assert_eq!(available, Some(eur("100.00").money()));
    let released = Err(LedgerRefusal::AlreadyReleased);
    assert_eq!(book.capture("h", None, "e"), released);
    assert_eq!(release(&mut book, "h"), released);
}

/// Case 10: at the very moment of its end it is over, whether somebody has noticed or not.
#[test]
fn a_hold_is_captured_before_its_end_and_not_at_it() {
    let mut book = held();
    book.hold("i", "1", "10.00").unwrap();
    book.wait(3_599);
    assert_eq!(expire(&mut book, "h"), Err(LedgerRefusal::HoldNotExpired));
    book.capture("i", None, "a").unwrap();
    book.wait(1);
    assert_eq!(
        book.capture("h", None, "b"),
        Err(LedgerRefusal::HoldExpired)
    );
    // It counts until its end is recorded, so that what is available is what the events say.
    assert_eq!(book.account("1").holds().count(), 1);
    expire(&mut book, "h").unwrap();
    assert_eq!(book.account("1").holds().count(), 0);
    assert_eq!(expire(&mut book, "h"), Err(LedgerRefusal::HoldExpired));
    assert_eq!(release(&mut book, "h"), Err(LedgerRefusal::HoldExpired));
}

/// Cases 11 and 12.
#[test]
fn a_hold_that_was_released_before_it_was_placed_is_never_placed() {
    let mut book = held();
    release(&mut book, "late").unwrap();
    release(&mut book, "late").unwrap();
    assert_eq!(
        book.hold("late", "1", "1.00"),
        Err(LedgerRefusal::HoldRuledOut)
    );
    assert_eq!(
        book.capture("late", None, "e"),
        Err(LedgerRefusal::HoldRuledOut)
    );
    let account = book.account("1");
    assert_eq!(account.pending().debits, eur("40.00").money());
}

#[test]
fn an_id_names_one_hold_for_ever() {
    let mut book = held();
    assert_eq!(book.hold("h", "1", "1.00"), Err(LedgerRefusal::HoldExists));
    release(&mut book, "h").unwrap();
    assert_eq!(book.hold("h", "1", "1.00"), Err(LedgerRefusal::HoldExists));
    assert_eq!(
        book.capture("unknown", None, "e"),
        Err(LedgerRefusal::HoldNotFound)
    );
}

#[test]
fn a_hold_lasts_a_second_to_a_year() {
    let mut book = held();
    for lifetime_seconds in [0, 366 * 86_400 + 1] {
        let refused = book.run(&PlaceHold {
            hold: hold_id("i"),
            account: "1".parse().unwrap(),
            side: Side::Debit,
            amount: eur("1.00"),
            lifetime_seconds,
            reference: None,
            now: book.now,
        });
        assert!(
            matches!(refused, Err(LedgerRefusal::LifetimeNotSound { .. })),
            "{refused:?}"
        );
    }
}
