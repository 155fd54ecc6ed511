//! The statement: every leg within a span of days, with the balance before, after each, and at the end.

mod csv;
mod page;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use chrono::NaiveDate;
use folio_core::{Money, Position};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::page::{Gap, Span};
use crate::account::{AccountId, ContraAccount};
use crate::balances::Shelf;
use crate::http::cursor;
use crate::http::input::{Params, PathId};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::shelf::{Origin, Sought};
use crate::http::times::{Asked, FIRST_DAY, time_text};
use crate::read_model::{LegRow, Place, Statement, StatementLine};

/// Which page of which statement.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StatementParams {
    /// The book, where several have such an account.
    book: Option<String>,
    /// The first day; all from the beginning, when left out.
    from: Option<NaiveDate>,
    /// The last day; all that takes effect later too, when left out.
    to: Option<NaiveDate>,
    /// Only what was known then: a position, the value of a `Folio-Position` header, or a moment. The
    /// statement stays the same for ever.
    known_at: Option<String>,
    /// Where the page before ended. It holds on to what was known when the first page was answered.
    cursor: Option<String>,
    /// Lines on the page, 1 to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Waits until the model has this position: the `Folio-Position` of a write.
    min_position: Option<String>,
    /// `json`; `csv` for the lines as comma-separated values; `html` for a page to read or print.
    format: Option<StatementFormat>,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatementFormat {
    /// A JSON object.
    Json,
    /// Comma-separated values with a line of names, texts as they were recorded: for programs, not for spreadsheets, which take a text that begins
    /// with `=` for a formula.
    Csv,
    /// A page for people, which loads nothing.
    Html,
}

/// A page of a statement.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatementPage {
    /// The book that the account is in.
    book: String,
    /// The account.
    account_id: String,
    /// ISO 4217 code.
    currency: String,
    /// The side on which the balance grows.
    normal_side: &'static str,
    /// The position up to which the account is known here. Asked for as `known_at`, the statement is the
    /// same again.
    known_at: i64,
    /// The balance before the first line of this page.
    opening_balance: String,
    /// The balance at the end of the last day, whatever page this is.
    closing_balance: String,
    /// In the order in which they take effect, and of these in that of recording.
    lines: Vec<LineBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// One leg.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineBody {
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
    /// How much, as a decimal string.
    amount: String,
    /// The account's balance after it.
    balance: String,
    /// The other side: an account, or the short name of a contra account; null where there are several.
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

/// The statement of an account. Its pages do not shift while entries come in.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/statement", tag = "balances",
    params(("id" = String, Path, description = "the account"), StatementParams),
    responses(
        (status = 200, description = "A page of the statement", content(
            (StatementPage = "application/json"), (String = "text/csv"), (String = "text/html"),
        )),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "Several books have such an account", body = ProblemBody),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn statement(
    State(shelf): State<Arc<Shelf>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<StatementParams>,
) -> Result<Response, Problem> {
    let from = params.from.unwrap_or(FIRST_DAY).max(FIRST_DAY);
    if params
        .from
        .zip(params.to)
        .is_some_and(|(from, to)| to < from)
    {
        return Err(Problem::unprocessable(
            "invalid_query",
            "Not what this endpoint takes",
            "from is after to; a statement is of the days from the one to the other",
        ));
    }
    let list = format!("statement/{:?}/{id}/{from}/{:?}", params.book, params.to);
    let limit = cursor::limit(params.limit)?;
    let after = params
        .cursor
        .as_deref()
        .map(|cursor| After::parse(&cursor::decode(&list, cursor)?))
        .transpose()?;
    let known = after.as_ref().map(|after| after.known.number().to_string());
    let asked = Asked {
        effective: params.to,
        known_at: known.as_deref().or(params.known_at.as_deref()),
        min_position: params.min_position.as_deref().filter(|_| known.is_none()),
    };
    let sought = Sought::Account(&id);
    let opened = shelf.open(params.book.as_deref(), sought, asked).await?;
    let (model, as_of) = (&opened.model, opened.as_of);
    let account = model.account(&id).await?;
    let account = account.ok_or_else(Problem::account_not_found)?;
    let start = match &after {
        Some(after) => Some((after.place, after.balance(account.currency)?)),
        None => None,
    };
    let Statement {
        lines,
        opening,
        closing,
    } = model
        .statement(&account, from, as_of, start, i64::from(limit))
        .await?;
    let (book, origin) = (opened.book.name.to_string(), Origin::of(&opened));
    // What was known at a moment that somebody names lacks nothing.
    let gap = params.known_at.is_none().then(|| Gap::of(opened.book));
    opened.model.close().await?;

    let last = lines.last().map(|line| After::text(as_of.known, line));
    let next_cursor = cursor::next(&list, lines.len(), limit, last);
    let page = StatementPage {
        book,
        account_id: id.to_string(),
        currency: account.currency.code().to_owned(),
        normal_side: account.normal_side.as_str(),
        known_at: as_of.known.number(),
        opening_balance: opening.amount_text(),
        closing_balance: closing.amount_text(),
        lines: lines.into_iter().map(LineBody::from).collect(),
        next_cursor,
    };
    let mut response = match params.format {
        Some(StatementFormat::Csv) => csv::csv(page)?,
        Some(StatementFormat::Html) => {
            let span = Span {
                from: params.from,
                to: params.to,
                is_continued: after.is_some(),
            };
            let page = page::html(&page, span, gap.flatten().as_ref());
            Html(page.into_string()).into_response()
        }
        Some(StatementFormat::Json) | None => return Ok(origin.answer(page)),
    };
    origin.put(response.headers_mut());
    Ok(response)
}

/// Where a page ended, and what has to be known to go on there: the position that all pages are of, and
/// the balance.
struct After {
    known: Position,
    place: Place,
    balance: String,
}

impl After {
    fn text(known: Position, line: &StatementLine) -> String {
        let StatementLine { leg, balance } = line;
        let LegRow {
            effective_date,
            position,
            leg,
            ..
        } = leg;
        let balance = balance.amount_text();
        format!("{known} {effective_date} {position} {leg} {balance}")
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let mut words = text.split(' ');
        let mut after = || {
            let position = |word: &str| Position::new(word.parse().ok()?);
            Some(Self {
                known: position(words.next()?)?,
                place: Place {
                    effective_date: words.next()?.parse().ok()?,
                    position: position(words.next()?)?,
                    leg: words.next()?.parse().ok()?,
                },
                balance: words.next()?.to_owned(),
            })
        };
        after().ok_or_else(cursor::invalid)
    }

    fn balance(&self, currency: folio_core::Currency) -> Result<Money, Problem> {
        Money::parse(&self.balance, currency).map_err(|_| cursor::invalid())
    }
}

/// How the other side of a leg is called: contra accounts by their short names.
pub(crate) fn contra_text(id: &AccountId) -> String {
    match ContraAccount::of_account(id) {
        Some((contra, _)) => contra.to_string(),
        None => id.to_string(),
    }
}

impl From<StatementLine> for LineBody {
    fn from(line: StatementLine) -> Self {
        let StatementLine { leg, balance } = line;
        Self {
            position: leg.position.number(),
            entry_id: leg.entry_id,
            recorded_at: time_text(leg.recorded_at),
            effective_date: leg.effective_date,
            side: leg.side.as_str(),
            amount: leg.amount.amount_text(),
            balance: balance.amount_text(),
            contra: leg.contra.as_ref().map(contra_text),
            reference: leg.reference,
            description: leg.description,
            reverses: leg.reverses,
            reversed_by: leg.reversed_by,
        }
    }
}
