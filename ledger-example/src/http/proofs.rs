//! Proofs of what is on record, for whoever does not trust this service.
//!
//! What is answered is as `folio-proofs` reads it: a checkpoint is a signed note, a bundle is checked by `folio-verify`
//! with nothing but the public key of the log.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use folio_audit::{ProveError, Prover, Span};
use folio_core::{Aggregate, CommandId, Position, StreamId, error_chain};
use folio_proofs::answer::{Form, Question, Verdict};
use folio_proofs::bundle::{Bundle, Growth};
use folio_proofs::merkle::{InclusionProof, Size};
use folio_proofs::note::SignedNote;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Ledger;
use crate::account::{Account, AccountId};
use crate::http::input::{Params, PathId};
use crate::http::problem::{Problem, ProblemBody, unavailable};

/// Most events in one answer: some ten megabytes.
const EVENTS_MAX: usize = 10_000;

/// Which checkpoint.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CheckpointParams {
    /// The one of so many leaves; the last one, unless it is said.
    size: Option<u64>,
}

/// From which checkpoint on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct GrowthParams {
    /// The leaves of the older checkpoint.
    since: u64,
}

/// What else a bundle shall prove.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BundleParams {
    /// The leaves of an older checkpoint, from which on the log has only grown.
    since: Option<u64>,
    /// The leaves of the checkpoint up to which events are shown; the last one, unless it is said. For another one the whole book is looked
    /// through.
    until: Option<u64>,
}

/// Of what: one of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InclusionParams {
    /// The event at this position.
    position: Option<i64>,
    /// The outcome of this command that has caused no event: that it was refused, or changed nothing.
    command: Option<Uuid>,
}

/// That the log has only grown.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrowthBody {
    /// The last checkpoint, a signed note.
    #[schema(value_type = String)]
    checkpoint: SignedNote,
    /// The older checkpoint, and the hashes that lead from it to the last one.
    #[schema(value_type = Object)]
    growth: Growth,
}

/// That a row of the store is in the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct InclusionBody {
    /// The last checkpoint, a signed note.
    #[schema(value_type = String)]
    checkpoint: SignedNote,
    /// The leaf in base64: all columns of the row, each with its length before it.
    leaf: String,
    /// Which leaf it is, and the hashes beside its way to the root.
    #[schema(value_type = Object)]
    inclusion: InclusionProof,
}

/// A signed checkpoint of the log: what was on record until then, in two hashes.
#[utoipa::path(
    get, path = "/v1/audit/checkpoint", tag = "audit",
    params(CheckpointParams),
    responses(
        (status = 200, description = "The checkpoint, a signed note", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such checkpoint, or the book is not sealed", body = ProblemBody),
        (status = 409, description = "Nothing is sealed yet", body = ProblemBody),
    )
)]
pub(crate) async fn checkpoint(
    State(ledger): State<Arc<Ledger>>,
    Params(params): Params<CheckpointParams>,
) -> Result<impl IntoResponse, Problem> {
    let prover = prover(&ledger)?;
    let note = match params.size {
        Some(size) => prover.checkpoint_of_size(Size::new(size)).await?,
        None => prover.end().await?.0,
    };
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((plain, note.to_string()))
}

/// That the log has only grown since an older checkpoint.
#[utoipa::path(
    get, path = "/v1/audit/growth", tag = "audit",
    params(GrowthParams),
    responses(
        (status = 200, description = "The proof", body = GrowthBody),
        (status = 404, description = "There is no such checkpoint, or the book is not sealed", body = ProblemBody),
        (status = 409, description = "Nothing is sealed yet", body = ProblemBody),
    )
)]
pub(crate) async fn growth(
    State(ledger): State<Arc<Ledger>>,
    Params(params): Params<GrowthParams>,
) -> Result<Json<GrowthBody>, Problem> {
    let prover = prover(&ledger)?;
    let (checkpoint, size) = prover.end().await?;
    let growth = prover.growth(Size::new(params.since), size).await?;
    Ok(Json(GrowthBody { checkpoint, growth }))
}

/// That an event, or the outcome of a command that has caused none, is in the log.
#[utoipa::path(
    get, path = "/v1/audit/inclusion", tag = "audit",
    params(InclusionParams),
    responses(
        (status = 200, description = "The proof", body = InclusionBody),
        (status = 404, description = "There is no such outcome, or the book is not sealed", body = ProblemBody),
        (status = 409, description = "It is not sealed yet", body = ProblemBody),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn inclusion(
    State(ledger): State<Arc<Ledger>>,
    Params(params): Params<InclusionParams>,
) -> Result<Json<InclusionBody>, Problem> {
    let prover = prover(&ledger)?;
    let (leaf, inclusion, checkpoint) = match (params.position, params.command) {
        (Some(position), None) => {
            let position = Position::new(position).unwrap_or(Position::START);
            let (proven, note) = prover.event(position).await?;
            (proven.row.leaf().to_bytes(), proven.inclusion, note)
        }
        (None, Some(command)) => {
            let (proven, note) = prover.outcome(CommandId::from_uuid(command)).await?;
            (proven.row.leaf().to_bytes(), proven.inclusion, note)
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(Problem::unprocessable(
                "invalid_query",
                "Not what this endpoint takes",
                "one of position and command",
            ));
        }
    };
    let leaf = STANDARD.encode(leaf);
    Ok(Json(InclusionBody {
        checkpoint,
        leaf,
        inclusion,
    }))
}

/// All events of an account up to a checkpoint, with the proof that they are all: a bundle for `folio-verify`.
/// The legs of a recording account are in a stream of the category `recording`.
#[utoipa::path(
    get, path = "/v1/audit/accounts/{id}/bundle", tag = "audit",
    params(("id" = String, Path, description = "the account"), BundleParams),
    responses(
        (status = 200, description = "The bundle", body = Object),
        (status = 404, description = "There is no such checkpoint, or the book is not sealed", body = ProblemBody),
        (status = 409, description = "Nothing is sealed yet", body = ProblemBody),
        (status = 422, description = "There are too many events for one answer", body = ProblemBody),
    )
)]
pub(crate) async fn account_bundle(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<BundleParams>,
) -> Result<Json<Bundle>, Problem> {
    bundle(&ledger, &account(&id)?, &params).await
}

/// An account on a page for people, in HTML: its events with who, when and why, and where each is in the log. What is not
/// proven is on no page.
#[utoipa::path(
    get, path = "/v1/audit/accounts/{id}", tag = "audit",
    params(("id" = String, Path, description = "the account"), BundleParams),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 404, description = "There is no such checkpoint, or the book is not sealed", body = ProblemBody),
        (status = 409, description = "Nothing is sealed yet", body = ProblemBody),
        (status = 422, description = "There are too many events for one answer", body = ProblemBody),
    )
)]
pub(crate) async fn account_page(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<BundleParams>,
) -> Result<Html<String>, Problem> {
    let Json(bundle) = bundle(&ledger, &account(&id)?, &params).await?;
    let bundle = serde_json::to_vec(&bundle).map_err(|error| Problem::internal(&error))?;
    let log = prover(&ledger)?.log();
    let question = Question {
        keys: log.keys().to_vec(),
        origin: Some(log.origin().clone()),
        kept: None,
        form: Form::Page,
    };
    let answer = question.answer(&bundle);
    match answer.verdict {
        Verdict::Verified => Ok(Html(answer.output)),
        Verdict::Refused | Verdict::Unusable => Err(altered(&answer.remarks)),
    }
}

/// All events of any stream, in the same way.
#[utoipa::path(
    get, path = "/v1/audit/streams/{category}/{id}/bundle", tag = "audit",
    params(
        ("category" = String, Path, description = "the category, for example `entry`"),
        ("id" = String, Path, description = "the stream's id in it"),
        BundleParams,
    ),
    responses(
        (status = 200, description = "The bundle", body = Object),
        (status = 404, description = "There is no such checkpoint, or the book is not sealed", body = ProblemBody),
        (status = 409, description = "Nothing is sealed yet", body = ProblemBody),
        (status = 422, description = "No stream can be called this, or there are too many events for one answer", body = ProblemBody),
    )
)]
pub(crate) async fn stream_bundle(
    State(ledger): State<Arc<Ledger>>,
    Path((category, id)): Path<(String, String)>,
    Params(params): Params<BundleParams>,
) -> Result<Json<Bundle>, Problem> {
    let stream = StreamId::new(category, id).map_err(|error| {
        let title = "No stream can be called this";
        Problem::unprocessable("invalid_stream", title, error.to_string())
    })?;
    bundle(&ledger, &stream, &params).await
}

fn account(id: &AccountId) -> Result<StreamId, Problem> {
    StreamId::new(Account::CATEGORY, id.as_str()).map_err(|error| Problem::internal(&error))
}

async fn bundle(
    ledger: &Ledger,
    stream: &StreamId,
    params: &BundleParams,
) -> Result<Json<Bundle>, Problem> {
    let span = Span {
        since: params.since.map(Size::new),
        until: params.until.map(Size::new),
    };
    let bundle = prover(ledger)?.bundle(stream, span, EVENTS_MAX).await?;
    Ok(Json(bundle))
}

fn prover(ledger: &Ledger) -> Result<&Prover, Problem> {
    ledger.prover.as_ref().ok_or_else(|| {
        Problem::client(
            StatusCode::NOT_FOUND,
            "not_sealed",
            "This book is not sealed",
            "its service was started without keys to seal it with",
        )
    })
}

/// Nothing that is sealed can be proven then, and whoever asks shall hear why.
fn altered(what: &str) -> Problem {
    tracing::error!(what, "what was sealed is not as it was");
    Problem::client(
        StatusCode::INTERNAL_SERVER_ERROR,
        "history_altered",
        "The history was altered",
        what,
    )
}

impl From<ProveError> for Problem {
    fn from(error: ProveError) -> Self {
        let said = error.to_string();
        match error {
            ProveError::Unavailable(_) | ProveError::Database(_) => unavailable(&error),
            ProveError::NothingSealed | ProveError::NotSealed { .. } => {
                let title = "Not sealed yet";
                Self::passing(StatusCode::CONFLICT, "not_sealed_yet", title, said)
            }
            ProveError::NoCheckpoint { .. } => {
                let title = "No such checkpoint";
                Self::client(StatusCode::NOT_FOUND, "checkpoint_not_found", title, said)
            }
            ProveError::NoOutcome { .. } => {
                let title = "No such outcome";
                Self::client(StatusCode::NOT_FOUND, "outcome_not_found", title, said)
            }
            ProveError::TooLong { .. } => {
                let title = "Too many events for one answer";
                Self::unprocessable("bundle_too_long", title, said)
            }
            ProveError::Shrinks(_) => Self::unprocessable("invalid_query", "No log shrinks", said),
            ProveError::Altered(_) => altered(&error_chain(&error)),
            _ => Self::internal(&error),
        }
    }
}
