//! Asks the services behind the door: which instance, how long, and whether once more.
//!
//! ```text
//! deadline → retries, within a budget → an instance, by its load or by a key → its breaker → time of one try → one request
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folio_core::breaker::{CallOutcome, InvalidSettings};
use folio_mesh::balance::InstanceCall;
use folio_mesh::deadline;
use folio_mesh::discovery::{
    Discovery, Incarnation, Instance, InstanceId, InvalidName, ServiceName,
};
use folio_mesh::{BalanceSettings, Balancer, Deadline, Pick, RetryBudget};
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use thiserror::Error;
use tokio::time::timeout_at;

use crate::body::AnswerBody;
use crate::config::{AnswerKind, Repeat};
use crate::headers::{ForService, remove_between_hops};
use crate::link::{Answer, Sent};
use crate::links::{AskError, Links};
use crate::places::OfService;
use crate::problem::Problem;
use crate::route::Matched;

/// By when the answer has to be there, and whom the request is for.
const DEADLINE: HeaderName = HeaderName::from_static(deadline::HEADER);
const INSTANCE: HeaderName = HeaderName::from_static("folio-instance");
/// What a request keeps of its deadline to make the answer its own.
const MARGIN: Duration = Duration::from_millis(20);
/// Most retries for a hundred requests, and those a second that may be had anyway.
const RETRIES_PERCENT: u8 = 10;
const RETRIES_RESERVE: u32 = 10;
/// Instances that are asked for one request at most.
const TRIES_MAX: usize = 3;
/// When asking again may help where there is nobody to ask.
const NOBODY: Duration = Duration::from_secs(1);

/// The services behind the door.
#[derive(Debug)]
pub struct Upstreams {
    services: BTreeMap<String, Upstream>,
    links: Arc<Links>,
}

#[derive(Debug)]
struct Upstream {
    balancer: Balancer,
    budget: RetryBudget,
    under_way: Arc<OfService>,
}

/// What is asked of a service.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) matched: &'a Matched,
    pub(crate) method: Method,
    pub(crate) target: Uri,
    pub(crate) headers: ForService,
    pub(crate) body: Bytes,
    pub(crate) deadline: Deadline,
}

/// What was answered, and by whom.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Result<Response<AnswerBody>, Problem>,
    /// Whom it was asked of, in their order.
    pub(crate) tried: Vec<InstanceId>,
}

/// What came of one try that is not the end of it.
enum Failed {
    /// It was surely not received.
    Unsent,
    /// It may have been done.
    Unknown,
    /// There was no answer in time.
    Late,
    /// It was answered that it cannot be done now.
    Answered(Box<Response<AnswerBody>>),
}

impl Upstreams {
    /// Asks these services where `discovery` finds them.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`].
    pub fn new(
        services: &BTreeSet<String>,
        discovery: &dyn Discovery,
        settings: BalanceSettings,
    ) -> Result<Self, UpstreamError> {
        let services = services.iter().map(|name| {
            let service: ServiceName = name.parse()?;
            let watch = discovery.watch(&service);
            let upstream = Upstream {
                balancer: Balancer::new(service, watch, settings)?,
                budget: RetryBudget::new(name, RETRIES_PERCENT, RETRIES_RESERVE),
                under_way: Arc::default(),
            };
            Ok((name.clone(), upstream))
        });
        Ok(Self {
            services: services.collect::<Result<_, UpstreamError>>()?,
            links: Arc::default(),
        })
    }

    /// What picks among the instances of each service.
    pub fn balancers(&self) -> impl Iterator<Item = &Balancer> {
        self.services.values().map(|upstream| &upstream.balancer)
    }

    /// What is under way to a service.
    pub(crate) fn under_way(&self, service: &str) -> Option<&Arc<OfService>> {
        self.services
            .get(service)
            .map(|upstream| &upstream.under_way)
    }

    /// Asks a service.
    pub(crate) async fn ask(&self, asked: &Asked<'_>) -> Answered {
        let mut tried = Vec::new();
        let answer = self.answer(asked, &mut tried).await;
        Answered { answer, tried }
    }

    /// Looks something up at any instance of a service, such as its documents.
    pub(crate) async fn look_up(
        &self,
        service: &str,
        path: &str,
        within: Duration,
    ) -> Option<Bytes> {
        let upstream = self.services.get(service)?;
        let call = upstream.balancer.pick(Pick::Load, &[]).await.ok()?;
        let request = Box::new(Request::get(path).body(Full::default()).ok()?);
        let until = call.began() + within;
        let answer = self
            .links
            .ask(call.instance().address, request, call.began()..until);
        let answer = answer.await.ok()?;
        let is_fine = answer.status().is_success();
        let body = timeout_at(until, answer.into_body().collect());
        let body = body.await.ok()?.ok()?;
        is_fine.then(|| body.to_bytes())
    }

    async fn answer(
        &self,
        asked: &Asked<'_>,
        tried: &mut Vec<InstanceId>,
    ) -> Result<Response<AnswerBody>, Problem> {
        let service = &asked.matched.service;
        let upstream = self.services.get(&**service);
        let upstream = upstream.ok_or_else(|| nobody(service))?;
        upstream.budget.deposit();
        let pick = asked.matched.key.as_deref();
        let pick = pick.map_or(Pick::Load, |key| Pick::Key(key.as_bytes()));
        let mut last = None;
        loop {
            let Ok(call) = upstream.balancer.pick(pick, tried).await else {
                return told(last, service, asked);
            };
            tried.push(call.instance().id.clone());
            let failed = match self.try_once(asked, call).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let may_repeat = match (&failed, asked.matched.route.repeat) {
                (Failed::Unsent, _) => true,
                (_, Repeat::Reads | Repeat::ByKey | Repeat::ById) => true,
                (_, Repeat::Never) => false,
            };
            let is_in_time = asked.deadline.less(MARGIN).left().is_some();
            last = match (last, failed) {
                // What was tried before may have been done, whatever was not sent since.
                (Some(before), Failed::Unsent) => Some(before),
                (_, failed) => Some(failed),
            };
            if !may_repeat || !is_in_time || tried.len() >= TRIES_MAX || !upstream.budget.withdraw()
            {
                return told(last, service, asked);
            }
            metrics::counter!("folio_gateway_retries_total", "service" => service.clone())
                .increment(1);
        }
    }

    async fn try_once(
        &self,
        asked: &Asked<'_>,
        call: InstanceCall,
    ) -> Result<Response<AnswerBody>, Failed> {
        let deadline = asked.deadline.less(MARGIN);
        // Just now. To ask the clock for each of these takes longer than all that they are needed for.
        let now = call.began();
        let left = deadline.left_at(now).unwrap_or_default();
        let until = now + left.min(asked.matched.route.each);
        let (instance, request) = (call.instance(), asked.request(call.instance(), left));
        let answered = self.links.ask(instance.address, request, now..until).await;
        let error = match answered {
            Ok(answer) => return asked.passed_on(answer, call),
            Err(error) => error,
        };
        tracing::debug!(
            instance = instance.id.as_str(),
            address = %instance.address,
            cause = folio_core::error_chain(&error),
            "an instance has not answered"
        );
        let (outcome, failed) = match error {
            // Whoever waits no longer, because of its own deadline, says nothing of the instance.
            AskError::Late if left < asked.matched.route.each => {
                (CallOutcome::Abandoned, Failed::Late)
            }
            AskError::Late => (CallOutcome::Failure, Failed::Late),
            AskError::Unsent(_) => (CallOutcome::Failure, Failed::Unsent),
            AskError::Broken(_) => (CallOutcome::Failure, Failed::Unknown),
        };
        call.record(outcome);
        Err(failed)
    }
}

impl Asked<'_> {
    /// Another instance may have to be asked the same. In a box: it goes through many hands.
    fn request(&self, instance: &Instance, left: Duration) -> Box<Request<Sent>> {
        let mut request = Box::new(Request::new(Full::new(self.body.clone())));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        let mut headers = self.headers.to_headers();
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        headers.insert(DEADLINE, HeaderValue::from(left_ms));
        // Of one that was only said to be there nobody knows which one it is.
        if instance.incarnation != Incarnation::NONE
            && let Ok(id) = HeaderValue::from_str(instance.id.as_str())
        {
            headers.insert(INSTANCE, id);
        }
        *request.headers_mut() = headers;
        request
    }

    fn passed_on(
        &self,
        answer: Response<Answer>,
        mut call: InstanceCall,
    ) -> Result<Response<AnswerBody>, Failed> {
        call.has_answered();
        let status = answer.status();
        // It is somebody else who listens there by now, and has not looked at the request.
        if status == StatusCode::MISDIRECTED_REQUEST {
            call.record(CallOutcome::Failure);
            return Err(Failed::Unsent);
        }
        // Nobody asked it to speak something else from here on.
        if status.is_informational() {
            call.record(CallOutcome::Failure);
            return Err(Failed::Unknown);
        }
        let (mut head, mut body) = answer.into_parts();
        remove_between_hops(&mut head.headers);
        if status.is_server_error() {
            call.record(CallOutcome::Failure);
            body.due(self.deadline.at());
            let answer = Response::from_parts(head, AnswerBody::plain(body));
            return Err(Failed::Answered(Box::new(answer)));
        }
        let body = match self.matched.route.answer {
            AnswerKind::Bounded => {
                body.due(self.deadline.at());
                AnswerBody::of(body, call)
            }
            // How long it goes on, and that the client leaves it, says nothing of the instance.
            AnswerKind::Endless => {
                call.record(CallOutcome::Success);
                AnswerBody::plain(body)
            }
        };
        Ok(Response::from_parts(head, body))
    }
}

/// What is said where there is nothing more to try.
fn told(
    last: Option<Failed>,
    service: &str,
    asked: &Asked<'_>,
) -> Result<Response<AnswerBody>, Problem> {
    let repeats = asked.matched.route.repeat != Repeat::Never;
    let again = if repeats {
        "send the same request again"
    } else {
        "look up what became of it before you send it again"
    };
    let problem = |status, code, what: &str| {
        let detail = format!("{service} {what}; {again}");
        if repeats {
            Problem::passing(status, code, detail)
        } else {
            Problem::client(status, code, detail)
        }
    };
    Err(match last {
        Some(Failed::Answered(answer)) => return Ok(*answer),
        Some(Failed::Unknown) => problem(
            StatusCode::BAD_GATEWAY,
            "outcome_unknown",
            "has broken the connection off, and it is not known what it has done",
        ),
        Some(Failed::Late) => problem(
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_late",
            "has not answered in time, and it is not known what it has done",
        ),
        Some(Failed::Unsent) | None => nobody(service),
    })
}

fn nobody(service: &str) -> Problem {
    Problem::passing(
        StatusCode::SERVICE_UNAVAILABLE,
        "service_unavailable",
        format!("there is no instance of {service} that can be reached; nothing was done"),
    )
    .after(NOBODY)
}

/// Why services cannot be asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// A service has no name that can be looked for.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The breakers cannot work.
    #[error(transparent)]
    Breaker(#[from] InvalidSettings),
}
