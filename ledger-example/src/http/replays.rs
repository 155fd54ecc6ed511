//! Balances as of a version or a moment, replayed from the account's own events.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use folio_core::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Ledger;
use crate::account::{Account, AccountId, Kind};
use crate::http::account_body::available_text;
use crate::http::input::{Params, PathId};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::BalanceBody;

/// Up to where it is replayed: one of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReplayParams {
    /// Replays the account up to and including this version.
    at_version: Option<i64>,
    /// Replays what was recorded up to this moment: `2026-03-31T23:59:59Z`.
    at_time: Option<DateTime<Utc>>,
}

/// The balance of an account in the past, replayed from its events. What it is now, and as of a day, the
/// balances service answers.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/balance", tag = "audit",
    params(("id" = String, Path, description = "the account"), ReplayParams),
    responses(
        (status = 200, description = "The balance", body = BalanceBody),
        (status = 404, description = "No such account, or not yet at that moment", body = ProblemBody),
        (status = 422, description = "The account has not come to that version", body = ProblemBody),
    )
)]
pub(crate) async fn balance(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    Params(params): Params<ReplayParams>,
) -> Result<Json<BalanceBody>, Problem> {
    let body = match (params.at_version, params.at_time) {
        (Some(version), None) => at_version(&ledger, &id, version).await?,
        (None, Some(time)) => at_time(&ledger, &id, time).await?,
        (None, None) | (Some(_), Some(_)) => {
            return Err(Problem::unprocessable(
                "invalid_query",
                "Not what this endpoint takes",
                "one of at_version and at_time; other balances are at the balances service",
            ));
        }
    };
    Ok(Json(body))
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
            book: None,
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
