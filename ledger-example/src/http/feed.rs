//! The feed: every event as it is stored, for services that project them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use folio_core::{BatchSize, Filter, Member, Position, StoreId, StreamId, Timestamp};
use folio_projections::feed::{FeedPage, OTHER_STORE, PAGE_EVENTS_MAX, ServedFeed};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Ledger;
use crate::http::input::Params;
use crate::http::problem::{Problem, ProblemBody};

/// Events on a page when nothing is asked.
const LIMIT_DEFAULT: u16 = 500;

/// Longest wait that may be asked for.
const WAIT_ASKED_MS_MAX: u64 = 30_000;

/// Longest wait there is: an answer has to be there before the request's deadline.
const WAIT_MAX: Duration = Duration::from_secs(25);

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct FeedParams {
    /// The position after which they start; 0 when it is left out.
    after: Option<i64>,
    /// The id of the store that the reader believes to read.
    store: Option<Uuid>,
    /// Most events on the page, 1 to 1,000; 500 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Only those of this category.
    category: Option<String>,
    /// Only those of the stream with this id in the category.
    stream: Option<String>,
    /// Only those of the streams that fall to this member of a group, from 0; with `of`.
    member: Option<u16>,
    /// The size of the group.
    of: Option<u16>,
    /// How long to wait for an event after `after` when there is none, 0 to 30,000. More than 25 s
    /// are not waited.
    #[param(minimum = 0, maximum = 30000)]
    wait_ms: Option<u64>,
}

/// A page of the feed.
///
/// `events` are those after `after` up to `through`, and `through` is where to go on. `head` is the
/// position of the store's last event; where it is below `after`, the store went back. `history` has
/// another value when that should be looked into: compare what you have of your last event with it.
/// What was recorded by `told_at_us`, in microseconds since 1970 by the store's clock, is up to `head`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object, example = json!({
    "store_id": "01a3c1b5-6e0f-7d3c-9f4e-0f6f3f6f3f6f",
    "history": "01a3c1b5-6e0f-7d3c-9f4e-0f6f3f6f3f70-3",
    "head": 90, "through": 7, "told_at_us": 1_764_000_000_100_000_i64,
    "events": [{
        "position": 7, "category": "account", "stream": "704", "version": 2,
        "event_id": "7f9c24e8-3b12-5a1d-8d5e-1f0f3f6f3f6f", "type": "AccountCredited",
        "schema_version": 1, "command_id": "2b0c24e8-3b12-5a1d-8d5e-1f0f3f6f3f6f",
        "recorded_at_us": 1_764_000_000_000_000_i64,
        "payload": {"amount": "12.50"}, "metadata": {"actor": "import"}
    }]
}))]
pub struct FeedBody(FeedPage);

/// Whether the service has been told to stop; requests that wait answer then.
#[derive(Debug, Clone)]
pub(crate) struct Stopping(pub(crate) watch::Receiver<bool>);

/// The events of the store in the order of their positions, byte for byte.
///
/// Payloads and metadata that are no JSON stand in `payload_base64` and `metadata_base64`.
#[utoipa::path(
    get, path = "/v1/feed", tag = "feed",
    params(FeedParams),
    responses(
        (status = 200, description = "The next events, maybe none", body = FeedBody),
        (status = 409, description = "This is another store", body = ProblemBody),
        (status = 422, description = "Not what can be asked for", body = ProblemBody),
    )
)]
pub(crate) async fn feed(
    State(ledger): State<Arc<Ledger>>,
    stopping: Option<Extension<Stopping>>,
    Params(params): Params<FeedParams>,
) -> Result<Json<FeedBody>, Problem> {
    let now = async { Ok(ledger.now().await?.0) };
    served(&ledger.feed, now, &params, stopping).await
}

/// A page of a feed, once there is something on it or the wait is over. `now` tells the time by the
/// clock of its store, when it is asked.
pub(crate) async fn served(
    feed: &ServedFeed,
    now: impl Future<Output = Result<Timestamp, Problem>>,
    params: &FeedParams,
    stopping: Option<Extension<Stopping>>,
) -> Result<Json<FeedBody>, Problem> {
    let (filter, after) = (params.filter()?, params.after()?);
    let (limit, wait) = (params.limit()?, params.wait()?);
    if let Some(believed) = params.store {
        let store_id = feed.store_id().await?;
        if StoreId::from_uuid(believed) != store_id {
            return Err(Problem::client(
                StatusCode::CONFLICT,
                OTHER_STORE,
                "This is another store",
                format!("this is store {store_id}, and what was read of {believed} is not of it"),
            ));
        }
    }
    tokio::select! {
        waited = feed.wait(after, wait) => waited?,
        () = told(stopping) => {}
    }
    // Asked first: what is recorded from here on may be beyond the page's head.
    let now = now.await?;
    let page = feed.page(&filter, after, limit).await?;
    Ok(Json(FeedBody(page.told_at(now))))
}

/// Waits until the service is told to stop; for ever where nobody would tell.
async fn told(stopping: Option<Extension<Stopping>>) {
    if let Some(Extension(Stopping(mut stopping))) = stopping
        && stopping.wait_for(|stopping| *stopping).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

impl FeedParams {
    fn filter(&self) -> Result<Filter, Problem> {
        let filter = match (&self.category, &self.stream) {
            (None, None) => Filter::all(),
            (Some(category), None) => Filter::category(category),
            (Some(category), Some(stream)) => {
                let stream = StreamId::new(category.as_str(), stream.as_str());
                Filter::stream(stream.map_err(|error| refused(error.to_string()))?)
            }
            (None, Some(_)) => return Err(refused("a stream needs its category")),
        };
        match (self.member, self.of) {
            (None, None) => Ok(filter),
            (Some(member), Some(of)) => Member::new(member, of)
                .map(|member| filter.for_member(member))
                .map_err(|error| refused(error.to_string())),
            (Some(_), None) | (None, Some(_)) => Err(refused("member and of come together")),
        }
    }

    fn after(&self) -> Result<Position, Problem> {
        Position::new(self.after.unwrap_or(0)).ok_or_else(|| refused("after is not below 0"))
    }

    fn limit(&self) -> Result<BatchSize, Problem> {
        BatchSize::new(self.limit.unwrap_or(LIMIT_DEFAULT))
            .filter(|limit| limit.events() <= i64::from(PAGE_EVENTS_MAX))
            .ok_or_else(|| {
                Problem::unprocessable(
                    "invalid_limit",
                    "Not a page size",
                    format!("limit is 1 to {PAGE_EVENTS_MAX}"),
                )
            })
    }

    fn wait(&self) -> Result<Duration, Problem> {
        match self.wait_ms.unwrap_or(0) {
            wait_ms @ ..=WAIT_ASKED_MS_MAX => Ok(Duration::from_millis(wait_ms).min(WAIT_MAX)),
            _ => Err(refused(format!("wait_ms is 0 to {WAIT_ASKED_MS_MAX}"))),
        }
    }
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::unprocessable("invalid_query", "Not what this endpoint takes", detail)
}
