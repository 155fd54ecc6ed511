//! Being one of several instances: what was meant for another one is not done here.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use folio_mesh::discovery::InstanceId;

/// The header in which who asks says whom it means. A port is handed on, an instance is not: whoever listens where another
/// one did says so, and has not looked at the request.
pub(crate) const INSTANCE: &str = "folio-instance";

/// Who answers.
#[derive(Debug, Clone)]
struct Ourselves(InstanceId);

/// The routes of a service, as this instance of it answers them: what is meant for another one is misdirected
/// (421, RFC 9110 15.5.20), and can be sent to another one as if it never had been.
pub fn answering_as(router: Router, instance: InstanceId) -> Router {
    router
        .layer(from_fn(misdirected))
        .layer(Extension(Ourselves(instance)))
}

async fn misdirected(
    Extension(Ourselves(ourselves)): Extension<Ourselves>,
    request: Request,
    next: Next,
) -> Response {
    let meant = request.headers().get(INSTANCE);
    if meant.is_none_or(|meant| meant.as_bytes() == ourselves.as_str().as_bytes()) {
        next.run(request).await
    } else {
        StatusCode::MISDIRECTED_REQUEST.into_response()
    }
}
