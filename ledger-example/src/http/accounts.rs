//! Opening, listing and reading accounts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::account::{AccountCommand, AccountId, AccountMetadata, Kind, NormalSide, Opening, Side};
use crate::balances::Shelf;
use crate::http::account_body::{AccountBody, OverdraftRequest, VelocityRequest};
use crate::http::command::{answer, execute, located};
use crate::http::cursor;
use crate::http::cut::{AskedPage, room};
use crate::http::holders::HolderRequest;
use crate::http::idempotency::Caller;
use crate::http::input::{Body, ClientId, Params, PathId, currency, word};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;
use crate::http::shelf::{Origin, Sought};
use crate::http::times::{Asked, ModelParams};
use crate::read_model::{AccountsFilter, Freshness};

/// A request to open an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAccountRequest {
    /// The id of the new account: 1 to 64 letters, digits, `.`, `_` or `-`.
    #[schema(example = "savings-1")]
    id: String,
    /// ISO 4217 code of its currency, for ever.
    #[schema(example = "EUR")]
    currency: String,
    /// How far below zero it may go; not at all when left out.
    #[serde(default)]
    overdraft: OverdraftRequest,
    /// `authorising`, which is what a customer's is, or `recording`, for ever.
    kind: Option<String>,
    /// The side on which it grows, for ever: `credit` when left out, as of what is owed to a customer.
    normal_side: Option<String>,
    /// How fast money may go out.
    #[serde(default)]
    velocity: Vec<VelocityRequest>,
    /// Names and values that the ledger itself makes nothing of, at most 50.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// Who holds it. It is told by `GET /v1/accounts/{id}/holder` alone.
    holder: Option<HolderRequest>,
}

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountsPage {
    /// Book after book, and in the order of their ids.
    accounts: Vec<AccountBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// Which page of accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AccountsParams {
    /// One book; all of them when left out.
    book: Option<String>,
    /// Only those whose ids begin with this.
    prefix: Option<String>,
    /// Only those whose metadata has this: a name, `:` and a value.
    metadata: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Items on the page, 1 to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Waits until the model has this position.
    min_position: Option<String>,
}

/// Opens an account.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "accounts",
    params(("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect")),
    request_body = OpenAccountRequest,
    responses(
        (status = 201, description = "The account is open", body = AccountBody),
        (status = 409, description = "There is one already, or the holder was forgotten", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn open(
    State(ledger): State<Arc<Ledger>>,
    caller: Caller,
    Body(request): Body<OpenAccountRequest>,
) -> Result<Response, Problem> {
    let id = AccountId::parse_text(&request.id)?;
    id.check_chosen()?;
    let currency = currency(&request.currency)?;
    let kind = request.kind.as_deref();
    let kind = kind.map(|text| word(text, "invalid_kind", "Not a kind of account"));
    let side = request.normal_side.as_deref();
    let side = side.map(|text| word::<Side>(text, "invalid_side", "Not a side"));
    let context = caller.context(routes::OPEN);
    let mut opening = Opening {
        currency,
        overdraft: request.overdraft.overdraft(currency)?,
        kind: kind.transpose()?.unwrap_or(Kind::Authorising),
        normal_side: side.transpose()?.map(NormalSide).unwrap_or_default(),
        velocity: VelocityRequest::limits(&request.velocity, currency)?,
        metadata: AccountMetadata::try_from(request.metadata).map_err(|error| {
            Problem::unprocessable("invalid_metadata", "Not usable metadata", error.to_string())
        })?,
        holder: None,
    };
    // Last, so that nobody gets a key by a request that is wrong.
    if let Some(holder) = &request.holder {
        opening.holder = Some(holder.sealed(&ledger, &context).await?);
    }
    let command = AccountCommand::OpenAccount(opening);
    let done = execute(&ledger, &id, command, context).await?;
    let body = AccountBody::of_state(&id, &done.account, done.version.number());
    let status = StatusCode::CREATED;
    let response = answer(&ledger, status, body, done.position, done.executed);
    Ok(located(response, &format!("/v1/accounts/{id}")))
}

/// Lists accounts.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "accounts", params(AccountsParams),
    responses(
        (status = 200, description = "A page of accounts", body = AccountsPage),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(shelf): State<Arc<Shelf>>,
    Params(params): Params<AccountsParams>,
) -> Result<Response, Problem> {
    let filter = AccountsFilter {
        prefix: params.prefix.unwrap_or_default(),
        metadata: params
            .metadata
            .as_deref()
            .map(metadata_filter)
            .transpose()?,
    };
    let list = format!("accounts/{:?}/{filter:?}", params.book);
    let limit = cursor::limit(params.limit)?;
    let page = AskedPage {
        book: params.book.as_deref(),
        asked: Asked {
            min_position: params.min_position.as_deref(),
            ..Asked::default()
        },
        list: &list,
        cursor: params.cursor.as_deref(),
    };
    let cut = shelf.cut(page).await?;
    let mut accounts = Vec::new();
    let mut last = None;
    for (opened, after) in cut.books() {
        let (book, room) = (opened.book.name(), room(limit, accounts.len()));
        for (row, freshness) in opened.model.accounts(&filter, after, room).await? {
            let mut body = AccountBody::of_row(&row, book);
            body.parked = freshness == Freshness::Parked;
            last = Some((book, row.account_id.to_string()));
            accounts.push(body);
        }
    }
    let body = AccountsPage {
        next_cursor: cut.next_cursor(&list, accounts.len(), limit, last),
        accounts,
    };
    cut.answer(body).await
}

/// One account.
#[utoipa::path(
    get, path = "/v1/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "the account"), ModelParams),
    responses(
        (status = 200, description = "The account", body = AccountBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "Several books have such an account", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn one(
    State(shelf): State<Arc<Shelf>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<ModelParams>,
) -> Result<Response, Problem> {
    let sought = Sought::Account(&id);
    let opened = shelf
        .open(params.book.as_deref(), sought, params.asked())
        .await?;
    let account = opened.model.account(&id).await?;
    let (book, origin) = (opened.book.name.clone(), Origin::of(&opened));
    opened.model.close().await?;
    let account = account.ok_or_else(Problem::account_not_found)?;
    Ok(origin.answer(AccountBody::of_row(&account, &book)))
}

/// The filter that a text `name:value` is, as JSON.
fn metadata_filter(text: &str) -> Result<String, Problem> {
    let pair = text.split_once(':').filter(|_| !text.contains('\0'));
    let (name, value) = pair.ok_or_else(|| {
        Problem::unprocessable(
            "invalid_query",
            "Not what this endpoint takes",
            "metadata is a name, a colon and a value: customer:42",
        )
    })?;
    Ok(serde_json::json!({ name: value }).to_string())
}
