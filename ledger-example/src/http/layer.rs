//! What happens around every request: the trace it belongs to, a deadline, the words for a
//! problem, and a line in the log.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use folio_core::CorrelationId;
use folio_mesh::Deadline;
use uuid::Uuid;

use crate::http::problem::Problem;

/// The header of W3C Trace Context, <https://www.w3.org/TR/trace-context/>.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Longest time a request may take. A write that is cut off here is answered "not confirmed", and
/// repeating it with its key tells what became of it.
const DEADLINE: Duration = Duration::from_secs(30);

/// The trace that a request belongs to. Its trace id is the correlation id of all it causes.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    id: Uuid,
    parent: u64,
    flags: u8,
}

impl Trace {
    /// The correlation id.
    #[must_use]
    pub const fn correlation_id(self) -> CorrelationId {
        CorrelationId::from_uuid(self.id)
    }

    /// What another service continues the trace of this id with.
    pub(crate) fn traceparent_of(id: CorrelationId) -> String {
        let trace = Self {
            id: id.as_uuid(),
            parent: span_id(),
            flags: 0,
        };
        trace.traceparent()
    }

    /// The trace that the caller is in, or a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let parent = headers
            .get(TRACEPARENT)
            .and_then(|value| value.to_str().ok());
        parent.and_then(parse_traceparent).unwrap_or_else(|| Self {
            id: Uuid::now_v7(),
            parent: span_id(),
            flags: 0,
        })
    }

    /// What the caller may continue the trace with: the same trace, this service's span.
    fn traceparent(self) -> String {
        format!(
            "00-{}-{:016x}-{:02x}",
            self.id.simple(),
            self.parent,
            self.flags
        )
    }
}

/// Wraps every request.
pub(crate) async fn around(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let trace = Trace::of(request.headers());
    request.extensions_mut().insert(trace);
    // So that whoever has only the headers finds the same one.
    if let Ok(value) = HeaderValue::from_str(&trace.traceparent()) {
        request.headers_mut().insert(TRACEPARENT, value);
    }
    let method = request.method().clone();
    // The route, not the path: an account id in a label would make a new time series each.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());

    let mut response = match deadline(request.headers()) {
        Ok(left) => {
            let response = tokio::time::timeout(left, next.run(request)).await;
            response.unwrap_or_else(|_| too_late().into_response())
        }
        Err(problem) => problem.into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(trace.correlation_id());
    }
    let ours = Trace {
        parent: span_id(),
        ..trace
    };
    if let Ok(value) = HeaderValue::from_str(&ours.traceparent()) {
        response.headers_mut().insert(TRACEPARENT, value);
    }

    let status = response.status().as_u16();
    let labels = [
        ("method", method.to_string()),
        ("route", route.clone()),
        ("status", status.to_string()),
    ];
    metrics::counter!("folio_http_requests_total", &labels).increment(1);
    metrics::histogram!("folio_http_request_seconds", &labels)
        .record(started.elapsed().as_secs_f64());
    tracing::debug!(
        correlation_id = %trace.correlation_id(), %method, route, status,
        elapsed = ?started.elapsed(), "request"
    );
    response
}

/// How long the request may take: no longer than its caller waits, who says so in
/// [`HEADER`](folio_mesh::deadline::HEADER).
fn deadline(headers: &HeaderMap) -> Result<Duration, Problem> {
    let Some(value) = headers.get(folio_mesh::deadline::HEADER) else {
        return Ok(DEADLINE);
    };
    let deadline = Deadline::from_header(value.to_str().unwrap_or_default());
    let deadline = deadline.map_err(|error| {
        let title = "Not a deadline";
        Problem::client(
            StatusCode::BAD_REQUEST,
            "deadline_invalid",
            title,
            error.to_string(),
        )
    })?;
    match deadline.left() {
        Some(left) => Ok(left.min(DEADLINE)),
        // Nobody waits any more: nothing is begun.
        None => Err(too_late()),
    }
}

fn too_late() -> Problem {
    Problem::passing(
        StatusCode::SERVICE_UNAVAILABLE,
        "deadline_exceeded",
        "The request took too long",
        "send the same request again, a write with the same idempotency key",
    )
}

/// Parses version 00 of the header: `00-<32 hex>-<16 hex>-<2 hex>`, neither id all zeros.
fn parse_traceparent(text: &str) -> Option<Trace> {
    let mut fields = text.split('-');
    let (version, id, parent, flags) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let is_hex = |field: &str, digits: usize| {
        field.len() == digits
            && field
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_well_formed =
        is_hex(version, 2) && is_hex(id, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    let is_known = version == "00" && fields.next().is_none();
    if !is_well_formed || !is_known {
        return None;
    }
    let id = Uuid::parse_str(id).ok().filter(|id| !id.is_nil())?;
    let parent = u64::from_str_radix(parent, 16).ok().filter(|id| *id != 0)?;
    Some(Trace {
        id,
        parent,
        flags: u8::from_str_radix(flags, 16).ok()?,
    })
}

/// A new span id: the random half of a UUID.
fn span_id() -> u64 {
    let (_, random) = Uuid::now_v7().as_u64_pair();
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_under_its_id() {
        let trace =
            parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(
            trace.correlation_id().to_string(),
            "0af76519-16cd-43dd-8448-eb211c80319c"
        );
        assert_eq!(
            trace.traceparent(),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        );
    }

    #[test]
    fn what_is_no_traceparent_starts_a_trace() {
        for text in [
            "",
            "00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(parse_traceparent(text).is_none(), "{text}");
        }
    }
}
