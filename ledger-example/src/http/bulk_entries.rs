//! Many entries in one request: all or none of them, or each on its own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use folio_core::store::{Append, AppendStatus};
use folio_core::{EventStore, Fingerprint, Position};
use folio_runtime::ExecuteError;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::http::command::{answer, record_jointly};
use crate::http::entry_body::{EntryBody, EntryRequest};
use crate::http::idempotency::Caller;
use crate::http::input::{Body, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;
use crate::journal::{EntryDraft, PostEntries};

/// Most entries in one request.
const ENTRIES_MAX: usize = 500;
/// Entries that are posted side by side, each on its own. Their appends travel together.
const AT_ONCE: usize = 64;

/// Many entries.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntriesRequest {
    /// At most 500, with at most 5,000 legs where they are posted together. Without `atomic=true` each
    /// has an id, which is what it is known again by.
    entries: Vec<EntryRequest>,
}

/// How many entries are posted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EntriesParams {
    /// Whether all are posted or none; each on its own, when left out.
    atomic: Option<bool>,
}

/// What became of many entries.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntriesBody {
    /// One for each entry, in the order of the request.
    results: Vec<EntryResult>,
    /// How many were posted now.
    posted: usize,
    /// How many had been posted before, by the same request.
    already_posted: usize,
    /// How many were refused.
    refused: usize,
}

/// What became of one entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryResult {
    /// `posted`, `already_posted` or `refused`.
    status: &'static str,
    /// The entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<EntryBody>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

/// Posts many entries: with `atomic=true` all or none, each decided on what the ones before it leave;
/// else each on its own, side by side.
#[utoipa::path(
    post, path = "/v1/journal-entries/bulk", tag = "journal",
    params(
        EntriesParams,
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = EntriesRequest,
    responses(
        (status = 200, description = "All are posted", body = EntriesBody),
        (status = 207, description = "Some were refused; each result says which", body = EntriesBody),
        (status = 404, description = "With `atomic=true`: an account does not exist; nothing is posted", body = ProblemBody),
        (status = 409, description = "With `atomic=true`: an entry conflicts; nothing is posted", body = ProblemBody),
        (status = 422, description = "The request is wrong; nothing is posted", body = ProblemBody),
    )
)]
pub(crate) async fn bulk(
    State(ledger): State<Arc<Ledger>>,
    Params(params): Params<EntriesParams>,
    caller: Caller,
    Body(request): Body<EntriesRequest>,
) -> Result<Response, Problem> {
    if request.entries.is_empty() || request.entries.len() > ENTRIES_MAX {
        return Err(Problem::unprocessable(
            "invalid_entry_count",
            "Too few or too many entries at once",
            format!("send 1 to {ENTRIES_MAX} in one request"),
        ));
    }
    if params.atomic == Some(true) {
        post_together(&ledger, &caller, request).await
    } else {
        post_each(&ledger, &caller, request).await
    }
}

async fn post_together(
    ledger: &Ledger,
    caller: &Caller,
    request: EntriesRequest,
) -> Result<Response, Problem> {
    let context = caller.context(routes::ENTRIES);
    // An entry without an id gets one that is the same when the request is sent again.
    let of_index = |index: usize| {
        let key = format!("{index} {}", context.id);
        caller.context_of(routes::BULK_ENTRY, &key).id
    };
    let drafts = drafts(request, of_index)?;
    let ids: Vec<_> = drafts.iter().map(|draft| draft.id.clone()).collect();
    let command = PostEntries {
        entries: drafts,
        now: ledger.now().await?,
    };
    let done = record_jointly(ledger, &command, context.clone()).await?;
    let status = posted_status(done.executed);
    let results = ids.iter().map(|id| {
        Ok(EntryResult {
            status,
            entry: Some(EntryBody::of_events(&done.events, id)?),
            problem: None,
        })
    });
    let body = EntriesBody::of(results.collect::<Result<_, Problem>>()?);
    let status = StatusCode::OK;
    Ok(answer(ledger, status, body, done.position, done.executed))
}

async fn post_each(
    ledger: &Ledger,
    caller: &Caller,
    request: EntriesRequest,
) -> Result<Response, Problem> {
    if let Some(index) = request.entries.iter().position(|entry| entry.id.is_none()) {
        return Err(Problem::unprocessable(
            "invalid_entry_id",
            "Not an entry id",
            format!("entries[{index}]: without atomic=true each entry has an id"),
        ));
    }
    let drafts = drafts(request, |_| caller.context(routes::ENTRIES).id)?;
    let executed = claim(ledger, caller, &drafts).await?;
    let posting = stream::iter(
        drafts
            .into_iter()
            .map(|draft| post_one(ledger, caller, draft)),
    );
    let done: Vec<_> = posting.buffered(AT_ONCE).collect().await;
    let done = done.into_iter().collect::<Result<Vec<_>, Problem>>()?;
    let position = done.iter().map(|(position, _)| *position).max();
    let body = EntriesBody::of(done.into_iter().map(|(_, result)| result).collect());
    let status = if body.refused == 0 {
        StatusCode::OK
    } else {
        StatusCode::MULTI_STATUS
    };
    let position = position.unwrap_or(Position::START);
    Ok(answer(ledger, status, body, position, executed))
}

/// All are understood before any is posted.
fn drafts(
    request: EntriesRequest,
    command: impl Fn(usize) -> folio_core::CommandId,
) -> Result<Vec<EntryDraft>, Problem> {
    let drafts = request.entries.into_iter().enumerate();
    drafts
        .map(|(index, entry)| {
            let draft = entry.draft(command(index));
            draft.map_err(|problem| problem.within(&format!("entries[{index}]")))
        })
        .collect()
}

/// Puts the request's own key on record before anything is posted, so that the same key with another
/// body is refused as a whole. What the entries came to is on record under their own keys.
async fn claim(
    ledger: &Ledger,
    caller: &Caller,
    drafts: &[EntryDraft],
) -> Result<AppendStatus, Problem> {
    let json = serde_json::to_vec(drafts).map_err(|error| Problem::internal(&error))?;
    let claim = Append::events(
        caller.context(routes::ENTRIES),
        Fingerprint::of(&[routes::ENTRIES.as_bytes(), &json]),
        Vec::new(),
    );
    let claimed = ledger.store().append(claim).await;
    Ok(claimed.map_err(ExecuteError::from)?.status)
}

/// A refusal is a result. A problem that may pass ends the request: sent again, it goes on.
async fn post_one(
    ledger: &Ledger,
    caller: &Caller,
    draft: EntryDraft,
) -> Result<(Position, EntryResult), Problem> {
    let id = draft.id.clone();
    let context = caller.context_of(routes::BULK_ENTRY, id.as_str());
    let command = PostEntries {
        entries: vec![draft],
        now: ledger.now().await?,
    };
    match record_jointly(ledger, &command, context).await {
        Ok(done) => {
            let result = EntryResult {
                status: posted_status(done.executed),
                entry: Some(EntryBody::of_events(&done.events, &id)?),
                problem: None,
            };
            Ok((done.position, result))
        }
        Err(problem) if problem.may_pass() => Err(problem),
        Err(problem) => {
            let result = EntryResult {
                status: "refused",
                entry: None,
                problem: Some(problem.body(None)),
            };
            Ok((Position::START, result))
        }
    }
}

const fn posted_status(executed: AppendStatus) -> &'static str {
    match executed {
        AppendStatus::Executed => "posted",
        AppendStatus::AlreadyApplied => "already_posted",
    }
}

impl EntriesBody {
    fn of(results: Vec<EntryResult>) -> Self {
        let count = |status| results.iter().filter(|r| r.status == status).count();
        Self {
            posted: count("posted"),
            already_posted: count("already_posted"),
            refused: count("refused"),
            results,
        }
    }
}
