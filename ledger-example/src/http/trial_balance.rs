//! The trial balance: all debits and all credits of each currency, which are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::account::Sides;
use crate::balances::{BookName, Shelf};
use crate::http::cursor;
use crate::http::cut::{AskedPage, room};
use crate::http::input::Params;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::times::Asked;
use crate::read_model::TotalRow;

/// Which trial balance.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TrialBalanceParams {
    /// One book; all of them together when left out.
    book: Option<String>,
    /// Only what takes effect up to and including this day.
    as_of_effective: Option<NaiveDate>,
    /// Only what was known then: a position, the value of a `Folio-Position` header, or a moment. The
    /// answer stays the same for ever.
    known_at: Option<String>,
    /// Waits until the model has this position: the `Folio-Position` of a write.
    min_position: Option<String>,
}

/// Which page of the accounts of a trial balance.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TrialAccountsParams {
    /// One book; all of them when left out.
    book: Option<String>,
    /// Only what takes effect up to and including this day.
    as_of_effective: Option<NaiveDate>,
    /// Only what was known then: a position, the value of a `Folio-Position` header, or a moment.
    known_at: Option<String>,
    /// Where the page before ended. It holds on to what was known when the first page was answered.
    cursor: Option<String>,
    /// Accounts on the page, 1 to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Waits until the model has this position.
    min_position: Option<String>,
}

/// A trial balance.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialBalanceBody {
    /// The position up to which it is known; null where it is of several books.
    known_at: Option<i64>,
    /// The books that it is of, each with the position up to which it is known.
    books: Vec<BookPositionBody>,
    /// The last day that counts, where one was asked for.
    as_of_effective: Option<NaiveDate>,
    /// One for each currency that anything was posted in.
    currencies: Vec<CurrencyBody>,
}

/// How much of a book is known.
#[derive(Debug, Serialize, ToSchema)]
pub struct BookPositionBody {
    /// The book.
    book: String,
    /// The position up to which it is known.
    known_at: i64,
}

/// The sums of one currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct CurrencyBody {
    /// ISO 4217 code.
    currency: &'static str,
    /// All debits.
    debits: String,
    /// All credits.
    credits: String,
    /// Debits less credits: zero.
    net: String,
}

/// A page of the accounts of a trial balance.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialAccountsPage {
    /// The position up to which it is known; null where it is of several books.
    known_at: Option<i64>,
    /// Those that anything was posted to: book after book, in the order of their ids.
    accounts: Vec<TrialAccountBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// What was posted to one account.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialAccountBody {
    /// The book that it is in.
    book: String,
    /// The account.
    account_id: String,
    /// ISO 4217 code.
    currency: &'static str,
    /// All debits.
    debits: String,
    /// All credits.
    credits: String,
    /// Debits less credits, whichever the account's normal side is.
    net: String,
}

/// The trial balance of a book, or of all of them together.
#[utoipa::path(
    get, path = "/v1/trial-balance", tag = "journal", params(TrialBalanceParams),
    responses(
        (status = 200, description = "The trial balance", body = TrialBalanceBody),
        (status = 404, description = "No such book", body = ProblemBody),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn totals(
    State(shelf): State<Arc<Shelf>>,
    Params(params): Params<TrialBalanceParams>,
) -> Result<Response, Problem> {
    let asked = Asked {
        effective: params.as_of_effective,
        known_at: params.known_at.as_deref(),
        min_position: params.min_position.as_deref(),
    };
    let page = AskedPage {
        book: params.book.as_deref(),
        asked,
        list: "trial-balance",
        cursor: None,
    };
    let cut = shelf.cut(page).await?;
    let is_of_the_past = asked.effective.is_some() || asked.known_at.is_some();
    let (mut sums, mut books) = (BTreeMap::<&str, Sides>::new(), Vec::new());
    for opened in cut.all() {
        let as_of = is_of_the_past.then_some(opened.as_of);
        for row in opened.model.trial_balance(as_of).await? {
            let sum = sums.entry(row.currency.code());
            let sum = sum.or_insert_with(|| Sides::zero(row.currency));
            *sum = Sides {
                debits: sum.debits.checked_add(row.posted.debits)?,
                credits: sum.credits.checked_add(row.posted.credits)?,
            };
        }
        books.push(BookPositionBody {
            book: opened.book.name.to_string(),
            known_at: opened.as_of.known.number(),
        });
    }
    let currencies = sums.into_iter().map(|(currency, posted)| {
        let net = posted.debits.checked_sub(posted.credits)?;
        Ok(CurrencyBody {
            currency,
            debits: posted.debits.amount_text(),
            credits: posted.credits.amount_text(),
            net: net.amount_text(),
        })
    });
    let body = TrialBalanceBody {
        known_at: cut.known_at(),
        books,
        as_of_effective: asked.effective,
        currencies: currencies.collect::<Result<_, Problem>>()?,
    };
    cut.answer(body).await
}

/// The accounts of the trial balance.
#[utoipa::path(
    get, path = "/v1/trial-balance/accounts", tag = "journal", params(TrialAccountsParams),
    responses(
        (status = 200, description = "A page of accounts", body = TrialAccountsPage),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn accounts(
    State(shelf): State<Arc<Shelf>>,
    Params(params): Params<TrialAccountsParams>,
) -> Result<Response, Problem> {
    let list = format!(
        "trial-balance/{:?}/{:?}",
        params.book, params.as_of_effective
    );
    let limit = cursor::limit(params.limit)?;
    let page = AskedPage {
        book: params.book.as_deref(),
        asked: Asked {
            effective: params.as_of_effective,
            known_at: params.known_at.as_deref(),
            min_position: params.min_position.as_deref(),
        },
        list: &list,
        cursor: params.cursor.as_deref(),
    };
    let cut = shelf.cut(page).await?;
    let mut accounts = Vec::new();
    let mut last = None;
    for (opened, after) in cut.books() {
        let (book, room) = (opened.book.name(), room(limit, accounts.len()));
        let rows = opened
            .model
            .trial_balance_accounts(opened.as_of, after, room);
        for row in rows.await? {
            last = Some((book, row.account_id.to_string()));
            accounts.push(TrialAccountBody::of(&row, book)?);
        }
    }
    let body = TrialAccountsPage {
        known_at: cut.known_at(),
        next_cursor: cut.next_cursor(&list, accounts.len(), limit, last),
        accounts,
    };
    cut.answer(body).await
}

impl TrialAccountBody {
    fn of(row: &TotalRow, book: &BookName) -> Result<Self, Problem> {
        let net = row.posted.debits.checked_sub(row.posted.credits)?;
        Ok(Self {
            book: book.to_string(),
            account_id: row.account_id.to_string(),
            currency: net.currency().code(),
            debits: row.posted.debits.amount_text(),
            credits: row.posted.credits.amount_text(),
            net: net.amount_text(),
        })
    }
}
