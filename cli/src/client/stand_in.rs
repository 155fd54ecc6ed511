//! A ledger in memory that speaks the public HTTP API over real HTTP, for the tests of this crate.
//!
//! It keeps the rules that the commands rely on (keys, order, running balances, pages) and takes
//! orders for faults. It is no model of the ledger: an account refuses nothing but being closed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use folio_core::{Currency, Money};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LedgerClient, RetryPolicy};

/// A running stand-in. It ends with the test's runtime.
pub(crate) struct StandIn {
    pub(crate) client: LedgerClient,
    pub(crate) address: String,
    state: Shared,
}

type Shared = Arc<Mutex<Ledger>>;

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) accounts: BTreeMap<String, Book>,
    /// The content of every posting by its key.
    postings: HashMap<String, Value>,
    /// Body and answer of every write by its key.
    answers: HashMap<String, (Value, StatusCode, Value)>,
    /// How many of the next writes are done and then answered with 503.
    pub(crate) lost_answers: usize,
    /// How many of the next requests are answered with 503 and not done.
    pub(crate) not_now: usize,
    /// How many of the next postings are refused as retryable.
    pub(crate) busy_postings: usize,
    pub(crate) min_positions: Vec<String>,
    position: usize,
}

pub(crate) struct Book {
    pub(crate) currency: Currency,
    pub(crate) is_closed: bool,
    pub(crate) lines: Vec<Value>,
    pub(crate) balance: Money,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let state = Shared::default();
        let app = Router::new()
            .route("/v1/accounts", post(open))
            .route("/v1/accounts/{id}/events", get(events))
            .route("/v1/accounts/{id}/statement", get(statement))
            .route("/v1/postings/bulk", post(bulk))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let client = LedgerClient::new(address.parse().unwrap(), "import")
            .unwrap()
            .with_retry(quick());
        Self {
            client,
            address,
            state,
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.state.lock().unwrap()
    }
}

/// As patient as the default, in a hundredth of the time.
pub(crate) fn quick() -> RetryPolicy {
    let default = RetryPolicy::default();
    RetryPolicy {
        first_wait: default.first_wait / 100,
        wait_max: default.wait_max / 100,
        ..default
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenBody {
    id: String,
    currency: Currency,
    overdraft: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkBody {
    postings: Vec<PostingBody>,
}

#[derive(Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
struct PostingBody {
    key: String,
    account_id: String,
    side: String,
    amount: String,
    currency: Currency,
    contra: String,
    effective_date: String,
    reference: String,
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    limit: usize,
    cursor: Option<usize>,
    min_position: Option<String>,
}

async fn open(
    State(state): State<Shared>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    write(&state, &headers, body, |ledger, body| {
        let open: OpenBody = serde_json::from_value(body).unwrap();
        assert_eq!(open.overdraft, json!({"kind": "unlimited"}));
        if ledger.accounts.contains_key(&open.id) {
            return refusal(StatusCode::CONFLICT, "account_already_open");
        }
        ledger.open(&open.id, open.currency);
        (StatusCode::CREATED, json!({"id": open.id}))
    })
}

async fn bulk(
    State(state): State<Shared>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    write(&state, &headers, body, |ledger, body| {
        let bulk: BulkBody = serde_json::from_value(body).unwrap();
        assert!(bulk.postings.len() <= 1_000);
        let results: Vec<_> = bulk
            .postings
            .iter()
            .map(|posting| ledger.post(posting))
            .collect();
        let is_refused = results.iter().any(|result| result["status"] == "refused");
        let status = if is_refused {
            StatusCode::MULTI_STATUS
        } else {
            StatusCode::OK
        };
        (
            status,
            json!({"results": results, "posted": 0, "already_posted": 0, "refused": 0}),
        )
    })
}

async fn events(State(state): State<Shared>, Path(id): Path<String>) -> Response {
    match state.lock().unwrap().accounts.get(&id) {
        Some(book) => {
            let opened = json!({"type": "AccountOpened", "payload": {"currency": book.currency}});
            Json(json!({"account_id": id, "events": [opened]})).into_response()
        }
        None => reply(refusal(StatusCode::NOT_FOUND, "account_not_found")),
    }
}

/// Pages are short, so that small accounts have several.
async fn statement(
    State(state): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Response {
    let mut ledger = state.lock().unwrap();
    if ledger.not_now > 0 {
        ledger.not_now -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    ledger.min_positions.extend(query.min_position);
    let Some(book) = ledger.accounts.get(&id) else {
        return reply(refusal(StatusCode::NOT_FOUND, "account_not_found"));
    };
    let start = query.cursor.unwrap_or(0);
    let end = book.lines.len().min(start + query.limit.min(4));
    Json(json!({
        "account_id": id,
        "currency": book.currency,
        "lines": book.lines[start..end],
        "next_cursor": (end < book.lines.len()).then(|| end.to_string()),
    }))
    .into_response()
}

/// What all writes have in common: the key, and the faults that were ordered.
fn write(
    state: &Shared,
    headers: &HeaderMap,
    body: Value,
    work: impl FnOnce(&mut Ledger, Value) -> (StatusCode, Value),
) -> Response {
    let mut ledger = state.lock().unwrap();
    assert_eq!(headers["Folio-Actor"], "import");
    let key = headers["Idempotency-Key"].to_str().unwrap().to_owned();
    if ledger.not_now > 0 {
        ledger.not_now -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let answered = ledger.answers.get(&key).cloned();
    let is_replay = answered.is_some();
    let (status, answer) = match answered {
        Some((earlier, ..)) if earlier != body => {
            refusal(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
        }
        Some((_, status, answer)) => (status, answer),
        None => {
            let (status, answer) = work(&mut ledger, body.clone());
            ledger.answers.insert(key, (body, status, answer.clone()));
            (status, answer)
        }
    };
    if ledger.lost_answers > 0 {
        ledger.lost_answers -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let mut response = reply((status, answer));
    let position = format!("p{}", ledger.position).parse().unwrap();
    response.headers_mut().insert("Folio-Position", position);
    if is_replay {
        let replayed = "true".parse().unwrap();
        response
            .headers_mut()
            .insert("Idempotent-Replayed", replayed);
    }
    response
}

impl Ledger {
    pub(crate) fn open(&mut self, id: &str, currency: Currency) {
        let book = Book {
            currency,
            is_closed: false,
            lines: Vec::new(),
            balance: Money::zero(currency),
        };
        self.accounts.insert(id.to_owned(), book);
        self.position += 1;
    }

    fn post(&mut self, posting: &PostingBody) -> Value {
        let content = serde_json::to_value(posting).unwrap();
        let result = |status: &str| json!({"key": posting.key, "status": status});
        let refused = |code| {
            let (_, problem) = refusal(StatusCode::CONFLICT, code);
            json!({"key": posting.key, "status": "refused", "problem": problem})
        };
        match self.postings.get(&posting.key) {
            Some(known) if *known == content => return result("already_posted"),
            Some(_) => return refused("idempotency_key_reused"),
            None => {}
        }
        if self.busy_postings > 0 {
            self.busy_postings -= 1;
            return refused("busy");
        }
        let book = self.accounts.get_mut(&posting.account_id).unwrap();
        if book.is_closed {
            return refused("account_closed");
        }
        book.add(posting);
        self.position += 1;
        self.postings.insert(posting.key.clone(), content);
        result("posted")
    }
}

impl Book {
    fn add(&mut self, posting: &PostingBody) {
        let amount = Money::parse(&posting.amount, self.currency).unwrap();
        self.balance = match posting.side.as_str() {
            "credit" => self.balance.checked_add(amount).unwrap(),
            _ => self.balance.checked_sub(amount).unwrap(),
        };
        self.lines.push(json!({
            "position": self.lines.len() + 2,
            "position": self.lines.len() + 2,
            "recorded_at": "2026-01-01T00:00:00.000000Z",
            "effective_date": posting.effective_date,
            "side": posting.side,
            "amount": posting.amount,
            "balance": self.balance.amount_text(),
            "contra": posting.contra,
            "reference": posting.reference,
            "description": posting.description,
        }));
    }
}

fn refusal(status: StatusCode, code: &str) -> (StatusCode, Value) {
    let problem = json!({
        "type": format!("urn:stand-in:{code}"), "title": code, "status": status.as_u16(),
        "detail": format!("the stand-in says {code}"), "code": code,
        "retryable": code == "busy", "correlation_id": "c-1",
    });
    (status, problem)
}

fn reply((status, body): (StatusCode, Value)) -> Response {
    (status, Json(body)).into_response()
}
