//! How a service is: alive, ready, and in figures.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use folio_core::{EventStore, ReadError};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Ledger;
use crate::balances::Shelf;
use crate::http::projections::BuildBody;

/// What `/metrics` answers from.
#[derive(Debug, Clone)]
pub(crate) struct Figures(pub(crate) Option<PrometheusHandle>);

/// Whether a service can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadyBody {
    /// Whether it is ready.
    ready: bool,
    /// What keeps it from being ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Whether the balances service can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub struct BalancesReadyBody {
    /// Whether it can answer: also of what was known last, where a book's own service is gone.
    ready: bool,
    /// What keeps it from being ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Every book.
    books: Vec<ShelvedBookBody>,
}

/// How a book is that is read here.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShelvedBookBody {
    /// Its name.
    book: String,
    /// Whether its model follows its store.
    follows: bool,
    /// What keeps it from that.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How old what is answered may be, in milliseconds; null where that was not measured yet.
    age_ms: Option<u128>,
    /// Its builds, as they were measured last.
    builds: Vec<BuildBody>,
}

/// Tells that the process answers.
#[utoipa::path(
    get, path = "/livez", tag = "health",
    responses((status = 200, description = "The process is alive", body = String))
)]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Tells whether the store answers.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Ready", body = ReadyBody),
        (status = 503, description = "Not ready, and why", body = ReadyBody),
    )
)]
pub(crate) async fn readyz(State(ledger): State<Arc<Ledger>>) -> Response {
    ready(ledger.store().head().await.err())
}

/// Whether a service can do its work whose store was asked.
pub(crate) fn ready(silent: Option<ReadError>) -> Response {
    match silent {
        Some(error) => not_ready(&error.to_string()),
        None => told(None),
    }
}

/// What is answered where a service should be sent nothing, and why.
pub(crate) fn not_ready(reason: &str) -> Response {
    told(Some(reason.to_owned()))
}

fn told(reason: Option<String>) -> Response {
    let body = ReadyBody {
        ready: reason.is_none(),
        reason,
    };
    (status(body.ready), Json(body)).into_response()
}

/// Tells whether the read models answer, and how old what each of them answers may be.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Ready", body = BalancesReadyBody),
        (status = 503, description = "Not ready, and why", body = BalancesReadyBody),
    )
)]
pub(crate) async fn balances_readyz(State(shelf): State<Arc<Shelf>>) -> Response {
    let mut reason = None;
    for book in shelf.books() {
        match book.queries.now().await {
            Ok(model) => {
                // What was read is right, whatever becomes of the connection.
                let _ = model.close().await;
            }
            Err(error) => reason = Some(format!("book {}: {error}", book.name)),
        }
    }
    let books = shelf.books().iter().map(|book| {
        let reason = book.hindrance();
        ShelvedBookBody {
            book: book.name.to_string(),
            follows: reason.is_none(),
            reason,
            age_ms: book.age().map(|age| age.as_millis()),
            builds: BuildBody::all(&book.detector),
        }
    });
    let body = BalancesReadyBody {
        ready: reason.is_none(),
        reason,
        books: books.collect(),
    };
    (status(body.ready), Json(body)).into_response()
}

/// Figures in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Figures", body = String))
)]
pub(crate) async fn metrics(Extension(Figures(handle)): Extension<Figures>) -> Response {
    let text = handle
        .as_ref()
        .map_or_else(String::new, PrometheusHandle::render);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

const fn status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
