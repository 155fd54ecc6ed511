//! What payments tell the outside of those on their other side: the fraud screen, and the payment network. A person's name
//! is opened as it is told.

use std::sync::Arc;

use folio_core::saga::Heard;
use folio_core::{Amount, error_chain};
use folio_erasure::Vault;
use folio_runtime::Said;

use crate::account::{AccountId, BoundedText};
use crate::http::outside::OutsideError;
use crate::http::participants::{Asking, Failed, deadline, screened};
use crate::http::parties::{Opened, opened};
use crate::http::rails::client::RailsClient;
use crate::payment::{Party, PaymentAnswer};
use crate::rails::{Direction, PaymentOrder, PaymentState, RequestId, ScreeningRequest};

/// The rails, and the keys of the persons who are paid or pay.
#[derive(Debug, Clone)]
pub(super) struct Network {
    rails: RailsClient,
    vault: Arc<Vault>,
}

/// What the network is to move.
pub(super) struct Move<'a> {
    pub(super) direction: Direction,
    pub(super) party: &'a Party,
    pub(super) amount: Amount,
}

impl Network {
    pub(super) const fn new(rails: RailsClient, vault: Arc<Vault>) -> Self {
        Self { rails, vault }
    }

    /// Has a payment screened. Whoever was forgotten is not paid.
    pub(super) async fn screen(
        &self,
        asking: Asking<'_>,
        id: &RequestId,
        (payer, payee, amount): (&AccountId, &Party, Amount),
    ) -> Result<Said<PaymentAnswer>, Failed> {
        let Opened::Name(name) = opened(&self.vault, payee).await? else {
            return Err(Failed::Refused("payee_forgotten".to_owned()));
        };
        let request = ScreeningRequest {
            payer: BoundedText::from(payer),
            payee: name,
            amount,
        };
        let rails = self.rails.with_headers(asking.headers());
        let decision = rails.screen(id, &request, deadline()).await;
        let decision = decision.map_err(|error| told_of(payee, error))?;
        screened(Ok(decision), PaymentAnswer::Screened)
    }

    /// Has the network move money, once under this reference, however often it is asked.
    pub(super) async fn submit(
        &self,
        asking: Asking<'_>,
        reference: RequestId,
        Move {
            direction,
            party,
            amount,
        }: Move<'_>,
    ) -> Result<Said<PaymentAnswer>, Failed> {
        let rails = self.rails.with_headers(asking.headers());
        let state = match opened(&self.vault, party).await? {
            Opened::Name(payee) => {
                let order = PaymentOrder {
                    direction,
                    payee,
                    amount,
                };
                let state = rails.submit(&reference, &order, deadline()).await;
                state.map_err(|error| told_of(party, error))?
            }
            // It may have been asked before, and what it did then counts. That it knows nothing is no refusal: what it was
            // asked may be on its way still.
            Opened::Forgotten(subject) => {
                let state = rails.payment(&reference, deadline()).await;
                state.map_err(not_told)?.ok_or_else(|| {
                    Failed::Unknown(format!(
                        "{subject} was forgotten, and the payment network knows nothing of {reference}: an operator has to decide"
                    ))
                })?
            }
        };
        match state {
            // What comes back after it was accepted is a payment of its own.
            PaymentState::Accepted | PaymentState::Returned => {
                Ok(Heard::Done(PaymentAnswer::Accepted(reference)).into())
            }
            PaymentState::Declined => Err(Failed::Refused("payment_declined".to_owned())),
        }
    }
}

/// What goes wrong is recorded for ever. Where a person was told of, that leaves out what was answered, which may say who.
fn told_of(party: &Party, error: OutsideError) -> Failed {
    match (party, error) {
        (Party::Person { .. }, error @ OutsideError::Unknown { .. }) => {
            Failed::Unknown(error.to_string())
        }
        (_, error) => Failed::Outside(error),
    }
}

/// Whoever does not tell what became of a payment has refused to tell, and not the payment.
fn not_told(error: OutsideError) -> Failed {
    if matches!(error, OutsideError::Refused { .. }) {
        Failed::Unknown(error_chain(&error))
    } else {
        Failed::Outside(error)
    }
}
