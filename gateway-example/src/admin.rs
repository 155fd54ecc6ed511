//! What operators see and do, at a listener of its own that only this machine reaches.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use folio_core::breaker::Mode;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::gateway::Gateway;

/// What the routes work with.
#[derive(Debug, Clone)]
struct Admin {
    gateway: Gateway,
    figures: Option<PrometheusHandle>,
    drain: Arc<Notify>,
}

/// A route in force.
#[derive(Debug, Serialize)]
struct RouteBody {
    method: String,
    path: String,
    scope: Option<String>,
    timeout_ms: u128,
}

/// An instance, as it is seen from here.
#[derive(Debug, Serialize)]
struct InstanceBody {
    service: String,
    instance: String,
    address: String,
    status: String,
    breaker: String,
    under_way: u32,
    load_ms: f64,
}

/// Who decides whether an instance is asked.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Decides {
    /// What becomes of requests.
    Automatic,
    /// An operator: it is not asked.
    Open,
    /// An operator: it is asked.
    Closed,
}

/// The routes for operators. `drain` is notified when somebody wants the gateway to stop.
pub fn router(gateway: Gateway, figures: Option<PrometheusHandle>, drain: Arc<Notify>) -> Router {
    Router::new()
        .route("/routes", get(routes))
        .route("/instances", get(instances))
        .route("/instances/{service}/{instance}/{decides}", post(decide))
        .route("/drain", post(begin_draining))
        .route("/metrics", get(metrics))
        // Where there is room for no more clients it is alive all the same.
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(Admin {
            gateway,
            figures,
            drain,
        })
}

async fn routes(State(admin): State<Admin>) -> Json<serde_json::Value> {
    let told = admin.gateway.told();
    let routes = told.routes.all().iter().map(|route| RouteBody {
        method: route.method.to_string(),
        path: route.path.clone(),
        scope: route.scope.as_ref().map(ToString::to_string),
        timeout_ms: route.timeout.as_millis(),
    });
    let routes: Vec<RouteBody> = routes.collect();
    Json(serde_json::json!({"version": told.version, "routes": routes}))
}

async fn instances(State(admin): State<Admin>) -> Json<Vec<InstanceBody>> {
    let balancers = admin.gateway.upstreams().balancers();
    let states = balancers.flat_map(folio_mesh::Balancer::states);
    let bodies = states.map(|state| InstanceBody {
        service: state.instance.service.to_string(),
        instance: state.instance.id.to_string(),
        address: state.instance.address.to_string(),
        status: format!("{:?}", state.instance.status).to_lowercase(),
        breaker: format!("{:?}", state.phase).to_lowercase(),
        under_way: state.under_way,
        load_ms: state.load_seconds * 1_000.0,
    });
    Json(bodies.collect())
}

async fn decide(
    State(admin): State<Admin>,
    Path((service, instance, decides)): Path<(String, String, Decides)>,
) -> StatusCode {
    let mode = match decides {
        Decides::Automatic => Mode::Automatic,
        Decides::Open => Mode::ForcedOpen,
        Decides::Closed => Mode::ForcedClosed,
    };
    let Ok(instance) = instance.parse() else {
        return StatusCode::NOT_FOUND;
    };
    let mut balancers = admin.gateway.upstreams().balancers();
    let found = balancers.find(|balancer| balancer.service().as_str() == service);
    match found.map(|balancer| balancer.set_mode(&instance, mode)) {
        Some(true) => StatusCode::NO_CONTENT,
        Some(false) | None => StatusCode::NOT_FOUND,
    }
}

async fn begin_draining(State(admin): State<Admin>) -> StatusCode {
    admin.gateway.begin_draining();
    admin.drain.notify_one();
    StatusCode::ACCEPTED
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match admin.gateway.is_ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn metrics(State(admin): State<Admin>) -> String {
    let figures = admin.figures.as_ref();
    figures.map(PrometheusHandle::render).unwrap_or_default()
}
