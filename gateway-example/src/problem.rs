//! What goes wrong at the door, as `application/problem+json` (RFC 9457), in the words of the services behind it.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::json;

use crate::body::AnswerBody;

/// Why a request is not answered by a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retryable: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// One that the client can mend by sending another request.
    #[must_use]
    pub fn client(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retryable: false,
            headers: Vec::new(),
        }
    }

    /// One that may pass.
    #[must_use]
    pub fn passing(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            retryable: true,
            ..Self::client(status, code, detail)
        }
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// With these headers.
    #[must_use]
    pub fn with_all(mut self, headers: &HeaderMap) -> Self {
        let headers = headers.iter();
        self.headers
            .extend(headers.map(|(name, value)| (name.clone(), value.clone())));
        self
    }

    /// With the time after which asking again may help, in whole seconds.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let seconds = time.as_millis().div_ceil(1_000).max(1);
        self.with(RETRY_AFTER, &seconds.to_string())
    }

    /// Stable name of the kind, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// As an answer.
    pub(crate) fn answer(self, correlation_id: &str) -> Response<AnswerBody> {
        let body = json!({
            "type": format!("urn:folio:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Problem"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "retryable": self.retryable,
            "correlation_id": correlation_id,
        });
        let mut answer = Response::new(AnswerBody::whole(Bytes::from(body.to_string())));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        answer
    }
}
