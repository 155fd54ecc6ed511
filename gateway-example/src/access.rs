//! The line in the log that each request has, whatever became of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use folio_mesh::discovery::InstanceId;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use tokio::time::Instant;

use crate::access_log::AccessLog;
use crate::access_record::AccessRecord;
use crate::address::Client;
use crate::auth::Principal;
use crate::figures;
use crate::route::Route;
use crate::trace::Trace;

/// What is known of a request by now. Where it is dropped unanswered, the client has gone.
#[derive(Debug)]
pub(crate) struct AccessLine {
    pub(crate) began: Instant,
    method: Method,
    pub(crate) trace: Trace,
    /// The header that goes on with it.
    pub(crate) parent: Option<HeaderValue>,
    pub(crate) client: Client,
    pub(crate) place: Place,
    pub(crate) principal: Option<Principal>,
    pub(crate) service: Option<Arc<str>>,
    pub(crate) tried: Vec<InstanceId>,
    pub(crate) code: Option<&'static str>,
    status: Option<StatusCode>,
    /// Where it is put on record.
    log: Option<AccessLog>,
}

/// What a request is for. The route, not the path: an account id in a label would make a new time series each.
#[derive(Debug)]
pub(crate) enum Place {
    /// Nothing that there is.
    None,
    /// What the door answers itself.
    Own(&'static str),
    /// A service.
    Route(Arc<Route>),
}

impl AccessLine {
    pub(crate) fn begin(
        method: Method,
        trace: Trace,
        client: Client,
        log: Option<AccessLog>,
    ) -> Self {
        Self {
            began: Instant::now(),
            method: known(method),
            trace,
            parent: trace.header().ok(),
            client,
            place: Place::None,
            principal: None,
            service: None,
            tried: Vec::new(),
            code: None,
            status: None,
            log,
        }
    }

    /// It is answered.
    pub(crate) const fn end(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    fn route(&self) -> &str {
        match &self.place {
            Place::None => "unmatched",
            Place::Own(path) => path,
            Place::Route(route) => &route.path,
        }
    }

    fn record(&self, status: u16, took: Duration) -> AccessRecord<'_> {
        let principal = self.principal.as_ref();
        AccessRecord {
            time: written(SystemTime::now().into()).into(),
            correlation_id: self.trace.id(),
            method: self.method.as_str().into(),
            route: self.route().into(),
            status,
            code: self.code.map(Into::into),
            peer: self.client.text().to_str().unwrap_or_default().into(),
            principal: principal.map(|principal| principal.name().as_str().into()),
            service: self.service.as_deref().map(Into::into),
            instances: self.tried.iter().map(|id| id.as_str().into()).collect(),
            elapsed_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        // 499 is what logs call a client that has gone, by a custom of nginx.
        let status = self.status.map_or(499, |status| status.as_u16());
        let took = self.began.elapsed();
        if let Some(log) = &self.log {
            log.record(&self.record(status, took));
        }
        match &self.place {
            Place::Route(known) => known
                .figures
                .count(&self.method, self.route(), status, took),
            Place::None | Place::Own(_) => figures::count(&self.method, self.route(), status, took),
        }
    }
}

/// A method by its name, if it is one of those that there are. Any token may be one, of any length: each would be a series that is
/// never forgotten, and a line as long.
fn known(method: Method) -> Method {
    let others = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::CONNECT,
        Method::TRACE,
    ];
    if others.contains(&method) {
        return method;
    }
    Method::from_bytes(b"-").unwrap_or_default()
}

/// `2026-11-30T12:00:00.123456Z`.
fn written(time: DateTime<Utc>) -> String {
    // Without the part of the second, which would go through a formatter.
    let mut text = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    text.pop();
    // A million more, for the zeros in front.
    let micros = time.timestamp_subsec_micros() % 1_000_000;
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(micros.saturating_add(1_000_000));
    text.push('.');
    text.push_str(digits.strip_prefix('1').unwrap_or(digits));
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_is_written_as_it_is_by_default(micros in 0..4_102_444_800_000_000_i64) {
            let time = DateTime::from_timestamp_micros(micros).unwrap();
            let expected = time.to_rfc3339_opts(SecondsFormat::Micros, true);
            prop_assert_eq!(written(time), expected);
        }
    }
}
