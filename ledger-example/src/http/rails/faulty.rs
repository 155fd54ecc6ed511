//! How a fault looks to a client.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::stream;
use serde_json::json;

use crate::rails::{FaultKind, Outsider, Rails};

/// Has the handler return what it has accepted.
#[derive(Debug, Clone, Copy)]
pub struct ThenDeny;

/// Has a request fail as it was said, if it was.
pub(crate) async fn faulty(
    Extension(rails): Extension<Arc<Rails>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let asked = path.and_then(|path| outsider_of(path.as_str()));
    let Some(fault) = asked.and_then(|asked| rails.faults.next(asked)) else {
        return next.run(request).await;
    };
    match fault {
        FaultKind::Delay { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            next.run(request).await
        }
        FaultKind::Hang => std::future::pending().await,
        FaultKind::Refuse => broken_off(),
        FaultKind::Error => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        FaultKind::ErrorBody => {
            Json(json!({"error": "the service is not available"})).into_response()
        }
        FaultKind::Late { ms } => {
            let answer = next.run(request).await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            answer
        }
        FaultKind::LoseAnswer => {
            next.run(request).await;
            broken_off()
        }
        FaultKind::AcceptThenDeny => {
            request.extensions_mut().insert(ThenDeny);
            next.run(request).await
        }
    }
}

fn outsider_of(path: &str) -> Option<Outsider> {
    let outsiders = [
        ("/v1/fraud/", Outsider::Fraud),
        ("/v1/fx/", Outsider::Fx),
        ("/v1/payments", Outsider::Payments),
    ];
    let found = outsiders
        .iter()
        .find(|(prefix, _)| path.starts_with(prefix));
    found.map(|(_, outsider)| *outsider)
}

/// An answer whose connection breaks off before its body.
fn broken_off() -> Response {
    let broken = io::Error::from(io::ErrorKind::ConnectionReset);
    let body = stream::iter([Err::<Bytes, io::Error>(broken)]);
    Response::new(Body::from_stream(body))
}
