//! Balances: of the read model now, or replayed as of a version or a moment.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use folio_core::{EventStore, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::account::{Account, AccountId};
use crate::http::input::{AccountPath, Params, available_text};
use crate::http::position::PositionToken;
use crate::http::problem::{Problem, ProblemBody};
use crate::read_model::{AccountRow, Balances};

/// Longest wait for a position that the model does not have yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a read of the model may ask.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ModelParams {
    /// Waits until the model has this position: the `Folio-Position` of a write.
    pub(crate) min_position: Option<String>,
}

/// Which balance.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct BalanceParams {
    /// Waits until the model has this position: the `Folio-Position` of a write.
    min_position: Option<String>,
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
    /// What came in less what went out, as a decimal string.
    balance: String,
    /// What may still be debited; null where there is no bound.
    available: Option<String>,
    /// All that came in.
    credits_posted: String,
    /// All that went out.
    debits_posted: String,
    /// The account's version that this is the balance of.
    version: i64,
    /// `model`, or `replay` where a version or a moment was asked for.
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
    AccountPath(id): AccountPath,
    Params(params): Params<BalanceParams>,
) -> Result<Response, Problem> {
    match (params.at_version, params.at_time, &params.min_position) {
        (None, None, min_position) => {
            let model = ledger.model(min_position.as_deref()).await?;
            let account = model.account(&id).await?;
            let position = model.position();
            model.close().await?;
            let account = account.ok_or_else(Problem::account_not_found)?;
            let mut response = Json(BalanceBody::of_row(&account)).into_response();
            PositionToken::of(ledger.store().store_id(), position).put(response.headers_mut());
            Ok(response)
        }
        (Some(version), None, None) => {
            Ok(Json(at_version(&ledger, &id, version).await?).into_response())
        }
        (None, Some(time), None) => Ok(Json(at_time(&ledger, &id, time).await?).into_response()),
        _ => Err(Problem::unprocessable(
            "invalid_query",
            "Not what this endpoint takes",
            "ask for one of min_position, at_version and at_time",
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
    Ok(BalanceBody::of_state(id, &account, version.number()))
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
    Ok(BalanceBody::of_state(id, &account, version.number()))
}

impl Ledger {
    /// The model as of one moment, once it has every position of the token that it is fed by.
    pub(crate) async fn model(&self, token: Option<&str>) -> Result<Balances, Problem> {
        let position = match token {
            // Positions in other stores are of no concern to this model.
            Some(token) => PositionToken::parse(token)?.position_in(self.store().store_id()),
            None => None,
        };
        Ok(match position {
            Some(position) => self.queries.at(position, PATIENCE).await?,
            None => self.queries.now().await?,
        })
    }
}

impl BalanceBody {
    fn of_row(row: &AccountRow) -> Self {
        Self {
            account_id: row.account_id.to_string(),
            currency: row.currency.code().to_owned(),
            balance: row.balance.amount_text(),
            available: available_text(row.overdraft.available(row.balance)),
            credits_posted: row.credits_posted.amount_text(),
            debits_posted: row.debits_posted.amount_text(),
            version: row.version.number(),
            source: "model",
        }
    }

    fn of_state(id: &AccountId, account: &Account, version: i64) -> Self {
        Self {
            account_id: id.to_string(),
            currency: account.currency().code().to_owned(),
            balance: account.balance().amount_text(),
            available: available_text(account.overdraft().available(account.balance())),
            credits_posted: account.credits_posted().amount_text(),
            debits_posted: account.debits_posted().amount_text(),
            version,
            source: "replay",
        }
    }
}

/// A moment as text: RFC 3339 in UTC, to the microsecond that is stored.
pub(crate) fn time_text(time: Timestamp) -> String {
    DateTime::<Utc>::from_timestamp_micros(time.micros()).map_or_else(String::new, |time| {
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    })
}
