//! Money goes back and forth between two books while everything that carries it is killed: none is made or lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use folio_tests::scale;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::system::System;

/// Transfers in every run.
const TRANSFERS: u64 = 2_000;
const WRITERS: u32 = 8;
/// Transfers that a writer waits for at the same time.
const IN_FLIGHT: usize = 6;
/// Customers of each book.
const CUSTOMERS: u64 = 40;
/// What each has at first, in cents.
const PAID_IN: i64 = 100_000;
/// Time between two faults.
const EVERY: Duration = Duration::from_secs(10);
/// Within this time after the last fault every transfer has come to its end.
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// Numbers that look like chance, and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A transfer as it is ordered.
#[derive(Debug, Clone)]
struct Order {
    id: String,
    from: (&'static str, u64),
    to: (&'static str, u64),
    cents: i64,
}

impl Order {
    fn of(number: u64) -> Self {
        let mut numbers = Numbers(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let [from, to] = if numbers.below(2) == 0 {
            ["a", "b"]
        } else {
            ["b", "a"]
        };
        Self {
            id: format!("t{number}"),
            from: (from, numbers.below(CUSTOMERS)),
            to: (to, numbers.below(CUSTOMERS)),
            cents: 1 + i64::try_from(numbers.below(30_000)).unwrap(),
        }
    }

    fn body(&self) -> Value {
        let place = |(book, customer): (&str, u64)| json!({"book": book, "account_id": account(book, customer)});
        json!({"id": self.id, "from": place(self.from), "to": place(self.to),
            "amount": text(self.cents), "currency": "EUR"})
    }
}

fn account(book: &str, customer: u64) -> String {
    format!("{book}{customer}")
}

fn text(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn cents(amount: &Value) -> i64 {
    let amount = amount.as_str().unwrap().replace('.', "");
    amount.parse().unwrap()
}

/// At every cut what customers have and what is on its way is what was paid in, and no account is below its limit.
#[tokio::test]
async fn money_between_two_books_is_the_same_at_every_cut_whatever_is_killed() {
    let transfers = TRANSFERS * scale() as u64;
    let system = System::start().await;
    for book in ["a", "b"] {
        pay_in(&system, book).await;
    }
    let paid_in = 2 * i64::try_from(CUSTOMERS).unwrap() * PAID_IN;
    let (cuts, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let started = Instant::now();
    let writing = async {
        let writers = (0..WRITERS).map(|writer| write(&system, writer.into(), transfers));
        futures_util::future::join_all(writers).await;
        eprintln!(
            "{transfers} transfers were ordered after {:.1} s",
            started.elapsed().as_secs_f64()
        );
        is_over.store(true, Ordering::SeqCst);
    };
    let killing = kill(&system, &is_over);
    let watching = async {
        while !is_over.load(Ordering::SeqCst) {
            if let Some(told) = system.get("balances", "/v1/in-transit").await {
                is_whole(&told, paid_in);
                cuts.fetch_add(1, Ordering::SeqCst);
            }
            for book in ["accounts-a", "accounts-b"] {
                if let Some(invariants) = system.get(book, "/v1/invariants").await {
                    assert_eq!(invariants["hold"], true, "{invariants:#}");
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let ((), faults, ()) = tokio::join!(writing, killing, watching);

    // Nothing fails any more: each comes to its end, and is as it says.
    let healed = Instant::now();
    let told = loop {
        if let Some(told) = system.get("balances", "/v1/in-transit").await {
            is_whole(&told, paid_in);
            if told["settled"] == transfers && told["under_way"] == 0 {
                break told;
            }
        }
        assert!(healed.elapsed() < ENDS_WITHIN, "{:#}", stuck(&system).await);
        sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(told["currencies"][0]["clearing"], "0.00", "{told:#}");
    let ends = healed.elapsed();
    let (expected, completed) = expected(&system, transfers).await;
    let found = balances(&system).await;
    for (account, cents) in &expected {
        assert_eq!(found[account], text(*cents), "{account}");
    }
    eprintln!(
        "{transfers} transfers, {completed} carried out and {} undone, through {faults:?} in {:.1} s; the same sum at {} cuts; \
         all had ended {:.1} s after the last fault",
        transfers - completed,
        healed.duration_since(started).as_secs_f64(),
        cuts.load(Ordering::SeqCst),
        ends.as_secs_f64(),
    );
    assert!(completed > transfers / 2, "{completed}");
    system.verify(&["a", "b"]).await;
    system.stop().await;
}

async fn pay_in(system: &System, book: &str) {
    let url = system.url(&format!("accounts-{book}")).to_owned();
    for customer in 0..CUSTOMERS {
        let account = account(book, customer);
        let opening = json!({"id": account, "currency": "EUR"});
        let credit = json!({"amount": text(PAID_IN), "currency": "EUR", "contra": "cash"});
        for (path, body) in [
            ("/v1/accounts".to_owned(), opening),
            (format!("/v1/accounts/{account}/credits"), credit),
        ] {
            let request = system.client.post(format!("{url}{path}"));
            let request = request.header("Idempotency-Key", &account).json(&body);
            assert_eq!(request.send().await.unwrap().status(), 201);
        }
    }
}

/// Orders every eighth transfer, and each again until it is known that it was ordered.
async fn write(system: &System, writer: u64, transfers: u64) {
    let url = format!("{}/v1/transfers", system.url("transfers"));
    let orders = (writer..transfers)
        .step_by(usize::try_from(WRITERS).unwrap())
        .map(Order::of);
    stream::iter(orders)
        .for_each_concurrent(IN_FLIGHT, |order| {
            let url = &url;
            async move {
                loop {
                    let request = system.client.post(url).json(&order.body());
                    let request = request.header("Prefer", "wait=10");
                    let sent = request.timeout(Duration::from_secs(20)).send().await;
                    match sent.map(|answer| answer.status().as_u16()) {
                        Ok(200 | 202) => return,
                        Ok(status) if status < 500 => panic!("{order:?}: {status}"),
                        Ok(_) | Err(_) => sleep(Duration::from_millis(50)).await,
                    }
                }
            }
        })
        .await;
}

/// Kills one thing after another: each service in turn, and between two of them a number of the server's own processes,
/// with all connections that they serve.
async fn kill(system: &System, is_over: &AtomicBool) -> BTreeMap<&'static str, u64> {
    let services = ["transfers", "accounts-a", "rails", "accounts-b", "balances"];
    let server = system.server().await;
    let mut faults = BTreeMap::new();
    for service in services.into_iter().cycle() {
        for what in ["service", "backends"] {
            let next = Instant::now() + EVERY / 2;
            while Instant::now() < next {
                if is_over.load(Ordering::SeqCst) {
                    return faults;
                }
                sleep(Duration::from_millis(50)).await;
            }
            if what == "service" {
                system.answers(service).await;
                system.kill(service).await;
                *faults.entry(service).or_default() += 1;
            } else {
                let killed = server
                    .query(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
                         AND random() < 0.3",
                        &[],
                    )
                    .await
                    .unwrap();
                *faults.entry("backends").or_default() += killed.len() as u64;
            }
        }
    }
    faults
}

/// What is told is of a cut at which nothing was made or lost.
fn is_whole(told: &Value, paid_in: i64) {
    assert_eq!(told["holds"], true, "{told:#}");
    let euros = &told["currencies"][0];
    let (customers, in_transit) = (cents(&euros["customers"]), cents(&euros["in_transit"]));
    // All was paid in before the first transfer; a reader that begins anew reads that again.
    let from_outside = cents(&euros["from_outside"]);
    assert_eq!(customers + in_transit, from_outside, "{told:#}");
    assert_eq!(euros["clearing"], euros["in_transit"], "{told:#}");
    if told["settled"] != 0 {
        assert_eq!(from_outside, paid_in, "{told:#}");
    }
}

async fn stuck(system: &System) -> Value {
    let open = system.get("transfers", "/v1/transfers?state=open").await;
    let told = system.get("balances", "/v1/in-transit").await;
    json!({"open": open, "told": told})
}

/// What each customer has, by what the transfers say of themselves; and how many were carried out.
async fn expected(system: &System, transfers: u64) -> (BTreeMap<String, i64>, u64) {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        // The list may be behind the logs, of which it was told that all have ended.
        let (completed, undone) = (
            ended(system, "completed").await,
            ended(system, "undone").await,
        );
        if completed.len() + undone.len() == usize::try_from(transfers).unwrap() {
            return (carried_out(&completed, transfers), completed.len() as u64);
        }
        assert!(
            Instant::now() < deadline,
            "{} and {} ended",
            completed.len(),
            undone.len()
        );
        sleep(Duration::from_millis(50)).await;
    }
}

fn carried_out(completed: &[u64], transfers: u64) -> BTreeMap<String, i64> {
    let mut expected = BTreeMap::new();
    for book in ["a", "b"] {
        for customer in 0..CUSTOMERS {
            expected.insert(account(book, customer), PAID_IN);
        }
    }
    for number in completed {
        assert!(*number < transfers);
        let order = Order::of(*number);
        for ((book, customer), cents) in [(order.from, -order.cents), (order.to, order.cents)] {
            *expected.get_mut(&account(book, customer)).unwrap() += cents;
        }
    }
    expected
}

/// The numbers of the transfers in a state.
async fn ended(system: &System, state: &str) -> Vec<u64> {
    let first = format!("/v1/transfers?state={state}&limit=1000");
    let (mut path, mut numbers) = (first.clone(), Vec::new());
    loop {
        let page = system.get("transfers", &path).await.unwrap();
        let items = page["items"].as_array().unwrap().iter();
        numbers.extend(items.map(|item| item["id"].as_str().unwrap()[1..].parse::<u64>().unwrap()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{first}&cursor={cursor}"),
            None => return numbers,
        }
    }
}

/// What each customer has, by the balances service once it has all.
async fn balances(system: &System) -> BTreeMap<String, String> {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        let told = system.get("balances", "/v1/accounts?limit=1000").await;
        let sums = system
            .get("balances", "/v1/trial-balance/accounts?limit=1000")
            .await;
        if let (Some(told), Some(sums)) = (told, sums) {
            let sums = sums["accounts"].as_array().unwrap().iter();
            let clearing = sums.filter(|sum| {
                sum["account_id"]
                    .as_str()
                    .unwrap()
                    .starts_with("contra.clearing")
            });
            if clearing.map(|sum| cents(&sum["net"])).sum::<i64>() == 0 {
                let accounts = told["accounts"].as_array().unwrap().iter();
                let text =
                    |account: &Value, field: &str| account[field].as_str().unwrap().to_owned();
                return accounts
                    .map(|account| (text(account, "id"), text(account, "balance")))
                    .collect();
            }
        }
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(100)).await;
    }
}
