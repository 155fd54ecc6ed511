//! Asks the outside, which may be slow, gone, or say one thing and do another.
//!
//! Each of the three has a breaker, a bound on calls at once and a retry budget of its own, so that one that fails
//! keeps nobody from the others:
//!
//! ```text
//! retries → breaker → calls at once → time limit of one try → one request, to the last byte of its answer
//! ```
//!
//! Every request has an id by which it is known again, so sending it once more is safe, also when nobody
//! knows what became of the first. An answer counts when its body is there and says what was asked for: a 200
//! with an error in it is a failure of who was asked.

use std::sync::Arc;
use std::time::Duration;

use folio_core::breaker::{BreakerSettings, CallOutcome, InvalidSettings};
use folio_core::{Amount, Currency, Timestamp};
use folio_mesh::deadline::HEADER;
use folio_mesh::{
    Again, BreakerError, BreakerLayer, CircuitBreaker, Deadline, Retries, RetryBudget,
    TimeLimitError, TimeLimitLayer,
};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::Semaphore;
use tower::retry::RetryLayer;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use crate::journal::Rate;
use crate::rails::{Decision, PaymentOrder, PaymentState, Quoted, RequestId, ScreeningRequest};

/// How the outside is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RailsSettings {
    /// How long one try may take.
    pub each: Duration,
    /// How many times a request is sent again.
    pub tries: u32,
    /// First wait before that.
    pub backoff: Duration,
    /// How many calls there may be at once, to each of the three.
    pub at_once: usize,
    /// When their breakers open.
    pub breaker: BreakerSettings,
}

impl Default for RailsSettings {
    /// 2 s a try, sent again at most twice, after 50 ms first; 64 calls at once.
    fn default() -> Self {
        Self {
            each: Duration::from_secs(2),
            tries: 2,
            backoff: Duration::from_millis(50),
            at_once: 64,
            breaker: BreakerSettings::default(),
        }
    }
}

/// Asks the fraud screen, the exchange desk and the payment network. Clones share breakers and budgets.
#[derive(Debug, Clone)]
pub struct RailsClient {
    fraud: Outside,
    fx: Outside,
    payments: Outside,
}

/// One of them.
#[derive(Debug, Clone)]
struct Outside {
    base: Url,
    calls: BoxCloneSyncService<Call, Value, Failed>,
    breaker: CircuitBreaker,
}

/// A request, as it is sent again.
#[derive(Debug, Clone)]
struct Call {
    method: Method,
    url: Url,
    body: Option<Value>,
    /// A field that an answer has which says what was asked for.
    answered_by: &'static str,
    deadline: Deadline,
}

type Failed = BreakerError<TimeLimitError<TryError>>;

/// Why one try came to nothing.
#[derive(Debug, Error)]
enum TryError {
    #[error("as many calls are under way as there may be")]
    Full,
    #[error("there was no whole answer")]
    NoAnswer(#[source] reqwest::Error),
    #[error("the answer is status {status} ({code})")]
    Status {
        status: StatusCode,
        code: String,
        retry_after: Option<Duration>,
    },
    #[error("the answer does not say what was asked: {body}")]
    Unfit { body: String },
}

/// Why the outside gave no answer that counts.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutsideError {
    /// Nobody was asked: it does not answer at present.
    #[error("{name} does not answer at present")]
    Open {
        /// What was to be asked.
        name: String,
        /// When asking may help; none while somebody has said that it is not to be asked.
        retry_after: Option<Duration>,
    },
    /// Nobody was asked: as many calls are under way as there may be.
    #[error("too many calls to {name} are under way")]
    Full {
        /// What was to be asked.
        name: String,
    },
    /// It refused the request for good: the same one will be refused again.
    #[error("{name} refused with status {status} ({code})")]
    Refused {
        /// Who.
        name: String,
        /// The HTTP status.
        status: u16,
        /// The code of the problem, as far as there is one.
        code: String,
    },
    /// It is not known whether it was done: there was no answer in time, or none that can be read.
    #[error("it is not known what {name} has done")]
    Unknown {
        /// Who.
        name: String,
        /// What was seen.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why there is no client.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RailsClientError {
    /// The address is none.
    #[error("{url:?} is no address that starts with http://")]
    Url {
        /// The refused text.
        url: String,
    },
    /// The breakers cannot work.
    #[error(transparent)]
    Breaker(#[from] InvalidSettings),
    /// The waits cannot be.
    #[error("the wait before a request is sent again is zero or too long")]
    Backoff,
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be set up")]
    Client(#[from] reqwest::Error),
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
    /// Asks the rails at `url`, such as `http://127.0.0.1:7404`.
    ///
    /// # Errors
    ///
    /// [`RailsClientError`].
    pub fn new(url: &str, settings: RailsSettings) -> Result<Self, RailsClientError> {
        let base = Url::parse(url).ok().filter(|base| base.scheme() == "http");
        let base = base.ok_or_else(|| RailsClientError::Url {
            url: url.to_owned(),
        })?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let outside = |name: &str| Outside::new(name, base.clone(), http.clone(), settings);
        Ok(Self {
            fraud: outside("fraud")?,
            fx: outside("fx")?,
            payments: outside("payments")?,
        })
    }

    /// The breakers: of the fraud screen, of the exchange desk, and of the payment network.
    #[must_use]
    pub fn breakers(&self) -> [&CircuitBreaker; 3] {
        [&self.fraud, &self.fx, &self.payments].map(|outside| &outside.breaker)
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
        let path = "/v1/fraud/screenings";
        let answer: DecisionAnswer = self.fraud.post(path, body, "decision", deadline).await?;
        Ok(answer.decision)
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
        let path = "/v1/fx/quotes";
        let answer: QuoteAnswer = self.fx.post(path, body, "bought_amount", deadline).await?;
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
            "reference": reference, "payee": order.payee,
            "amount": order.amount.amount_text(), "currency": order.amount.currency().code(),
        });
        let path = "/v1/payments";
        let answer: PaymentAnswer = self.payments.post(path, body, "state", deadline).await?;
        Ok(answer.state)
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
        let path = format!("/v1/payments/{}", reference.as_str());
        let answer = self.payments.get(&path, "state", deadline).await;
        match answer {
            Ok(PaymentAnswer { state }) => Ok(Some(state)),
            Err(OutsideError::Refused { code, .. }) if code == "payment_not_found" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Outside {
    fn new(
        name: &str,
        base: Url,
        http: reqwest::Client,
        settings: RailsSettings,
    ) -> Result<Self, RailsClientError> {
        let breaker = CircuitBreaker::new(name, settings.breaker)?;
        let budget = RetryBudget::new(name, 20, 10);
        let waits = (settings.backoff, settings.each.max(settings.backoff));
        let retries = Retries::new(budget, settings.tries, waits, again)
            .map_err(|_| RailsClientError::Backoff)?;
        let places = Arc::new(Semaphore::new(settings.at_once));
        let asks = service_fn(move |call: Call| {
            let (http, places) = (http.clone(), Arc::clone(&places));
            async move {
                // Who is one too many is told so, and does not wait for those that hang.
                let _place = places.try_acquire().map_err(|_| TryError::Full)?;
                call.send(&http).await
            }
        });
        let calls = ServiceBuilder::new()
            .layer(RetryLayer::new(retries))
            .layer(BreakerLayer::new(breaker.clone()).classified_by(outcome))
            .layer(TimeLimitLayer::new(settings.each, |call: &Call| {
                Some(call.deadline)
            }))
            .service(asks);
        Ok(Self {
            base,
            calls: BoxCloneSyncService::new(calls),
            breaker,
        })
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Value,
        answered_by: &'static str,
        deadline: Deadline,
    ) -> Result<T, OutsideError> {
        let call = self.call(Method::POST, path, answered_by, deadline);
        self.ask(Call {
            body: Some(body),
            ..call
        })
        .await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        answered_by: &'static str,
        deadline: Deadline,
    ) -> Result<T, OutsideError> {
        let call = self.call(Method::GET, path, answered_by, deadline);
        self.ask(call).await
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        answered_by: &'static str,
        deadline: Deadline,
    ) -> Call {
        let mut url = self.base.clone();
        url.set_path(path);
        Call {
            method,
            url,
            body: None,
            answered_by,
            deadline,
        }
    }

    async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, OutsideError> {
        let answer = self.calls.clone().oneshot(call).await;
        let answer = answer.map_err(|failed| self.told(failed))?;
        serde_json::from_value(answer).map_err(|error| self.unknown(Box::new(error)))
    }

    fn told(&self, failed: Failed) -> OutsideError {
        let name = self.breaker.name().to_owned();
        match failed {
            BreakerError::Open(refused) => OutsideError::Open {
                name,
                retry_after: refused.retry_after,
            },
            BreakerError::Inner(TimeLimitError::Inner(TryError::Full)) => {
                OutsideError::Full { name }
            }
            BreakerError::Inner(TimeLimitError::Inner(TryError::Status {
                status, code, ..
            })) if is_final(status) => {
                let status = status.as_u16();
                OutsideError::Refused { name, status, code }
            }
            BreakerError::Inner(failed) => self.unknown(Box::new(failed)),
        }
    }

    fn unknown(&self, source: Box<dyn std::error::Error + Send + Sync>) -> OutsideError {
        OutsideError::Unknown {
            name: self.breaker.name().to_owned(),
            source,
        }
    }
}

impl Call {
    async fn send(self, http: &reqwest::Client) -> Result<Value, TryError> {
        let mut request = http
            .request(self.method, self.url)
            .header(HEADER, self.deadline.header());
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(TryError::NoAnswer)?;
        let status = answer.status();
        let retry_after = answer
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let bytes = answer.bytes().await.map_err(TryError::NoAnswer)?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if !status.is_success() {
            let code = body.get("code").and_then(Value::as_str).unwrap_or_default();
            return Err(TryError::Status {
                status,
                code: code.to_owned(),
                retry_after,
            });
        }
        if body.get(self.answered_by).is_none() {
            let body = String::from_utf8_lossy(&bytes).chars().take(200).collect();
            return Err(TryError::Unfit { body });
        }
        Ok(body)
    }
}

/// What an answer says of who was asked.
fn outcome(answer: &Result<Value, TimeLimitError<TryError>>) -> CallOutcome {
    match answer {
        Ok(_) => CallOutcome::Success,
        Err(TimeLimitError::Inner(TryError::Status { status, .. })) if is_final(*status) => {
            CallOutcome::Success
        }
        Err(TimeLimitError::Passed | TimeLimitError::Inner(TryError::Full)) => {
            CallOutcome::Abandoned
        }
        Err(TimeLimitError::Late { .. } | TimeLimitError::Inner(_)) => CallOutcome::Failure,
    }
}

/// Whether a request shall be sent again. Each is known by its id, so it may.
fn again(_: &Call, answer: &Result<Value, Failed>) -> Again {
    match answer {
        Ok(_)
        | Err(
            BreakerError::Open(_)
            | BreakerError::Inner(TimeLimitError::Passed | TimeLimitError::Inner(TryError::Full)),
        ) => Again::No,
        Err(BreakerError::Inner(TimeLimitError::Inner(TryError::Status {
            status,
            retry_after,
            ..
        }))) => match retry_after {
            _ if is_final(*status) => Again::No,
            Some(time) => Again::After(*time),
            None => Again::Yes,
        },
        Err(BreakerError::Inner(TimeLimitError::Late { .. } | TimeLimitError::Inner(_))) => {
            Again::Yes
        }
    }
}

/// Whether the same request would be answered the same: it is wrong, or refused.
fn is_final(status: StatusCode) -> bool {
    let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !passes.contains(&status)
}
