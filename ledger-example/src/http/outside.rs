//! Asks another service, which may be slow, gone, or say one thing and do another.
//!
//! Each has a breaker, a bound on calls at once and a retry budget of its own, so that one that fails keeps nobody
//! from the others:
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

use folio_core::Cause;
use folio_core::breaker::{BreakerSettings, CallOutcome, InvalidSettings};
use folio_mesh::deadline::HEADER;
use folio_mesh::discovery::Incarnation;
use folio_mesh::{
    Again, BreakerError, BreakerLayer, CircuitBreaker, Deadline, NoInstance, Pick, Retries,
    RetryBudget, TimeLimitError, TimeLimitLayer,
};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Semaphore;
use tower::retry::RetryLayer;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use crate::http::address::ServiceAddress;
use crate::http::instance::INSTANCE;
use crate::http::position::{self, PositionToken};

/// How another service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutsideSettings {
    /// How long one try may take.
    pub each: Duration,
    /// How many times a request is sent again.
    pub tries: u32,
    /// First wait before that.
    pub backoff: Duration,
    /// How many calls there may be at once, to each service.
    pub at_once: usize,
    /// When its breaker opens.
    pub breaker: BreakerSettings,
}

impl Default for OutsideSettings {
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

/// A service that is asked. Clones share its breaker and its budget.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    base: Url,
    calls: BoxCloneSyncService<Call, Answer, Failed>,
    breaker: CircuitBreaker,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct OutsideRequest<'a> {
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'a str, String)>,
    /// What is posted; none where something is looked up.
    pub(crate) body: Option<Value>,
    /// A field that an answer has which says what was asked for.
    pub(crate) answered_by: &'static str,
    pub(crate) deadline: Deadline,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answered<T> {
    pub(crate) body: T,
    /// The event in the other's store by which it was done, where it tells.
    pub(crate) by: Option<Cause>,
}

type Answer = Answered<Value>;

/// A request, as it is sent again.
#[derive(Debug, Clone)]
struct Call {
    method: Method,
    url: Url,
    headers: Vec<(String, String)>,
    body: Option<Value>,
    answered_by: &'static str,
    deadline: Deadline,
}

/// Whether the same request may be answered otherwise later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    MayPass,
    ForGood,
}

type Failed = BreakerError<TimeLimitError<TryError>>;

/// Why one try came to nothing.
#[derive(Debug, Error)]
enum TryError {
    #[error("as many calls are under way as there may be")]
    Full,
    #[error(transparent)]
    Nobody(#[from] NoInstance),
    #[error("there was no whole answer")]
    NoAnswer(#[source] reqwest::Error),
    #[error("the answer is status {status} ({code})")]
    Status {
        status: StatusCode,
        code: String,
        passing: Passing,
        retry_after: Option<Duration>,
    },
    #[error("the answer does not say what was asked: {body}")]
    Unfit { body: String },
}

/// Why a service gave no answer that counts.
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
pub enum OutsideClientError {
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

impl Outside {
    /// The service `name` at this address.
    pub(crate) fn new(
        name: &str,
        address: &ServiceAddress,
        settings: OutsideSettings,
    ) -> Result<Self, OutsideClientError> {
        let base = address.base();
        let base = base.ok_or_else(|| OutsideClientError::Url {
            url: address.text(),
        })?;
        let address = address.clone();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let breaker = CircuitBreaker::new(name, settings.breaker)?;
        let budget = RetryBudget::new(name, 20, 10);
        let waits = (settings.backoff, settings.each.max(settings.backoff));
        let retries = Retries::new(budget, settings.tries, waits, again)
            .map_err(|_| OutsideClientError::Backoff)?;
        let places = Arc::new(Semaphore::new(settings.at_once));
        let asks = service_fn(move |call: Call| {
            let (http, places, address) = (http.clone(), Arc::clone(&places), address.clone());
            async move {
                // Who is one too many is told so, and does not wait for those that hang.
                let _place = places.try_acquire().map_err(|_| TryError::Full)?;
                call.send_to(&address, &http).await
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

    /// Its breaker.
    pub(crate) const fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    /// Sends a request until it is answered, or no try is left. An answer has the field `answered_by`.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        request: OutsideRequest<'_>,
    ) -> Result<Answered<T>, OutsideError> {
        let mut url = self.base.clone();
        url.set_path(&request.path);
        let method = match request.body {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        self.ask(Call {
            method,
            url,
            headers: request
                .headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            body: request.body,
            answered_by: request.answered_by,
            deadline: request.deadline,
        })
        .await
    }

    async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<Answered<T>, OutsideError> {
        let answer = self.calls.clone().oneshot(call).await;
        let Answered { body, by } = answer.map_err(|failed| self.told(failed))?;
        let body = serde_json::from_value(body);
        let body = body.map_err(|error| self.unknown(Box::new(error)))?;
        Ok(Answered { body, by })
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
                status,
                code,
                passing: Passing::ForGood,
                ..
            })) => {
                let status = status.as_u16();
                OutsideError::Refused { name, status, code }
            }
            BreakerError::Inner(failed) => self.unknown(Box::new(failed)),
        }
    }

    pub(crate) fn unknown(&self, source: Box<dyn std::error::Error + Send + Sync>) -> OutsideError {
        OutsideError::Unknown {
            name: self.breaker.name().to_owned(),
            source,
        }
    }
}

impl Call {
    /// Sends it to the instance that is picked, and says what became of that.
    async fn send_to(
        mut self,
        address: &ServiceAddress,
        http: &reqwest::Client,
    ) -> Result<Answer, TryError> {
        let ServiceAddress::Instances(balancer) = address else {
            return self.send(http).await;
        };
        let picked = balancer.pick(Pick::Load, &[]).await?;
        let instance = picked.instance();
        // An http URL takes any of both.
        let _ = self.url.set_ip_host(instance.address.ip());
        let _ = self.url.set_port(Some(instance.address.port()));
        // Of one that was only said to be there nobody knows which one it is.
        if instance.incarnation != Incarnation::NONE {
            self.headers
                .push((INSTANCE.to_owned(), instance.id.to_string()));
        }
        let answer = self.send(http).await;
        picked.record(match &answer {
            Ok(_) => CallOutcome::Success,
            Err(TryError::Status { status, .. }) if status.is_client_error() => {
                CallOutcome::Success
            }
            Err(_) => CallOutcome::Failure,
        });
        answer
    }

    async fn send(self, http: &reqwest::Client) -> Result<Answer, TryError> {
        let mut request = http
            .request(self.method, self.url)
            .header(HEADER, self.deadline.header());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
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
        let by = cause(answer.headers());
        let bytes = answer.bytes().await.map_err(TryError::NoAnswer)?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if !status.is_success() {
            let code = body.get("code").and_then(Value::as_str).unwrap_or_default();
            return Err(TryError::Status {
                status,
                code: code.to_owned(),
                passing: Passing::of(status, &body),
                retry_after,
            });
        }
        if body.get(self.answered_by).is_none() {
            let body = String::from_utf8_lossy(&bytes).chars().take(200).collect();
            return Err(TryError::Unfit { body });
        }
        Ok(Answered { body, by })
    }
}

/// The event that an answer says to be of.
fn cause(headers: &HeaderMap) -> Option<Cause> {
    let token = headers.get(position::HEADER)?.to_str().ok()?;
    PositionToken::decode(token)?.cause()
}

/// What an answer says of who was asked.
fn outcome(answer: &Result<Answer, TimeLimitError<TryError>>) -> CallOutcome {
    match answer {
        Ok(_) => CallOutcome::Success,
        Err(TimeLimitError::Inner(TryError::Status {
            passing: Passing::ForGood,
            ..
        })) => CallOutcome::Success,
        // It answers, and is busy.
        Err(TimeLimitError::Inner(TryError::Status { status, .. })) if status.is_client_error() => {
            CallOutcome::Ignored
        }
        Err(TimeLimitError::Passed | TimeLimitError::Inner(TryError::Full)) => {
            CallOutcome::Abandoned
        }
        Err(TimeLimitError::Late { .. } | TimeLimitError::Inner(_)) => CallOutcome::Failure,
    }
}

/// Whether a request shall be sent again. Each is known by its id, so it may.
fn again(_: &Call, answer: &Result<Answer, Failed>) -> Again {
    match answer {
        Ok(_)
        | Err(
            BreakerError::Open(_)
            | BreakerError::Inner(TimeLimitError::Passed | TimeLimitError::Inner(TryError::Full)),
        ) => Again::No,
        Err(BreakerError::Inner(TimeLimitError::Inner(TryError::Status {
            passing,
            retry_after,
            ..
        }))) => match (passing, retry_after) {
            (Passing::ForGood, _) => Again::No,
            (Passing::MayPass, Some(time)) => Again::After(*time),
            (Passing::MayPass, None) => Again::Yes,
        },
        Err(BreakerError::Inner(TimeLimitError::Late { .. } | TimeLimitError::Inner(_))) => {
            Again::Yes
        }
    }
}

impl Passing {
    /// A request that is wrong, or refused, is so for good, unless the problem says otherwise.
    fn of(status: StatusCode, body: &Value) -> Self {
        let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        let says_so = body.get("retryable").and_then(Value::as_bool) == Some(true);
        if status.is_client_error() && !passes.contains(&status) && !says_so {
            Self::ForGood
        } else {
            Self::MayPass
        }
    }
}
