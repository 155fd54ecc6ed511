//! From a command to its answer: the part that all writes share.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use folio_core::store::AppendStatus;
use folio_core::{CommandContext, EventStore, Position, Version};
use folio_runtime::Verdict;
use serde::Serialize;

use crate::Ledger;
use crate::account::{Account, AccountCommand, AccountId};
use crate::http::idempotency::REPLAYED;
use crate::http::position::PositionToken;
use crate::http::problem::Problem;

/// An accepted command.
pub(crate) struct Accepted {
    pub(crate) executed: AppendStatus,
    /// The account right after it.
    pub(crate) account: Account,
    pub(crate) version: Version,
    pub(crate) position: Position,
}

/// Carries out a command to an account. A refusal is a problem.
pub(crate) async fn execute(
    ledger: &Ledger,
    id: &AccountId,
    command: AccountCommand,
    context: CommandContext,
) -> Result<Accepted, Problem> {
    let reply = ledger
        .executor
        .execute::<Account>(id.as_str(), command, context)
        .await?;
    let executed = reply.status;
    match reply.verdict {
        Verdict::Refused(refusal) if executed == AppendStatus::AlreadyApplied => {
            Err(Problem::from(refusal).replayed())
        }
        Verdict::Refused(refusal) => Err(refusal.into()),
        Verdict::Accepted { state: None, .. } => Err(Problem::account_not_found()),
        Verdict::Accepted {
            state: Some(account),
            version,
            position,
            ..
        } => Ok(Accepted {
            executed,
            account,
            version,
            position,
        }),
    }
}

/// The answer to a write: the body, where it stands, and whether it is a repeat's.
pub(crate) fn answer(
    ledger: &Ledger,
    status: StatusCode,
    body: impl Serialize,
    position: Position,
    executed: AppendStatus,
) -> Response {
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    PositionToken::of(ledger.store().store_id(), position).put(headers);
    if executed == AppendStatus::AlreadyApplied {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
