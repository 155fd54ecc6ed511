//! Balances, of the read model: now, or as of a day and as known at a position.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::account::{AccountId, Sides};
use crate::balances::Shelf;
use crate::http::account_body::available_text;
use crate::http::input::{Params, PathId};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::shelf::{Origin, Sought};
use crate::http::times::Asked;
use crate::read_model::{AccountRow, AsOf};

/// Which balance.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BalanceParams {
    /// The book, where several have such an account.
    book: Option<String>,
    /// Waits until the model has this position: the `Folio-Position` of a write.
    min_position: Option<String>,
    /// Only what takes effect up to and including this day.
    as_of_effective: Option<NaiveDate>,
    /// Only what was known then: a position, the value of a `Folio-Position` header, or a moment. The
    /// answer stays the same for ever.
    known_at: Option<String>,
}

/// A balance.
#[derive(Debug, Serialize, ToSchema)]
pub struct BalanceBody {
    /// The book that the account is in; left out where it was replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) book: Option<String>,
    /// The account.
    pub(super) account_id: String,
    /// ISO 4217 code.
    pub(super) currency: String,
    /// What was posted on the account's normal side less what was posted on the other, as a decimal
    /// string.
    pub(super) balance: String,
    /// What may still go out: the balance and the overdraft less what is held; null where there is no
    /// bound, and of a past.
    pub(super) available: Option<String>,
    /// All credits.
    pub(super) credits_posted: String,
    /// All debits.
    pub(super) debits_posted: String,
    /// Credits that are expected; null of a past.
    pub(super) credits_pending: Option<String>,
    /// Debits that are held; null of a past.
    pub(super) debits_pending: Option<String>,
    /// The account's version that this is the balance of; null where only the legs were added up.
    pub(super) version: Option<i64>,
    /// The position up to which it is known; null where it was replayed.
    pub(super) known_at: Option<i64>,
    /// The last day that counts, where one was asked for.
    pub(super) as_of_effective: Option<NaiveDate>,
    /// `model`; `legs` where `as_of_effective` or `known_at` was asked for; `replay` where a version or
    /// a moment was.
    pub(super) source: &'static str,
}

/// The balance of an account.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/balance", tag = "balances",
    params(("id" = String, Path, description = "the account"), BalanceParams),
    responses(
        (status = 200, description = "The balance", body = BalanceBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "Several books have such an account", body = ProblemBody),
        (status = 422, description = "The query is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn balance(
    State(shelf): State<Arc<Shelf>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<BalanceParams>,
) -> Result<Response, Problem> {
    let asked = Asked {
        effective: params.as_of_effective,
        known_at: params.known_at.as_deref(),
        min_position: params.min_position.as_deref(),
    };
    let is_of_the_past = asked.effective.is_some() || asked.known_at.is_some();
    let sought = Sought::Account(&id);
    let opened = shelf.open(params.book.as_deref(), sought, asked).await?;
    let (model, as_of) = (&opened.model, opened.as_of);
    let account = model.account(&id).await?;
    let account = account.ok_or_else(Problem::account_not_found)?;
    let mut body = if is_of_the_past {
        let posted = model.posted(&account, as_of).await?;
        BalanceBody::of_legs(&account, posted, as_of, asked.effective)?
    } else {
        BalanceBody::of_row(&account, as_of)
    };
    body.book = Some(opened.book.name.to_string());
    let origin = Origin::of(&opened);
    opened.model.close().await?;
    Ok(origin.answer(body))
}

impl BalanceBody {
    fn of_row(row: &AccountRow, as_of: AsOf) -> Self {
        Self {
            book: None,
            account_id: row.account_id.to_string(),
            currency: row.currency.code().to_owned(),
            balance: row.balance.amount_text(),
            available: available_text(row.available()),
            credits_posted: row.posted.credits.amount_text(),
            debits_posted: row.posted.debits.amount_text(),
            credits_pending: Some(row.pending.credits.amount_text()),
            debits_pending: Some(row.pending.debits.amount_text()),
            version: Some(row.version.number()),
            known_at: Some(as_of.known.number()),
            as_of_effective: None,
            source: "model",
        }
    }

    fn of_legs(
        row: &AccountRow,
        posted: Sides,
        as_of: AsOf,
        effective: Option<NaiveDate>,
    ) -> Result<Self, Problem> {
        let balance = posted.balance(row.normal_side);
        Ok(Self {
            book: None,
            account_id: row.account_id.to_string(),
            currency: row.currency.code().to_owned(),
            balance: balance?.amount_text(),
            available: None,
            credits_posted: posted.credits.amount_text(),
            debits_posted: posted.debits.amount_text(),
            credits_pending: None,
            debits_pending: None,
            version: None,
            known_at: Some(as_of.known.number()),
            as_of_effective: effective,
            source: "legs",
        })
    }
}
