//! The trial balance: all debits and all credits of each currency, which are the same.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use folio_core::{EventStore, Position};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::http::cursor;
use crate::http::input::Params;
use crate::http::position::PositionToken;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::times::Asked;
use crate::read_model::TotalRow;

/// Which trial balance.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TrialBalanceParams {
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
    /// The position up to which it is known.
    known_at: i64,
    /// The last day that counts, where one was asked for.
    as_of_effective: Option<NaiveDate>,
    /// One for each currency that anything was posted in.
    currencies: Vec<CurrencyBody>,
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
    /// The position up to which it is known.
    known_at: i64,
    /// Those that anything was posted to, in the order of their ids.
    accounts: Vec<TrialAccountBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// What was posted to one account.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialAccountBody {
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

/// The trial balance of the book.
#[utoipa::path(
    get, path = "/v1/trial-balance", tag = "journal", params(TrialBalanceParams),
    responses(
        (status = 200, description = "The trial balance", body = TrialBalanceBody),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn totals(
    State(ledger): State<Arc<Ledger>>,
    Params(params): Params<TrialBalanceParams>,
) -> Result<Response, Problem> {
    let asked = Asked {
        effective: params.as_of_effective,
        known_at: params.known_at.as_deref(),
        min_position: params.min_position.as_deref(),
    };
    let (model, as_of) = ledger.model_as_of(asked).await?;
    let is_of_the_past = asked.effective.is_some() || asked.known_at.is_some();
    let currencies = model.trial_balance(is_of_the_past.then_some(as_of)).await?;
    let position = model.position();
    model.close().await?;
    let currencies = currencies.iter().map(|row| {
        let net = row.posted.debits.checked_sub(row.posted.credits)?;
        Ok(CurrencyBody {
            currency: row.currency.code(),
            debits: row.posted.debits.amount_text(),
            credits: row.posted.credits.amount_text(),
            net: net.amount_text(),
        })
    });
    let body = TrialBalanceBody {
        known_at: as_of.known.number(),
        as_of_effective: asked.effective,
        currencies: currencies.collect::<Result<_, Problem>>()?,
    };
    let mut response = Json(body).into_response();
    PositionToken::of(ledger.store().store_id(), position).put(response.headers_mut());
    Ok(response)
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
    State(ledger): State<Arc<Ledger>>,
    Params(params): Params<TrialAccountsParams>,
) -> Result<Json<TrialAccountsPage>, Problem> {
    let list = format!("trial-balance/{:?}", params.as_of_effective);
    let limit = cursor::limit(params.limit)?;
    let after = params.cursor.as_deref();
    let after = after
        .map(|cursor| cursor::decode(&list, cursor))
        .transpose()?;
    // The position that all pages are of, and the account.
    let after = after
        .as_deref()
        .map(|after| after.split_once(' ').ok_or_else(cursor::invalid))
        .transpose()?;
    if after.is_some_and(|(known, _)| known.parse().ok().and_then(Position::new).is_none()) {
        return Err(cursor::invalid());
    }
    let known = after.map(|(known, _)| known);
    let asked = Asked {
        effective: params.as_of_effective,
        known_at: known.or(params.known_at.as_deref()),
        min_position: params.min_position.as_deref().filter(|_| known.is_none()),
    };
    let (model, as_of) = ledger.model_as_of(asked).await?;
    let id = after.map_or("", |(_, id)| id);
    let rows = model
        .trial_balance_accounts(as_of, id, i64::from(limit))
        .await?;
    model.close().await?;
    let last = rows
        .last()
        .map(|row| format!("{} {}", as_of.known, row.account_id));
    let accounts = rows.iter().map(TrialAccountBody::of);
    Ok(Json(TrialAccountsPage {
        known_at: as_of.known.number(),
        next_cursor: cursor::next(&list, rows.len(), limit, last),
        accounts: accounts.collect::<Result<_, _>>()?,
    }))
}

impl TrialAccountBody {
    fn of(row: &TotalRow) -> Result<Self, Problem> {
        let net = row.posted.debits.checked_sub(row.posted.credits)?;
        Ok(Self {
            account_id: row.account_id.to_string(),
            currency: net.currency().code(),
            debits: row.posted.debits.amount_text(),
            credits: row.posted.credits.amount_text(),
            net: net.amount_text(),
        })
    }
}
