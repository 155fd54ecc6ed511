//! Clients that ask the whole system at a steady rate, and what they see of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use folio_tests::scale;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep};

use super::system::{PATIENCE, System};

/// Requests a second in every run; at most 200 where more is asked for.
const A_SECOND: u64 = 50;
/// Accounts in each book.
const ACCOUNTS: usize = 12;
/// Longer than any request may take.
const REQUEST: Duration = Duration::from_secs(40);

/// What clients have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How often each account was credited, by book and account.
    credited: BTreeMap<(&'static str, usize), u32>,
    pub(super) failed: Vec<String>,
    /// How long each request has taken, by the service that it was for.
    took: BTreeMap<&'static str, Vec<Duration>>,
}

/// A request of a client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asks {
    Credit(&'static str, usize),
    Balances,
    Transfers,
}

impl Asks {
    fn service(self) -> &'static str {
        match self {
            Self::Credit("a", _) => "accounts-a",
            Self::Credit(..) => "accounts-b",
            Self::Balances => "balances",
            Self::Transfers => "transfers",
        }
    }
}

fn account(book: &str, number: usize) -> String {
    format!("{book}-{number}")
}

pub(super) async fn open_accounts(system: &System) {
    for book in ["a", "b"] {
        for number in 0..ACCOUNTS {
            let id = account(book, number);
            let body = json!({"id": id, "currency": "EUR"});
            let path = format!("/v1/books/{book}/accounts");
            let opened = post(system, &path, &id, &body).await;
            assert_eq!(opened.0, 201, "{opened:?}");
        }
    }
}

pub(super) async fn post(system: &System, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}{path}", system.url("gateway"));
    let request = system
        .client
        .post(url)
        .bearer_auth(system.token("operator"));
    let request = request.header("Idempotency-Key", key).json(body);
    let answer = request.send().await.unwrap();
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

/// Clients that ask at a steady rate, whether they are answered or not, until `meanwhile` is over. The mix is of those named.
pub(super) async fn under_load(
    system: &System,
    mix: &[Asks],
    meanwhile: impl Future<Output = ()>,
) -> Seen {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let (door, token) = (
        system.url("gateway").to_owned(),
        system.token("operator").to_owned(),
    );
    let client = Client::builder()
        .no_proxy()
        .timeout(REQUEST)
        .build()
        .unwrap();
    let rate = (A_SECOND * scale() as u64).min(200);
    let asking = async {
        let mut requests = tokio::task::JoinSet::new();
        let mut ticks = interval(Duration::from_micros(1_000_000 / rate));
        let mut number = 0;
        let mut is_over = std::pin::pin!(meanwhile);
        loop {
            tokio::select! {
                () = &mut is_over => break,
                _ = ticks.tick() => {}
            }
            let asks = match mix[number % mix.len()] {
                Asks::Credit(book, _) => Asks::Credit(book, number % ACCOUNTS),
                asks @ (Asks::Balances | Asks::Transfers) => asks,
            };
            let (door, token, client) = (door.clone(), token.clone(), client.clone());
            requests.spawn(ask(door, token, client, asks, number, Arc::clone(&seen)));
            number += 1;
        }
        while let Some(ended) = requests.join_next().await {
            ended.unwrap();
        }
    };
    asking.await;
    Arc::try_unwrap(seen).unwrap().into_inner().unwrap()
}

async fn ask(
    door: String,
    token: String,
    client: Client,
    asks: Asks,
    number: usize,
    seen: Arc<Mutex<Seen>>,
) {
    let began = Instant::now();
    let request = match asks {
        Asks::Credit(book, of) => {
            let id = account(book, of);
            let body = json!({"amount": "1.00", "currency": "EUR", "contra": "cash"});
            let request = client.post(format!("{door}/v1/books/{book}/accounts/{id}/credits"));
            request
                .header("Idempotency-Key", format!("credit-{number}"))
                .json(&body)
        }
        Asks::Balances => client.get(format!("{door}/v1/accounts?limit=5")),
        Asks::Transfers => client.get(format!("{door}/v1/transfers?limit=5")),
    };
    let answer = request.bearer_auth(token).send().await;
    let failed = match answer {
        Ok(answer) if answer.status().is_success() => None,
        Ok(answer) => {
            let status = answer.status();
            Some(format!(
                "{asks:?}: {status} {}",
                answer.text().await.unwrap_or_default()
            ))
        }
        Err(error) => Some(format!("{asks:?}: {error:?}")),
    };
    let mut seen = seen.lock().unwrap();
    seen.took
        .entry(asks.service())
        .or_default()
        .push(began.elapsed());
    match (failed, asks) {
        (Some(failed), _) => seen.failed.push(failed),
        (None, Asks::Credit(book, of)) => *seen.credited.entry((book, of)).or_default() += 1,
        (None, Asks::Balances | Asks::Transfers) => {}
    }
}

impl Seen {
    /// Says what was seen, and answers how long all but one in a hundred requests to a service took at most.
    pub(super) fn told(&mut self, what: &str) -> BTreeMap<&'static str, Duration> {
        let mut p99 = BTreeMap::new();
        for (service, took) in &mut self.took {
            took.sort_unstable();
            let at = |share: usize| took[(took.len() * share / 1_000).min(took.len() - 1)];
            eprintln!(
                "{what}: {service} {} requests, p50 {:.1?}, p99 {:.1?}, longest {:.1?}",
                took.len(),
                at(500),
                at(990),
                at(1_000)
            );
            p99.insert(*service, at(990));
        }
        eprintln!("{what}: {} failed", self.failed.len());
        p99
    }

    /// Each account has what was credited to it: nothing twice, and nothing of what was answered is lost.
    pub(super) async fn is_in_the_books(&self, system: &System) {
        for ((book, number), times) in &self.credited {
            let id = account(book, *number);
            let expected = format!("{times}.00");
            let deadline = Instant::now() + PATIENCE;
            loop {
                let url = format!("{}/v1/accounts/{id}/balance", system.url("gateway"));
                let request = system.client.get(url).bearer_auth(system.token("reader"));
                let answer: Value = request.send().await.unwrap().json().await.unwrap();
                if answer["balance"] == expected.as_str() {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "{id} should have {expected}: {answer}"
                );
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// What writes to both books.
pub(super) const CREDITS: [Asks; 2] = [Asks::Credit("a", 0), Asks::Credit("b", 0)];
/// What writes to both books, and reads of two services.
pub(super) const ALL: [Asks; 4] = [
    Asks::Credit("a", 0),
    Asks::Balances,
    Asks::Credit("b", 0),
    Asks::Transfers,
];
