//! The payment network: accepts an order or declines it, and may return what it has accepted.

use folio_core::{Aggregate, Amount, Event};
use serde::{Deserialize, Serialize};

use crate::account::BoundedText;
use crate::rails::UsedOtherwise;

/// Orders to payees whose names begin so are declined.
const CLOSED: &str = "closed";

/// What is to be paid, or collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentOrder {
    /// Which way the money goes.
    #[serde(default, skip_serializing_if = "Direction::is_out")]
    pub direction: Direction,
    /// Who is on the other side: who is paid, or pays.
    pub payee: BoundedText<64>,
    /// How much.
    pub amount: Amount,
}

/// Which way the money of a payment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To somebody outside.
    #[default]
    Out,
    /// From somebody outside.
    In,
}

impl Direction {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes what it may skip by reference"
    )]
    const fn is_out(&self) -> bool {
        matches!(self, Self::Out)
    }
}

/// An order, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// What was ordered.
    pub order: PaymentOrder,
    /// What became of it.
    pub state: PaymentState,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// It is paid, for all that is known.
    Accepted,
    /// It was not paid.
    Declined,
    /// It was accepted, and the money came back.
    Returned,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentCommand {
    /// To pay.
    Submit(PaymentOrder),
    /// To send the money back.
    Return,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentEvent {
    /// An order was accepted.
    PaymentAccepted(PaymentOrder),
    /// An order was declined.
    PaymentDeclined(PaymentOrder),
    /// The money came back.
    PaymentReturned(Returned),
}

/// Why money came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returned {
    /// In a word.
    pub reason: String,
}

impl Event for PaymentEvent {}

impl Aggregate for Payment {
    const CATEGORY: &'static str = "payment";
    type Command = PaymentCommand;
    type Event = PaymentEvent;
    type Refusal = UsedOtherwise;

    fn decide(
        state: Option<&Self>,
        command: PaymentCommand,
    ) -> Result<Vec<PaymentEvent>, UsedOtherwise> {
        match (state, command) {
            (Some(payment), PaymentCommand::Submit(order)) if payment.order != order => {
                Err(UsedOtherwise)
            }
            (Some(_), PaymentCommand::Submit(_)) | (None, PaymentCommand::Return) => Ok(Vec::new()),
            (None, PaymentCommand::Submit(order)) => {
                let is_closed = String::from(order.payee.clone()).starts_with(CLOSED);
                Ok(vec![if is_closed {
                    PaymentEvent::PaymentDeclined(order)
                } else {
                    PaymentEvent::PaymentAccepted(order)
                }])
            }
            (Some(payment), PaymentCommand::Return) => Ok(match payment.state {
                PaymentState::Accepted => vec![PaymentEvent::PaymentReturned(Returned {
                    reason: "account_unknown".to_owned(),
                })],
                PaymentState::Declined | PaymentState::Returned => Vec::new(),
            }),
        }
    }

    fn evolve(state: Option<Self>, event: &PaymentEvent) -> Option<Self> {
        let of = |order: &PaymentOrder, state| {
            Some(Self {
                order: order.clone(),
                state,
            })
        };
        match event {
            PaymentEvent::PaymentAccepted(order) => of(order, PaymentState::Accepted),
            PaymentEvent::PaymentDeclined(order) => of(order, PaymentState::Declined),
            PaymentEvent::PaymentReturned(_) => {
                state.and_then(|payment| of(&payment.order, PaymentState::Returned))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use folio_core::Currency;
    use folio_core::testing::given;

    use super::*;

    fn order(payee: &str, amount: &str) -> PaymentOrder {
        PaymentOrder {
            direction: Direction::Out,
            payee: BoundedText::try_from(payee.to_owned()).unwrap(),
            amount: Amount::parse(amount, Currency::from_code("EUR").unwrap()).unwrap(),
        }
    }

    #[test]
    fn an_order_is_paid_once_and_known_again() {
        let (bob, closed) = (order("bob", "1.00"), order("closed-bob", "1.00"));
        given::<Payment>([])
            .when(PaymentCommand::Submit(bob.clone()))
            .then([PaymentEvent::PaymentAccepted(bob.clone())]);
        given::<Payment>([])
            .when(PaymentCommand::Submit(closed.clone()))
            .then([PaymentEvent::PaymentDeclined(closed)]);
        let accepted = || [PaymentEvent::PaymentAccepted(bob.clone())];
        given::<Payment>(accepted())
            .when(PaymentCommand::Submit(bob.clone()))
            .then([]);
        given::<Payment>(accepted())
            .when(PaymentCommand::Submit(order("bob", "2.00")))
            .then_refused(UsedOtherwise);
    }

    #[test]
    fn what_was_accepted_can_come_back_once() {
        let accepted = PaymentEvent::PaymentAccepted(order("bob", "1.00"));
        let returned = PaymentEvent::PaymentReturned(Returned {
            reason: "account_unknown".to_owned(),
        });
        given::<Payment>([accepted.clone()])
            .when(PaymentCommand::Return)
            .then([returned.clone()]);
        given::<Payment>([accepted, returned])
            .when(PaymentCommand::Return)
            .then([]);
        given::<Payment>([]).when(PaymentCommand::Return).then([]);
    }
}
