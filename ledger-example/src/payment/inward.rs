//! The steps of a payment from the outside.

use std::sync::LazyLock;

use folio_core::saga::{Saga, SagaDefinition, Step};

use crate::payment::{InOrder, PaymentAnswer, step};
use crate::transfer::{HOLDS_LAST, MoneyIs, MoneySaga, WITHIN};

/// A payment from somebody outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentIn;

static FIRST: LazyLock<Option<SagaDefinition>> = LazyLock::new(|| {
    let steps = vec![
        Step::compensatable(step::EXPECT, "unexpect").lasting(HOLDS_LAST),
        Step::pivot(step::COLLECT),
        Step::retriable(step::SETTLE),
        Step::retriable(step::CREDIT),
    ];
    SagaDefinition::new(1, WITHIN, steps).ok()
});

impl Saga for PaymentIn {
    const CATEGORY: &'static str = "payment_in";
    const NEWEST: u32 = 1;
    type Order = InOrder;
    type Answer = PaymentAnswer;

    fn definition(version: u32) -> Option<&'static SagaDefinition> {
        FIRST.as_ref().filter(|_| version == 1)
    }
}

impl MoneySaga for PaymentIn {
    fn money_is(is_done: &dyn Fn(&str) -> bool) -> MoneyIs {
        if is_done(step::CREDIT) {
            MoneyIs::Destination
        } else if is_done(step::COLLECT) {
            MoneyIs::Clearing
        } else {
            MoneyIs::Source
        }
    }
}
