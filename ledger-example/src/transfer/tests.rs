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
        into: None,
        reverses: None,
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
