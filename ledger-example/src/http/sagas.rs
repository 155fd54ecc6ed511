//! What is the same for all sagas over HTTP: to begin one and wait for its end, to tell how far it is, to list those of a
//! kind, to turn one back and to have one tried again.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use folio_core::saga::{SagaDefinition, SagaEnd, SagaLog, SagaRefusal, StepProgress, Turned};
use folio_core::{Actor, Timestamp};
use folio_runtime::{Participants, SagaError};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use utoipa::{IntoParams, ToSchema};

use crate::account::BoundedText;
use crate::http::cursor;
use crate::http::input::required_text;
use crate::http::layer::Trace;
use crate::http::problem::Problem;
use crate::http::times::time_text;
use crate::transfer::service::{Driver, Transfers};
use crate::transfer::{MoneySaga, SagaRow, SagasFilter};

/// The header in which a client says that it wants to wait, RFC 7240: `wait=10`.
const PREFER: &str = "prefer";
/// Longest wait for the end of a saga, in seconds.
const WAIT_SECONDS_MAX: u64 = 25;
/// Time between two looks at a saga that waits for something while somebody waits for it.
const LOOK: Duration = Duration::from_millis(50);
/// How far a saga is driven at once for somebody who has told it what to do; its timer has the rest done.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What is said of sagas of a kind.
pub(crate) trait Told: MoneySaga {
    /// The code of the problem that there is none of an id.
    const NOT_FOUND: &'static str;
    /// That the id is taken.
    const EXISTS: &'static str;
    /// That it has ended.
    const ENDED: &'static str;
}

/// Why somebody has a saga do something.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonRequest {
    /// Why, 1 to 200 characters: on record for ever.
    reason: String,
}

/// How far a saga is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgressBody {
    /// `under_way`, `turning_back`, `completed` or `undone`.
    state: &'static str,
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
    /// Its name.
    #[schema(example = "hold")]
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

/// Which page of sagas.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SagasParams {
    /// Only those that are `open` or `stuck`, or in one of the states `under_way`, `turning_back`, `completed` and `undone`.
    state: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Items on the page, 1 to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
}

/// A page of sagas of a kind.
#[derive(Debug, Serialize, ToSchema)]
pub struct SagasPage {
    /// In the order of their ids.
    items: Vec<SagaItem>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// How far a saga is, in short.
#[derive(Debug, Serialize, ToSchema)]
pub struct SagaItem {
    /// Its id.
    id: String,
    /// `under_way`, `turning_back`, `completed` or `undone`.
    state: String,
    /// Where the money is: `source`, `held`, `clearing` or `destination`.
    money_is: &'static str,
    /// When it was begun, in UTC.
    begun_at: String,
    /// How long ago that is.
    age_seconds: i64,
    /// The step that it is at, or whose undo it is at.
    step: Option<String>,
    /// How often that was tried, and it is not known what came of it.
    tries: u32,
    /// What was seen last.
    failure: Option<String>,
    /// Until when it waits for somebody who gives no answer, in UTC. That is no try.
    parked_until: Option<String>,
    /// Since when somebody should look at it, in UTC.
    stuck_since: Option<String>,
}

/// Begins a saga, has it driven on at once, and waits for its end as long as the client wants to. Whatever becomes of this
/// process, the saga's timer has it driven on.
pub(crate) async fn begin<S: Told, P: Participants<S>>(
    driver: &Driver<S, P>,
    id: &str,
    order: S::Order,
    headers: &HeaderMap,
) -> Result<(StatusCode, SagaLog<S>), Problem> {
    let request = Trace::of(headers).correlation_id();
    let begun = driver.begin_for(id, order, request).await;
    begun.map_err(problem::<S>)?;
    let (drives, driven) = (driver.clone(), id.to_owned());
    let mut driving = tokio::spawn(async move {
        if let Err(error) = drives.drive(&driven).await {
            let cause = folio_core::error_chain(&error);
            tracing::warn!(
                kind = S::CATEGORY,
                id = driven,
                cause,
                "a saga was not driven on"
            );
        }
    });
    let until = Instant::now() + wanted(headers);
    // Who waits no longer leaves it to itself.
    let _ = timeout_at(until, &mut driving).await;
    loop {
        let saga = look(driver, id).await?;
        if saga.end.is_some() {
            return Ok((StatusCode::OK, saga));
        }
        if Instant::now() >= until {
            return Ok((StatusCode::ACCEPTED, saga));
        }
        sleep(LOOK).await;
    }
}

/// A saga.
pub(crate) async fn look<S: Told, P: Participants<S>>(
    driver: &Driver<S, P>,
    id: &str,
) -> Result<SagaLog<S>, Problem> {
    let saga = driver.look(id).await.map_err(problem::<S>)?;
    saga.ok_or_else(|| problem::<S>(SagaRefusal::NotBegun.into()))
}

/// Has a saga turn back.
pub(crate) async fn cancel<S: Told, P: Participants<S>>(
    driver: &Driver<S, P>,
    id: &str,
    actor: &Actor,
    request: ReasonRequest,
) -> Result<SagaLog<S>, Problem> {
    let reason = request.reason()?;
    let told = driver.cancel(id, actor, reason.as_str()).await;
    told.map_err(problem::<S>)?;
    go_on(driver, id).await
}

/// Has a saga that waits to try something again do so now.
pub(crate) async fn retry<S: Told, P: Participants<S>>(
    driver: &Driver<S, P>,
    id: &str,
    actor: &Actor,
    request: ReasonRequest,
) -> Result<SagaLog<S>, Problem> {
    let reason = request.reason()?;
    let told = driver.retry(id, actor, reason.as_str()).await;
    told.map_err(problem::<S>)?;
    go_on(driver, id).await
}

async fn go_on<S: Told, P: Participants<S>>(
    driver: &Driver<S, P>,
    id: &str,
) -> Result<SagaLog<S>, Problem> {
    let _ = timeout(AT_ONCE, driver.drive(id)).await;
    look(driver, id).await
}

/// A page of the sagas of a kind.
pub(crate) async fn list<S: Told>(
    transfers: &Transfers,
    params: &SagasParams,
) -> Result<SagasPage, Problem> {
    let filter = match params.state.as_deref() {
        None => SagasFilter::All,
        Some("open") => SagasFilter::Open,
        Some("stuck") => SagasFilter::Stuck,
        Some(state @ ("under_way" | "turning_back" | "completed" | "undone")) => {
            SagasFilter::In(state)
        }
        Some(_) => {
            return Err(Problem::unprocessable(
                "invalid_state",
                "Not a state",
                "a state is open, stuck, under_way, turning_back, completed or undone",
            ));
        }
    };
    let list = format!("{}/{filter:?}", S::CATEGORY);
    let limit = cursor::limit(params.limit)?;
    let after = params.cursor.as_deref();
    let after = after
        .map(|cursor| cursor::decode(&list, cursor))
        .transpose()?;
    let (after, most) = (after.unwrap_or_default(), i64::from(limit));
    let under_way = &transfers.under_way;
    let rows = under_way.list(S::CATEGORY, filter, &after, most).await?;
    let now = transfers.store.clock().await?;
    let last = rows.last().map(|(id, _)| id.clone());
    let items = rows
        .into_iter()
        .map(|(id, row)| SagaItem::of::<S>(id, row, now));
    let items: Vec<SagaItem> = items.collect();
    Ok(SagasPage {
        next_cursor: cursor::next(&list, items.len(), limit, last),
        items,
    })
}

/// What the client is told that a saga does not do, or cannot be asked.
pub(crate) fn problem<S: Told>(error: SagaError) -> Problem {
    match error {
        SagaError::Refused(refusal) => refused::<S>(&refusal),
        SagaError::Log(error) => error.into(),
        SagaError::Clock(error) => error.into(),
        other => Problem::internal(&other),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else goes wrong, now or in future, is our fault and stays inside"
)]
fn refused<S: Told>(refusal: &SagaRefusal) -> Problem {
    let detail = refusal.to_string();
    let conflict = |code, title| Problem::client(StatusCode::CONFLICT, code, title, detail.clone());
    match refusal {
        SagaRefusal::NotBegun => Problem::client(
            StatusCode::NOT_FOUND,
            S::NOT_FOUND,
            "There is none of this id",
            detail,
        ),
        SagaRefusal::OtherOrder => conflict(S::EXISTS, "The id is taken"),
        SagaRefusal::Ended => conflict(S::ENDED, "It has ended"),
        SagaRefusal::PastPivot => conflict("past_pivot", "There is no way back"),
        other => Problem::internal(other),
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

impl ReasonRequest {
    fn reason(self) -> Result<BoundedText<200>, Problem> {
        required_text(self.reason, "reason")
    }
}

impl ProgressBody {
    pub(crate) fn of<S: MoneySaga>(saga: &SagaLog<S>) -> Self {
        let steps = saga.definition().map_or(&[][..], SagaDefinition::steps);
        let steps = steps.iter().filter_map(|step| {
            let progress = match saga.step(step.name())? {
                StepProgress::Asked => "asked",
                StepProgress::Done(_) => "done",
                StepProgress::Refused => "refused",
                StepProgress::Undone => "undone",
            };
            let step = step.name();
            Some(StepBody { step, progress })
        });
        Self {
            state: match (saga.end, &saga.turned) {
                (Some(SagaEnd::Completed), _) => "completed",
                (Some(SagaEnd::Undone), _) => "undone",
                (None, Some(_)) => "turning_back",
                (None, None) => "under_way",
            },
            money_is: S::money_is(&|step| saga.answer(step).is_some()).as_str(),
            steps: steps.collect(),
            turned: saga.turned.clone(),
            attention: saga.attention().map(|(tries, failure)| AttentionBody {
                tries,
                failure: failure.to_owned(),
            }),
        }
    }
}

impl SagaItem {
    fn of<S: MoneySaga>(id: String, row: SagaRow, now: Timestamp) -> Self {
        let is_done = |step: &str| row.done.iter().any(|done| done == step);
        let age_micros = now.micros().saturating_sub(row.begun_at.micros());
        Self {
            id,
            money_is: S::money_is(&is_done).as_str(),
            begun_at: time_text(row.begun_at),
            age_seconds: age_micros / 1_000_000,
            step: row.step,
            tries: row.tries,
            failure: row.failure,
            parked_until: row.parked_until.map(time_text),
            stuck_since: row.stuck_since.map(time_text),
            state: row.state,
        }
    }
}
