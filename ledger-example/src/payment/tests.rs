//! The definitions, in every way that a payment can go wrong.

use folio_core::saga::Saga;
use folio_core::testing::saga::{every_failure, one_schedule};
use folio_core::{Amount, Currency};

use super::*;
use crate::transfer::Place;

fn place() -> Place {
    Place {
        book: "a".parse().unwrap(),
        account: "alice".parse().unwrap(),
    }
}

fn amount() -> Amount {
    Amount::parse("12.50", Currency::from_code("EUR").unwrap()).unwrap()
}

fn is_all_or_nothing<S: Saga<Answer = PaymentAnswer>>(order: &S::Order) {
    let answer = |_: &str| PaymentAnswer::Screened;
    assert!(every_failure::<S>(order, &answer) > 500);
    for seed in 0..2_000 {
        one_schedule::<S>(order, &answer, seed);
    }
}

#[test]
fn a_payment_is_carried_out_or_undone_whatever_fails() {
    let name = Party::Clear("bob".to_owned().try_into().unwrap());
    is_all_or_nothing::<PaymentOut>(&OutOrder {
        from: place(),
        payee: name.clone(),
        amount: amount(),
    });
    is_all_or_nothing::<PaymentIn>(&InOrder {
        to: place(),
        payer: name,
        amount: amount(),
        returns: None,
    });
}
