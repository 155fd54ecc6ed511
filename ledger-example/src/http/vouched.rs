//! Who asks, as the gateway vouches for it.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use folio_mesh::IdentityVerifier;
use folio_mesh::identity::HEADER;

/// The header that names who asks to whatever writes it into events.
const ACTOR: HeaderName = HeaderName::from_static("folio-actor");

/// The routes of a service that believes the gateway who asks: an identity that it has not signed, or not for this service, is
/// refused, and one that it has signed is the actor of whatever the request causes, whoever that names itself.
///
/// A request without one comes from beside the gateway, from another service say, and is as it would be without this.
pub fn vouched_for(router: Router, verifier: IdentityVerifier) -> Router {
    router
        .layer(from_fn(identified))
        .layer(Extension(Arc::new(verifier)))
}

async fn identified(
    Extension(verifier): Extension<Arc<IdentityVerifier>>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers_mut();
    let mut brought = headers.get_all(HEADER).iter();
    let Some(value) = brought.next() else {
        return next.run(request).await;
    };
    let text = value.to_str().ok().filter(|_| brought.next().is_none());
    let identity = text.and_then(|text| verifier.verify(text, SystemTime::now()).ok());
    let actor = identity.and_then(|identity| HeaderValue::from_str(identity.subject.as_str()).ok());
    let Some(actor) = actor else {
        tracing::warn!("an identity is not the gateway's, or not for this service");
        return StatusCode::UNAUTHORIZED.into_response();
    };
    headers.insert(ACTOR, actor);
    next.run(request).await
}
