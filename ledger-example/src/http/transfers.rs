//! Transfers over HTTP: ordered, looked at, listed, turned back, taken back.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use folio_core::EventStore as _;
use folio_core::saga::{SagaEnd, SagaLog};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account::AccountId;
use crate::balances::BookName;
use crate::http::feed::{FeedBody, FeedParams, Stopping, served};
use crate::http::idempotency::Asker;
use crate::http::input::{AmountText, Body, ClientId, Params, PathId, currency};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::sagas::{self, ProgressBody, ReasonRequest, SagasPage, SagasParams, Told};
use crate::transfer::service::Transfers;
use crate::transfer::{Place, Transfer, TransferId, TransferOrder, arriving, quoted};

/// How often a transfer may be taken back that could not be the times before.
const REVERSALS_MAX: u32 = 9;

/// An account in a book.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceBody {
    /// The book.
    #[schema(example = "a")]
    book: String,
    /// The account.
    account_id: String,
}

/// An order to transfer money.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferRequest {
    /// Its id, 1 to 48 letters, digits, `.`, `_` or `-`, which names it for ever: the same order under it is the same
    /// transfer.
    #[schema(example = "rent-2026-11")]
    id: String,
    /// From where.
    from: PlaceBody,
    /// To where: an account of another book.
    to: PlaceBody,
    /// How much: a decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code of the amount and of the first account.
    #[schema(example = "EUR")]
    currency: String,
    /// ISO 4217 code of the second account, where that is another one: then the amount is exchanged on the way.
    #[schema(example = "USD")]
    to_currency: Option<String>,
}

/// A transfer.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransferBody {
    /// Its id.
    id: String,
    /// From where.
    from: PlaceBody,
    /// To where.
    to: PlaceBody,
    /// How much.
    amount: String,
    /// ISO 4217 code.
    currency: &'static str,
    /// What arrives, where it is exchanged and that is known.
    arriving: Option<ArrivingBody>,
    /// The transfer that it takes back.
    reverses: Option<String>,
    #[serde(flatten)]
    progress: ProgressBody,
}

/// What is got for an amount in another currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArrivingBody {
    /// How much.
    amount: String,
    /// ISO 4217 code.
    currency: &'static str,
    /// How much of it one unit of the first currency is.
    rate: String,
    /// What the market said.
    market_rate: String,
}

impl ClientId for TransferId {
    const CODE: &'static str = "invalid_transfer_id";
    const TITLE: &'static str = "Not an id of a transfer";
}

impl Told for Transfer {
    const NOT_FOUND: &'static str = "transfer_not_found";
    const EXISTS: &'static str = "transfer_exists";
    const ENDED: &'static str = "transfer_ended";
}

/// Orders a transfer. With `Prefer: wait=10` the answer waits so many seconds for its end.
#[utoipa::path(
    post, path = "/v1/transfers", tag = "transfers", request_body = TransferRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=` and seconds, at most 25")),
    responses(
        (status = 200, description = "It has ended", body = TransferBody),
        (status = 202, description = "It is under way, and can be looked at", body = TransferBody),
        (status = 409, description = "The id is that of another one", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn order(
    State(transfers): State<Arc<Transfers>>,
    headers: HeaderMap,
    Body(request): Body<TransferRequest>,
) -> Result<Response, Problem> {
    let id = TransferId::parse_text(&request.id)?;
    let order = request.order()?;
    begun(&transfers, &id, order, &headers).await
}

/// A transfer, with how far it is and where its money is.
#[utoipa::path(
    get, path = "/v1/transfers/{id}", tag = "transfers",
    params(("id" = String, Path, description = "the transfer")),
    responses(
        (status = 200, description = "The transfer", body = TransferBody),
        (status = 404, description = "No such transfer", body = ProblemBody),
    )
)]
pub(crate) async fn one(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<TransferId>,
) -> Result<Json<TransferBody>, Problem> {
    let saga = sagas::look(&transfers.drivers.transfers, id.as_str()).await?;
    Ok(Json(TransferBody::of(&id, &saga)))
}

/// Lists transfers, those that are stuck say, with since when they are, at which step, how often that was tried, and
/// where the money is.
#[utoipa::path(
    get, path = "/v1/transfers", tag = "transfers", params(SagasParams),
    responses(
        (status = 200, description = "A page of transfers", body = SagasPage),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(transfers): State<Arc<Transfers>>,
    Params(params): Params<SagasParams>,
) -> Result<Json<SagasPage>, Problem> {
    Ok(Json(sagas::list::<Transfer>(&transfers, &params).await?))
}

/// Has a transfer turn back, before its money is captured.
#[utoipa::path(
    post, path = "/v1/transfers/{id}/cancel", tag = "transfers", request_body = ReasonRequest,
    params(("id" = String, Path, description = "the transfer")),
    responses(
        (status = 200, description = "It turns back, or has", body = TransferBody),
        (status = 404, description = "No such transfer", body = ProblemBody),
        (status = 409, description = "It is past its pivot, or has ended", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn cancel(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<TransferId>,
    Asker { actor, .. }: Asker,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<TransferBody>, Problem> {
    let driver = &transfers.drivers.transfers;
    let saga = sagas::cancel(driver, id.as_str(), &actor, request).await?;
    Ok(Json(TransferBody::of(&id, &saga)))
}

/// Has a transfer that waits to try something again do so now.
#[utoipa::path(
    post, path = "/v1/transfers/{id}/retry", tag = "transfers", request_body = ReasonRequest,
    params(("id" = String, Path, description = "the transfer")),
    responses(
        (status = 200, description = "It was tried, if there was something to try", body = TransferBody),
        (status = 404, description = "No such transfer", body = ProblemBody),
        (status = 409, description = "It has ended", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn retry(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<TransferId>,
    Asker { actor, .. }: Asker,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<TransferBody>, Problem> {
    let driver = &transfers.drivers.transfers;
    let saga = sagas::retry(driver, id.as_str(), &actor, request).await?;
    Ok(Json(TransferBody::of(&id, &saga)))
}

/// Takes a transfer back that was carried out, by another one of what has arrived, back to where it came from. A transfer
/// is taken back once; where money is exchanged on the way back, that is at a rate of its own.
#[utoipa::path(
    post, path = "/v1/transfers/{id}/reverse", tag = "transfers",
    params(
        ("id" = String, Path, description = "the transfer"),
        ("Prefer" = Option<String>, Header, description = "`wait=` and seconds, at most 25"),
    ),
    responses(
        (status = 200, description = "The other one has ended", body = TransferBody),
        (status = 202, description = "The other one is under way", body = TransferBody),
        (status = 404, description = "No such transfer", body = ProblemBody),
        (status = 409, description = "It was not carried out, or takes one back itself", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn reverse(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<TransferId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let driver = &transfers.drivers.transfers;
    let saga = sagas::look(driver, id.as_str()).await?;
    if saga.end != Some(SagaEnd::Completed) || saga.order.reverses.is_some() {
        return Err(Problem::client(
            StatusCode::CONFLICT,
            "not_reversible",
            "It cannot be taken back",
            "only what was carried out can be, and is no reversal itself; order a transfer of its own",
        ));
    }
    for number in 1..=REVERSALS_MAX {
        let reversal = reversal(&id, number)?;
        let before = driver.look(reversal.as_str()).await;
        let before = before.map_err(sagas::problem::<Transfer>)?;
        let has_failed = before.is_some_and(|saga| saga.end == Some(SagaEnd::Undone));
        if !has_failed {
            let order = back(&id, &saga);
            return begun(&transfers, &reversal, order, &headers).await;
        }
    }
    Err(Problem::client(
        StatusCode::CONFLICT,
        "reversals_used_up",
        "It was tried too often",
        "none of its reversals was carried out; order a transfer of its own",
    ))
}

/// The events of all sagas in the order of their positions, byte for byte: their logs.
#[utoipa::path(
    get, path = "/v1/feed", tag = "feed", params(FeedParams),
    responses(
        (status = 200, description = "The next events, maybe none", body = FeedBody),
        (status = 409, description = "This is another store", body = ProblemBody),
        (status = 422, description = "Not what can be asked for", body = ProblemBody),
    )
)]
pub(crate) async fn feed(
    State(transfers): State<Arc<Transfers>>,
    stopping: Option<Extension<Stopping>>,
    Params(params): Params<FeedParams>,
) -> Result<Json<FeedBody>, Problem> {
    let now = async { Ok(transfers.store.clock().await?) };
    served(&transfers.feed, now, &params, stopping).await
}

/// Tells whether the store answers.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Ready", body = crate::http::health::ReadyBody),
        (status = 503, description = "Not ready, and why", body = crate::http::health::ReadyBody),
    )
)]
pub(crate) async fn readyz(State(transfers): State<Arc<Transfers>>) -> Response {
    crate::http::health::ready(transfers.store.head().await.err())
}

async fn begun(
    transfers: &Transfers,
    id: &TransferId,
    order: TransferOrder,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    id.screening().map_err(too_long::<TransferId>)?;
    let driver = &transfers.drivers.transfers;
    let (status, saga) = sagas::begin(driver, id.as_str(), order, headers).await?;
    let body = Json(TransferBody::of(id, &saga));
    Ok(located((status, body), &format!("/v1/transfers/{id}")))
}

/// The id of the transfer that takes one back, the first or a later one.
fn reversal(id: &TransferId, number: u32) -> Result<TransferId, Problem> {
    TransferId::parse_text(&match number {
        1 => format!("{id}-back"),
        _ => format!("{id}-back{number}"),
    })
}

/// What takes a transfer back.
fn back(id: &TransferId, saga: &SagaLog<Transfer>) -> TransferOrder {
    let TransferOrder { from, to, .. } = saga.order.clone();
    TransferOrder {
        from: to,
        to: from,
        amount: arriving(saga),
        into: saga.order.into.map(|_| saga.order.amount.currency()),
        reverses: Some(id.clone()),
    }
}

/// An id that is one, and too long for a saga.
pub(crate) fn too_long<T: ClientId>(error: impl std::fmt::Display) -> Problem {
    Problem::unprocessable(T::CODE, T::TITLE, error.to_string())
}

/// An answer about a saga, with where it is looked at.
pub(crate) fn located(answer: impl IntoResponse, path: &str) -> Response {
    let mut response = answer.into_response();
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

impl TransferRequest {
    fn order(self) -> Result<TransferOrder, Problem> {
        let (from, to) = (self.from.place()?, self.to.place()?);
        if from.book == to.book {
            return Err(Problem::unprocessable(
                "same_book",
                "Both accounts are in one book",
                "post an entry in that book",
            ));
        }
        let sold = currency(&self.currency)?;
        let into = self.to_currency.as_deref().map(currency).transpose()?;
        Ok(TransferOrder {
            from,
            to,
            amount: self.amount.amount(sold)?,
            into: into.filter(|into| *into != sold),
            reverses: None,
        })
    }
}

impl PlaceBody {
    pub(crate) fn place(&self) -> Result<Place, Problem> {
        let book = self.book.parse::<BookName>().map_err(|error| {
            Problem::unprocessable("invalid_book", "Not the name of a book", error.to_string())
        })?;
        let account = AccountId::parse_text(&self.account_id)?;
        Ok(Place { book, account })
    }

    pub(crate) fn of(place: &Place) -> Self {
        Self {
            book: place.book.to_string(),
            account_id: place.account.to_string(),
        }
    }
}

impl TransferBody {
    fn of(id: &TransferId, saga: &SagaLog<Transfer>) -> Self {
        let order = &saga.order;
        Self {
            id: id.as_str().to_owned(),
            from: PlaceBody::of(&order.from),
            to: PlaceBody::of(&order.to),
            amount: order.amount.amount_text(),
            currency: order.amount.currency().code(),
            arriving: quoted(saga).map(|quoted| ArrivingBody {
                amount: quoted.bought.amount_text(),
                currency: quoted.bought.currency().code(),
                rate: quoted.rate.to_string(),
                market_rate: quoted.market_rate.to_string(),
            }),
            reverses: order.reverses.clone().map(String::from),
            progress: ProgressBody::of(saga),
        }
    }
}
