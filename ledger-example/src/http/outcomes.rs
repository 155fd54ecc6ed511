//! What became of a request: for a client that has lost its answer and does not want to send it again.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use folio_core::EventStore;
use folio_core::store::Outcome;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::Ledger;
use crate::http::idempotency::Asker;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;

/// What became of the requests with one key.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomesBody {
    /// The key.
    key: String,
    /// One for each route on which the key was used by whoever asks.
    outcomes: Vec<OutcomeBody>,
}

/// What became of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomeBody {
    /// The route, for example `POST /v1/journal-entries`.
    route: &'static str,
    /// The command's id, as its events have it.
    command_id: String,
    /// `accepted` or `refused`.
    outcome: &'static str,
    /// What was recorded.
    events: Vec<OutcomeEventBody>,
    /// Why it was refused, as it is recorded.
    #[schema(value_type = serde_json::Value)]
    refusal: Option<Box<RawValue>>,
}

/// What was recorded.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomeEventBody {
    /// Its place in the store.
    position: i64,
    /// Its stream.
    stream: String,
    /// What happened.
    r#type: String,
}

/// What became of the requests with an idempotency key, which is on record for ever.
#[utoipa::path(
    get, path = "/v1/outcomes/{key}", tag = "audit",
    params(("key" = String, Path, description = "the Idempotency-Key of the request")),
    responses(
        (status = 200, description = "What became of them", body = OutcomesBody),
        (status = 404, description = "Nothing is on record under this key", body = ProblemBody),
    )
)]
pub(crate) async fn outcomes(
    State(ledger): State<Arc<Ledger>>,
    Path(key): Path<String>,
    Asker { actor, .. }: Asker,
) -> Result<Json<OutcomesBody>, Problem> {
    let mut outcomes = Vec::new();
    for route in routes::ALL {
        let id = folio_core::CommandId::derived(&[actor.name(), route, &key]);
        let Some(outcome) = ledger.store().outcome(id).await? else {
            continue;
        };
        let (outcome, events, refusal) = match outcome {
            Outcome::Refused(refusal) => {
                let refusal = serde_json::from_slice(&refusal);
                let refusal = refusal.map_err(|error| Problem::internal(&error))?;
                ("refused", Vec::new(), Some(refusal))
            }
            Outcome::Empty => ("accepted", Vec::new(), None),
            Outcome::Committed(events) => ("accepted", events, None),
        };
        outcomes.push(OutcomeBody {
            route,
            command_id: id.to_string(),
            outcome,
            events: events
                .iter()
                .map(|event| OutcomeEventBody {
                    position: event.position.number(),
                    stream: event.stream.to_string(),
                    r#type: event.event_type.to_string(),
                })
                .collect(),
            refusal,
        });
    }
    if outcomes.is_empty() {
        return Err(Problem::client(
            axum::http::StatusCode::NOT_FOUND,
            "outcome_not_found",
            "Nothing on record",
            "no request of yours with this key has been decided; sending it now has its effect once",
        ));
    }
    Ok(Json(OutcomesBody { key, outcomes }))
}
