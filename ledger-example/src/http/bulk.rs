//! Many postings in one request.
//!
//! Each posting is a command of its own, named by its own key: it is posted or refused whatever
//! becomes of the others, and repeating it alone or in another bulk has no second effect. Postings
//! to one account are carried out in the order of the request, different accounts side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use folio_core::store::{Append, AppendStatus};
use folio_core::{EventStore, Fingerprint, Position};
use folio_runtime::ExecuteError;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Ledger;
use crate::account::{AccountId, Posting, Side};
use crate::http::command::answer;
use crate::http::idempotency::{Caller, check_key};
use crate::http::input::{AmountText, Body, ClientId, word};
use crate::http::postings::{PostingRequest, post};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;

/// Most postings in one request.
const POSTINGS_MAX: usize = 1_000;
/// Accounts that are posted to side by side. Their appends travel together.
const ACCOUNTS_AT_ONCE: usize = 256;

/// Many postings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// At most 1,000, to whichever accounts.
    postings: Vec<BulkPosting>,
}

/// One of many postings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkPosting {
    /// Names this posting for ever: sent again, in whatever request, it has no second effect.
    key: String,
    /// The account.
    account_id: String,
    /// `credit` or `debit`.
    side: String,
    /// How much: a decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code; must be the account's.
    currency: String,
    /// The other side: `cash`, `interest`, `fees`, `cards`, or `bank:` and a code.
    contra: String,
    /// The day on which it takes effect.
    effective_date: Option<chrono::NaiveDate>,
    /// Your own name for it.
    reference: Option<String>,
    /// What it was for.
    description: Option<String>,
}

/// What became of many postings.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkBody {
    /// One for each posting, in the order of the request.
    results: Vec<BulkResult>,
    /// How many were posted now.
    posted: usize,
    /// How many had been posted before.
    already_posted: usize,
    /// How many were refused.
    refused: usize,
}

/// What became of one posting.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkResult {
    /// Its key.
    key: String,
    /// `posted`, `already_posted` or `refused`.
    status: &'static str,
    /// The account's balance right after it; not of an account that records.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    /// The account's version right after it; not of an account that records.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

/// Posts many at once, each on its own.
#[utoipa::path(
    post, path = "/v1/postings/bulk", tag = "postings",
    params(("Idempotency-Key" = String, Header, description = "names the whole request; each posting has a key of its own besides")),
    request_body = BulkRequest,
    responses(
        (status = 200, description = "All are posted", body = BulkBody),
        (status = 207, description = "Some were refused; each result says which", body = BulkBody),
        (status = 422, description = "The request is wrong; nothing is posted", body = ProblemBody),
    )
)]
pub(crate) async fn bulk(
    State(ledger): State<Arc<Ledger>>,
    caller: Caller,
    Body(request): Body<BulkRequest>,
) -> Result<Response, Problem> {
    if request.postings.len() > POSTINGS_MAX {
        return Err(Problem::unprocessable(
            "too_many_postings",
            "Too many postings at once",
            format!("send at most {POSTINGS_MAX} in one request"),
        ));
    }
    // All are understood before any is posted.
    let items = request
        .postings
        .into_iter()
        .enumerate()
        .map(|(index, posting)| Item::parse(index, posting))
        .collect::<Result<Vec<_>, _>>()?;
    let executed = claim(&ledger, &caller, &items).await?;
    let (results, position) = carry_out(&ledger, &caller, items).await?;

    let count = |status| {
        results
            .iter()
            .filter(|result| result.status == status)
            .count()
    };
    let body = BulkBody {
        posted: count("posted"),
        already_posted: count("already_posted"),
        refused: count("refused"),
        results,
    };
    let status = if body.refused == 0 {
        StatusCode::OK
    } else {
        StatusCode::MULTI_STATUS
    };
    Ok(answer(&ledger, status, body, position, executed))
}

/// One posting, understood.
#[derive(Serialize)]
struct Item {
    index: usize,
    key: String,
    account_id: AccountId,
    side: Side,
    posting: Posting,
}

impl Item {
    fn parse(index: usize, item: BulkPosting) -> Result<Self, Problem> {
        let parse = || {
            check_key(&item.key).map_err(|detail| {
                Problem::unprocessable("idempotency_key_invalid", "Not an idempotency key", detail)
            })?;
            let account_id = AccountId::parse_text(&item.account_id)?;
            let side = word(&item.side, "invalid_side", "Not a side")?;
            let posting = PostingRequest {
                amount: item.amount,
                currency: item.currency,
                contra: item.contra,
                effective_date: item.effective_date,
                reference: item.reference,
                description: item.description,
            };
            let posting = posting.posting()?;
            Ok((account_id, side, posting))
        };
        match parse() {
            Ok((account_id, side, posting)) => Ok(Self {
                index,
                key: item.key,
                account_id,
                side,
                posting,
            }),
            Err(problem) => Err(Problem::within(problem, &format!("postings[{index}]"))),
        }
    }
}

/// Puts the request's own key on record before anything is posted, so that the same key with
/// another body is refused as a whole. What the postings came to is on record under their own keys.
async fn claim(ledger: &Ledger, caller: &Caller, items: &[Item]) -> Result<AppendStatus, Problem> {
    let json = serde_json::to_vec(items).map_err(|error| Problem::internal(&error))?;
    let claim = Append::events(
        caller.context(routes::BULK),
        Fingerprint::of(&[routes::BULK.as_bytes(), &json]),
        Vec::new(),
    );
    let claimed = ledger
        .store()
        .append(claim)
        .await
        .map_err(ExecuteError::from)?;
    Ok(claimed.status)
}

async fn carry_out(
    ledger: &Ledger,
    caller: &Caller,
    items: Vec<Item>,
) -> Result<(Vec<BulkResult>, Position), Problem> {
    let mut by_account: BTreeMap<AccountId, Vec<Item>> = BTreeMap::new();
    for item in items {
        by_account
            .entry(item.account_id.clone())
            .or_default()
            .push(item);
    }
    let accounts = stream::iter(by_account.into_values().map(|items| async move {
        let mut done = Vec::with_capacity(items.len());
        for item in items {
            done.push(carry_out_one(ledger, caller, item).await?);
        }
        Ok::<_, Problem>(done)
    }));
    let mut done: Vec<Done> = Vec::new();
    let mut accounts = accounts.buffer_unordered(ACCOUNTS_AT_ONCE);
    while let Some(account) = accounts.next().await {
        done.extend(account?);
    }
    done.sort_by_key(|done| done.index);
    let position = done
        .iter()
        .map(|done| done.position)
        .max()
        .unwrap_or(Position::START);
    let results = done.into_iter().map(|done| done.result).collect();
    Ok((results, position))
}

struct Done {
    index: usize,
    position: Position,
    result: BulkResult,
}

/// A refusal is a result. A problem that may pass ends the request: sent again, it goes on.
async fn carry_out_one(ledger: &Ledger, caller: &Caller, item: Item) -> Result<Done, Problem> {
    let context = caller.context_of(routes::BULK_POSTING, &item.key);
    let posted = post(ledger, &item.account_id, item.side, item.posting, context).await;
    let (position, result) = match posted {
        Ok(posted) => (
            posted.done.position,
            BulkResult {
                key: item.key,
                status: match posted.done.executed {
                    AppendStatus::Executed => "posted",
                    AppendStatus::AlreadyApplied => "already_posted",
                },
                balance: posted.balance,
                version: posted.version,
                problem: None,
            },
        ),
        Err(problem) if problem.may_pass() => return Err(problem),
        Err(problem) => (
            Position::START,
            BulkResult {
                key: item.key,
                status: "refused",
                balance: None,
                version: None,
                problem: Some(problem.body(None)),
            },
        ),
    };
    Ok(Done {
        index: item.index,
        position,
        result,
    })
}
