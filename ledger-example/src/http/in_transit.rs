//! What is on its way between books, and whether all of them together are as they must be.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use folio_core::{Currency, Money};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::balances::Shelf;
use crate::http::input::Params;
use crate::http::position::PositionToken;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::times::PATIENCE;
use crate::transit::{Finding, Report, Told, Waiting};

/// Sagas whose money is on its way that are listed.
const LISTED: usize = 100;

/// What is on its way, at a cut of positions that is closed under causation.
#[derive(Debug, Serialize, ToSchema)]
pub struct InTransitBody {
    /// Whether all is as it must be.
    holds: bool,
    /// The cut: up to where each store was taken in. Whatever is up to there has its cause up to there.
    cut: Vec<CutBody>,
    /// For each currency what there is. What is on clearing accounts is what is on its way by what was ordered.
    currencies: Vec<OnTheWayBody>,
    /// The transfers and payments whose money that is, the first 100 in the order of their ids.
    on_the_way: Vec<String>,
    /// How many of them there are.
    on_the_way_count: usize,
    /// How many transfers and payments have not ended.
    under_way: usize,
    /// How many have, and left nothing behind.
    settled: u64,
    /// What was read and not taken in, since its cause was not read yet.
    waiting: Vec<WaitingBody>,
    /// How many things were found that are not as they must be.
    found: u64,
    /// The first 100 of them.
    findings: Vec<FindingBody>,
    /// What keeps a store from being read on, if anything does.
    failure: Option<String>,
}

/// How far a store was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub struct CutBody {
    /// Whose it is: `book a`, or `transfers`.
    store: String,
    /// Up to here.
    position: i64,
}

/// What there is, and what of it is on its way, in a currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct OnTheWayBody {
    /// ISO 4217 code.
    currency: &'static str,
    /// What customers have, over all books.
    customers: String,
    /// What has come in from outside less what has gone there: what customers have and what is on its way together.
    from_outside: String,
    /// What is on clearing accounts over all books.
    clearing: String,
    /// What is on its way by what was ordered.
    in_transit: String,
}

/// An event that waits for its cause.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingBody {
    /// In whose store it is.
    store: String,
    /// Where.
    position: i64,
    /// The store of its cause.
    cause_store_id: String,
    /// Where that is.
    cause_position: i64,
}

/// Something that is not as it must be.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingBody {
    /// In whose store it was found.
    store: String,
    /// At which event.
    position: i64,
    /// What it is of.
    of: String,
    /// What was found.
    what: String,
}

/// How far it must have been read.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InTransitParams {
    /// Waits until the cut has this position: the `Folio-Position` of a write.
    min_position: Option<String>,
}

/// Tells what is on its way between books, and reconciles all of them with what moves money between them: at a cut of
/// positions that has every event's cause, whichever service that was recorded by.
#[utoipa::path(
    get, path = "/v1/in-transit", tag = "health", params(InTransitParams),
    responses(
        (status = 200, description = "What is on its way, and what was found", body = InTransitBody),
        (status = 404, description = "This service follows no transfers", body = ProblemBody),
        (status = 422, description = "The query is wrong", body = ProblemBody),
        (status = 503, description = "Nothing was read yet, or not far enough", body = ProblemBody),
    )
)]
pub(crate) async fn in_transit(
    State(shelf): State<Arc<Shelf>>,
    Params(params): Params<InTransitParams>,
) -> Result<Response, Problem> {
    let in_transit = shelf.in_transit.as_ref().ok_or_else(|| {
        Problem::client(
            StatusCode::NOT_FOUND,
            "transfers_not_followed",
            "This service follows no transfers",
            "start it with the address of the transfers service",
        )
    })?;
    let token = params.min_position.as_deref();
    let token = token.map(PositionToken::parse).transpose()?;
    let told = match &token {
        Some(token) => in_transit.told_at(token.pairs(), PATIENCE).await,
        None => in_transit.told(),
    };
    let Told {
        report: Some(report),
        failure,
    } = told
    else {
        let failure = told.failure.unwrap_or_else(|| "ask again".to_owned());
        return Err(not_yet(failure));
    };
    let pairs = report
        .cut
        .iter()
        .map(|(_, store, position)| (*store, *position));
    let pairs: Vec<_> = pairs.collect();
    let is_there = token.is_none_or(|token| {
        pairs.iter().all(|(store, reached)| {
            token
                .position_in(*store)
                .is_none_or(|wanted| *reached >= wanted)
        })
    });
    if !is_there {
        return Err(not_yet(
            "the positions asked for are not reached; ask again",
        ));
    }
    let mut response = Json(InTransitBody::of(&report, failure)).into_response();
    if let Some(token) = PositionToken::of_all(pairs) {
        token.put(response.headers_mut());
    }
    Ok(response)
}

fn not_yet(detail: impl Into<String>) -> Problem {
    Problem::passing(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_reached",
        "The stores are still being read",
        detail,
    )
}

impl InTransitBody {
    fn of(report: &Report, failure: Option<String>) -> Self {
        let currencies = report.customers.keys().chain(report.clearing.keys());
        let mut currencies: Vec<Currency> = currencies.copied().collect();
        currencies.sort_unstable();
        currencies.dedup();
        let currencies = currencies.into_iter().map(|currency| {
            let zero = Money::zero(currency);
            let text = |sums: &BTreeMap<Currency, Money>| {
                sums.get(&currency).unwrap_or(&zero).amount_text()
            };
            OnTheWayBody {
                currency: currency.code(),
                customers: text(&report.customers),
                from_outside: text(&report.from_outside),
                clearing: text(&report.clearing),
                in_transit: text(&report.in_transit),
            }
        });
        let cut = report.cut.iter().map(|(owner, _, position)| CutBody {
            store: owner.to_string(),
            position: position.number(),
        });
        Self {
            holds: report.holds(),
            cut: cut.collect(),
            currencies: currencies.collect(),
            on_the_way: report.on_the_way.iter().take(LISTED).cloned().collect(),
            on_the_way_count: report.on_the_way.len(),
            under_way: report.under_way,
            settled: report.settled,
            waiting: report.waiting.iter().map(WaitingBody::of).collect(),
            found: report.found,
            findings: report.findings.iter().map(FindingBody::of).collect(),
            failure,
        }
    }
}

impl WaitingBody {
    fn of(waiting: &Waiting) -> Self {
        Self {
            store: waiting.owner.to_string(),
            position: waiting.position.number(),
            cause_store_id: waiting.cause.store_id.to_string(),
            cause_position: waiting.cause.position.number(),
        }
    }
}

impl FindingBody {
    fn of(finding: &Finding) -> Self {
        Self {
            store: finding.owner.to_string(),
            position: finding.position.number(),
            of: finding.of.clone(),
            what: finding.what.clone(),
        }
    }
}
