//! Asks the fraud screen, the exchange desk and the payment network, each as a service of its own.

use folio_core::{Amount, Currency, Timestamp};
use folio_mesh::{CircuitBreaker, Deadline};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::address::ServiceAddress;
use crate::http::outside::{
    Outside, OutsideClientError, OutsideError, OutsideRequest, OutsideSettings,
};
use crate::journal::Rate;
use crate::rails::{Decision, PaymentOrder, PaymentState, Quoted, RequestId, ScreeningRequest};

/// Asks the fraud screen, the exchange desk and the payment network. Clones share breakers and budgets.
#[derive(Debug, Clone)]
pub struct RailsClient {
    fraud: Outside,
    fx: Outside,
    payments: Outside,
    /// Sent with every request.
    headers: Vec<(&'static str, String)>,
}

#[derive(Deserialize)]
struct DecisionAnswer {
    decision: Decision,
}

#[derive(Deserialize)]
struct PaymentAnswer {
    state: PaymentState,
}

#[derive(Deserialize)]
struct QuoteAnswer {
    bought_amount: String,
    rate: Rate,
    market_rate: Rate,
    expires_at: chrono::DateTime<chrono::Utc>,
}

impl RailsClient {
    /// Asks the rails at this address.
    ///
    /// # Errors
    ///
    /// [`OutsideClientError`].
    pub fn new(
        address: impl Into<ServiceAddress>,
        settings: OutsideSettings,
    ) -> Result<Self, OutsideClientError> {
        let address = address.into();
        Ok(Self {
            fraud: Outside::new("fraud", &address, settings)?,
            fx: Outside::new("fx", &address, settings)?,
            payments: Outside::new("payments", &address, settings)?,
            headers: Vec::new(),
        })
    }

    /// The same, with these headers on every request.
    pub(crate) fn with_headers(&self, headers: Vec<(&'static str, String)>) -> Self {
        Self {
            headers,
            ..self.clone()
        }
    }

    /// The breakers: of the fraud screen, of the exchange desk, and of the payment network.
    #[must_use]
    pub fn breakers(&self) -> [&CircuitBreaker; 3] {
        [&self.fraud, &self.fx, &self.payments].map(Outside::breaker)
    }

    /// Has a payment screened.
    ///
    /// # Errors
    ///
    /// [`OutsideError`]. Whoever asks decides what a payment is that nobody has screened; for money, it waits.
    pub async fn screen(
        &self,
        id: &RequestId,
        request: &ScreeningRequest,
        deadline: Deadline,
    ) -> Result<Decision, OutsideError> {
        let body = json!({
            "id": id, "payer": request.payer, "payee": request.payee,
            "amount": request.amount.amount_text(), "currency": request.amount.currency().code(),
        });
        let request = self.post("/v1/fraud/screenings", body, "decision", deadline);
        let answer = self.fraud.send::<DecisionAnswer>(request).await?;
        Ok(answer.body.decision)
    }

    /// Asks what `sold` is in another currency.
    ///
    /// # Errors
    ///
    /// [`OutsideError`].
    pub async fn quote(
        &self,
        id: &RequestId,
        sold: Amount,
        bought: Currency,
        deadline: Deadline,
    ) -> Result<Quoted, OutsideError> {
        let body = json!({
            "id": id, "amount": sold.amount_text(), "currency": sold.currency().code(),
            "bought_currency": bought.code(),
        });
        let request = self.post("/v1/fx/quotes", body, "bought_amount", deadline);
        let answer = self.fx.send::<QuoteAnswer>(request).await?.body;
        let amount = Amount::parse(&answer.bought_amount, bought);
        Ok(Quoted {
            sold,
            bought: amount.map_err(|error| self.fx.unknown(Box::new(error)))?,
            rate: answer.rate,
            market_rate: answer.market_rate,
            expires_at: Timestamp::from_micros(answer.expires_at.timestamp_micros()),
        })
    }

    /// Orders a payment. It may be ordered again under the same reference, and is paid once.
    ///
    /// # Errors
    ///
    /// [`OutsideError`]; after [`OutsideError::Unknown`], [`payment`](Self::payment) tells whether it was paid.
    pub async fn submit(
        &self,
        reference: &RequestId,
        order: &PaymentOrder,
        deadline: Deadline,
    ) -> Result<PaymentState, OutsideError> {
        let body = json!({
            "reference": reference, "direction": order.direction, "payee": order.payee,
            "amount": order.amount.amount_text(), "currency": order.amount.currency().code(),
        });
        let request = self.post("/v1/payments", body, "state", deadline);
        let answer = self.payments.send::<PaymentAnswer>(request).await?;
        Ok(answer.body.state)
    }

    /// What became of a payment; none where it was never ordered.
    ///
    /// # Errors
    ///
    /// [`OutsideError`].
    pub async fn payment(
        &self,
        reference: &RequestId,
        deadline: Deadline,
    ) -> Result<Option<PaymentState>, OutsideError> {
        let request = OutsideRequest {
            path: format!("/v1/payments/{}", reference.as_str()),
            headers: self.headers.clone(),
            body: None,
            answered_by: "state",
            deadline,
        };
        match self.payments.send::<PaymentAnswer>(request).await {
            Ok(answer) => Ok(Some(answer.body.state)),
            Err(OutsideError::Refused { code, .. }) if code == "payment_not_found" => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn post(
        &self,
        path: &str,
        body: Value,
        answered_by: &'static str,
        deadline: Deadline,
    ) -> OutsideRequest<'static> {
        OutsideRequest {
            path: path.to_owned(),
            headers: self.headers.clone(),
            body: Some(body),
            answered_by,
            deadline,
        }
    }
}
