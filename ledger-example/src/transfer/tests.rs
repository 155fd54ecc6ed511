//! The definition, in every way that a transfer can go wrong.

use folio_core::testing::saga::{every_failure, one_schedule};
use folio_core::{Amount, Currency};

use super::*;

fn order() -> TransferOrder {
    let place = |book: &str, account: &str| Place {
        book: book.parse().unwrap(),
        account: account.parse().unwrap(),
    };
    TransferOrder {
        from: place("a", "alice"),
        to: place("b", "bob"),
        amount: Amount::parse("12.50", Currency::from_code("EUR").unwrap()).unwrap(),
    }
}

fn answer(_: &str) -> TransferAnswer {
    TransferAnswer::Screened
}

#[test]
fn a_transfer_is_carried_out_or_undone_whatever_fails() {
    assert!(every_failure::<Transfer>(&order(), &answer) > 1_000);
    for seed in 0..2_000 {
        one_schedule::<Transfer>(&order(), &answer, seed);
    }
}

#[test]
fn ids_are_made_of_the_transfer_s() {
    let id: TransferId = "t-1".parse().unwrap();
    assert_eq!(id.hold().unwrap().as_str(), "t-1.hold");
    assert_eq!(id.credited().unwrap().as_str(), "t-1.credited");
    let id: TransferId = "x".repeat(60).parse().unwrap();
    assert_eq!(id.hold().unwrap_err().id.len(), 60);
}
