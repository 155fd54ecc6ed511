//! The legs of an account in the order of recording: why its balance changed between two positions.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use folio_core::Position;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::account::AccountId;
use crate::balances::Shelf;
use crate::http::cursor;
use crate::http::input::{Params, PathId};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::shelf::{Origin, Sought};
use crate::http::statement::contra_text;
use crate::http::times::{Asked, time_text};
use crate::read_model::LegRow;

/// Which page of legs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AccountEntriesParams {
    /// The book, where several have such an account.
    book: Option<String>,
    /// Only what was recorded after this position.
    known_after: Option<i64>,
    /// Only what was known then: a position, the value of a `Folio-Position` header, or a moment.
    known_at: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Legs on the page, 1 to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Waits until the model has this position.
    min_position: Option<String>,
}

/// A page of legs.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountEntriesPage {
    /// The book that the account is in.
    book: String,
    /// The account.
    account_id: String,
    /// The position up to which they are known.
    known_at: i64,
    /// In the order of recording.
    entries: Vec<AccountEntryBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// One leg of an entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountEntryBody {
    /// The entry's place in the store.
    position: i64,
    /// The entry, at `/v1/journal-entries/{id}`; null of a posting of the ledger's first version.
    entry_id: Option<String>,
    /// When it was recorded, in UTC.
    recorded_at: String,
    /// When it takes effect.
    effective_date: NaiveDate,
    /// `credit` or `debit`.
    side: &'static str,
    /// How much.
    amount: String,
    /// ISO 4217 code.
    currency: &'static str,
    /// The other side; null where there are several.
    contra: Option<String>,
    /// The client's name for it.
    reference: Option<String>,
    /// What it was for.
    description: Option<String>,
    /// The entry that it undoes.
    reverses: Option<String>,
    /// The entry that undid it, where that is known.
    reversed_by: Option<String>,
}

/// The legs of an account, in the order of recording.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/entries", tag = "balances",
    params(("id" = String, Path, description = "the account"), AccountEntriesParams),
    responses(
        (status = 200, description = "A page of legs", body = AccountEntriesPage),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "Several books have such an account", body = ProblemBody),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn entries(
    State(shelf): State<Arc<Shelf>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<AccountEntriesParams>,
) -> Result<Response, Problem> {
    let list = format!("entries/{:?}/{id}/{:?}", params.book, params.known_after);
    let limit = cursor::limit(params.limit)?;
    let after = match &params.cursor {
        Some(cursor) => parse(&cursor::decode(&list, cursor)?)?,
        None => {
            let after = Position::new(params.known_after.unwrap_or(0));
            let after = after.ok_or_else(|| {
                Problem::unprocessable(
                    "invalid_position",
                    "Not a position",
                    "known_after is a position, 0 or more",
                )
            })?;
            (after, i16::MAX)
        }
    };
    let asked = Asked {
        effective: None,
        known_at: params.known_at.as_deref(),
        min_position: params.min_position.as_deref(),
    };
    let sought = Sought::Account(&id);
    let opened = shelf.open(params.book.as_deref(), sought, asked).await?;
    let (model, as_of) = (&opened.model, opened.as_of);
    let account = model.account(&id).await?;
    account.ok_or_else(Problem::account_not_found)?;
    let legs = model
        .legs(&id, after, as_of.known, i64::from(limit))
        .await?;
    let (book, origin) = (opened.book.name.to_string(), Origin::of(&opened));
    opened.model.close().await?;
    let last = legs
        .last()
        .map(|leg| format!("{} {}", leg.position, leg.leg));
    Ok(origin.answer(AccountEntriesPage {
        book,
        account_id: id.to_string(),
        known_at: as_of.known.number(),
        next_cursor: cursor::next(&list, legs.len(), limit, last),
        entries: legs.into_iter().map(AccountEntryBody::from).collect(),
    }))
}

fn parse(after: &str) -> Result<(Position, i16), Problem> {
    let pair = || {
        let (position, leg) = after.split_once(' ')?;
        Some((Position::new(position.parse().ok()?)?, leg.parse().ok()?))
    };
    pair().ok_or_else(cursor::invalid)
}

impl From<LegRow> for AccountEntryBody {
    fn from(leg: LegRow) -> Self {
        Self {
            position: leg.position.number(),
            entry_id: leg.entry_id,
            recorded_at: time_text(leg.recorded_at),
            effective_date: leg.effective_date,
            side: leg.side.as_str(),
            amount: leg.amount.amount_text(),
            currency: leg.amount.currency().code(),
            contra: leg.contra.as_ref().map(contra_text),
            reference: leg.reference,
            description: leg.description,
            reverses: leg.reverses,
            reversed_by: leg.reversed_by,
        }
    }
}
