//! Payments over HTTP, to the outside and from there: ordered, looked at, listed, turned back, returned.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use folio_core::saga::{SagaEnd, SagaLog};
use folio_mesh::Deadline;
use serde::{Deserialize, Serialize};
use tokio::time::Duration;
use utoipa::ToSchema;

use crate::http::idempotency::Asker;
use crate::http::input::{AmountText, Body, ClientId, Params, PathId, currency};
use crate::http::outside::OutsideError;
use crate::http::parties::{Named, Shown, carried_over};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::sagas::{self, ProgressBody, ReasonRequest, SagasPage, SagasParams, Told};
use crate::http::transfers::{PlaceBody, located, too_long};
use crate::payment::{InOrder, OutOrder, PaymentId, PaymentIn, PaymentOut};
use crate::rails::PaymentState;
use crate::transfer::service::Transfers;

/// How long the network is asked whether money came back.
const LOOK: Duration = Duration::from_secs(5);

/// How often a payment may be taken in again that could not be the times before.
const RETURNS_MAX: u32 = 9;

/// An order to pay somebody outside.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentOutRequest {
    /// Its id, 1 to 48 letters, digits, `.`, `_` or `-`, which names it for ever: the same order under it is the same
    /// payment.
    #[schema(example = "invoice-17")]
    id: String,
    /// From where.
    from: PlaceBody,
    /// Who is paid, 1 to 64 characters. It is recorded as it is, unless `payee_subject` says that it is a person.
    payee: String,
    /// The pseudonym of a person, by which it can be forgotten: 1 to 64 letters, digits, `.`, `_` or `-`. With it, `payee` is
    /// recorded sealed.
    #[schema(example = "c-4711")]
    payee_subject: Option<String>,
    /// How much: a decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code; must be the account's.
    #[schema(example = "EUR")]
    currency: String,
}

/// An order to collect money from somebody outside.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentInRequest {
    /// Its id, as of payments out, from whose ids these are apart.
    #[schema(example = "salary-2026-11")]
    id: String,
    /// To where.
    to: PlaceBody,
    /// Who pays, 1 to 64 characters. It is recorded as it is, unless `payer_subject` says that it is a person.
    payer: String,
    /// The pseudonym of a person, by which it can be forgotten: 1 to 64 letters, digits, `.`, `_` or `-`. With it, `payer` is
    /// recorded sealed.
    #[schema(example = "c-4711")]
    payer_subject: Option<String>,
    /// How much: a decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code; must be the account's.
    #[schema(example = "EUR")]
    currency: String,
}

/// A payment to somebody outside.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentOutBody {
    /// Its id.
    id: String,
    /// From where.
    from: PlaceBody,
    /// Who is paid; not there where that was forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    payee: Option<String>,
    /// By which pseudonym it can be forgotten, where it is a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    payee_subject: Option<String>,
    /// Whether it was forgotten; only there where it was.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    payee_erased: bool,
    /// How much.
    amount: String,
    /// ISO 4217 code.
    currency: &'static str,
    #[serde(flatten)]
    progress: ProgressBody,
}

/// A payment from somebody outside.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentInBody {
    /// Its id.
    id: String,
    /// To where.
    to: PlaceBody,
    /// Who pays; not there where that was forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
    /// By which pseudonym it can be forgotten, where it is a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_subject: Option<String>,
    /// Whether it was forgotten; only there where it was.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    payer_erased: bool,
    /// How much.
    amount: String,
    /// ISO 4217 code.
    currency: &'static str,
    /// The payment out whose money comes back by this.
    returns: Option<String>,
    #[serde(flatten)]
    progress: ProgressBody,
}

impl ClientId for PaymentId {
    const CODE: &'static str = "invalid_payment_id";
    const TITLE: &'static str = "Not an id of a payment";
}

impl Told for PaymentOut {
    const NOT_FOUND: &'static str = "payment_not_found";
    const EXISTS: &'static str = "payment_exists";
    const ENDED: &'static str = "payment_ended";
}

impl Told for PaymentIn {
    const NOT_FOUND: &'static str = "payment_not_found";
    const EXISTS: &'static str = "payment_exists";
    const ENDED: &'static str = "payment_ended";
}

/// Orders a payment to somebody outside. With `Prefer: wait=10` the answer waits so many seconds for its end.
#[utoipa::path(
    post, path = "/v1/payments-out", tag = "payments", request_body = PaymentOutRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=` and seconds, at most 25")),
    responses(
        (status = 200, description = "It has ended", body = PaymentOutBody),
        (status = 202, description = "It is under way, and can be looked at", body = PaymentOutBody),
        (status = 409, description = "The id is that of another one, or the subject was forgotten", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn pay(
    State(transfers): State<Arc<Transfers>>,
    headers: HeaderMap,
    Body(request): Body<PaymentOutRequest>,
) -> Result<Response, Problem> {
    let id = PaymentId::parse_text(&request.id)?;
    id.screening().map_err(too_long::<PaymentId>)?;
    let driver = &transfers.drivers.outward;
    let (from, currency) = (request.from.place()?, currency(&request.currency)?);
    let amount = request.amount.amount(currency)?;
    let payee = Named {
        field: "payee",
        name: request.payee,
        subject: request.payee_subject,
    };
    let payee = payee.sealed(&transfers.vault, driver, &id).await?;
    let order = OutOrder {
        from,
        payee,
        amount,
    };
    let (status, saga) = sagas::begin(driver, id.as_str(), order, &headers).await?;
    let body = Json(PaymentOutBody::of(&transfers, &id, &saga).await?);
    Ok(located((status, body), &format!("/v1/payments-out/{id}")))
}

/// Orders to collect money from somebody outside. With `Prefer: wait=10` the answer waits so many seconds for its end.
#[utoipa::path(
    post, path = "/v1/payments-in", tag = "payments", request_body = PaymentInRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=` and seconds, at most 25")),
    responses(
        (status = 200, description = "It has ended", body = PaymentInBody),
        (status = 202, description = "It is under way, and can be looked at", body = PaymentInBody),
        (status = 409, description = "The id is that of another one, or the subject was forgotten", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn collect(
    State(transfers): State<Arc<Transfers>>,
    headers: HeaderMap,
    Body(request): Body<PaymentInRequest>,
) -> Result<Response, Problem> {
    let id = PaymentId::parse_text(&request.id)?;
    let (to, currency) = (request.to.place()?, currency(&request.currency)?);
    let amount = request.amount.amount(currency)?;
    let payer = Named {
        field: "payer",
        name: request.payer,
        subject: request.payer_subject,
    };
    let driver = &transfers.drivers.inward;
    let order = InOrder {
        to,
        payer: payer.sealed(&transfers.vault, driver, &id).await?,
        amount,
        returns: None,
    };
    begun_in(&transfers, &id, order, &headers).await
}

/// A payment out, with how far it is and where its money is.
#[utoipa::path(
    get, path = "/v1/payments-out/{id}", tag = "payments",
    params(("id" = String, Path, description = "the payment")),
    responses(
        (status = 200, description = "The payment", body = PaymentOutBody),
        (status = 404, description = "No such payment", body = ProblemBody),
    )
)]
pub(crate) async fn one_out(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<PaymentId>,
) -> Result<Json<PaymentOutBody>, Problem> {
    let saga = sagas::look(&transfers.drivers.outward, id.as_str()).await?;
    Ok(Json(PaymentOutBody::of(&transfers, &id, &saga).await?))
}

/// A payment in, with how far it is and where its money is.
#[utoipa::path(
    get, path = "/v1/payments-in/{id}", tag = "payments",
    params(("id" = String, Path, description = "the payment")),
    responses(
        (status = 200, description = "The payment", body = PaymentInBody),
        (status = 404, description = "No such payment", body = ProblemBody),
    )
)]
pub(crate) async fn one_in(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<PaymentId>,
) -> Result<Json<PaymentInBody>, Problem> {
    let saga = sagas::look(&transfers.drivers.inward, id.as_str()).await?;
    Ok(Json(PaymentInBody::of(&transfers, &id, &saga).await?))
}

/// Lists payments out.
#[utoipa::path(
    get, path = "/v1/payments-out", tag = "payments", params(SagasParams),
    responses(
        (status = 200, description = "A page of payments", body = SagasPage),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn list_out(
    State(transfers): State<Arc<Transfers>>,
    Params(params): Params<SagasParams>,
) -> Result<Json<SagasPage>, Problem> {
    Ok(Json(sagas::list::<PaymentOut>(&transfers, &params).await?))
}

/// Lists payments in.
#[utoipa::path(
    get, path = "/v1/payments-in", tag = "payments", params(SagasParams),
    responses(
        (status = 200, description = "A page of payments", body = SagasPage),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn list_in(
    State(transfers): State<Arc<Transfers>>,
    Params(params): Params<SagasParams>,
) -> Result<Json<SagasPage>, Problem> {
    Ok(Json(sagas::list::<PaymentIn>(&transfers, &params).await?))
}

/// Has a payment out turn back, before it is submitted to the network.
#[utoipa::path(
    post, path = "/v1/payments-out/{id}/cancel", tag = "payments", request_body = ReasonRequest,
    params(("id" = String, Path, description = "the payment")),
    responses(
        (status = 200, description = "It turns back, or has", body = PaymentOutBody),
        (status = 404, description = "No such payment", body = ProblemBody),
        (status = 409, description = "It is past its pivot, or has ended", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn cancel_out(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<PaymentId>,
    Asker { actor, .. }: Asker,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<PaymentOutBody>, Problem> {
    let driver = &transfers.drivers.outward;
    let saga = sagas::cancel(driver, id.as_str(), &actor, request).await?;
    Ok(Json(PaymentOutBody::of(&transfers, &id, &saga).await?))
}

/// Has a payment out that waits to try something again do so now.
#[utoipa::path(
    post, path = "/v1/payments-out/{id}/retry", tag = "payments", request_body = ReasonRequest,
    params(("id" = String, Path, description = "the payment")),
    responses(
        (status = 200, description = "It was tried, if there was something to try", body = PaymentOutBody),
        (status = 404, description = "No such payment", body = ProblemBody),
        (status = 409, description = "It has ended", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn retry_out(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<PaymentId>,
    Asker { actor, .. }: Asker,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<PaymentOutBody>, Problem> {
    let driver = &transfers.drivers.outward;
    let saga = sagas::retry(driver, id.as_str(), &actor, request).await?;
    Ok(Json(PaymentOutBody::of(&transfers, &id, &saga).await?))
}

/// Has a payment in that waits to try something again do so now.
#[utoipa::path(
    post, path = "/v1/payments-in/{id}/retry", tag = "payments", request_body = ReasonRequest,
    params(("id" = String, Path, description = "the payment")),
    responses(
        (status = 200, description = "It was tried, if there was something to try", body = PaymentInBody),
        (status = 404, description = "No such payment", body = ProblemBody),
        (status = 409, description = "It has ended", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn retry_in(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<PaymentId>,
    Asker { actor, .. }: Asker,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<PaymentInBody>, Problem> {
    let driver = &transfers.drivers.inward;
    let saga = sagas::retry(driver, id.as_str(), &actor, request).await?;
    Ok(Json(PaymentInBody::of(&transfers, &id, &saga).await?))
}

/// Takes in money that has come back after the network had accepted a payment out: by a payment in, of the id
/// `<payment>-return`, which is there once however often this is asked. Where that one was undone, since the account was frozen say, the
/// next is `<payment>-return2`.
#[utoipa::path(
    post, path = "/v1/payments-out/{id}/return", tag = "payments",
    params(
        ("id" = String, Path, description = "the payment out"),
        ("Prefer" = Option<String>, Header, description = "`wait=` and seconds, at most 25"),
    ),
    responses(
        (status = 200, description = "The payment in has ended", body = PaymentInBody),
        (status = 202, description = "The payment in is under way", body = PaymentInBody),
        (status = 404, description = "No such payment", body = ProblemBody),
        (status = 409, description = "Its money has not come back, whom it had gone to was forgotten, or it was tried too often", body = ProblemBody),
        (status = 422, description = "The id leaves no room", body = ProblemBody),
        (status = 503, description = "The network does not tell", body = ProblemBody),
    )
)]
pub(crate) async fn take_back(
    State(transfers): State<Arc<Transfers>>,
    PathId(id): PathId<PaymentId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let saga = sagas::look(&transfers.drivers.outward, id.as_str()).await?;
    let reference = id.sent().map_err(too_long::<PaymentId>)?;
    let rails = &transfers.rails;
    let state = rails.payment(&reference, Deadline::within(LOOK)).await;
    if state.map_err(|error| not_told(&error))? != Some(PaymentState::Returned) {
        return Err(Problem::client(
            StatusCode::CONFLICT,
            "not_returned",
            "Its money has not come back",
            "the payment network says nothing of a return",
        ));
    }
    let OutOrder {
        from,
        payee,
        amount,
    } = saga.order;
    let back = next_return(&transfers, &id).await?;
    let driver = &transfers.drivers.inward;
    let order = InOrder {
        to: from,
        payer: carried_over(&transfers.vault, driver, &back, payee).await?,
        amount,
        returns: Some(id.clone()),
    };
    begun_in(&transfers, &back, order, &headers).await
}

/// The payment in that takes a payment out back: the first that was not undone.
async fn next_return(transfers: &Transfers, id: &PaymentId) -> Result<PaymentId, Problem> {
    for number in 1..=RETURNS_MAX {
        let back = PaymentId::parse_text(&match number {
            1 => format!("{id}-return"),
            _ => format!("{id}-return{number}"),
        })?;
        let before = transfers.drivers.inward.look(back.as_str()).await;
        let before = before.map_err(sagas::problem::<PaymentIn>)?;
        if before.is_none_or(|saga| saga.end != Some(SagaEnd::Undone)) {
            return Ok(back);
        }
    }
    Err(Problem::client(
        StatusCode::CONFLICT,
        "returns_used_up",
        "It was tried too often",
        "none of the payments in was carried out; order one of your own",
    ))
}

async fn begun_in(
    transfers: &Transfers,
    id: &PaymentId,
    order: InOrder,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    id.expected().map_err(too_long::<PaymentId>)?;
    let driver = &transfers.drivers.inward;
    let (status, saga) = sagas::begin(driver, id.as_str(), order, headers).await?;
    let body = Json(PaymentInBody::of(transfers, id, &saga).await?);
    Ok(located((status, body), &format!("/v1/payments-in/{id}")))
}

fn not_told(error: &OutsideError) -> Problem {
    Problem::passing(
        StatusCode::SERVICE_UNAVAILABLE,
        "network_silent",
        "The payment network does not tell",
        format!("ask again: {error}"),
    )
}

impl PaymentOutBody {
    async fn of(
        transfers: &Transfers,
        id: &PaymentId,
        saga: &SagaLog<PaymentOut>,
    ) -> Result<Self, Problem> {
        let order = &saga.order;
        let payee = Shown::of(&transfers.vault, &order.payee).await?;
        Ok(Self {
            id: id.as_str().to_owned(),
            from: PlaceBody::of(&order.from),
            payee: payee.name,
            payee_subject: payee.subject,
            payee_erased: payee.erased,
            amount: order.amount.amount_text(),
            currency: order.amount.currency().code(),
            progress: ProgressBody::of(saga),
        })
    }
}

impl PaymentInBody {
    async fn of(
        transfers: &Transfers,
        id: &PaymentId,
        saga: &SagaLog<PaymentIn>,
    ) -> Result<Self, Problem> {
        let order = &saga.order;
        let payer = Shown::of(&transfers.vault, &order.payer).await?;
        Ok(Self {
            id: id.as_str().to_owned(),
            to: PlaceBody::of(&order.to),
            payer: payer.name,
            payer_subject: payer.subject,
            payer_erased: payer.erased,
            amount: order.amount.amount_text(),
            currency: order.amount.currency().code(),
            returns: order.returns.clone().map(String::from),
            progress: ProgressBody::of(saga),
        })
    }
}
