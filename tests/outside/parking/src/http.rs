//! Commands, queries and replays over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use folio_core::store::AppendStatus;
use folio_core::{
    Actor, Aggregate, BatchSize, CommandContext, CommandId, EventStore, Position, error_chain,
    replay,
};
use folio_postgres::{PostgresStore, Replay};
use folio_projections::Reader;
use folio_runtime::{ExecuteError, Executor, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::garage::{Garage, GarageCommand};
use crate::occupancy::occupancy;

/// Longest wait of a query for the events that it must not miss.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the handlers work with.
pub struct Parking {
    pub executor: Executor<Arc<PostgresStore>>,
    pub reader: Reader,
}

type App = State<Arc<Parking>>;
type Answer = Result<Json<Value>, Problem>;

pub fn router(parking: Parking) -> Router {
    Router::new()
        .route("/garages/{garage}", post(open).get(query))
        .route("/garages/{garage}/cars", post(let_in))
        .route("/garages/{garage}/cars/{plate}", delete(let_out))
        .route("/garages/{garage}/versions/{version}", get(as_of))
        .route("/replay", get(replay_all))
        .with_state(Arc::new(parking))
}

#[derive(Deserialize)]
struct Opening {
    spaces: u32,
}

async fn open(
    State(parking): App,
    Path(garage): Path<String>,
    headers: HeaderMap,
    Json(Opening { spaces }): Json<Opening>,
) -> Answer {
    let command = GarageCommand::OpenGarage { spaces };
    execute(&parking, &garage, command, &headers).await
}

#[derive(Deserialize)]
struct Car {
    plate: String,
}

async fn let_in(
    State(parking): App,
    Path(garage): Path<String>,
    headers: HeaderMap,
    Json(Car { plate }): Json<Car>,
) -> Answer {
    execute(&parking, &garage, GarageCommand::LetIn { plate }, &headers).await
}

async fn let_out(
    State(parking): App,
    Path((garage, plate)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    execute(&parking, &garage, GarageCommand::LetOut { plate }, &headers).await
}

/// Carries out a command, once for each key.
async fn execute(
    parking: &Parking,
    garage: &str,
    command: GarageCommand,
    headers: &HeaderMap,
) -> Answer {
    let key = headers.get("Idempotency-Key");
    let Some(key) = key.and_then(|key| key.to_str().ok()) else {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "there is no Idempotency-Key",
        ));
    };
    let id = CommandId::derived(&["parking", key]);
    let context = CommandContext::new(id, Actor::anonymous());
    let reply = parking
        .executor
        .execute::<Garage>(garage, command, context)
        .await?;
    let repeated = reply.status == AppendStatus::AlreadyApplied;
    match reply.verdict {
        Verdict::Accepted {
            state,
            version,
            position,
            ..
        } => Ok(Json(json!({
            "garage": state,
            "version": version,
            "position": position,
            "repeated": repeated,
        }))),
        Verdict::Refused(refusal) => Err(Problem::new(StatusCode::CONFLICT, refusal.to_string())),
    }
}

#[derive(Deserialize)]
struct Freshness {
    min_position: Option<Position>,
}

/// Answers from the read model, once it has the position that is asked for.
async fn query(
    State(parking): App,
    Path(garage): Path<String>,
    Query(Freshness { min_position }): Query<Freshness>,
) -> Answer {
    let model = match min_position {
        Some(position) => parking.reader.read_at(position, PATIENCE).await,
        None => parking.reader.read().await,
    };
    let model = model.map_err(|error| Problem::unavailable(&error))?;
    let found = occupancy(model, &garage)
        .await
        .map_err(|error| Problem::unavailable(&error))?;
    found
        .map(|occupancy| Json(json!(occupancy)))
        .ok_or_else(Problem::not_found)
}

/// What a garage was at a version, from its events.
async fn as_of(State(parking): App, Path((garage, version)): Path<(String, i64)>) -> Answer {
    let (state, version) = parking
        .executor
        .replay_until::<Garage>(&garage, |event| event.version.number() <= version)
        .await?;
    let garage = state.ok_or_else(Problem::not_found)?;
    Ok(Json(json!({"garage": garage, "version": version})))
}

/// All garages, from all events of the store, read once from the first to the last.
async fn replay_all(State(parking): App) -> Answer {
    let store = Arc::clone(parking.executor.store());
    let failed = |error| Problem::unavailable(&error);
    let head = store.head().await.map_err(failed)?;
    let mut pages = Replay::new(store, Position::START, head, BatchSize::default());
    let mut garages: BTreeMap<String, Option<Garage>> = BTreeMap::new();
    while let Some(page) = pages.next().await.map_err(failed)? {
        for event in page {
            if event.stream.category() == Garage::CATEGORY {
                let garage = garages.entry(event.stream.id().to_owned()).or_default();
                *garage = replay(garage.take(), [&event])
                    .map_err(|error| Problem::unavailable(&error))?;
            }
        }
    }
    Ok(Json(json!({"events": head, "garages": garages})))
}

/// A request that was not carried out, and why.
struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, detail }
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such garage")
    }

    fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error_chain(error))
    }
}

impl From<ExecuteError> for Problem {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::InvalidStream(_) | ExecuteError::CommandReused { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            // To be sent again, with the same key.
            error => Self::unavailable(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"problem": self.detail}))).into_response()
    }
}
