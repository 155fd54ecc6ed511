//! Periods: closing the book up to a day, and which days it was closed up to.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::NaiveDate;
use folio_core::{Aggregate, BatchSize, EventStore, RecordedEvent, StreamId, Version};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Ledger;
use crate::http::command::{answer, record_jointly};
use crate::http::idempotency::Caller;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;
use crate::http::times::time_text;
use crate::journal::{ClosePeriod, Periods, PeriodsEvent};

/// The book's periods.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodsBody {
    /// The last day that is closed; null while none is.
    closed_through: Option<NaiveDate>,
    /// How it came to be closed, in order.
    history: Vec<PeriodBody>,
}

/// A period that was closed.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodBody {
    /// Everything up to and including this day.
    closed_through: NaiveDate,
    /// When, in UTC.
    closed_at: String,
    /// Who asked.
    actor: String,
    /// Where the store has it: entries at lower positions are all that the period has.
    position: i64,
}

/// Closes everything up to and including a day, for good. Entries that would take effect then are
/// refused from now on.
#[utoipa::path(
    post, path = "/v1/periods/{day}/close", tag = "journal",
    params(
        ("day" = NaiveDate, Path, description = "the last day to be closed"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    responses(
        (status = 200, description = "It is closed", body = PeriodBody),
        (status = 409, description = "It was closed before", body = ProblemBody),
        (status = 422, description = "Not a day", body = ProblemBody),
    )
)]
pub(crate) async fn close(
    State(ledger): State<Arc<Ledger>>,
    Path(day): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    let through: NaiveDate = day.parse().map_err(|_| {
        let detail = "a day is written 2026-03-31";
        Problem::unprocessable("invalid_date", "Not a day", detail)
    })?;
    let command = ClosePeriod { through };
    let done = record_jointly(&ledger, &command, caller.context(routes::CLOSE_PERIOD)).await?;
    let body = PeriodBody::of(&done.events)?.pop();
    let status = StatusCode::OK;
    Ok(answer(&ledger, status, body, done.position, done.executed))
}

/// The book's periods, from the store itself.
#[utoipa::path(
    get, path = "/v1/periods", tag = "journal",
    responses((status = 200, description = "The periods", body = PeriodsBody))
)]
pub(crate) async fn list(State(ledger): State<Arc<Ledger>>) -> Result<Json<PeriodsBody>, Problem> {
    let stream = StreamId::new(Periods::CATEGORY, crate::journal::periods::BOOK)
        .map_err(|error| Problem::internal(&error))?;
    let mut events = Vec::new();
    loop {
        let after = events
            .last()
            .map_or(Version::NONE, |last: &RecordedEvent| last.version);
        let page = ledger
            .store()
            .read_stream(&stream, after, BatchSize::default())
            .await?;
        if page.is_empty() {
            break;
        }
        events.extend(page);
    }
    let history = PeriodBody::of(&events)?;
    Ok(Json(PeriodsBody {
        closed_through: history.last().map(|period| period.closed_through),
        history,
    }))
}

impl PeriodBody {
    fn of(events: &[RecordedEvent]) -> Result<Vec<Self>, Problem> {
        let mut periods = Vec::new();
        for recorded in events {
            let metadata = recorded.decode_metadata();
            let metadata = metadata.map_err(|error| Problem::internal(&error))?;
            let decoded = recorded
                .decode()
                .map_err(|error| Problem::internal(&error))?;
            for PeriodsEvent::PeriodClosed { through } in decoded {
                periods.push(Self {
                    closed_through: through,
                    closed_at: time_text(recorded.recorded_at),
                    actor: metadata.actor.to_string(),
                    position: recorded.position.number(),
                });
            }
        }
        Ok(periods)
    }
}
