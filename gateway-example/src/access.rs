//! The line in the log that each request has, whatever became of it.

use std::net::IpAddr;
use std::time::Instant;

use folio_mesh::discovery::InstanceId;
use hyper::{Method, StatusCode};

use crate::trace::Trace;

/// What is known of a request by now. Where it is dropped unanswered, the client has gone.
#[derive(Debug)]
pub(crate) struct AccessLine {
    began: Instant,
    method: Method,
    pub(crate) trace: Trace,
    pub(crate) peer: IpAddr,
    /// The route, not the path: an account id in a label would make a new time series each.
    pub(crate) route: String,
    pub(crate) principal: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) tried: Vec<InstanceId>,
    pub(crate) code: Option<&'static str>,
    status: Option<StatusCode>,
}

impl AccessLine {
    pub(crate) fn begin(method: Method, trace: Trace, peer: IpAddr) -> Self {
        Self {
            began: Instant::now(),
            method,
            trace,
            peer,
            route: "unmatched".to_owned(),
            principal: None,
            service: None,
            tried: Vec::new(),
            code: None,
            status: None,
        }
    }

    /// It is answered.
    pub(crate) fn end(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        // 499 is what logs call a client that has gone, by a custom of nginx.
        let status = self.status.map_or(499, |status| status.as_u16());
        let instances: Vec<&str> = self.tried.iter().map(InstanceId::as_str).collect();
        let elapsed = self.began.elapsed();
        tracing::info!(
            target: "folio_gateway::access",
            correlation_id = self.trace.correlation_id(),
            method = %self.method,
            route = self.route,
            status,
            code = self.code,
            peer = %self.peer,
            principal = self.principal,
            service = self.service,
            instances = instances.join(","),
            elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            "request"
        );
        let labels = [
            ("method", self.method.to_string()),
            ("route", self.route.clone()),
            ("status", status.to_string()),
        ];
        metrics::counter!("folio_gateway_requests_total", &labels).increment(1);
        metrics::histogram!("folio_gateway_request_seconds", &labels).record(elapsed.as_secs_f64());
    }
}
