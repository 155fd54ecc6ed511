//! Journal entries: posting, reading, reversing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::balances::Shelf;
use crate::http::command::{AcceptedJointly, answer, execute_looked_up, located, record_jointly};
use crate::http::cursor;
use crate::http::cut::{AskedPage, room};
use crate::http::entry_body::{EntryBody, EntryRequest};
use crate::http::idempotency::Caller;
use crate::http::input::{Body, ClientId, Params, PathId, text};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;
use crate::http::shelf::{Origin, Sought};
use crate::http::times::{Asked, ModelParams};
use crate::journal::{Entry, EntryId, PostEntries, ReverseEntry};

/// A request to undo an entry.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReverseRequest {
    /// The id of the new entry; made for you when left out.
    id: Option<String>,
    /// The day on which the new entry takes effect.
    effective_date: NaiveDate,
    /// Why, 1 to 200 characters.
    description: Option<String>,
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntriesPage {
    /// The position up to which they are known; null where they are of several books.
    known_at: Option<i64>,
    /// Book after book, and in the order of recording.
    entries: Vec<EntryBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// Which page of entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EntriesParams {
    /// One book; all of them when left out.
    book: Option<String>,
    /// Only what was known then: a position, the value of a `Folio-Position` header, or a moment.
    known_at: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Entries on the page, 1 to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Waits until the model has this position.
    min_position: Option<String>,
}

/// Posts an entry: all of its legs or none.
#[utoipa::path(
    post, path = "/v1/journal-entries", tag = "journal",
    params(("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect")),
    request_body = EntryRequest,
    responses(
        (status = 201, description = "It is posted", body = EntryBody),
        (status = 404, description = "An account does not exist", body = ProblemBody),
        (status = 409, description = "An account or the period is closed, or the id is taken", body = ProblemBody),
        (status = 422, description = "The request is wrong, or refused", body = ProblemBody),
    )
)]
pub(crate) async fn post(
    State(ledger): State<Arc<Ledger>>,
    caller: Caller,
    Body(request): Body<EntryRequest>,
) -> Result<Response, Problem> {
    let context = caller.context(routes::ENTRY);
    let draft = request.draft(context.id)?;
    let id = draft.id.clone();
    let command = PostEntries {
        entries: vec![draft],
        now: ledger.now().await?,
    };
    let done = record_jointly(&ledger, &command, context).await?;
    posted(&ledger, &id, &done)
}

/// Undoes an entry by another one with its legs turned round. An entry is reversed once.
#[utoipa::path(
    post, path = "/v1/journal-entries/{id}/reverse", tag = "journal",
    params(
        ("id" = String, Path, description = "the entry to be undone"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = ReverseRequest,
    responses(
        (status = 201, description = "The reversal is posted", body = EntryBody),
        (status = 404, description = "No such entry", body = ProblemBody),
        (status = 409, description = "It was reversed before, or is a reversal; or an account or the period is closed", body = ProblemBody),
        (status = 422, description = "The request is wrong, or an account cannot pay it back", body = ProblemBody),
    )
)]
pub(crate) async fn reverse(
    State(ledger): State<Arc<Ledger>>,
    PathId(entry): PathId<EntryId>,
    caller: Caller,
    Body(request): Body<ReverseRequest>,
) -> Result<Response, Problem> {
    let context = caller.context(routes::REVERSE);
    let reversal = match request.id {
        Some(id) => EntryId::parse_text(&id)?,
        None => EntryId::of_command(context.id),
    };
    let description = text(request.description, "description")?;
    let (ledger, effective_date) = (&*ledger, request.effective_date);
    let done = execute_looked_up(ledger, context, || async {
        let (found, _) = ledger.executor.latest::<Entry>(entry.as_str()).await?;
        Ok(ReverseEntry {
            entry: entry.clone(),
            legs: found.map_or_else(Vec::new, |found| found.posted.legs),
            reversal: reversal.clone(),
            effective_date,
            description: description.clone(),
            now: ledger.now().await?,
        })
    })
    .await?;
    posted(ledger, &reversal, &done)
}

/// One entry.
#[utoipa::path(
    get, path = "/v1/journal-entries/{id}", tag = "journal",
    params(("id" = String, Path, description = "the entry"), ModelParams),
    responses(
        (status = 200, description = "The entry", body = EntryBody),
        (status = 404, description = "No such entry", body = ProblemBody),
        (status = 409, description = "Several books have such an entry", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn one(
    State(shelf): State<Arc<Shelf>>,
    PathId(id): PathId<EntryId>,
    Params(params): Params<ModelParams>,
) -> Result<Response, Problem> {
    let sought = Sought::Entry(&id);
    let opened = shelf
        .open(params.book.as_deref(), sought, params.asked())
        .await?;
    let entry = opened.model.entry(&id).await?;
    let (book, origin) = (opened.book.name.clone(), Origin::of(&opened));
    opened.model.close().await?;
    let entry = entry.ok_or_else(Problem::entry_not_found)?;
    Ok(origin.answer(EntryBody::of_row(entry, &book)))
}

/// Lists entries.
#[utoipa::path(
    get, path = "/v1/journal-entries", tag = "journal", params(EntriesParams),
    responses(
        (status = 200, description = "A page of entries", body = EntriesPage),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(shelf): State<Arc<Shelf>>,
    Params(params): Params<EntriesParams>,
) -> Result<Response, Problem> {
    let list = format!("entries/{:?}", params.book);
    let limit = cursor::limit(params.limit)?;
    let asked = Asked {
        effective: None,
        known_at: params.known_at.as_deref(),
        min_position: params.min_position.as_deref(),
    };
    let page = AskedPage {
        book: params.book.as_deref(),
        asked,
        list: &list,
        cursor: params.cursor.as_deref(),
    };
    let cut = shelf.cut(page).await?;
    let mut entries = Vec::new();
    let mut last = None;
    for (opened, after) in cut.books() {
        let (book, after) = (opened.book.name(), cursor::after_position(after)?);
        let room = room(limit, entries.len());
        let found = opened
            .model
            .entries(after, opened.as_of.known, room)
            .await?;
        for entry in found {
            last = Some((book, entry.position.to_string()));
            entries.push(EntryBody::of_row(entry, book));
        }
    }
    let body = EntriesPage {
        known_at: cut.known_at(),
        next_cursor: cut.next_cursor(&list, entries.len(), limit, last),
        entries,
    };
    cut.answer(body).await
}

/// The answer to a command that posted an entry.
pub(super) fn posted(
    ledger: &Ledger,
    id: &EntryId,
    done: &AcceptedJointly,
) -> Result<Response, Problem> {
    let body = EntryBody::of_events(&done.events, id)?;
    let status = StatusCode::CREATED;
    let response = answer(ledger, status, body, done.position, done.executed);
    Ok(located(response, &format!("/v1/journal-entries/{id}")))
}
