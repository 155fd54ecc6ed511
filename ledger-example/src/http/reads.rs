//! Balances: of the read model now, as of a day and as known at a position, or replayed as of a version
//! or a moment.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use folio_core::{EventStore, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::account::{Account, AccountId, Kind, Sides};
use crate::http::account_body::available_text;
use crate::http::input::{Params, PathId};
use crate::http::position::PositionToken;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::times::Asked;
use crate::read_model::{AccountRow, AsOf};

/// Which balance.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BalanceParams {
    /// Waits until the model has this position: the `Folio-Position` of a write.
    min_position: Option<String>,
    /// Only what takes effect up to and including this day.
    as_of_effective: Option<NaiveDate>,
    /// Only what was known then: a position, the value of a `Folio-Position` header, or a moment. The
    /// answer stays the same for ever.
    known_at: Option<String>,
    /// Replays the account up to and including this version.
    at_version: Option<i64>,
    /// Replays what was recorded up to this moment: `2026-03-31T23:59:59Z`.
    at_time: Option<DateTime<Utc>>,
}

/// A balance.
#[derive(Debug, Serialize, ToSchema)]
pub struct BalanceBody {
    /// The account.
    account_id: String,
    /// ISO 4217 code.
    currency: String,
    /// What was posted on the account's normal side less what was posted on the other, as a decimal
    /// string.
    balance: String,
    /// What may still go out: the balance and the overdraft less what is held; null where there is no
    /// bound, and of a past.
    available: Option<String>,
    /// All credits.
    credits_posted: String,
    /// All debits.
    debits_posted: String,
    /// Credits that are expected; null of a past.
    credits_pending: Option<String>,
    /// Debits that are held; null of a past.
    debits_pending: Option<String>,
    /// The account's version that this is the balance of; null where only the legs were added up.
    version: Option<i64>,
    /// The position up to which it is known; null where it was replayed.
    known_at: Option<i64>,
    /// The last day that counts, where one was asked for.
    as_of_effective: Option<NaiveDate>,
    /// `model`; `legs` where `as_of_effective` or `known_at` was asked for; `replay` where a version or
    /// a moment was.
    source: &'static str,
}

/// The balance of an account.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/balance", tag = "balances",
    params(("id" = String, Path, description = "the account"), BalanceParams),
    responses(
        (status = 200, description = "The balance", body = BalanceBody),
        (status = 404, description = "No such account, or not yet at that moment", body = ProblemBody),
        (status = 422, description = "The account has not come to that version", body = ProblemBody),
    )
)]
pub(crate) async fn balance(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<BalanceParams>,
) -> Result<Response, Problem> {
    let asked = Asked {
        effective: params.as_of_effective,
        known_at: params.known_at.as_deref(),
        min_position: params.min_position.as_deref(),
    };
    let is_of_the_past = asked.effective.is_some() || asked.known_at.is_some();
    match (params.at_version, params.at_time) {
        (None, None) => {
            let (model, as_of) = ledger.model_as_of(asked).await?;
            let account = model.account(&id).await?;
            let account = account.ok_or_else(Problem::account_not_found)?;
            let body = if is_of_the_past {
                let posted = model.posted(&account, as_of).await?;
                BalanceBody::of_legs(&account, posted, as_of, asked.effective)?
            } else {
                BalanceBody::of_row(&account, as_of)
            };
            let position = model.position();
            model.close().await?;
            let mut response = Json(body).into_response();
            PositionToken::of(ledger.store().store_id(), position).put(response.headers_mut());
            Ok(response)
        }
        (Some(version), None) if !is_of_the_past && asked.min_position.is_none() => {
            Ok(Json(at_version(&ledger, &id, version).await?).into_response())
        }
        (None, Some(time)) if !is_of_the_past && asked.min_position.is_none() => {
            Ok(Json(at_time(&ledger, &id, time).await?).into_response())
        }
        _ => Err(Problem::unprocessable(
            "invalid_query",
            "Not what this endpoint takes",
            "at_version and at_time stand alone",
        )),
    }
}

async fn at_version(ledger: &Ledger, id: &AccountId, asked: i64) -> Result<BalanceBody, Problem> {
    let not_reached = |detail: String| {
        Problem::unprocessable(
            "version_not_reached",
            "The account has no such version",
            detail,
        )
    };
    if asked < 1 {
        return Err(not_reached("versions count from 1".to_owned()));
    }
    let (account, version) = ledger
        .executor
        .replay_until::<Account>(id.as_str(), |event| event.version.number() <= asked)
        .await?;
    let account = account.ok_or_else(Problem::account_not_found)?;
    if version.number() < asked {
        return Err(not_reached(format!("its last version is {version}")));
    }
    BalanceBody::of_state(id, &account, version.number())
}

async fn at_time(
    ledger: &Ledger,
    id: &AccountId,
    time: DateTime<Utc>,
) -> Result<BalanceBody, Problem> {
    let until = Timestamp::from_micros(time.timestamp_micros());
    let (account, version) = ledger
        .executor
        .replay_until::<Account>(id.as_str(), |event| event.recorded_at <= until)
        .await?;
    let account = account.ok_or_else(|| {
        Problem::client(
            StatusCode::NOT_FOUND,
            "account_not_found",
            "No such account",
            "the account was not open at that moment",
        )
    })?;
    BalanceBody::of_state(id, &account, version.number())
}

impl BalanceBody {
    fn of_row(row: &AccountRow, as_of: AsOf) -> Self {
        Self {
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

    fn of_state(id: &AccountId, account: &Account, version: i64) -> Result<Self, Problem> {
        if account.kind() == Kind::Recording {
            return Err(Problem::unprocessable(
                "recording_account",
                "Not of a recording account",
                "its postings are not among its own events; ask with known_at or as_of_effective",
            ));
        }
        let (posted, pending) = (account.posted(), account.pending());
        Ok(Self {
            account_id: id.to_string(),
            currency: account.currency().code().to_owned(),
            balance: account.balance().amount_text(),
            available: available_text(account.available()),
            credits_posted: posted.credits.amount_text(),
            debits_posted: posted.debits.amount_text(),
            credits_pending: Some(pending.credits.amount_text()),
            debits_pending: Some(pending.debits.amount_text()),
            version: Some(version),
            known_at: None,
            as_of_effective: None,
            source: "replay",
        })
    }
}
