//! What a payment to the outside asks.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use folio_core::Timestamp;
use folio_core::saga::StepProgress;
use folio_erasure::Vault;
use folio_runtime::{Participants, Said, StepCall};

use crate::account::{ContraAccount, Side};
use crate::http::participants::network::{Move, Network};
use crate::http::participants::{
    Asking, Books, Capture, Entry, Failed, Released, done, own_id, said, undone,
};
use crate::http::rails::client::RailsClient;
use crate::payment::{OutOrder, PaymentAnswer, PaymentId, PaymentOut, step};
use crate::rails::Direction;

/// The book, the fraud screen and the payment network.
#[derive(Debug, Clone)]
pub struct OutwardParticipants {
    books: Books,
    network: Network,
}

impl OutwardParticipants {
    /// These books, the rails, and the keys of the persons who are paid.
    #[must_use]
    pub const fn new(books: Books, rails: RailsClient, vault: Arc<Vault>) -> Self {
        let network = Network::new(rails, vault);
        Self { books, network }
    }

    async fn asked(&self, call: &StepCall<'_, PaymentOut>) -> Result<Said<PaymentAnswer>, Failed> {
        let OutOrder {
            from,
            payee,
            amount,
        } = &call.saga.order;
        let (payment, asking): (PaymentId, _) = (own_id(call.id)?, Asking::of(call));
        let clearing = ContraAccount::ClearingRail.account(amount.currency());
        match call.step {
            step::HOLD => {
                let hold = (&payment.hold()?, Side::Debit, *amount);
                let held = self.books.hold(asking, from, hold).await?;
                Ok(done(held, PaymentAnswer::Held))
            }
            step::SCREEN => {
                let sides = (&from.account, payee, *amount);
                let id = payment.screening()?;
                self.network.screen(asking, &id, sides).await
            }
            step::CAPTURE => {
                let capture = Capture {
                    hold: &payment.hold()?,
                    counter: clearing,
                    entry: &payment.captured()?,
                    exchange: None,
                };
                let captured = self.books.capture(asking, &from.book, capture).await?;
                Ok(done(captured, PaymentAnswer::Posted))
            }
            step::SUBMIT => {
                let money = Move {
                    direction: Direction::Out,
                    party: payee,
                    amount: *amount,
                };
                self.network.submit(asking, payment.sent()?, money).await
            }
            step::SETTLE => {
                let entry = Entry {
                    id: &payment.settled_out()?,
                    debited: clearing,
                    credited: ContraAccount::Nostro.account(amount.currency()),
                    amount: *amount,
                };
                let settled = self.books.post(asking, &from.book, entry).await?;
                Ok(done(settled, PaymentAnswer::Posted))
            }
            other => Err(Failed::unknown_step(other)),
        }
    }

    async fn undone(&self, call: &StepCall<'_, PaymentOut>) -> Result<Said<PaymentAnswer>, Failed> {
        let book = &call.saga.order.from.book;
        let (payment, asking): (PaymentId, _) = (own_id(call.id)?, Asking::of(call));
        // Released first, whichever of the two is undone: then a capture that is still on its way is refused.
        match self.books.release(asking, book, &payment.hold()?).await? {
            Released::Gone { by } => Ok(undone(by)),
            Released::Captured if call.step == step::CAPTURE => {
                let (captured, refunded) = (payment.captured()?, payment.refunded()?);
                // A day that is the same whenever it is asked by the same id. Its period may have been closed: then it is the one of the
                // refusal.
                let refused = call.saga.refused().map(|refused| refused.last);
                let date = day(refused.unwrap_or(call.saga.deadline));
                let refund = (&captured, &refunded, date);
                Ok(undone(self.books.reverse(asking, book, refund).await?))
            }
            Released::Captured if call.saga.step(step::CAPTURE) == Some(&StepProgress::Undone) => {
                Ok(undone(None))
            }
            Released::Captured => Err(Failed::Refused("already_captured".to_owned())),
        }
    }
}

impl Participants<PaymentOut> for OutwardParticipants {
    async fn ask(&self, call: StepCall<'_, PaymentOut>) -> Said<PaymentAnswer> {
        said(self.asked(&call).await)
    }

    async fn undo(&self, call: StepCall<'_, PaymentOut>) -> Said<PaymentAnswer> {
        said(self.undone(&call).await)
    }
}

fn day(time: Timestamp) -> NaiveDate {
    DateTime::from_timestamp_micros(time.micros())
        .unwrap_or_default()
        .date_naive()
}
