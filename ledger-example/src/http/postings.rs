//! Credits and debits, one by one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use folio_core::CommandContext;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Ledger;
use crate::account::{AccountCommand, AccountId, BoundedText, InvalidPosting, Posting, Side};
use crate::http::command::{Accepted, answer, execute};
use crate::http::idempotency::Caller;
use crate::http::input::{AccountPath, AmountText, Body, currency};
use crate::http::problem::{Problem, ProblemBody};

/// A request to credit or debit an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostingRequest {
    /// How much: a decimal string with at most the currency's decimals.
    #[schema(value_type = String, example = "12.50")]
    pub(super) amount: AmountText,
    /// ISO 4217 code; must be the account's.
    #[schema(example = "EUR")]
    pub(super) currency: String,
    /// The other side: `cash`, `interest`, `fees`, `cards`, or `bank:` and a code.
    #[schema(example = "cash")]
    pub(super) contra: String,
    /// The day on which it takes effect, where that is not today: `2026-03-31`.
    pub(super) effective_date: Option<chrono::NaiveDate>,
    /// Your own name for it, 1 to 64 characters.
    pub(super) reference: Option<String>,
    /// What it was for, 1 to 200 characters.
    pub(super) description: Option<String>,
}

/// A posting, and the account right after it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PostingBody {
    /// The account.
    account_id: String,
    /// `credit` or `debit`.
    side: &'static str,
    /// How much.
    amount: String,
    /// In which currency.
    currency: String,
    /// The other side.
    contra: String,
    /// The account's balance right after it.
    balance: String,
    /// The account's version right after it: names this posting on the statement.
    version: i64,
}

/// Pays in.
#[utoipa::path(
    post, path = "/v1/accounts/{id}/credits", tag = "postings",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = PostingRequest,
    responses(
        (status = 201, description = "It is posted", body = PostingBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "The account is closed", body = ProblemBody),
        (status = 422, description = "The request is wrong, or refused", body = ProblemBody),
    )
)]
pub(crate) async fn credit(
    State(ledger): State<Arc<Ledger>>,
    AccountPath(id): AccountPath,
    caller: Caller,
    Body(request): Body<PostingRequest>,
) -> Result<Response, Problem> {
    let context = caller.context("POST /v1/accounts/{id}/credits");
    post_one(&ledger, &id, Side::Credit, request, context).await
}

/// Pays out, as far as the account's overdraft policy allows.
#[utoipa::path(
    post, path = "/v1/accounts/{id}/debits", tag = "postings",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = PostingRequest,
    responses(
        (status = 201, description = "It is posted", body = PostingBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "The account is closed", body = ProblemBody),
        (status = 422, description = "The request is wrong, or refused", body = ProblemBody),
    )
)]
pub(crate) async fn debit(
    State(ledger): State<Arc<Ledger>>,
    AccountPath(id): AccountPath,
    caller: Caller,
    Body(request): Body<PostingRequest>,
) -> Result<Response, Problem> {
    let context = caller.context("POST /v1/accounts/{id}/debits");
    post_one(&ledger, &id, Side::Debit, request, context).await
}

async fn post_one(
    ledger: &Ledger,
    id: &AccountId,
    side: Side,
    request: PostingRequest,
    context: CommandContext,
) -> Result<Response, Problem> {
    let posting = request.posting()?;
    let done = post(ledger, id, side, posting.clone(), context).await?;
    let body = PostingBody {
        account_id: id.to_string(),
        side: side.as_str(),
        amount: posting.amount.amount_text(),
        currency: posting.amount.currency().code().to_owned(),
        contra: posting.contra.to_string(),
        balance: done.account.balance().amount_text(),
        version: done.version.number(),
    };
    let status = StatusCode::CREATED;
    Ok(answer(ledger, status, body, done.position, done.executed))
}

/// Carries one posting out.
pub(super) async fn post(
    ledger: &Ledger,
    id: &AccountId,
    side: Side,
    posting: Posting,
    context: CommandContext,
) -> Result<Accepted, Problem> {
    let command = match side {
        Side::Credit => AccountCommand::CreditAccount(posting),
        Side::Debit => AccountCommand::DebitAccount(posting),
    };
    execute(ledger, id, command, context).await
}

impl PostingRequest {
    /// The posting that is asked for.
    pub(super) fn posting(self) -> Result<Posting, Problem> {
        let currency = currency(&self.currency)?;
        Ok(Posting {
            amount: self.amount.amount(currency)?,
            contra: self.contra.parse().map_err(|error: InvalidPosting| {
                Problem::unprocessable("invalid_contra", "Not a contra account", error.to_string())
            })?,
            effective_date: self.effective_date,
            reference: text(self.reference, "reference")?,
            description: text(self.description, "description")?,
        })
    }
}

fn text<const MAX: usize>(
    text: Option<String>,
    field: &str,
) -> Result<Option<BoundedText<MAX>>, Problem> {
    text.map(BoundedText::try_from)
        .transpose()
        .map_err(|error| {
            Problem::unprocessable(
                "invalid_text",
                "Not a usable text",
                format!("{field}: {error}"),
            )
        })
}
