//! The line in the log that each request has, whatever became of it.

use std::borrow::Cow;
use std::sync::Arc;

use folio_mesh::discovery::InstanceId;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use tokio::time::Instant;
use uuid::fmt::Hyphenated;

use crate::address::Client;
use crate::auth::Principal;
use crate::figures;
use crate::route::Route;
use crate::trace::Trace;

/// By which its line is known among others.
pub(crate) const TARGET: &str = "folio_gateway::access";

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
    pub(crate) fn begin(method: Method, trace: Trace, client: Client) -> Self {
        Self {
            began: Instant::now(),
            method,
            trace,
            parent: trace.header().ok(),
            client,
            place: Place::None,
            principal: None,
            service: None,
            tried: Vec::new(),
            code: None,
            status: None,
        }
    }

    /// It is answered.
    pub(crate) const fn end(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    fn instances(&self) -> Cow<'_, str> {
        match self.tried.as_slice() {
            [] => Cow::Borrowed(""),
            [one] => Cow::Borrowed(one.as_str()),
            several => {
                let several: Vec<&str> = several.iter().map(InstanceId::as_str).collect();
                Cow::Owned(several.join(","))
            }
        }
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        // 499 is what logs call a client that has gone, by a custom of nginx.
        let status = self.status.map_or(499, |status| status.as_u16());
        let took = self.began.elapsed();
        let route = match &self.place {
            Place::None => "unmatched",
            Place::Own(path) => path,
            Place::Route(route) => route.path.as_str(),
        };
        tracing::info!(
            target: TARGET,
            correlation_id = &*self.trace.correlation_id().encode_lower(&mut [0; Hyphenated::LENGTH]),
            method = %self.method.as_str(),
            route,
            status,
            code = self.code,
            peer = self.client.text().to_str().unwrap_or_default(),
            principal = self.principal.as_ref().map(|principal| principal.name().as_str()),
            service = self.service.as_deref(),
            instances = &*self.instances(),
            elapsed_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "request"
        );
        match &self.place {
            Place::Route(known) => known.figures.count(&self.method, route, status, took),
            Place::None | Place::Own(_) => figures::count(&self.method, route, status, took),
        }
    }
}
