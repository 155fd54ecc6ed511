//! Forgetting whom something was recorded about.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRef, State};
use folio_erasure::{Reason, SubjectId, Vault};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Ledger;
use crate::http::idempotency::Asker;
use crate::http::input::{Body, PathId};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::times::time_text;
use crate::transfer::service::Transfers;

/// The keys of whom a service has recorded something about.
#[derive(Debug, Clone)]
pub(crate) struct Keys(Arc<Vault>);

/// A request to forget a subject.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// Why, 1 to 200 characters. It stays, so it should not say who the subject is.
    #[schema(value_type = String, example = "asked for it, ticket 812")]
    reason: Reason,
}

/// That a subject was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct ForgottenBody {
    /// The pseudonym.
    subject: String,
    /// When, in UTC.
    forgotten_at: String,
    /// Who asked for it.
    forgotten_by: String,
    /// Why.
    reason: String,
}

impl FromRef<Arc<Ledger>> for Keys {
    fn from_ref(ledger: &Arc<Ledger>) -> Self {
        Self(Arc::clone(&ledger.vault))
    }
}

impl FromRef<Arc<Transfers>> for Keys {
    fn from_ref(transfers: &Arc<Transfers>) -> Self {
        Self(Arc::clone(&transfers.vault))
    }
}

/// Forgets a subject for good: its key is destroyed, and with it all that was recorded about it and sealed. History stays
/// as it is. Asked again, it answers as it did first.
#[utoipa::path(
    post, path = "/v1/subjects/{id}/forget", tag = "subjects",
    params(("id" = String, Path, description = "the subject")),
    request_body = ForgetRequest,
    responses(
        (status = 200, description = "The subject is forgotten, now or since before", body = ForgottenBody),
        (status = 404, description = "Nothing was recorded about such a subject", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn forget(
    State(Keys(vault)): State<Keys>,
    PathId(id): PathId<SubjectId>,
    Asker { actor, .. }: Asker,
    Body(request): Body<ForgetRequest>,
) -> Result<Json<ForgottenBody>, Problem> {
    let forgotten = vault.forget(&id, &actor, &request.reason).await?;
    Ok(Json(ForgottenBody {
        subject: id.to_string(),
        forgotten_at: time_text(forgotten.at),
        forgotten_by: forgotten.by.to_string(),
        reason: forgotten.reason.into(),
    }))
}
