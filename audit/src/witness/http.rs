//! A witness over HTTP.
//!
//! * `POST /add-checkpoint` is that of <https://c2sp.org/tlog-witness>.
//! * `GET /checkpoint?origin=…` answers the last checkpoint of a log that was signed, with the signature, or 204 where there is
//!   none.
//! * `GET /checkpoints?origin=…&from=…` answers a part of all of them, from this byte of the file on that they are kept in; the
//!   header `Folio-End` says how long that is.
//!
//! The specification leaves to others how a witness is asked what it has seen: the last two are our own.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, body};
use folio_core::error_chain;
use folio_proofs::checkpoint::OpenCheckpointError;
use folio_proofs::witness::AddCheckpoint;
use serde::Deserialize;

use super::{Refusal, Witness};

/// Where a checkpoint is added.
pub(crate) const ADD_CHECKPOINT: &str = "/add-checkpoint";
/// Where the last one is read.
pub(crate) const CHECKPOINT: &str = "/checkpoint";
/// Where all of them are.
pub(crate) const CHECKPOINTS: &str = "/checkpoints";
/// How many bytes all of them are.
pub(crate) const END: HeaderName = HeaderName::from_static("folio-end");
/// Says that an answer is the size that was seen last.
pub(crate) const SIZE_TYPE: &str = "text/x.tlog.size";

/// Most bytes of a request: a proof, and a checkpoint with all who sign it. What is kept of it is found again from the end of
/// its file.
const BODY_MAX: usize = 32 * 1024;

impl Witness {
    /// Its routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route(ADD_CHECKPOINT, post(add_checkpoint))
            .route(CHECKPOINT, get(last))
            .route(CHECKPOINTS, get(all))
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .with_state(self.clone())
    }
}

#[derive(Debug, Deserialize)]
struct OfLog {
    origin: String,
}

#[derive(Debug, Deserialize)]
struct Part {
    origin: String,
    #[serde(default)]
    from: u64,
}

async fn add_checkpoint(State(witness): State<Witness>, body: Bytes) -> Result<String, Refusal> {
    let request = AddCheckpoint::parse(body)?;
    let signature = witness.add_checkpoint(request).await?;
    Ok(format!("{signature}\n"))
}

async fn last(
    State(witness): State<Witness>,
    Query(OfLog { origin }): Query<OfLog>,
) -> Result<Response, Refusal> {
    Ok(match witness.last(&origin).await? {
        Some(note) => note.to_string().into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn all(
    State(witness): State<Witness>,
    Query(Part { origin, from }): Query<Part>,
) -> Result<Response, Refusal> {
    let piece = witness.piece(&origin, from).await?;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    let headers = [(CONTENT_TYPE, kind), (END, HeaderValue::from(piece.end))];
    Ok((headers, body::Body::from(piece.bytes)).into_response())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Stale { size } => {
                let kind = HeaderValue::from_static(SIZE_TYPE);
                let body = format!("{size}\n");
                return (StatusCode::CONFLICT, [(CONTENT_TYPE, kind)], body).into_response();
            }
            Self::NotBelieved(OpenCheckpointError::Signature(_)) => StatusCode::FORBIDDEN,
            Self::NotARequest(_) | Self::NotBelieved(_) | Self::OldIsLarger { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::UnknownLog { .. } => StatusCode::NOT_FOUND,
            Self::Forked { .. } => StatusCode::CONFLICT,
            Self::NotGrown(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::State(_) | Self::Clock => {
                let error = error_chain(&self);
                tracing::error!(error, "the witness cannot do what it was asked for");
                let said = format!("{self}\n");
                return (StatusCode::INTERNAL_SERVER_ERROR, said).into_response();
            }
        };
        (status, format!("{}\n", error_chain(&self))).into_response()
    }
}
