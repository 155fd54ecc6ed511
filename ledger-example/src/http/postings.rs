//! Credits and debits, one by one: the shorthand for an entry of two legs, one of them on a contra
//! account.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use folio_core::{Aggregate, CommandContext};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Ledger;
use crate::account::{Account, AccountId, Kind, Posting, Side};
use crate::http::command::{AcceptedJointly, answer, execute_jointly};
use crate::http::idempotency::Caller;
use crate::http::input::{AmountText, Body, PathId, currency, text, word};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;
use crate::journal::{Entry, EntryId, PostOne};

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
    /// The entry that it is, at `/v1/journal-entries/{id}`; none of a posting of the ledger's first
    /// version.
    entry_id: Option<String>,
    /// `credit` or `debit`.
    side: &'static str,
    /// How much.
    amount: String,
    /// In which currency.
    currency: String,
    /// The other side.
    contra: String,
    /// The account's balance right after it; of an account that records, `/v1/accounts/{id}/balance` tells it.
    balance: Option<String>,
    /// The account's version right after it; none of an account that records.
    version: Option<i64>,
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
        (status = 409, description = "The account is closed or frozen, or the period is closed", body = ProblemBody),
        (status = 422, description = "The request is wrong, or refused", body = ProblemBody),
    )
)]
pub(crate) async fn credit(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    caller: Caller,
    Body(request): Body<PostingRequest>,
) -> Result<Response, Problem> {
    let context = caller.context(routes::CREDIT);
    post_one(&ledger, &id, Side::Credit, request, context).await
}

/// Pays out, as far as the account's limits allow.
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
        (status = 409, description = "The account is closed or frozen, or the period is closed", body = ProblemBody),
        (status = 422, description = "The request is wrong, or refused", body = ProblemBody),
    )
)]
pub(crate) async fn debit(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    caller: Caller,
    Body(request): Body<PostingRequest>,
) -> Result<Response, Problem> {
    let context = caller.context(routes::DEBIT);
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
        entry_id: posted.entry_id,
        side: side.as_str(),
        amount: posting.amount.amount_text(),
        currency: posting.amount.currency().code().to_owned(),
        contra: posting.contra.to_string(),
        balance: posted.balance,
        version: posted.version,
    };
    let (status, done) = (StatusCode::CREATED, posted.done);
    Ok(answer(ledger, status, body, done.position, done.executed))
}

/// A posting that was carried out.
pub(super) struct Posted {
    entry_id: Option<String>,
    pub(super) balance: Option<String>,
    pub(super) version: Option<i64>,
    pub(super) done: AcceptedJointly,
}

/// Carries one posting out.
pub(super) async fn post(
    ledger: &Ledger,
    id: &AccountId,
    side: Side,
    posting: Posting,
    context: CommandContext,
) -> Result<Posted, Problem> {
    let command = PostOne {
        account: id.clone(),
        side,
        posting,
        entry: EntryId::of_command(context.id),
        now: ledger.now().await?,
    };
    let done = execute_jointly(ledger, &command, context).await?;
    // An account that records is not written to by its legs, so that nobody waits for another: there is no state of it that they
    // left behind, or the one with which this opened it.
    let account = done.states.of::<Account>(id.as_str());
    let account = account.filter(|(account, _)| account.kind() == Kind::Authorising);
    let entry = done
        .events
        .iter()
        .find(|event| event.stream.category() == Entry::CATEGORY);
    Ok(Posted {
        entry_id: entry.map(|event| event.stream.id().to_owned()),
        balance: account.map(|(account, _)| account.balance().amount_text()),
        version: account.map(|(_, version)| version.number()),
        done,
    })
}

impl PostingRequest {
    /// The posting that is asked for.
    pub(super) fn posting(self) -> Result<Posting, Problem> {
        let currency = currency(&self.currency)?;
        Ok(Posting {
            amount: self.amount.amount(currency)?,
            contra: word(&self.contra, "invalid_contra", "Not a contra account")?,
            effective_date: self.effective_date,
            reference: text(self.reference, "reference")?,
            description: text(self.description, "description")?,
        })
    }
}
