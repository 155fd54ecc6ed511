//! Holds: placing, capturing, releasing, reading.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::account::AccountId;
use crate::balances::{BookName, Shelf};
use crate::hold::{CaptureHold, Hold, HoldId, PlaceHold, PlacedHold, ReleaseHold, Resolution};
use crate::http::command::{AcceptedJointly, answer, execute_jointly, execute_looked_up, located};
use crate::http::cursor;
use crate::http::entries::posted;
use crate::http::entry_body::ExchangeRequest;
use crate::http::idempotency::Caller;
use crate::http::input::{AmountText, Body, ClientId, Params, PathId, currency, text, word};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;
use crate::http::shelf::{Origin, Sought};
use crate::http::times::{Asked, ModelParams, time_text};
use crate::journal::EntryId;
use crate::read_model::{HoldRow, HoldsFilter};

/// A request to place a hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// Its id, which names it for ever.
    #[schema(example = "card-17")]
    id: String,
    /// On which account.
    account_id: String,
    /// `debit` for money that is to go out, when left out; `credit` for money that is expected.
    side: Option<String>,
    /// How much: a decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code; must be the account's.
    #[schema(example = "EUR")]
    currency: String,
    /// How long it lasts, in seconds, at most 366 days. Then it expires, by the store's clock.
    #[schema(example = 604_800)]
    expires_in_seconds: u32,
    /// Your own name for it, 1 to 64 characters.
    reference: Option<String>,
}

/// A request to capture a hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// How much: a decimal string; all of it, when left out. The rest is released.
    #[schema(value_type = Option<String>, example = "10.00")]
    amount: Option<AmountText>,
    /// ISO 4217 code of the amount; must be the account's.
    #[schema(example = "EUR")]
    currency: Option<String>,
    /// The account on the other side; `contra.cards.EUR` and the like for the book's own.
    counter_account_id: String,
    /// What it is exchanged for, where that account is in another currency: by way of `contra.exchange.EUR` and the like.
    exchange: Option<ExchangeRequest>,
    /// The id of the entry that it becomes; made for you when left out.
    entry_id: Option<String>,
    /// The day on which the entry takes effect, where that is not today.
    effective_date: Option<NaiveDate>,
    /// Your own name for it, 1 to 64 characters.
    reference: Option<String>,
    /// What it was for, 1 to 200 characters.
    description: Option<String>,
}

/// A hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldBody {
    /// The book that it is in. Not told in answer to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    book: Option<String>,
    /// Its id.
    hold_id: String,
    /// `open`, `captured`, `released`, `expired`, or `ruled_out` when it was released before it was
    /// placed.
    state: String,
    /// On which account; null where it was ruled out, and so for what follows.
    account_id: Option<String>,
    /// `debit` or `credit`.
    side: Option<&'static str>,
    /// How much.
    amount: Option<String>,
    /// In which currency.
    currency: Option<&'static str>,
    /// When it was placed, in UTC. Not told in answer to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    placed_at: Option<String>,
    /// When it expires, in UTC.
    expires_at: Option<String>,
    /// The client's name for it.
    reference: Option<String>,
    /// How much was captured.
    captured: Option<String>,
    /// The entry that captured it.
    entry_id: Option<String>,
    /// When it was resolved, in UTC. Not told in answer to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_at: Option<String>,
}

/// A page of holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldsPage {
    /// In the order of their ids.
    holds: Vec<HoldBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// Which page of holds.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HoldsParams {
    /// The book, where several have such an account.
    book: Option<String>,
    /// Only those that are `open`, `captured`, `released` or `expired`.
    state: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Holds on the page, 1 to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Waits until the model has this position.
    min_position: Option<String>,
}

/// Sets money aside, or has it expected. It counts against what is available from now on.
#[utoipa::path(
    post, path = "/v1/holds", tag = "holds",
    params(("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect")),
    request_body = HoldRequest,
    responses(
        (status = 201, description = "It is placed", body = HoldBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "The id is taken or ruled out, or the account is closing, closed or frozen", body = ProblemBody),
        (status = 422, description = "The request is wrong, or refused", body = ProblemBody),
    )
)]
pub(crate) async fn place(
    State(ledger): State<Arc<Ledger>>,
    caller: Caller,
    Body(request): Body<HoldRequest>,
) -> Result<Response, Problem> {
    let id = HoldId::parse_text(&request.id)?;
    let currency = currency(&request.currency)?;
    let side = request.side.as_deref().unwrap_or("debit");
    let command = PlaceHold {
        hold: id.clone(),
        account: AccountId::parse_text(&request.account_id)?,
        side: word(side, "invalid_side", "Not a side")?,
        amount: request.amount.amount(currency)?,
        lifetime_seconds: request.expires_in_seconds,
        reference: text(request.reference, "reference")?,
        now: ledger.now().await?,
    };
    let done = execute_jointly(&ledger, &command, caller.context(routes::HOLD)).await?;
    let response = answer_with_hold(&ledger, &id, &done, StatusCode::CREATED)?;
    Ok(located(response, &format!("/v1/holds/{id}")))
}

/// Posts what a hold sets aside, or a part of it, and releases the rest.
#[utoipa::path(
    post, path = "/v1/holds/{id}/capture", tag = "holds",
    params(
        ("id" = String, Path, description = "the hold"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = CaptureRequest,
    responses(
        (status = 201, description = "The entry is posted", body = crate::http::entry_body::EntryBody),
        (status = 404, description = "No such hold or account", body = ProblemBody),
        (status = 409, description = "It was captured, released or has expired; or the period or an account is closed", body = ProblemBody),
        (status = 422, description = "The request is wrong, or refused", body = ProblemBody),
    )
)]
pub(crate) async fn capture(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<HoldId>,
    caller: Caller,
    Body(request): Body<CaptureRequest>,
) -> Result<Response, Problem> {
    let context = caller.context(routes::CAPTURE);
    let counter_account = AccountId::parse_text(&request.counter_account_id)?;
    let entry = match &request.entry_id {
        Some(entry) => EntryId::parse_text(entry)?,
        None => EntryId::of_command(context.id),
    };
    let reference = text(request.reference, "reference")?;
    let description = text(request.description, "description")?;
    let amount = match (&request.amount, &request.currency) {
        (None, None) => None,
        (Some(amount), Some(code)) => Some(amount.amount(currency(code)?)?),
        (Some(_), None) | (None, Some(_)) => {
            return Err(Problem::unprocessable(
                "invalid_request",
                "Not what this endpoint takes",
                "amount and currency go together; leave both out to capture all of the hold",
            ));
        }
    };
    let exchange = request
        .exchange
        .map(ExchangeRequest::exchange)
        .transpose()?;
    let (ledger, effective_date) = (&*ledger, request.effective_date);
    let done = execute_looked_up(ledger, context, || async {
        let placed = look_up(ledger, &id).await?;
        Ok(CaptureHold {
            hold: id.clone(),
            account: placed.map(|placed| placed.account),
            amount,
            counter_account: counter_account.clone(),
            entry: entry.clone(),
            exchange: exchange.clone(),
            effective_date,
            reference: reference.clone(),
            description: description.clone(),
            now: ledger.now().await?,
        })
    })
    .await?;
    posted(ledger, &entry, &done)
}

/// Gives a hold up. One that was never placed is ruled out: a request to place it that is still on its
/// way is refused.
#[utoipa::path(
    post, path = "/v1/holds/{id}/release", tag = "holds",
    params(
        ("id" = String, Path, description = "the hold"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    responses(
        (status = 200, description = "It holds nothing any more", body = HoldBody),
        (status = 409, description = "It was captured, released or has expired", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn release(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<HoldId>,
    caller: Caller,
) -> Result<Response, Problem> {
    let ledger = &*ledger;
    let done = execute_looked_up(ledger, caller.context(routes::RELEASE), || async {
        let placed = look_up(ledger, &id).await?;
        Ok(ReleaseHold {
            hold: id.clone(),
            account: placed.map(|placed| placed.account),
        })
    })
    .await?;
    answer_with_hold(ledger, &id, &done, StatusCode::OK)
}

/// One hold.
#[utoipa::path(
    get, path = "/v1/holds/{id}", tag = "holds",
    params(("id" = String, Path, description = "the hold"), ModelParams),
    responses(
        (status = 200, description = "The hold", body = HoldBody),
        (status = 404, description = "No such hold", body = ProblemBody),
        (status = 409, description = "Several books have it", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn one(
    State(shelf): State<Arc<Shelf>>,
    PathId(id): PathId<HoldId>,
    Params(params): Params<ModelParams>,
) -> Result<Response, Problem> {
    let sought = Sought::Hold(&id);
    let opened = shelf
        .open(params.book.as_deref(), sought, params.asked())
        .await?;
    let hold = opened.model.hold(&id).await?;
    let (book, origin) = (opened.book.name.clone(), Origin::of(&opened));
    opened.model.close().await?;
    let hold = hold.ok_or_else(Problem::hold_not_found)?;
    Ok(origin.answer(HoldBody::of_row(hold, &book)))
}

/// The holds on an account.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/holds", tag = "holds",
    params(("id" = String, Path, description = "the account"), HoldsParams),
    responses(
        (status = 200, description = "A page of holds", body = HoldsPage),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "Several books have it", body = ProblemBody),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn of_account(
    State(shelf): State<Arc<Shelf>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<HoldsParams>,
) -> Result<Response, Problem> {
    let filter = HoldsFilter {
        state: params.state,
    };
    if let Some(state) = &filter.state
        && !["open", "captured", "released", "expired"].contains(&state.as_str())
    {
        return Err(Problem::unprocessable(
            "invalid_state",
            "Not a state",
            "a state is open, captured, released or expired",
        ));
    }
    let list = format!("holds/{:?}/{id}/{filter:?}", params.book);
    let limit = cursor::limit(params.limit)?;
    let after = match &params.cursor {
        Some(cursor) => cursor::decode(&list, cursor)?,
        None => String::new(),
    };
    let asked = Asked {
        min_position: params.min_position.as_deref(),
        ..Asked::default()
    };
    let sought = Sought::Account(&id);
    let opened = shelf.open(params.book.as_deref(), sought, asked).await?;
    let model = &opened.model;
    let account = model.account(&id).await?;
    account.ok_or_else(Problem::account_not_found)?;
    let holds = model.holds(&id, &filter, &after, i64::from(limit)).await?;
    let (book, origin) = (opened.book.name.clone(), Origin::of(&opened));
    opened.model.close().await?;
    let last = holds.last().map(|hold| hold.hold_id.to_string());
    let holds: Vec<HoldBody> = holds
        .into_iter()
        .map(|hold| HoldBody::of_row(hold, &book))
        .collect();
    Ok(origin.answer(HoldsPage {
        next_cursor: cursor::next(&list, holds.len(), limit, last),
        holds,
    }))
}

/// What was placed: it never changes.
async fn look_up(ledger: &Ledger, id: &HoldId) -> Result<Option<PlacedHold>, Problem> {
    let (hold, _) = ledger.executor.latest::<Hold>(id.as_str()).await?;
    Ok(hold.and_then(|hold| hold.placed))
}

fn answer_with_hold(
    ledger: &Ledger,
    id: &HoldId,
    done: &AcceptedJointly,
    status: StatusCode,
) -> Result<Response, Problem> {
    let body = match done.states.of::<Hold>(id.as_str()) {
        Some((hold, _)) => HoldBody::of_state(id, hold),
        // Nothing was recorded, since it was ruled out before.
        None => HoldBody::of_state(
            id,
            &Hold {
                placed: None,
                resolution: Some(Resolution::RuledOut),
            },
        ),
    };
    Ok(answer(ledger, status, body, done.position, done.executed))
}

impl HoldBody {
    fn of_state(id: &HoldId, hold: &Hold) -> Self {
        let (captured, entry_id) = match &hold.resolution {
            Some(Resolution::Captured { amount, entry }) => {
                (Some(amount.amount_text()), Some(entry.to_string()))
            }
            Some(Resolution::Released | Resolution::Expired | Resolution::RuledOut) | None => {
                (None, None)
            }
        };
        let state = hold.resolution.as_ref();
        let placed = hold.placed.as_ref();
        Self {
            book: None,
            hold_id: id.to_string(),
            state: state.map_or("open", Resolution::as_str).to_owned(),
            account_id: placed.map(|placed| placed.account.to_string()),
            side: placed.map(|placed| placed.side.as_str()),
            amount: placed.map(|placed| placed.amount.amount_text()),
            currency: placed.map(|placed| placed.amount.currency().code()),
            placed_at: None,
            expires_at: placed.map(|placed| time_text(placed.expires_at)),
            reference: placed.and_then(|placed| placed.reference.clone().map(String::from)),
            captured,
            entry_id,
            resolved_at: None,
        }
    }
}

impl HoldBody {
    /// A hold of this book.
    fn of_row(row: HoldRow, book: &BookName) -> Self {
        let held = row.held.as_ref();
        let (captured, entry_id) = row.captured.unzip();
        Self {
            book: Some(book.to_string()),
            hold_id: row.hold_id.to_string(),
            state: row.state,
            account_id: held.map(|held| held.account_id.to_string()),
            side: held.map(|held| held.side.as_str()),
            amount: held.map(|held| held.amount.amount_text()),
            currency: held.map(|held| held.amount.currency().code()),
            placed_at: held.map(|held| time_text(held.placed_at)),
            expires_at: held.map(|held| time_text(held.expires_at)),
            reference: held.and_then(|held| held.reference.clone()),
            captured: captured.map(|money| money.amount_text()),
            entry_id,
            resolved_at: row.resolved_at.map(time_text),
        }
    }
}
