//! The statement: every posting, with the balance after it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Ledger;
use crate::http::cursor;
use crate::http::input::{AccountPath, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::time_text;
use crate::read_model::StatementLine;

/// Which page of a statement.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct StatementParams {
    /// Where the page before ended.
    cursor: Option<String>,
    /// Lines on the page, 1 to 1,000.
    limit: Option<u16>,
    /// Waits until the model has this position: the `Folio-Position` of a write.
    min_position: Option<String>,
}

/// A page of a statement.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatementPage {
    /// The account.
    account_id: String,
    /// ISO 4217 code.
    currency: String,
    /// In the order of recording.
    lines: Vec<LineBody>,
    /// Where the next page starts; null on the last one.
    next_cursor: Option<String>,
}

/// One posting.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineBody {
    /// Its place among the account's events.
    version: i64,
    /// Its place in the store.
    position: i64,
    /// When it was recorded, in UTC.
    recorded_at: String,
    /// When it took effect, where that is another day.
    effective_date: Option<chrono::NaiveDate>,
    /// `credit` or `debit`.
    side: &'static str,
    /// How much, as a decimal string.
    amount: String,
    /// The account's balance after it.
    balance: String,
    /// The other side.
    contra: String,
    /// The client's name for it.
    reference: Option<String>,
    /// What it was for.
    description: Option<String>,
}

/// The statement of an account. Pages do not shift while postings come in.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/statement", tag = "balances",
    params(("id" = String, Path, description = "the account"), StatementParams),
    responses(
        (status = 200, description = "A page of the statement", body = StatementPage),
        (status = 404, description = "No such account", body = ProblemBody),
    )
)]
pub(crate) async fn statement(
    State(ledger): State<Arc<Ledger>>,
    AccountPath(id): AccountPath,
    Params(params): Params<StatementParams>,
) -> Result<Json<StatementPage>, Problem> {
    let list = format!("statement/{id}");
    let limit = cursor::limit(params.limit)?;
    let after = cursor::version(&list, params.cursor.as_deref())?;
    let model = ledger.model(params.min_position.as_deref()).await?;
    let Some(account) = model.account(&id).await? else {
        model.close().await?;
        return Err(Problem::account_not_found());
    };
    let lines = model.statement(&account, after, i64::from(limit)).await?;
    model.close().await?;
    let last = lines.last().map(|line| line.version.to_string());
    Ok(Json(StatementPage {
        account_id: id.to_string(),
        currency: account.currency.code().to_owned(),
        next_cursor: cursor::next(&list, lines.len(), limit, last),
        lines: lines.into_iter().map(LineBody::from).collect(),
    }))
}

impl From<StatementLine> for LineBody {
    fn from(line: StatementLine) -> Self {
        Self {
            version: line.version.number(),
            position: line.position.number(),
            recorded_at: time_text(line.recorded_at),
            effective_date: line.effective_date,
            side: line.side.as_str(),
            amount: line.amount.amount_text(),
            balance: line.balance.amount_text(),
            contra: line.contra,
            reference: line.reference,
            description: line.description,
        }
    }
}
