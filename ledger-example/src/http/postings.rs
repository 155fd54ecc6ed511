//! Credits and debits, one by one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use folio_core::{CommandContext, EventStore, Money, Position, Version};
use folio_runtime::{Executed, Verdict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Ledger;
use crate::account::{
    Account, AccountCommand, AccountId, BoundedText, InvalidPosting, Posting, Side,
};
use crate::http::idempotency::{Caller, REPLAYED};
use crate::http::input::{AccountPath, AmountText, Body, amount_text, currency};
use crate::http::position::PositionToken;
use crate::http::problem::{Problem, ProblemBody};

/// A request to credit or debit an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostingRequest {
    /// How much: a decimal string with at most the currency's decimals.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code; must be the account's.
    #[schema(example = "EUR")]
    currency: String,
    /// The other side: `cash`, `interest`, `fees`, `cards`, or `bank:` and a code.
    #[schema(example = "cash")]
    contra: String,
    /// The day on which it takes effect, where that is not today: `2026-03-31`.
    effective_date: Option<chrono::NaiveDate>,
    /// Your own name for it, 1 to 64 characters.
    reference: Option<String>,
    /// What it was for, 1 to 200 characters.
    description: Option<String>,
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
    let posted = post(ledger, id, side, posting.clone(), context).await?;
    let body = PostingBody {
        account_id: id.to_string(),
        side: side.as_str(),
        amount: posting.amount.amount_text(),
        currency: posting.amount.currency().code().to_owned(),
        contra: posting.contra.to_string(),
        balance: amount_text(posted.balance),
        version: posted.version.number(),
    };
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    let headers = response.headers_mut();
    PositionToken::of(ledger.store().store_id(), posted.position).put(headers);
    if posted.executed == Executed::Before {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A posting that is on record.
pub(crate) struct Posted {
    pub(crate) executed: Executed,
    pub(crate) balance: Money,
    pub(crate) version: Version,
    pub(crate) position: Position,
}

/// Carries one posting out.
pub(crate) async fn post(
    ledger: &Ledger,
    id: &AccountId,
    side: Side,
    posting: Posting,
    context: CommandContext,
) -> Result<Posted, Problem> {
    let command = match side {
        Side::Credit => AccountCommand::CreditAccount(posting),
        Side::Debit => AccountCommand::DebitAccount(posting),
    };
    let reply = ledger
        .executor
        .execute::<Account>(id.as_str(), command, context)
        .await?;
    let executed = reply.executed;
    match reply.verdict {
        Verdict::Refused(refusal) if executed == Executed::Before => {
            Err(Problem::from(refusal).replayed())
        }
        Verdict::Refused(refusal) => Err(refusal.into()),
        Verdict::Accepted { state: None, .. } => Err(Problem::account_not_found()),
        Verdict::Accepted {
            state: Some(account),
            version,
            position,
            ..
        } => Ok(Posted {
            executed,
            balance: account.balance(),
            version,
            position,
        }),
    }
}

impl PostingRequest {
    fn posting(self) -> Result<Posting, Problem> {
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

    /// The same from its parts, for requests that hold several.
    pub(crate) fn posting_of(
        amount: AmountText,
        currency: String,
        contra: String,
        effective_date: Option<chrono::NaiveDate>,
        reference: Option<String>,
        description: Option<String>,
    ) -> Result<Posting, Problem> {
        Self {
            amount,
            currency,
            contra,
            effective_date,
            reference,
            description,
        }
        .posting()
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
