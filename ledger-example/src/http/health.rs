//! How the service is: alive, ready, and in figures.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use folio_core::{ReadError, Timestamp};
use folio_projections::{Lag, Status};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Ledger;

/// A model whose oldest waiting event is older than this is not fit to be asked.
const AGE_MAX: Duration = Duration::from_secs(30);

/// Whether the service can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadyBody {
    /// Whether it is ready.
    ready: bool,
    /// What keeps it from being ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Its projections.
    projections: Vec<ProjectionBody>,
}

/// One projection.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectionBody {
    /// Its name and version.
    name: String,
    /// `starting`, `running`, `retrying` or `stopped`.
    status: &'static str,
    /// The last position in the model.
    position: i64,
    /// The store's last position.
    head: i64,
    /// Events that are in the store and not in the model.
    lag_events: i64,
    /// How long the oldest of them has been waiting, in milliseconds.
    lag_age_ms: u128,
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
    let (status, error) = match ledger.progress.status() {
        Status::Starting => ("starting", Some("the projection is starting".to_owned())),
        Status::Running => ("running", None),
        Status::Standby => ("standby", None),
        Status::Retrying { error } => ("retrying", Some(error)),
        Status::Stopped { error } => ("stopped", Some(error.unwrap_or_default())),
    };
    let body = match ledger.lag().await {
        Ok(lag) => {
            let late = (lag.age > AGE_MAX)
                .then(|| format!("the read model is {} events behind", lag.events));
            let reason = error.or(late);
            ReadyBody {
                ready: reason.is_none(),
                reason,
                projections: vec![ProjectionBody {
                    name: ledger.progress.name().to_string(),
                    status,
                    position: lag.position.number(),
                    head: lag.head.number(),
                    lag_events: lag.events,
                    lag_age_ms: lag.age.as_millis(),
                }],
            }
        }
        Err(error) => ReadyBody {
            ready: false,
            reason: Some(error.to_string()),
            projections: Vec::new(),
        },
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
    if let Ok(lag) = ledger.lag().await {
        let labels = [("projection", ledger.progress.name().name)];
        // A gauge takes a float; a lag beyond 2^53 events would be rounded, and nobody would care.
        let events = u32::try_from(lag.events).unwrap_or(u32::MAX);
        metrics::gauge!("folio_projection_lag_events", &labels).set(events);
        metrics::gauge!("folio_projection_lag_seconds", &labels).set(lag.age.as_secs_f64());
    }
    let text = ledger.metrics.as_ref().map_or_else(
        String::new,
        metrics_exporter_prometheus::PrometheusHandle::render,
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

impl Ledger {
    async fn lag(&self) -> Result<Lag, ReadError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
        Lag::measure(&self.progress, self.store(), now).await
    }
}
