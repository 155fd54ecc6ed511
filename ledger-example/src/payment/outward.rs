//! The steps of a payment to the outside.

use std::sync::LazyLock;

use folio_core::saga::{Saga, SagaDefinition, Step};

use crate::payment::{OutOrder, PaymentAnswer, step};
use crate::transfer::{HOLDS_LAST, MoneyIs, MoneySaga, WITHIN};

/// A payment to somebody outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentOut;

static FIRST: LazyLock<Option<SagaDefinition>> = LazyLock::new(|| {
    let steps = vec![
        Step::compensatable(step::HOLD, "release").lasting(HOLDS_LAST),
        Step::question(step::SCREEN),
        Step::compensatable(step::CAPTURE, "refund"),
        Step::pivot(step::SUBMIT),
        Step::retriable(step::SETTLE),
    ];
    SagaDefinition::new(1, WITHIN, steps).ok()
});

impl Saga for PaymentOut {
    const CATEGORY: &'static str = "payment_out";
    const NEWEST: u32 = 1;
    type Order = OutOrder;
    type Answer = PaymentAnswer;

    fn definition(version: u32) -> Option<&'static SagaDefinition> {
        FIRST.as_ref().filter(|_| version == 1)
    }
}

impl MoneySaga for PaymentOut {
    fn money_is(is_done: &dyn Fn(&str) -> bool) -> MoneyIs {
        if is_done(step::SETTLE) {
            MoneyIs::Destination
        } else if is_done(step::CAPTURE) {
            MoneyIs::Clearing
        } else if is_done(step::HOLD) {
            MoneyIs::Held
        } else {
            MoneyIs::Source
        }
    }
}
