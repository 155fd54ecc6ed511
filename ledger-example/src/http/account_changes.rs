//! What changes an account apart from postings: limits, freeze, metadata, and its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use folio_core::CommandContext;
use folio_runtime::Executor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Ledger;
use crate::account::{
    Account, AccountCommand, AccountId, Freeze, Limits, MetadataChange, MetadataKey, MetadataValue,
};
use crate::balances::Shelf;
use crate::http::account_body::{AccountBody, OverdraftRequest, VelocityRequest};
use crate::http::command::{answer, execute, execute_jointly};
use crate::http::idempotency::Caller;
use crate::http::input::{Body, Params, PathId, required_text, word};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;
use crate::http::shelf::{Origin, Sought};
use crate::http::times::{ModelParams, time_text};
use crate::journal::CloseAccount;

/// New limits. What is left out is not limited, or not allowed to go below zero.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsRequest {
    /// How far below zero it may go; not at all when left out.
    #[serde(default)]
    overdraft: OverdraftRequest,
    /// How fast money may go out.
    #[serde(default)]
    velocity: Vec<VelocityRequest>,
}

/// A request to freeze an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeRequest {
    /// What it shall refuse: `debits`, `credits` or `both`.
    #[schema(example = "debits")]
    refuse: String,
    /// Why, 1 to 200 characters.
    reason: String,
}

/// A request to unfreeze an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnfreezeRequest {
    /// Why, 1 to 200 characters.
    reason: String,
}

/// A change of metadata: each name with its new value, or null to remove it. Others stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct MetadataRequest(BTreeMap<String, Option<String>>);

/// How an account's metadata came to be what it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetadataBody {
    /// The book that the account is in.
    book: String,
    /// The account.
    account_id: String,
    /// What it is.
    #[schema(value_type = Object)]
    metadata: crate::account::AccountMetadata,
    /// All changes, in order.
    history: Vec<MetadataChangeBody>,
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetadataChangeBody {
    /// The account's version right after it.
    version: i64,
    /// When, in UTC.
    recorded_at: String,
    /// Who asked.
    actor: String,
    /// Each name with its new value, or null where it was removed.
    #[schema(value_type = Object)]
    changes: Box<serde_json::value::RawValue>,
}

/// Sets the limits of an account. Its balance, with what is held, must be within them.
#[utoipa::path(
    put, path = "/v1/accounts/{id}/limits", tag = "accounts",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = LimitsRequest,
    responses(
        (status = 200, description = "The limits are set", body = AccountBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "The account is beyond the new limit, or closed", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn limits(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    caller: Caller,
    Body(request): Body<LimitsRequest>,
) -> Result<Response, Problem> {
    // An account's currency never changes, so that of whichever state is good.
    let account = look_up(&ledger.executor, &id).await?;
    let currency = account.currency();
    let command = AccountCommand::SetLimits(Limits {
        overdraft: request.overdraft.overdraft(currency)?,
        velocity: VelocityRequest::limits(&request.velocity, currency)?,
    });
    change(&ledger, &id, command, caller.context(routes::LIMITS)).await
}

/// Has an account refuse debits, credits or both, until it is unfrozen. Holds that were placed before
/// can still be captured.
#[utoipa::path(
    post, path = "/v1/accounts/{id}/freeze", tag = "accounts",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = FreezeRequest,
    responses(
        (status = 200, description = "The account is frozen", body = AccountBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "The account is closed", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn freeze(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    caller: Caller,
    Body(request): Body<FreezeRequest>,
) -> Result<Response, Problem> {
    let command = AccountCommand::FreezeAccount {
        freeze: word::<Freeze>(&request.refuse, "invalid_freeze", "Not a freeze")?,
        reason: required_text(request.reason, "reason")?,
    };
    change(&ledger, &id, command, caller.context(routes::FREEZE)).await
}

/// Lifts the freeze of an account.
#[utoipa::path(
    post, path = "/v1/accounts/{id}/unfreeze", tag = "accounts",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = UnfreezeRequest,
    responses(
        (status = 200, description = "The account is not frozen", body = AccountBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "The account was not frozen", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn unfreeze(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    caller: Caller,
    Body(request): Body<UnfreezeRequest>,
) -> Result<Response, Problem> {
    let reason = required_text(request.reason, "reason")?;
    let command = AccountCommand::UnfreezeAccount { reason };
    change(&ledger, &id, command, caller.context(routes::UNFREEZE)).await
}

/// Changes an account's metadata. What it was before is kept.
#[utoipa::path(
    patch, path = "/v1/accounts/{id}/metadata", tag = "accounts",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = MetadataRequest,
    responses(
        (status = 200, description = "The metadata is changed", body = AccountBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "The account is closed", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn change_metadata(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    caller: Caller,
    Body(MetadataRequest(request)): Body<MetadataRequest>,
) -> Result<Response, Problem> {
    let mut changes = BTreeMap::new();
    for (key, value) in request {
        let key: MetadataKey = required_text(key, "a name")?;
        let value: Option<MetadataValue> = crate::http::input::text(value, key.as_str())?;
        changes.insert(key, value);
    }
    let command = AccountCommand::ChangeMetadata(MetadataChange(changes));
    change(&ledger, &id, command, caller.context(routes::METADATA)).await
}

/// An account's metadata, with its history.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/metadata", tag = "accounts",
    params(("id" = String, Path, description = "the account"), ModelParams),
    responses(
        (status = 200, description = "The metadata", body = MetadataBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "Several books have such an account", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn metadata(
    State(shelf): State<Arc<Shelf>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<ModelParams>,
) -> Result<Response, Problem> {
    let sought = Sought::Account(&id);
    let opened = shelf
        .open(params.book.as_deref(), sought, params.asked())
        .await?;
    let account = opened.model.account(&id).await?;
    let history = opened.model.metadata_changes(&id).await?;
    let (book, origin) = (opened.book.name.to_string(), Origin::of(&opened));
    opened.model.close().await?;
    let account = account.ok_or_else(Problem::account_not_found)?;
    let change = |row: crate::read_model::MetadataChangeRow| {
        Ok::<_, Problem>(MetadataChangeBody {
            version: row.version.number(),
            recorded_at: time_text(row.recorded_at),
            actor: row.actor,
            changes: serde_json::from_str(&row.changes)
                .map_err(|error| Problem::internal(&error))?,
        })
    };
    Ok(origin.answer(MetadataBody {
        book,
        account_id: id.to_string(),
        metadata: account.metadata,
        history: history
            .into_iter()
            .map(change)
            .collect::<Result<_, Problem>>()?,
    }))
}

/// Begins to close an account: from here on it takes only what empties it and what is held.
#[utoipa::path(
    post, path = "/v1/accounts/{id}/closing", tag = "accounts",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    responses(
        (status = 200, description = "The account is closing", body = AccountBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "It is closing or closed already", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn begin_closing(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    caller: Caller,
) -> Result<Response, Problem> {
    let context = caller.context(routes::BEGIN_CLOSING);
    change(&ledger, &id, AccountCommand::BeginClosing, context).await
}

/// Closes an account for good. Its balance must be zero, and nothing held on it or expected.
#[utoipa::path(
    post, path = "/v1/accounts/{id}/close", tag = "accounts",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    responses(
        (status = 200, description = "The account is closed", body = AccountBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "It has a balance or holds, which `details` names, or is closed already", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn close(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    caller: Caller,
) -> Result<Response, Problem> {
    let command = CloseAccount {
        account: id.clone(),
    };
    let done = execute_jointly(&ledger, &command, caller.context(routes::CLOSE)).await?;
    let (account, version) = done
        .states
        .of::<Account>(id.as_str())
        .ok_or_else(Problem::account_not_found)?;
    let body = AccountBody::of_state(&id, account, version.number());
    Ok(answer(
        &ledger,
        StatusCode::OK,
        body,
        done.position,
        done.executed,
    ))
}

/// Carries out a command, and answers with the account right after it.
async fn change(
    ledger: &Ledger,
    id: &AccountId,
    command: AccountCommand,
    context: CommandContext,
) -> Result<Response, Problem> {
    id.check_chosen()?;
    let done = execute(ledger, id, command, context).await?;
    let body = AccountBody::of_state(id, &done.account, done.version.number());
    let status = StatusCode::OK;
    Ok(answer(ledger, status, body, done.position, done.executed))
}

async fn look_up<S: folio_core::EventStore>(
    executor: &Executor<S>,
    id: &AccountId,
) -> Result<Account, Problem> {
    let (account, _) = executor.latest::<Account>(id.as_str()).await?;
    account.ok_or_else(Problem::account_not_found)
}
