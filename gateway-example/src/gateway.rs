//! The way of a request through the door.
//!
//! The order is what it costs, and who could make it cost: nothing is read before it is known that somebody may ask, nobody
//! is asked for before it is known how often they have.

use std::collections::BTreeSet;
use std::error::Error;
use std::mem::take;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use folio_mesh::Deadline;
use folio_mesh::deadline::HEADER;
use folio_mesh::identity::{self, IdentitySigner, SigningKey};
use futures_util::FutureExt as _;
use hyper::body::Body;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::Instant;

use crate::access::{AccessLine, Place};
use crate::access_log::AccessLog;
use crate::address::{Client, client_address};
use crate::auth::{AuthRefusal, Authenticator, Fault, Principal, Scope};
use crate::body::{AnswerBody, BodyError, read_whole};
use crate::config::{GatewayConfig, InvalidConfig, Repeat};
use crate::documents::Documents;
use crate::headers::{ForService, check_authority, goes_on};
use crate::limits::{Decision, LimitKey, Limited, Limits};
use crate::path;
use crate::places::{NoPlace, Place as PlaceOfRequest, Places};
use crate::problem::Problem;
use crate::route::{Matched, RouteTable};
use crate::trace::{self, TRACEPARENT, TRACESTATE, Trace};
use crate::upstream::{Asked, Upstreams};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DEADLINE: HeaderName = HeaderName::from_static(HEADER);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const IDENTITY: HeaderName = HeaderName::from_static(identity::HEADER);
const ACTOR: HeaderName = HeaderName::from_static("folio-actor");
/// What the door answers itself: whether it is alive, and should be sent requests, and what may be asked.
const LIVEZ: &str = "/livez";
const READYZ: &str = "/readyz";
const DOCUMENT: &str = "/openapi.json";
/// When asking again may help where there is no room.
const NO_ROOM: Duration = Duration::from_secs(1);
/// The method of a request whose method is not known.
static UNREAD: LazyLock<Method> = LazyLock::new(|| Method::from_bytes(b"-").unwrap_or_default());
const TEXT: &str = "text/plain; charset=utf-8";

/// The one front door. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // The std lock: it is never held across an await.
    told: RwLock<Arc<Told>>,
    upstreams: Upstreams,
    authenticator: Authenticator,
    identity: IdentitySigner,
    limits: Limits,
    places: Arc<Places>,
    documents: Documents,
    access_log: Option<AccessLog>,
    is_draining: AtomicBool,
}

/// What a file says, in force.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) config: GatewayConfig,
    pub(crate) routes: RouteTable,
    /// Counted up each time.
    pub(crate) version: u64,
}

impl Gateway {
    /// A door that does what `config` says, and puts each request on record, if there is somewhere to.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`].
    pub fn new(
        config: GatewayConfig,
        upstreams: Upstreams,
        authenticator: Authenticator,
        identity: IdentitySigner,
        limits: Limits,
        access_log: Option<AccessLog>,
    ) -> Result<Self, InvalidConfig> {
        let requests = usize::try_from(config.bounds.requests).unwrap_or(usize::MAX);
        let told = Told {
            routes: RouteTable::new(&config)?,
            config,
            version: 1,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                told: RwLock::new(Arc::new(told)),
                upstreams,
                authenticator,
                identity,
                limits,
                places: Arc::new(Places::new(requests)),
                documents: Documents::default(),
                access_log,
                is_draining: AtomicBool::new(false),
            }),
        })
    }

    /// Exchanges the routes, for requests from now on. Services, limits and bounds are those it was made with.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`], and all stays as it was.
    pub fn reload(&self, config: GatewayConfig) -> Result<u64, InvalidConfig> {
        let before = self.told();
        let is_as_before = |before: &GatewayConfig| {
            config.services == before.services
                && config.bounds == before.bounds
                && config.per_address == before.per_address
                && config.per_principal == before.per_principal
        };
        if !is_as_before(&before.config) {
            return Err(InvalidConfig::NeedsStart);
        }
        let told = Told {
            routes: RouteTable::new(&config)?,
            config,
            version: before.version.saturating_add(1),
        };
        let version = told.version;
        // Nothing panics under this lock.
        let mut place = self
            .shared
            .told
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(told);
        tracing::info!(version, "the gateway's routes are exchanged");
        Ok(version)
    }

    /// Vouches with another key from now on. Services have to know its public half by then.
    pub fn exchange_key(&self, key: SigningKey) {
        self.shared.identity.exchange_key(key);
        tracing::info!("the key by which the gateway vouches is exchanged");
    }

    /// Fetches the keys of who issues tokens: nobody is believed from then on by one that was withdrawn before.
    ///
    /// # Cancel safety
    ///
    /// As [`Authenticator::refresh`].
    pub async fn refresh_issuer(&self) {
        self.shared.authenticator.refresh().await;
    }

    /// From now on it says that it is not ready, so that nobody sends it new requests; it answers those that come.
    pub fn begin_draining(&self) {
        self.shared.is_draining.store(true, Ordering::SeqCst);
    }

    /// Whether it should be sent requests: it knows of an instance of any service, and is not about to stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let has_any = |balancer: &folio_mesh::Balancer| !balancer.states().is_empty();
        !self.shared.is_draining.load(Ordering::SeqCst)
            && self.shared.upstreams.balancers().any(has_any)
    }

    /// The services behind it.
    #[must_use]
    pub fn upstreams(&self) -> &Upstreams {
        &self.shared.upstreams
    }

    pub(crate) fn told(&self) -> Arc<Told> {
        // Nothing panics under this lock.
        let told = self
            .shared
            .told
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&told)
    }

    /// Puts a request on record that could not even be read, by what its connection ended with.
    pub(crate) fn note_unread(&self, client: Client, error: &(dyn Error + 'static)) {
        let unread = error.downcast_ref::<hyper::Error>();
        let Some(error) = unread.filter(|error| error.is_parse()) else {
            return;
        };
        // What has been said of it by then.
        let status = match error.is_parse_too_large() {
            true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            false => StatusCode::BAD_REQUEST,
        };
        let trace = Trace::of(&HeaderMap::new());
        let log = self.shared.access_log.clone();
        let mut line = AccessLine::begin(UNREAD.clone(), trace, client, log);
        line.code = Some("request_unreadable");
        line.end(status);
    }

    /// Answers a request that has come from `peer`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a client that has gone: its request is given up where it is, and a service that has it already
    /// ends it by itself.
    pub fn handle<B>(
        self,
        request: Request<B>,
        peer: Client,
    ) -> impl Future<Output = Response<AnswerBody>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        // What is handed on by value has room in who hands it on and in who gets it, and each request copies that: so the parts
        // of it are taken out here, and only lent from here on.
        let told = self.told();
        let (mut head, body) = request.into_parts();
        let has_streams = head.version == Version::HTTP_2;
        let trace = Trace::of(&head.headers);
        let mut line = AccessLine::begin(
            head.method.clone(),
            trace,
            peer,
            self.shared.access_log.clone(),
        );
        let origin = allowed_origin(&head.headers, &told.config.origins);
        async move {
            let answer = caught(self.answer(&told, &mut head, body, &mut line)).await;
            let mut answer = answer.unwrap_or_else(|problem| {
                line.code = Some(problem.code());
                problem.answer(&trace.correlation_id().to_string())
            });
            let headers = answer.headers_mut();
            if let Some(parent) = &line.parent {
                headers.insert(TRACEPARENT, parent.clone());
            }
            if let Some(origin) = origin {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
                headers.append(VARY, HeaderValue::from_static("origin"));
            }
            // Whoever keeps its connection would send its next request on one that is about to be closed.
            if self.shared.is_draining.load(Ordering::SeqCst) && !has_streams {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            line.end(answer.status());
            answer
        }
    }

    async fn answer<B>(
        &self,
        told: &Told,
        head: &mut Parts,
        body: B,
        line: &mut AccessLine,
    ) -> Result<Response<AnswerBody>, Problem>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        let (uri, headers) = (&head.uri, &head.headers);
        check_authority(uri, headers, head.version)?;
        path::check(uri)?;
        let client = client_address(line.client.address(), headers, &told.config.trusted_proxies);
        if client != line.client.address() {
            line.client = Client::at(client);
        }
        let own = own(&head.method, uri.path());
        line.place = own.map_or(Place::None, Place::Own);
        // How it is is said also where there is room for nobody.
        match own {
            Some(LIVEZ) => return Ok(text(StatusCode::OK, "alive\n")),
            Some(READYZ) => return Ok(self.readiness()),
            Some(_) | None => {}
        }
        let matched = told.routes.find(&head.method, uri.path());
        if let Ok(matched) = &matched {
            line.place = Place::Route(Arc::clone(&matched.route));
        }
        let address = LimitKey::address(line.client.address());
        let mut place = self.shared.places.take(address).map_err(no_room)?;
        // How often the address may ask yet is told only where it is refused.
        let _ = self
            .shared
            .limits
            .check_address(line.client.address())
            .map_err(limited)?;
        if let Some(answer) = preflight(head, &told.config.origins) {
            return Ok(answer);
        }
        if own == Some(DOCUMENT) {
            // In a box, or every request would be as large as what this needs.
            return Ok(Box::pin(self.document(told)).await);
        }
        let matched = matched?;
        let deadline = deadline(headers, line.began, matched.route.timeout)?;
        let asks = match &matched.route.scope {
            Some(scope) => Some(
                self.known(headers, &matched, scope, &mut place, line)
                    .await?,
            ),
            None => None,
        };
        let (principal, decision) = asks.unzip();
        if matched.route.repeat == Repeat::ByKey && !goes_on(headers, &IDEMPOTENCY_KEY) {
            return Err(Problem::client(
                StatusCode::BAD_REQUEST,
                "idempotency_key_missing",
                "a request that writes has a header Idempotency-Key; the same one when it is sent again",
            ));
        }
        let bounds = &told.config.bounds;
        let bytes_max = usize::try_from(bounds.body_bytes).unwrap_or(usize::MAX);
        let within = Duration::from_millis(bounds.body_ms.into());
        let body = read_whole(body, bytes_max, within).await?;
        let asked = &Asked {
            target: target(&head.uri, &matched.path)?,
            headers: self.for_service(
                take(&mut head.headers),
                &matched,
                principal.as_ref(),
                line,
            )?,
            matched: &matched,
            method: head.method.clone(),
            body,
            deadline,
        };
        line.service = Some(Arc::clone(&matched.service));
        if let Some(service) = self.shared.upstreams.under_way(&matched.service) {
            place.count_service(service).map_err(no_room)?;
        }
        let answered = self.shared.upstreams.ask(asked).await;
        line.tried = answered.tried;
        let mut answer = answered.answer?;
        answer.body_mut().hold(place);
        if let Some(decision) = decision {
            decision.tell(answer.headers_mut());
        }
        Ok(answer)
    }

    /// Who asks, and that they may, and not too often.
    async fn known(
        &self,
        headers: &HeaderMap,
        matched: &Matched,
        scope: &Scope,
        place: &mut PlaceOfRequest,
        line: &mut AccessLine,
    ) -> Result<(Principal, Decision), Problem> {
        let principal = self.shared.authenticator.authenticate(headers).await;
        let principal = principal.map_err(|refusal| refused(&refusal))?;
        line.principal = Some(principal.clone());
        let limits = &self.shared.limits;
        let name = principal.name().as_str();
        // Whose name cannot be counted is refused with the limits.
        if let Ok(key) = LimitKey::principal(name) {
            place.count_principal(key).map_err(no_room)?;
        }
        let decision = limits.check_principal(name, matched.route.limits_unavailable);
        let decision = decision.await.map_err(limited)?;
        if !principal.may(scope) {
            return Err(Problem::client(
                StatusCode::FORBIDDEN,
                "scope_missing",
                format!("this route takes the scope {scope}"),
            ));
        }
        Ok((principal, decision))
    }

    fn readiness(&self) -> Response<AnswerBody> {
        match self.is_ready() {
            true => text(StatusCode::OK, "ready\n"),
            false => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        }
    }

    async fn document(&self, told: &Told) -> Response<AnswerBody> {
        let document = self.shared.documents.merged(told, &self.shared.upstreams);
        let mut answer = Response::new(AnswerBody::whole(document.await));
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(CONTENT_TYPE, json);
        answer
    }

    /// The headers that go on, with what only the door may say.
    fn for_service(
        &self,
        headers: HeaderMap,
        matched: &Matched,
        principal: Option<&Principal>,
        line: &AccessLine,
    ) -> Result<ForService, Problem> {
        let mut headers = ForService::of(headers);
        let has_state = || headers.client(TRACESTATE).all(trace::is_state);
        if !line.trace.is_continued() || !has_state() {
            headers.leave_out(TRACESTATE);
        }
        let mut add = |name: HeaderName, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.say(name, value);
            }
        };
        add(TRACEPARENT, line.parent.clone());
        add(FORWARDED_FOR, Some(line.client.text().clone()));
        if let Some(principal) = principal {
            let (signer, identity) = (&self.shared.identity, principal.identity());
            let signed = signer.token(identity, &matched.service, SystemTime::now());
            let signed = signed.map_err(|error| {
                tracing::error!(%error, "nobody can be vouched for");
                Problem::client(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "the gateway cannot vouch for anybody",
                )
            })?;
            add(IDENTITY, Some(signed));
            let subject = identity.subject.as_str();
            add(ACTOR, HeaderValue::from_str(subject).ok());
        }
        Ok(headers)
    }
}

/// What the door answers itself.
fn own(method: &Method, path: &str) -> Option<&'static str> {
    let is_asked = |own: &&&str| method == Method::GET && **own == path;
    [LIVEZ, READYZ, DOCUMENT].iter().find(is_asked).copied()
}

/// What `answering` comes to. Whatever goes wrong in it is the end of one request, and not of a connection with its others.
fn caught<T>(
    answering: impl Future<Output = Result<T, Problem>>,
) -> impl Future<Output = Result<T, Problem>> {
    // What a panic leaves half done is of this request alone; what requests share is never held where anything panics.
    AssertUnwindSafe(answering).catch_unwind().map(|caught| {
        caught.unwrap_or_else(|_| {
            tracing::error!("a request has failed inside of the gateway");
            Err(Problem::client(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the gateway has failed, and it is not known what was done; look that up before you send it again",
            ))
        })
    })
}

/// A path of a service, with the query of the request.
fn target(uri: &Uri, path: &str) -> Result<Uri, Problem> {
    // As it is, if it is the same: it was read once already.
    let whole = uri.path_and_query().filter(|whole| whole.path() == path);
    let target = match (whole, uri.query()) {
        (Some(whole), _) => Ok(whole.clone()),
        (None, Some(query)) => PathAndQuery::try_from(format!("{path}?{query}")),
        (None, None) => PathAndQuery::try_from(path),
    };
    target.map(Uri::from).map_err(|_| path::invalid())
}

fn text(status: StatusCode, text: &'static str) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::whole(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static(TEXT);
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}

/// By when the client wants its answer, and no later than the route gives it.
fn deadline(headers: &HeaderMap, began: Instant, longest: Duration) -> Result<Deadline, Problem> {
    let route = Deadline::after(began, longest);
    let Some(value) = headers.get(DEADLINE) else {
        return Ok(route);
    };
    let said = Deadline::from_header(value.to_str().unwrap_or_default());
    let said = said.map_err(|error| {
        Problem::client(
            StatusCode::BAD_REQUEST,
            "deadline_invalid",
            error.to_string(),
        )
    })?;
    Ok(said.min(route))
}

fn no_room(none: NoPlace) -> Problem {
    let (status, code) = match none {
        NoPlace::Full | NoPlace::OfService => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        NoPlace::OfClient => (StatusCode::TOO_MANY_REQUESTS, "too_many_at_once"),
    };
    Problem::passing(status, code, none.to_string()).after(NO_ROOM)
}

fn refused(refusal: &AuthRefusal) -> Problem {
    let problem = match refusal.fault() {
        Fault::Ours => Problem::passing(
            StatusCode::SERVICE_UNAVAILABLE,
            refusal.code(),
            "it cannot be found out now who asks; nothing was done",
        ),
        Fault::Client => Problem::client(
            StatusCode::UNAUTHORIZED,
            refusal.code(),
            "who asks brings one token in `Authorization: Bearer`, or one key in `Authorization: ApiKey`",
        ),
    };
    problem.with(hyper::header::WWW_AUTHENTICATE, refusal.challenge())
}

fn limited(limited: Limited) -> Problem {
    let problem = Problem::passing(limited.status(), limited.code(), limited.to_string());
    problem
        .after(limited.retry_after())
        .with_all(&limited.fields())
}

/// The origin of a page that may read the answer. `null` never is one: it is every page that has none.
fn allowed_origin(headers: &HeaderMap, allowed: &BTreeSet<String>) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let is_allowed = origin
        .to_str()
        .is_ok_and(|origin| origin != "null" && allowed.contains(origin));
    is_allowed.then(|| origin.clone())
}

/// What a browser asks before it lets a page ask. It has no token by then.
fn preflight(head: &Parts, allowed: &BTreeSet<String>) -> Option<Response<AnswerBody>> {
    let asks = head.method == Method::OPTIONS
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && allowed_origin(&head.headers, allowed).is_some();
    asks.then(|| {
        let mut answer = Response::new(AnswerBody::whole(Bytes::new()));
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE"),
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, idempotency-key, prefer, traceparent, folio-deadline-ms",
            ),
            (ACCESS_CONTROL_MAX_AGE, "600"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_is_the_end_of_one_request() {
        let panics = async { panic!("as if something were wrong") };
        let problem = caught::<()>(panics).await.unwrap_err();
        assert_eq!(
            (problem.status().as_u16(), problem.code()),
            (500, "internal")
        );
        assert_eq!(caught(async { Ok(7) }).await, Ok(7));
    }
}
