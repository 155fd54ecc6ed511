//! What is not as it must be, if anything.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use folio_core::EventStore;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::http::input::Params;
use crate::http::position::PositionToken;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::times::PATIENCE;
use crate::monitor::Violation;

/// How many violations are listed.
const LISTED: i64 = 100;

/// Whether all is as it must be.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvariantsBody {
    /// Whether nothing was found.
    hold: bool,
    /// The position up to which the book was watched.
    position: i64,
    /// How many violations were found; only the first 1,000 are kept.
    found: i64,
    /// The first 100, in the order of their positions.
    violations: Vec<ViolationBody>,
}

/// Something that is not as it must be.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViolationBody {
    /// What must be so.
    #[schema(example = "trial_balance")]
    invariant: &'static str,
    /// The event after which it is not.
    position: i64,
    /// That event's stream, its category and its id.
    #[schema(example = "account/alice")]
    stream: String,
    /// What was found.
    what: String,
}

/// How far it must have been watched.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InvariantsParams {
    /// Waits until the monitor has this position: the `Folio-Position` of a write.
    min_position: Option<String>,
}

/// Tells whether what must be so of the book is so after every command, and names the first events after
/// which it is not.
#[utoipa::path(
    get, path = "/v1/invariants", tag = "health", params(InvariantsParams),
    responses(
        (status = 200, description = "What was found", body = InvariantsBody),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn found(
    State(ledger): State<Arc<Ledger>>,
    Params(params): Params<InvariantsParams>,
) -> Result<Response, Problem> {
    let store_id = ledger.store().store_id();
    let token = params.min_position.as_deref();
    let token = token.map(PositionToken::parse).transpose()?;
    let invariants = match token.and_then(|token| token.position_in(store_id)) {
        Some(position) => ledger.invariants.at(position, PATIENCE).await?,
        None => ledger.invariants.now().await?,
    };
    let head = ledger.store().head().await?;
    let position = invariants.position();
    let found = invariants.found(head, LISTED).await?;
    invariants.close().await?;
    let body = InvariantsBody {
        hold: found.count == 0,
        position: position.number(),
        found: found.count,
        violations: found.first.into_iter().map(ViolationBody::from).collect(),
    };
    let mut response = Json(body).into_response();
    PositionToken::of(store_id, position).put(response.headers_mut());
    Ok(response)
}

impl From<Violation> for ViolationBody {
    fn from(violation: Violation) -> Self {
        Self {
            invariant: violation.invariant.as_str(),
            position: violation.position.number(),
            stream: violation.stream.to_string(),
            what: violation.what,
        }
    }
}
