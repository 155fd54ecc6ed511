//! Transfers over HTTP: ordered, looked at, cancelled.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use folio_core::EventStore as _;
use folio_core::saga::{SagaEnd, SagaLog, SagaRefusal, StepProgress, Turned};
use folio_runtime::SagaError;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};
use utoipa::ToSchema;

use crate::account::{AccountId, BoundedText};
use crate::balances::BookName;
use crate::http::idempotency::Asker;
use crate::http::input::{AmountText, Body, ClientId, PathId, currency, required_text};
use crate::http::problem::{Problem, ProblemBody};
use crate::transfer::service::Transfers;
use crate::transfer::{Place, Transfer, TransferId, TransferOrder, step};

/// The header in which a client says that it wants to wait, RFC 7240: `wait=10`.
const PREFER: &str = "prefer";
/// Longest wait for the end of a transfer, in seconds.
const WAIT_SECONDS_MAX: u64 = 25;
/// Time between two looks while somebody waits.
const LOOK: Duration = Duration::from_millis(50);

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
    /// To where: an account of another book, in the same currency.
    to: PlaceBody,
    /// How much: a decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code.
    #[schema(example = "EUR")]
    currency: String,
}

/// Why a transfer is cancelled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Why, 1 to 200 characters.
    reason: String,
}

/// A transfer.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransferBody {
    /// Its id.
    id: String,
    /// `under_way`, `turning_back`, `completed` or `undone`.
    state: &'static str,
    /// From where.
    from: PlaceBody,
    /// To where.
    to: PlaceBody,
    /// How much.
    amount: String,
    /// ISO 4217 code.
    currency: &'static str,
    /// Where the money is: `source`, `held`, `clearing` or `destination`.
    money_is: &'static str,
    /// How far each step is that was asked.
    steps: Vec<StepBody>,
    /// Why it turned back, if it has.
    #[schema(value_type = Option<Object>)]
    turned: Option<Turned>,
    /// What it tries that has failed so often that somebody should look at it.
    attention: Option<AttentionBody>,
}

/// A step that was asked.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepBody {
    /// `hold`, `screen`, `expect`, `capture` or `credit`.
    step: &'static str,
    /// `asked`, `done`, `refused` or `undone`.
    progress: &'static str,
}

/// What somebody should look at.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttentionBody {
    /// How often it was tried.
    tries: u32,
    /// What was seen last.
    failure: String,
}

impl ClientId for TransferId {
    const CODE: &'static str = "invalid_transfer_id";
    const TITLE: &'static str = "Not an id of a transfer";
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
    if let Err(error) = id.screening() {
        return Err(Problem::unprocessable(
            TransferId::CODE,
            TransferId::TITLE,
            error.to_string(),
        ));
    }
    let (from, to) = (request.from.place()?, request.to.place()?);
    if from.book == to.book {
        return Err(Problem::unprocessable(
            "same_book",
            "Both accounts are in one book",
            "post an entry in that book",
        ));
    }
    let order = TransferOrder {
        from,
        to,
        amount: request.amount.amount(currency(&request.currency)?)?,
    };
    transfers.driver.begin(id.as_str(), order).await?;
    // Driven at once; whatever becomes of this, its timer has it driven on.
    let driver = transfers.driver.clone();
    let driven = id.clone();
    tokio::spawn(async move {
        if let Err(error) = driver.drive(driven.as_str()).await {
            let cause = folio_core::error_chain(&error);
            tracing::warn!(
                transfer = driven.as_str(),
                cause,
                "a transfer was not driven on"
            );
        }
    });
    let until = Instant::now() + wanted(&headers);
    loop {
        let saga = transfers.saga(&id).await?;
        if saga.end.is_some() || Instant::now() >= until {
            let status = match saga.end {
                Some(_) => StatusCode::OK,
                None => StatusCode::ACCEPTED,
            };
            let mut response = (status, Json(TransferBody::of(&id, &saga))).into_response();
            let location = HeaderValue::from_str(&format!("/v1/transfers/{}", id.as_str()));
            if let Ok(location) = location {
                response.headers_mut().insert(header::LOCATION, location);
            }
            return Ok(response);
        }
        sleep(LOOK).await;
    }
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
    let saga = transfers.saga(&id).await?;
    Ok(Json(TransferBody::of(&id, &saga)))
}

/// Has a transfer turn back, before its money is captured.
#[utoipa::path(
    post, path = "/v1/transfers/{id}/cancel", tag = "transfers", request_body = CancelRequest,
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
    Asker(actor): Asker,
    Body(request): Body<CancelRequest>,
) -> Result<Json<TransferBody>, Problem> {
    let reason: BoundedText<200> = required_text(request.reason, "reason")?;
    let (driver, id_text) = (&transfers.driver, id.as_str());
    driver.cancel(id_text, &actor, reason.as_str()).await?;
    // As far as it goes at once; its timer has the rest done.
    let _ = timeout(Duration::from_secs(2), driver.drive(id_text)).await;
    let saga = transfers.saga(&id).await?;
    Ok(Json(TransferBody::of(&id, &saga)))
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

impl Transfers {
    async fn saga(&self, id: &TransferId) -> Result<SagaLog<Transfer>, Problem> {
        let saga = self.driver.look(id.as_str()).await?;
        saga.ok_or_else(|| SagaRefusal::NotBegun.into())
    }
}

impl PlaceBody {
    fn place(&self) -> Result<Place, Problem> {
        let book = self.book.parse::<BookName>().map_err(|error| {
            Problem::unprocessable("invalid_book", "Not the name of a book", error.to_string())
        })?;
        let account = AccountId::parse_text(&self.account_id)?;
        Ok(Place { book, account })
    }

    fn of(place: &Place) -> Self {
        Self {
            book: place.book.to_string(),
            account_id: place.account.to_string(),
        }
    }
}

impl TransferBody {
    fn of(id: &TransferId, saga: &SagaLog<Transfer>) -> Self {
        let order = &saga.order;
        let names = [
            step::HOLD,
            step::SCREEN,
            step::EXPECT,
            step::CAPTURE,
            step::CREDIT,
        ];
        let steps = names.into_iter().filter_map(|name| {
            let progress = match saga.step(name)? {
                StepProgress::Asked => "asked",
                StepProgress::Done(_) => "done",
                StepProgress::Refused => "refused",
                StepProgress::Undone => "undone",
            };
            Some(StepBody {
                step: name,
                progress,
            })
        });
        Self {
            id: id.as_str().to_owned(),
            state: match (saga.end, &saga.turned) {
                (Some(SagaEnd::Completed), _) => "completed",
                (Some(SagaEnd::Undone), _) => "undone",
                (None, Some(_)) => "turning_back",
                (None, None) => "under_way",
            },
            from: PlaceBody::of(&order.from),
            to: PlaceBody::of(&order.to),
            amount: order.amount.amount_text(),
            currency: order.amount.currency().code(),
            money_is: money_is(saga),
            steps: steps.collect(),
            turned: saga.turned.clone(),
            attention: saga.attention().map(|(tries, failure)| AttentionBody {
                tries,
                failure: failure.to_owned(),
            }),
        }
    }
}

/// Where the money is, by what is known for certain.
fn money_is(saga: &SagaLog<Transfer>) -> &'static str {
    if saga.answer(step::CREDIT).is_some() {
        "destination"
    } else if saga.answer(step::CAPTURE).is_some() {
        "clearing"
    } else if saga.answer(step::HOLD).is_some() {
        "held"
    } else {
        "source"
    }
}

/// How long the client wants to wait.
fn wanted(headers: &HeaderMap) -> Duration {
    let prefers = headers.get_all(PREFER).iter();
    let prefers = prefers.filter_map(|value| value.to_str().ok());
    let mut waits = prefers
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.trim().strip_prefix("wait=")?.parse().ok());
    Duration::from_secs(waits.next().unwrap_or(0_u64).min(WAIT_SECONDS_MAX))
}

impl From<SagaError> for Problem {
    fn from(error: SagaError) -> Self {
        match error {
            SagaError::Refused(refusal) => refusal.into(),
            SagaError::Log(error) => error.into(),
            SagaError::Clock(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<SagaRefusal> for Problem {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else goes wrong, now or in future, is our fault and stays inside"
    )]
    fn from(refusal: SagaRefusal) -> Self {
        let (conflict, detail) = (StatusCode::CONFLICT, refusal.to_string());
        match refusal {
            SagaRefusal::NotBegun => Self::client(
                StatusCode::NOT_FOUND,
                "transfer_not_found",
                "No such transfer",
                detail,
            ),
            SagaRefusal::OtherOrder => {
                Self::client(conflict, "transfer_exists", "The id is taken", detail)
            }
            SagaRefusal::Ended => {
                Self::client(conflict, "transfer_ended", "The transfer has ended", detail)
            }
            SagaRefusal::PastPivot => {
                Self::client(conflict, "past_pivot", "There is no way back", detail)
            }
            other => Self::internal(&other),
        }
    }
}
