//! What is counted of the requests of a route.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use hyper::Method;
use metrics::{Counter, Histogram};

/// The metrics of a route, by the status of its answers. They are looked up once for each status, and not for each request.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    // The std lock: it is held for an addition.
    by_status: RwLock<BTreeMap<u16, Figure>>,
}

#[derive(Debug)]
struct Figure {
    requests: Counter,
    seconds: Histogram,
}

impl Figures {
    /// Counts a request of this route.
    pub(crate) fn count(&self, method: &Method, route: &str, status: u16, took: Duration) {
        // Nothing panics under this lock.
        let known = self
            .by_status
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(figure) = known.get(&status) {
            return figure.count(took);
        }
        drop(known);
        let figure = Figure::of(method, route, status);
        figure.count(took);
        let mut all = self
            .by_status
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(status, figure);
    }
}

/// Counts a request of no route.
pub(crate) fn count(method: &Method, route: &str, status: u16, took: Duration) {
    Figure::of(method, route, status).count(took);
}

impl Figure {
    fn of(method: &Method, route: &str, status: u16) -> Self {
        let labels = [
            ("method", method.to_string()),
            ("route", route.to_owned()),
            ("status", status.to_string()),
        ];
        Self {
            requests: metrics::counter!("folio_gateway_requests_total", &labels),
            seconds: metrics::histogram!("folio_gateway_request_seconds", &labels),
        }
    }

    fn count(&self, took: Duration) {
        self.requests.increment(1);
        self.seconds.record(took.as_secs_f64());
    }
}
