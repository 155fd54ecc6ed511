//! How the service is: alive, ready, and in figures.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use folio_core::EventStore;
use folio_projections::Status;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Ledger;
use crate::http::projections::BuildBody;

/// Whether the service can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadyBody {
    /// Whether it is ready.
    ready: bool,
    /// What keeps it from being ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How the projection of balances fares in this process: `starting`, `running`, `standby`,
    /// `retrying`, `paused`, `other_revision` or `stopped`.
    status: &'static str,
    /// Its builds, as they were measured last.
    projections: Vec<BuildBody>,
}

/// Tells that the process answers.
#[utoipa::path(
    get, path = "/livez", tag = "health",
    responses((status = 200, description = "The process is alive", body = String))
)]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Tells whether the store answers and the read model keeps up.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Ready", body = ReadyBody),
        (status = 503, description = "Not ready, and why", body = ReadyBody),
    )
)]
pub(crate) async fn readyz(State(ledger): State<Arc<Ledger>>) -> Response {
    let (status, error) = match ledger.progress().status() {
        Status::Starting => ("starting", Some("the projection is starting".to_owned())),
        Status::Running => ("running", None),
        Status::Standby => ("standby", None),
        Status::Retrying { error } => ("retrying", Some(error)),
        Status::Paused => ("paused", Some("the projection is paused".to_owned())),
        Status::OtherRevision { live } => {
            let reason = format!("the live read model is of revision {live}");
            ("other_revision", Some(reason))
        }
        Status::Stopped { error } => ("stopped", Some(error.unwrap_or_default())),
    };
    // What the runner tells is not enough: what has died or hangs tells nothing.
    let late = ledger.detector.check().err().map(|alarm| alarm.to_string());
    let silent = ledger.store().head().await.err();
    let silent = silent.map(|error| error.to_string());
    let reason = silent.or(error).or(late);
    let body = ReadyBody {
        ready: reason.is_none(),
        reason,
        status,
        projections: BuildBody::all(&ledger.detector),
    };
    let status = if body.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(body)).into_response()
}

/// Figures in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Figures", body = String))
)]
pub(crate) async fn metrics(State(ledger): State<Arc<Ledger>>) -> Response {
    let text = ledger.metrics.as_ref().map_or_else(
        String::new,
        metrics_exporter_prometheus::PrometheusHandle::render,
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
