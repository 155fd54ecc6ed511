//! Opening, listing and closing accounts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use folio_core::CommandContext;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::account::{Account, AccountCommand, AccountId, Overdraft};
use crate::http::command::{answer, execute};
use crate::http::cursor;
use crate::http::idempotency::Caller;
use crate::http::input::{
    AccountPath, AmountText, Body, Params, available_text, currency, invalid_id,
};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::{ModelParams, time_text};
use crate::read_model::{AccountRow, Freshness};

/// A request to open an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAccountRequest {
    /// The id of the new account.
    #[schema(example = "savings-1")]
    id: String,
    /// ISO 4217 code of its currency, for ever.
    #[schema(example = "EUR")]
    currency: String,
    /// How far below zero it may go; not at all when left out.
    #[serde(default)]
    overdraft: OverdraftRequest,
}

/// How far below zero an account may go.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OverdraftRequest {
    /// Not at all.
    #[default]
    None,
    /// To minus the limit.
    Limit {
        /// A decimal string in the account's currency.
        #[schema(value_type = String, example = "500.00")]
        limit: AmountText,
    },
    /// As far as it goes.
    Unlimited,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountBody {
    /// Its id.
    id: String,
    /// ISO 4217 code of its currency.
    currency: String,
    /// `open`, `closed`, or `inconsistent` when its history was altered.
    status: String,
    /// How far below zero it may go.
    overdraft: OverdraftBody,
    /// What came in less what went out, as a decimal string.
    balance: String,
    /// What may still be debited; null where there is no bound.
    available: Option<String>,
    /// How many events it has.
    version: i64,
    /// When it was opened, in UTC. Not told in answer to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_at: Option<String>,
    /// When its last event was recorded, in UTC. Not told in answer to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    /// True where an event of the account could not be taken in by the read model, and what came
    /// after it is missing here. Left out otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    parked: bool,
}

/// How far below zero an account may go.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OverdraftBody {
    /// Not at all.
    None,
    /// To minus the limit.
    Limit {
        /// A decimal string.
        limit: String,
    },
    /// As far as it goes.
    Unlimited,
}

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountsPage {
    /// In the order of their ids.
    accounts: Vec<AccountBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// Which page of accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct AccountsParams {
    /// Where the page before ended.
    cursor: Option<String>,
    /// Items on the page, 1 to 1,000.
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
        (status = 409, description = "There is one already", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn open(
    State(ledger): State<Arc<Ledger>>,
    caller: Caller,
    Body(request): Body<OpenAccountRequest>,
) -> Result<Response, Problem> {
    let id = AccountId::try_from(request.id).map_err(|error| invalid_id(error.to_string()))?;
    let currency = currency(&request.currency)?;
    let overdraft = match request.overdraft {
        OverdraftRequest::None => Overdraft::None,
        OverdraftRequest::Limit { limit } => Overdraft::Limit {
            limit: limit.amount(currency)?,
        },
        OverdraftRequest::Unlimited => Overdraft::Unlimited,
    };
    let command = AccountCommand::OpenAccount {
        currency,
        overdraft,
    };
    let context = caller.context("POST /v1/accounts");
    let location = format!("/v1/accounts/{id}");
    let mut response =
        answer_with_account(&ledger, &id, command, context, StatusCode::CREATED).await?;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Closes an account for good. Its balance must be zero.
#[utoipa::path(
    post, path = "/v1/accounts/{id}/close", tag = "accounts",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    responses(
        (status = 200, description = "The account is closed", body = AccountBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "It has a balance, or is closed already", body = ProblemBody),
    )
)]
pub(crate) async fn close(
    State(ledger): State<Arc<Ledger>>,
    AccountPath(id): AccountPath,
    caller: Caller,
) -> Result<Response, Problem> {
    let context = caller.context("POST /v1/accounts/{id}/close");
    let command = AccountCommand::CloseAccount;
    answer_with_account(&ledger, &id, command, context, StatusCode::OK).await
}

/// Lists accounts.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "accounts", params(AccountsParams),
    responses((status = 200, description = "A page of accounts", body = AccountsPage))
)]
pub(crate) async fn list(
    State(ledger): State<Arc<Ledger>>,
    Params(params): Params<AccountsParams>,
) -> Result<Json<AccountsPage>, Problem> {
    const LIST: &str = "accounts";
    let limit = cursor::limit(params.limit)?;
    let after = match &params.cursor {
        Some(cursor) => cursor::decode(LIST, cursor)?,
        None => String::new(),
    };
    let model = ledger.model(params.min_position.as_deref()).await?;
    let rows = model.accounts(&after, i64::from(limit)).await?;
    model.close().await?;
    let last = rows.last().map(|(row, _)| row.account_id.to_string());
    let accounts = rows.iter().map(|(row, freshness)| AccountBody {
        parked: *freshness == Freshness::Parked,
        ..AccountBody::of_row(row)
    });
    Ok(Json(AccountsPage {
        next_cursor: cursor::next(LIST, rows.len(), limit, last),
        accounts: accounts.collect(),
    }))
}

/// One account.
#[utoipa::path(
    get, path = "/v1/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "the account"), ModelParams),
    responses(
        (status = 200, description = "The account", body = AccountBody),
        (status = 404, description = "No such account", body = ProblemBody),
    )
)]
pub(crate) async fn one(
    State(ledger): State<Arc<Ledger>>,
    AccountPath(id): AccountPath,
    Params(params): Params<ModelParams>,
) -> Result<Json<AccountBody>, Problem> {
    let model = ledger.model(params.min_position.as_deref()).await?;
    let account = model.account(&id).await?;
    model.close().await?;
    let account = account.ok_or_else(Problem::account_not_found)?;
    Ok(Json(AccountBody::of_row(&account)))
}

/// Carries out a command, and answers with the account right after it.
async fn answer_with_account(
    ledger: &Ledger,
    id: &AccountId,
    command: AccountCommand,
    context: CommandContext,
    status: StatusCode,
) -> Result<Response, Problem> {
    let done = execute(ledger, id, command, context).await?;
    let body = AccountBody::of_state(id, &done.account, done.version.number());
    Ok(answer(ledger, status, body, done.position, done.executed))
}

impl AccountBody {
    fn of_state(id: &AccountId, account: &Account, version: i64) -> Self {
        Self {
            id: id.to_string(),
            currency: account.currency().code().to_owned(),
            status: account.status().as_str().to_owned(),
            overdraft: account.overdraft().into(),
            balance: account.balance().amount_text(),
            available: available_text(account.overdraft().available(account.balance())),
            version,
            opened_at: None,
            updated_at: None,
            parked: false,
        }
    }

    fn of_row(row: &AccountRow) -> Self {
        Self {
            id: row.account_id.to_string(),
            currency: row.currency.code().to_owned(),
            status: row.status.clone(),
            overdraft: row.overdraft.into(),
            balance: row.balance.amount_text(),
            available: available_text(row.overdraft.available(row.balance)),
            version: row.version.number(),
            opened_at: Some(time_text(row.opened_at)),
            updated_at: Some(time_text(row.updated_at)),
            parked: false,
        }
    }
}

impl From<Overdraft> for OverdraftBody {
    fn from(overdraft: Overdraft) -> Self {
        match overdraft {
            Overdraft::None => Self::None,
            Overdraft::Limit { limit } => Self::Limit {
                limit: limit.amount_text(),
            },
            Overdraft::Unlimited => Self::Unlimited,
        }
    }
}
