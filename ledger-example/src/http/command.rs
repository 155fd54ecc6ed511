//! From a command to its answer: the part that all writes share.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use folio_core::joint::JointCommand;
use folio_core::store::AppendStatus;
use folio_core::{CommandContext, EventStore, Position, RecordedEvent, Version};
use folio_runtime::{ExecuteError, JointVerdict, StatesAfter, Verdict};
use serde::Serialize;

use crate::Ledger;
use crate::account::{Account, AccountCommand, AccountId};
use crate::http::idempotency::REPLAYED;
use crate::http::position::PositionToken;
use crate::http::problem::Problem;
use crate::moment::Moment;
use crate::refusal::LedgerRefusal;

/// An accepted command to one account.
pub(crate) struct Accepted {
    pub(crate) executed: AppendStatus,
    /// The account right after it.
    pub(crate) account: Account,
    pub(crate) version: Version,
    pub(crate) position: Position,
}

/// An accepted command on several things.
pub(crate) struct AcceptedJointly {
    pub(crate) executed: AppendStatus,
    pub(crate) events: Vec<RecordedEvent>,
    /// What they left behind.
    pub(crate) states: StatesAfter,
    pub(crate) position: Position,
}

/// Carries out a command to an account. A refusal is a problem.
pub(crate) async fn execute(
    ledger: &Ledger,
    id: &AccountId,
    command: AccountCommand,
    context: CommandContext,
) -> Result<Accepted, Problem> {
    let reply = ledger
        .executor
        .execute::<Account>(id.as_str(), command, context)
        .await?;
    let executed = reply.status;
    match reply.verdict {
        Verdict::Refused(refusal) => Err(refused(refusal, executed)),
        Verdict::Accepted { state: None, .. } => Err(Problem::account_not_found()),
        Verdict::Accepted {
            state: Some(account),
            version,
            position,
            ..
        } => Ok(Accepted {
            executed,
            account,
            version,
            position,
        }),
    }
}

/// Carries out a command on several things. A refusal is a problem.
pub(crate) async fn execute_jointly<C>(
    ledger: &Ledger,
    command: &C,
    context: CommandContext,
) -> Result<AcceptedJointly, Problem>
where
    C: JointCommand<Refusal = LedgerRefusal>,
{
    accepted(ledger.executor.execute_jointly(command, context).await?)
}

/// As [`execute_jointly`], without the states that it leaves behind.
pub(crate) async fn record_jointly<C>(
    ledger: &Ledger,
    command: &C,
    context: CommandContext,
) -> Result<AcceptedJointly, Problem>
where
    C: JointCommand<Refusal = LedgerRefusal>,
{
    accepted(ledger.executor.record_jointly(command, context).await?)
}

/// As [`execute_jointly`], for a command that is made of what it looks up first. Where that was not
/// there yet, and was when the command was decided, it is looked up again: it must be by what commands
/// are decided on ([`latest`](folio_runtime::Executor::latest)), which has what the store does not have
/// yet, or it would be missed again.
pub(crate) async fn execute_looked_up<C, F>(
    ledger: &Ledger,
    context: CommandContext,
    look_up: impl Fn() -> F,
) -> Result<AcceptedJointly, Problem>
where
    C: JointCommand<Refusal = LedgerRefusal>,
    F: Future<Output = Result<C, Problem>>,
{
    let mut tries_left = 3_u32;
    loop {
        let command = look_up().await?;
        match ledger
            .executor
            .execute_jointly(&command, context.clone())
            .await
        {
            Err(ExecuteError::Undeclared(_)) if tries_left > 0 => {
                tries_left = tries_left.saturating_sub(1);
            }
            reply => return accepted(reply?),
        }
    }
}

fn accepted(reply: folio_runtime::JointReply<LedgerRefusal>) -> Result<AcceptedJointly, Problem> {
    match reply.verdict {
        JointVerdict::Refused(refusal) => Err(refused(refusal, reply.status)),
        JointVerdict::Accepted {
            events,
            states,
            position,
        } => Ok(AcceptedJointly {
            executed: reply.status,
            events,
            states,
            position,
        }),
    }
}

fn refused(refusal: impl Into<Problem>, executed: AppendStatus) -> Problem {
    let problem = refusal.into();
    match executed {
        AppendStatus::AlreadyApplied => problem.replayed(),
        AppendStatus::Executed => problem,
    }
}

impl Ledger {
    /// What time it is by the store's clock.
    pub(crate) async fn now(&self) -> Result<Moment, Problem> {
        Ok(self.clock.now().await?)
    }
}

/// The answer to a write: the body, where it stands, and whether it is a repeat's.
pub(crate) fn answer(
    ledger: &Ledger,
    status: StatusCode,
    body: impl Serialize,
    position: Position,
    executed: AppendStatus,
) -> Response {
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    PositionToken::of(ledger.store().store_id(), position).put(headers);
    if executed == AppendStatus::AlreadyApplied {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Tells where what was made can be read.
pub(crate) fn located(mut response: Response, location: &str) -> Response {
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
