//! The builds of the read models: which is live, and how far the others are.

use std::sync::Arc;

use axum::{Extension, Json};
use folio_projections::{Detector, Lag};
use serde::Serialize;
use utoipa::ToSchema;

/// What measures the projections of a service.
#[derive(Debug, Clone)]
pub(crate) struct Detectors(pub(crate) Arc<[Detector]>);

/// The builds of the service's projections.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectionsBody {
    /// How long ago they were measured, in milliseconds; null when they were not yet.
    measured_ms_ago: Option<u128>,
    /// Those of one projection after those of another, each in the order of their numbers.
    builds: Vec<BuildBody>,
}

/// One build.
#[derive(Debug, Serialize, ToSchema)]
pub struct BuildBody {
    /// The projection.
    projection: String,
    /// The build's number.
    build: i32,
    /// The revision of the code that fills it.
    revision: i32,
    /// `live`, `building` or `kept`.
    state: &'static str,
    /// By how many runners it is filled at once.
    partitions: u16,
    /// The last position in it.
    position: i64,
    /// The store's last position.
    head: i64,
    /// How much of the store is in it, in percent, rounded down.
    percent: u8,
    /// Events that are in the store and not in it.
    lag_events: i64,
    /// How long the oldest of them has been waiting, in milliseconds.
    lag_age_ms: u128,
    /// Events that it could not take in, and those that wait behind them.
    dead_letters: i64,
    /// Why it is paused, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<String>,
}

/// Lists the builds of the read models, with how far each has come.
#[utoipa::path(
    get, path = "/v1/projections", tag = "health",
    responses((status = 200, description = "The builds", body = ProjectionsBody))
)]
pub(crate) async fn list(
    Extension(Detectors(detectors)): Extension<Detectors>,
) -> Json<ProjectionsBody> {
    let since = |detector: &Detector| detector.last().map(|(since, _)| since.as_millis());
    Json(ProjectionsBody {
        // The older one; none is older still.
        measured_ms_ago: detectors
            .iter()
            .map(since)
            .collect::<Option<Vec<_>>>()
            .and_then(|ages| ages.into_iter().max()),
        builds: detectors.iter().flat_map(BuildBody::all).collect(),
    })
}

impl BuildBody {
    /// All builds, as they were measured last.
    pub(crate) fn all(detector: &Detector) -> Vec<Self> {
        let Some((_, measurement)) = detector.last() else {
            return Vec::new();
        };
        let of = |lag: &Lag| Self {
            projection: lag.build.name.projection.clone(),
            build: lag.build.name.build,
            revision: lag.build.revision,
            state: lag.build.state.as_str(),
            partitions: lag.build.size(),
            position: lag.build.position().number(),
            head: measurement.head.number(),
            percent: lag.build.percent_of(measurement.head),
            lag_events: lag.events,
            lag_age_ms: lag.age.as_millis(),
            dead_letters: lag.build.dead_letters,
            paused: lag.build.pause.as_ref().map(|pause| pause.reason.clone()),
        };
        measurement.lags.iter().map(of).collect()
    }
}
