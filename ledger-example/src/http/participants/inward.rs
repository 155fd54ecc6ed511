//! What a payment from the outside asks.

use std::sync::Arc;

use folio_erasure::Vault;
use folio_runtime::{Participants, Said, StepCall};

use crate::account::{ContraAccount, Side};
use crate::http::participants::network::{Move, Network};
use crate::http::participants::{
    Asking, Books, Capture, Entry, Failed, Released, done, own_id, said, undone,
};
use crate::http::rails::client::RailsClient;
use crate::payment::{InOrder, PaymentAnswer, PaymentId, PaymentIn, step};
use crate::rails::Direction;

/// The book and the payment network.
#[derive(Debug, Clone)]
pub struct InwardParticipants {
    books: Books,
    network: Network,
}

impl InwardParticipants {
    /// These books, the rails, and the keys of the persons who pay.
    #[must_use]
    pub const fn new(books: Books, rails: RailsClient, vault: Arc<Vault>) -> Self {
        let network = Network::new(rails, vault);
        Self { books, network }
    }

    async fn asked(&self, call: &StepCall<'_, PaymentIn>) -> Result<Said<PaymentAnswer>, Failed> {
        let InOrder {
            to, payer, amount, ..
        } = &call.saga.order;
        let (payment, asking): (PaymentId, _) = (own_id(call.id)?, Asking::of(call));
        let clearing = ContraAccount::ClearingRail.account(amount.currency());
        match call.step {
            step::EXPECT => {
                let hold = (&payment.expected()?, Side::Credit, *amount);
                let expected = self.books.hold(asking, to, hold).await?;
                Ok(done(expected, PaymentAnswer::Expected))
            }
            step::COLLECT => {
                let money = Move {
                    direction: Direction::In,
                    party: payer,
                    amount: *amount,
                };
                let reference = payment.collected()?;
                self.network.submit(asking, reference, money).await
            }
            step::SETTLE => {
                let entry = Entry {
                    id: &payment.settled_in()?,
                    debited: ContraAccount::Nostro.account(amount.currency()),
                    credited: clearing,
                    amount: *amount,
                };
                let settled = self.books.post(asking, &to.book, entry).await?;
                Ok(done(settled, PaymentAnswer::Posted))
            }
            step::CREDIT => {
                let capture = Capture {
                    hold: &payment.expected()?,
                    counter: clearing,
                    entry: &payment.credited()?,
                    exchange: None,
                };
                let credited = self.books.capture(asking, &to.book, capture).await?;
                Ok(done(credited, PaymentAnswer::Posted))
            }
            other => Err(Failed::unknown_step(other)),
        }
    }

    async fn undone(&self, call: &StepCall<'_, PaymentIn>) -> Result<Said<PaymentAnswer>, Failed> {
        let payment: PaymentId = own_id(call.id)?;
        let (book, hold) = (&call.saga.order.to.book, payment.expected()?);
        match self.books.release(Asking::of(call), book, &hold).await? {
            Released::Gone { by } => Ok(undone(by)),
            Released::Captured => Err(Failed::Refused("already_captured".to_owned())),
        }
    }
}

impl Participants<PaymentIn> for InwardParticipants {
    async fn ask(&self, call: StepCall<'_, PaymentIn>) -> Said<PaymentAnswer> {
        said(self.asked(&call).await)
    }

    async fn undo(&self, call: StepCall<'_, PaymentIn>) -> Said<PaymentAnswer> {
        said(self.undone(&call).await)
    }
}
