//! A service that is about to stop: it answers what comes, and says that nothing more should.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Extension, Router};

use crate::http::health::not_ready;

/// Where whoever sends requests asks whether to.
const READYZ: &str = "/readyz";

/// The routes of a service which says that it is not ready from when `is_going` on, and answers everything else as before: who watches
/// nothing but that has to see it before its connections are refused.
pub fn ready_until(router: Router, is_going: Arc<AtomicBool>) -> Router {
    router
        .layer(from_fn(told))
        .layer(Extension(Going(is_going)))
}

#[derive(Debug, Clone)]
struct Going(Arc<AtomicBool>);

async fn told(
    Extension(Going(is_going)): Extension<Going>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path() == READYZ && is_going.load(Ordering::SeqCst) {
        return not_ready("it is about to stop");
    }
    next.run(request).await
}
