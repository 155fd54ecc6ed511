//! What a transfer asks.

use folio_core::saga::Heard;
use folio_runtime::{Participants, Said, StepCall};

use crate::account::{BoundedText, ContraAccount, Side};
use crate::http::participants::{
    Asking, Books, Capture, Failed, Released, deadline, done, own_id, said, screened, undone,
};
use crate::http::rails::client::RailsClient;
use crate::journal::Exchange;
use crate::rails::{Quoted, ScreeningRequest};
use crate::transfer::{
    Transfer, TransferAnswer, TransferId, TransferOrder, arriving, quoted, step,
};

/// The two books, the exchange desk and the fraud screen.
#[derive(Debug, Clone)]
pub struct TransferParticipants {
    books: Books,
    rails: RailsClient,
}

impl TransferParticipants {
    /// These books, and the rails.
    #[must_use]
    pub const fn new(books: Books, rails: RailsClient) -> Self {
        Self { books, rails }
    }

    async fn asked(&self, call: &StepCall<'_, Transfer>) -> Result<Said<TransferAnswer>, Failed> {
        let TransferOrder {
            from, to, amount, ..
        } = &call.saga.order;
        let (transfer, asking): (TransferId, _) = (own_id(call.id)?, Asking::of(call));
        match call.step {
            step::QUOTE => self.quoted(asking, &transfer, &call.saga.order).await,
            step::HOLD => {
                let hold = (&transfer.hold()?, Side::Debit, *amount);
                let held = self.books.hold(asking, from, hold).await?;
                Ok(done(held, TransferAnswer::Held))
            }
            step::SCREEN => {
                let request = ScreeningRequest {
                    payer: BoundedText::from(&from.account),
                    payee: BoundedText::from(&to.account),
                    amount: *amount,
                };
                let id = transfer.screening()?;
                let rails = self.rails.with_headers(asking.headers());
                let decision = rails.screen(&id, &request, deadline()).await;
                screened(decision, TransferAnswer::Screened)
            }
            step::EXPECT => {
                let hold = (&transfer.expected()?, Side::Credit, arriving(call.saga));
                let expected = self.books.hold(asking, to, hold).await?;
                Ok(done(expected, TransferAnswer::Expected))
            }
            step::CAPTURE => {
                let peer = ContraAccount::Clearing(to.book.clone());
                let capture = Capture {
                    hold: &transfer.hold()?,
                    counter: peer.account(arriving(call.saga).currency()),
                    entry: &transfer.captured()?,
                    exchange: quoted(call.saga).map(exchange),
                };
                let captured = self.books.capture(asking, &from.book, capture).await?;
                Ok(done(captured, TransferAnswer::Captured))
            }
            step::CREDIT => {
                let peer = ContraAccount::Clearing(from.book.clone());
                let capture = Capture {
                    hold: &transfer.expected()?,
                    counter: peer.account(arriving(call.saga).currency()),
                    entry: &transfer.credited()?,
                    exchange: None,
                };
                let credited = self.books.capture(asking, &to.book, capture).await?;
                Ok(done(credited, TransferAnswer::Credited))
            }
            other => Err(Failed::unknown_step(other)),
        }
    }

    async fn quoted(
        &self,
        asking: Asking<'_>,
        transfer: &TransferId,
        order: &TransferOrder,
    ) -> Result<Said<TransferAnswer>, Failed> {
        let answer = match order.into {
            None => TransferAnswer::SameCurrency,
            Some(into) => {
                let id = transfer.quote()?;
                let rails = self.rails.with_headers(asking.headers());
                let quoted = rails.quote(&id, order.amount, into, deadline());
                TransferAnswer::Quoted(quoted.await.map_err(Failed::Outside)?)
            }
        };
        Ok(Heard::Done(answer).into())
    }

    async fn undone(&self, call: &StepCall<'_, Transfer>) -> Result<Said<TransferAnswer>, Failed> {
        let TransferOrder { from, to, .. } = &call.saga.order;
        let transfer: TransferId = own_id(call.id)?;
        let (book, hold) = match call.step {
            step::HOLD => (&from.book, transfer.hold()?),
            _ => (&to.book, transfer.expected()?),
        };
        match self.books.release(Asking::of(call), book, &hold).await? {
            Released::Gone { by } => Ok(undone(by)),
            Released::Captured => Err(Failed::Refused("already_captured".to_owned())),
        }
    }
}

impl Participants<Transfer> for TransferParticipants {
    async fn ask(&self, call: StepCall<'_, Transfer>) -> Said<TransferAnswer> {
        said(self.asked(&call).await)
    }

    async fn undo(&self, call: StepCall<'_, Transfer>) -> Said<TransferAnswer> {
        said(self.undone(&call).await)
    }
}

fn exchange(quoted: &Quoted) -> Exchange {
    Exchange {
        sold: quoted.sold,
        bought: quoted.bought,
        rate: quoted.rate,
        market_rate: Some(quoted.market_rate),
    }
}
