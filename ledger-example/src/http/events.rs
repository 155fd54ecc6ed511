//! The audit view: the account's events as they are stored, and who caused them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use folio_core::Aggregate;
use folio_core::{BatchSize, EventStore, RecordedEvent, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::account::{Account, AccountId};
use crate::http::cursor;
use crate::http::input::{Params, PathId};
use crate::http::position::PositionToken;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::times::time_text;

/// Which page of events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsParams {
    /// Where the page before ended.
    cursor: Option<String>,
    /// Events on the page, 1 to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventsPage {
    /// The account.
    account_id: String,
    /// In the order of their versions.
    events: Vec<EventBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// One event, as it is stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventBody {
    /// Its place in the store: dense, in commit order.
    position: i64,
    /// The same as a token, for `min_position`.
    position_token: String,
    /// Its place among the account's events.
    version: i64,
    /// What happened.
    r#type: String,
    /// The version of the payload's shape.
    schema_version: u16,
    /// Its own id.
    event_id: String,
    /// When the store recorded it, in UTC.
    recorded_at: String,
    /// Who asked.
    actor: String,
    /// The command that caused it.
    command_id: String,
    /// The request that all this belongs to.
    correlation_id: String,
    /// The command or event that led to the command.
    causation_id: Option<String>,
    /// The payload, byte for byte.
    #[schema(value_type = serde_json::Value)]
    payload: Box<RawValue>,
}

/// The events of an account, from the store itself.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/events", tag = "audit",
    params(("id" = String, Path, description = "the account"), EventsParams),
    responses(
        (status = 200, description = "A page of events", body = EventsPage),
        (status = 404, description = "No such account", body = ProblemBody),
    )
)]
pub(crate) async fn events(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<EventsParams>,
) -> Result<Json<EventsPage>, Problem> {
    let list = format!("events/{id}");
    let limit = cursor::limit(params.limit)?;
    let after = cursor::version(&list, params.cursor.as_deref())?;
    let stream =
        StreamId::new(Account::CATEGORY, id.as_str()).map_err(|error| Problem::internal(&error))?;
    let size = BatchSize::new(limit).unwrap_or_default();
    let store = ledger.store();
    let events = store.read_stream(&stream, after, size).await?;
    if events.is_empty() && params.cursor.is_none() {
        return Err(Problem::account_not_found());
    }
    let last = events.last().map(|event| event.version.to_string());
    Ok(Json(EventsPage {
        account_id: id.to_string(),
        next_cursor: cursor::next(&list, events.len(), limit, last),
        events: events
            .into_iter()
            .map(|event| EventBody::of(store.store_id(), event))
            .collect::<Result<_, _>>()?,
    }))
}

impl EventBody {
    fn of(store_id: folio_core::StoreId, event: RecordedEvent) -> Result<Self, Problem> {
        let metadata = event
            .decode_metadata()
            .map_err(|error| Problem::internal(&error))?;
        let payload =
            serde_json::from_slice(&event.payload).map_err(|error| Problem::internal(&error))?;
        Ok(Self {
            position: event.position.number(),
            position_token: PositionToken::of(store_id, event.position).encode(),
            version: event.version.number(),
            r#type: String::from(&*event.event_type),
            schema_version: event.schema_version,
            event_id: event.event_id.to_string(),
            recorded_at: time_text(event.recorded_at),
            actor: metadata.actor.to_string(),
            command_id: event.command_id.to_string(),
            correlation_id: metadata.correlation_id.to_string(),
            causation_id: metadata.causation_id.map(|id| id.to_string()),
            payload,
        })
    }
}
