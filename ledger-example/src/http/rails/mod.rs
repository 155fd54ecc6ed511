//! The rails over HTTP: what the outside is asked, how it fails, and the client that is made for that.
//!
//! * this file: the routes of the fraud screen, of the exchange desk and of the payment network.
//! * [`faulty`]: a [`Fault`] as a client meets it.
//! * [`client`]: asks them, each behind a circuit breaker, within a time, and again where that is safe.

pub mod client;
pub mod faulty;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use folio_core::{Aggregate, CommandId, EventStore};
use folio_runtime::Verdict;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::idempotency::Asker;
use crate::http::input::{AmountText, Body, ClientId, PathId, currency, required_text};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::rails::faulty::ThenDeny;
use crate::http::times::time_text;
use crate::rails::{
    Decision, Direction, Fault, Outsider, Payment, PaymentCommand, PaymentOrder, PaymentState,
    Quote, QuoteCommand, QuoteRefusal, Quoted, Rails, RequestId, Screening, ScreeningCommand,
    ScreeningRequest, UsedOtherwise,
};

/// A payment to be screened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScreeningBody {
    /// Names the screening: the same one is answered the same.
    #[schema(example = "screening-1")]
    id: String,
    /// Who pays, 1 to 64 characters.
    payer: String,
    /// Who is paid; declined where it begins with `blocked`.
    payee: String,
    /// How much: a decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code.
    #[schema(example = "EUR")]
    currency: String,
}

/// What the fraud screen says.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionBody {
    /// The screening.
    id: String,
    /// `accept` or `decline`.
    #[schema(value_type = String)]
    decision: Decision,
}

/// A question to the exchange desk.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteBody {
    /// Names the quote: the same one is answered the same.
    #[schema(example = "quote-1")]
    id: String,
    /// What is given: a decimal string.
    #[schema(value_type = String, example = "100.00")]
    amount: AmountText,
    /// ISO 4217 code of what is given.
    #[schema(example = "EUR")]
    currency: String,
    /// ISO 4217 code of what is wanted.
    #[schema(example = "USD")]
    bought_currency: String,
}

/// What the exchange desk says.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotedBody {
    /// The quote.
    id: String,
    /// What is given.
    amount: String,
    /// Its currency.
    currency: &'static str,
    /// What is got for it.
    bought_amount: String,
    /// Its currency.
    bought_currency: &'static str,
    /// How much of the bought currency one unit of the sold one is.
    rate: String,
    /// What the market says.
    market_rate: String,
    /// Until when the desk stands by it, in UTC.
    expires_at: String,
}

/// An order to pay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    /// Names the payment: the same one is paid once.
    #[schema(example = "payment-1")]
    reference: String,
    /// Which way the money goes: `out`, when left out, to `payee`; `in` from there.
    #[schema(value_type = Option<String>, example = "out")]
    direction: Option<String>,
    /// Who is on the other side, 1 to 64 characters; declined where it begins with `closed`.
    payee: String,
    /// How much: a decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code.
    #[schema(example = "EUR")]
    currency: String,
}

/// What became of an order.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentBody {
    /// The payment.
    reference: String,
    /// `accepted`, `declined`, or `returned` when the money came back.
    #[schema(value_type = String)]
    state: PaymentState,
}

/// What fails, and for how many requests still.
#[derive(Debug, Serialize, ToSchema)]
pub struct FaultsBody {
    /// Of those of `fraud`, `fx` and `payments` that do.
    #[schema(value_type = Object)]
    faults: std::collections::BTreeMap<Outsider, Fault>,
}

impl ClientId for RequestId {
    const CODE: &'static str = "invalid_request_id";
    const TITLE: &'static str = "Not an id of a request";
}

/// Screens a payment.
#[utoipa::path(
    post, path = "/v1/fraud/screenings", tag = "fraud", request_body = ScreeningBody,
    responses(
        (status = 200, description = "What the screen says", body = DecisionBody),
        (status = 422, description = "The request is wrong, or its id was used otherwise", body = ProblemBody),
    )
)]
pub(crate) async fn screen(
    State(rails): State<Arc<Rails>>,
    asker: Asker,
    Body(body): Body<ScreeningBody>,
) -> Result<Json<DecisionBody>, Problem> {
    let id = RequestId::parse_text(&body.id)?;
    let request = ScreeningRequest {
        payer: required_text(body.payer, "payer")?,
        payee: required_text(body.payee, "payee")?,
        amount: body.amount.amount(currency(&body.currency)?)?,
    };
    let command = ScreeningCommand::Screen(request);
    let screening = rails.decide::<Screening>(&asker, &id, command).await?;
    Ok(Json(DecisionBody {
        id: id.to_string(),
        decision: screening.decision,
    }))
}

/// Asks what one currency is in another.
#[utoipa::path(
    post, path = "/v1/fx/quotes", tag = "fx", request_body = QuoteBody,
    responses(
        (status = 200, description = "What the desk says", body = QuotedBody),
        (status = 422, description = "The request is wrong, or there is no market for it", body = ProblemBody),
    )
)]
pub(crate) async fn quote(
    State(rails): State<Arc<Rails>>,
    asker: Asker,
    Body(body): Body<QuoteBody>,
) -> Result<Json<QuotedBody>, Problem> {
    let id = RequestId::parse_text(&body.id)?;
    let command = QuoteCommand::Ask {
        sold: body.amount.amount(currency(&body.currency)?)?,
        bought: currency(&body.bought_currency)?,
        now: rails.clock.now().await?,
    };
    let Quote(quoted) = rails.decide::<Quote>(&asker, &id, command).await?;
    Ok(Json(QuotedBody::of(&id, &quoted)))
}

/// Orders a payment.
#[utoipa::path(
    post, path = "/v1/payments", tag = "payments", request_body = OrderBody,
    responses(
        (status = 200, description = "What became of it", body = PaymentBody),
        (status = 422, description = "The request is wrong, or its reference was used otherwise", body = ProblemBody),
    )
)]
pub(crate) async fn submit(
    State(rails): State<Arc<Rails>>,
    then_deny: Option<Extension<ThenDeny>>,
    asker: Asker,
    Body(body): Body<OrderBody>,
) -> Result<Json<PaymentBody>, Problem> {
    let id = RequestId::parse_text(&body.reference)?;
    let direction = match body.direction.as_deref() {
        None | Some("out") => Direction::Out,
        Some("in") => Direction::In,
        Some(_) => {
            return Err(Problem::unprocessable(
                "invalid_direction",
                "Not a direction",
                "money goes out or in",
            ));
        }
    };
    let order = PaymentOrder {
        direction,
        payee: required_text(body.payee, "payee")?,
        amount: body.amount.amount(currency(&body.currency)?)?,
    };
    let payment = rails
        .decide::<Payment>(&asker, &id, PaymentCommand::Submit(order))
        .await?;
    if then_deny.is_some() {
        rails
            .decide::<Payment>(&asker, &id, PaymentCommand::Return)
            .await?;
    }
    Ok(Json(PaymentBody {
        reference: id.to_string(),
        state: payment.state,
    }))
}

/// What became of a payment.
#[utoipa::path(
    get, path = "/v1/payments/{reference}", tag = "payments",
    params(("reference" = String, Path, description = "the payment")),
    responses(
        (status = 200, description = "What became of it", body = PaymentBody),
        (status = 404, description = "No such payment was ordered", body = ProblemBody),
    )
)]
pub(crate) async fn payment(
    State(rails): State<Arc<Rails>>,
    PathId(id): PathId<RequestId>,
) -> Result<Json<PaymentBody>, Problem> {
    let (payment, _) = rails.executor.latest::<Payment>(id.as_str()).await?;
    let payment = payment.ok_or_else(|| {
        Problem::client(
            StatusCode::NOT_FOUND,
            "payment_not_found",
            "No such payment",
            "nothing was ordered under this reference",
        )
    })?;
    Ok(Json(PaymentBody {
        reference: id.to_string(),
        state: payment.state,
    }))
}

/// What fails.
#[utoipa::path(
    get, path = "/v1/faults", tag = "faults",
    responses((status = 200, description = "What fails", body = FaultsBody))
)]
pub(crate) async fn faults(State(rails): State<Arc<Rails>>) -> Json<FaultsBody> {
    let faults = rails.faults.all();
    Json(FaultsBody { faults })
}

/// Has `fraud`, `fx` or `payments` fail for the next requests.
#[utoipa::path(
    put, path = "/v1/faults/{outsider}", tag = "faults", request_body = Fault,
    params(("outsider" = Outsider, Path, description = "what is to fail")),
    responses(
        (status = 200, description = "It will", body = FaultsBody),
        (status = 422, description = "Not a fault, or of nobody", body = ProblemBody),
    )
)]
pub(crate) async fn set_fault(
    State(rails): State<Arc<Rails>>,
    Path(outsider): Path<String>,
    Body(fault): Body<Fault>,
) -> Result<Json<FaultsBody>, Problem> {
    let outsider = outsider_named(&outsider)?;
    if !fault.is_sound() {
        return Err(Problem::unprocessable(
            "invalid_fault",
            "Not a fault",
            "a request is held up for at most 600,000 ms",
        ));
    }
    rails.faults.set(outsider, Some(fault));
    Ok(faults(State(rails)).await)
}

/// Has it work again.
#[utoipa::path(
    delete, path = "/v1/faults/{outsider}", tag = "faults",
    params(("outsider" = Outsider, Path, description = "what is not to fail any more")),
    responses(
        (status = 200, description = "It works", body = FaultsBody),
        (status = 422, description = "There is no such thing", body = ProblemBody),
    )
)]
pub(crate) async fn clear_fault(
    State(rails): State<Arc<Rails>>,
    Path(outsider): Path<String>,
) -> Result<Json<FaultsBody>, Problem> {
    rails.faults.set(outsider_named(&outsider)?, None);
    Ok(faults(State(rails)).await)
}

/// Tells whether the store answers.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Ready", body = crate::http::health::ReadyBody),
        (status = 503, description = "Not ready, and why", body = crate::http::health::ReadyBody),
    )
)]
pub(crate) async fn readyz(State(rails): State<Arc<Rails>>) -> axum::response::Response {
    crate::http::health::ready(rails.executor.store().head().await.err())
}

fn outsider_named(name: &str) -> Result<Outsider, Problem> {
    match name {
        "fraud" => Ok(Outsider::Fraud),
        "fx" => Ok(Outsider::Fx),
        "payments" => Ok(Outsider::Payments),
        _ => Err(Problem::unprocessable(
            "unknown_outsider",
            "Nobody of this name",
            "there are fraud, fx and payments",
        )),
    }
}

impl Rails {
    /// Decides what is asked, and answers what it came to. The outside knows a request by its own id alone, so
    /// the command has one that is new each time.
    async fn decide<A>(
        &self,
        asker: &Asker,
        id: &RequestId,
        command: A::Command,
    ) -> Result<A, Problem>
    where
        A: Aggregate,
        A::Refusal: Into<Problem>,
    {
        let context = asker.context(CommandId::from_uuid(Uuid::now_v7()));
        let reply = self.executor.execute::<A>(id.as_str(), command, context);
        match reply.await?.verdict {
            Verdict::Refused(refusal) => Err(refusal.into()),
            Verdict::Accepted {
                state: Some(state), ..
            } => Ok(state),
            Verdict::Accepted { state: None, .. } => Err(Problem::internal(&Undecided)),
        }
    }
}

/// Something was accepted that left nothing behind.
#[derive(Debug, thiserror::Error)]
#[error("the aggregate has no state after its command")]
struct Undecided;

impl QuotedBody {
    fn of(id: &RequestId, quoted: &Quoted) -> Self {
        Self {
            id: id.to_string(),
            amount: quoted.sold.amount_text(),
            currency: quoted.sold.currency().code(),
            bought_amount: quoted.bought.amount_text(),
            bought_currency: quoted.bought.currency().code(),
            rate: quoted.rate.to_string(),
            market_rate: quoted.market_rate.to_string(),
            expires_at: time_text(quoted.expires_at),
        }
    }
}

impl From<UsedOtherwise> for Problem {
    fn from(refusal: UsedOtherwise) -> Self {
        Self::unprocessable(
            "request_id_reused",
            "The id was used for another request",
            refusal.to_string(),
        )
    }
}

impl From<QuoteRefusal> for Problem {
    fn from(refusal: QuoteRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            QuoteRefusal::UsedOtherwise(refusal) => refusal.into(),
            QuoteRefusal::NoMarket => {
                Self::unprocessable("no_market", "Not exchanged here", detail)
            }
            QuoteRefusal::NoSuchAmount => {
                Self::unprocessable("no_such_amount", "Not exchanged here", detail)
            }
        }
    }
}
