//! Payments to the outside and from there: by way of clearing, once, whatever the payment network does.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use folio_core::{Currency, Money};
use folio_tests::api::{Answer, Reads};
use folio_tests::{bank, scale};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::orders::{Orders, PATIENCE};

/// How many accounts pay at the same time.
const SIDE_BY_SIDE: usize = 8;

fn out(id: &str, book: &str, payee: &str, amount: &str) -> Value {
    json!({"id": id, "from": {"book": book, "account_id": "alice"}, "payee": payee,
        "amount": amount, "currency": "EUR"})
}

#[tokio::test]
async fn a_payment_out_leaves_by_clearing_and_a_declined_one_comes_back() {
    let system = Orders::start().await;
    let book = system.a.databases.book.as_str();
    let paid = system
        .post("/v1/payments-out", &out("p1", book, "acme", "100.00"))
        .await;
    assert_eq!(
        (paid.status, paid.text("state"), paid.text("money_is")),
        (200, "completed".to_owned(), "destination".to_owned()),
        "{paid:?}"
    );
    // The network declines after the money has left the account: it is refunded, and that can be seen.
    let declined = system
        .post("/v1/payments-out", &out("p2", book, "closed-shop", "50.00"))
        .await;
    assert_eq!(declined.text("state"), "undone", "{declined:?}");
    assert_eq!(declined.body["turned"]["code"], "payment_declined");
    let reads = Reads::over(&[&system.a]).await;
    assert!(reads.caught_up(PATIENCE).await);
    let refund = reads.get("/v1/journal-entries/p2.out-refunded").await;
    assert_eq!(refund.text("reverses"), "p2.out-captured", "{refund:?}");
    for (account, balance) in [
        ("alice", "900.00"),
        ("contra.clearing-rail.EUR", "0.00"),
        ("contra.nostro.EUR", "-100.00"),
    ] {
        let found = reads.get(&format!("/v1/accounts/{account}/balance")).await;
        assert_eq!(found.text("balance"), balance, "{account}");
    }
    for (request, status, code) in [
        (out("p1", book, "acme", "100.01"), 409, "payment_exists"),
        (out("p3", book, "", "1.00"), 422, "invalid_text"),
        (
            out(&"x".repeat(49), book, "acme", "1.00"),
            422,
            "invalid_payment_id",
        ),
    ] {
        let refused = system.post("/v1/payments-out", &request).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code));
    }
    let blocked = system
        .post("/v1/payments-out", &out("p4", book, "blocked-x", "1.00"))
        .await;
    assert_eq!(blocked.body["turned"]["code"], "fraud_suspected");
    system.in_transit_is_settled().await;
    reads.stop().await;
    system.stop().await;
}

/// The network answers "accepted" and then sends the money back: that is a payment of its own, once.
#[tokio::test]
async fn money_that_comes_back_is_a_payment_in_that_names_the_one_out() {
    let system = Orders::start().await;
    let book = system.a.databases.book.as_str();
    paid_and_sent_back(&system).await;
    for _ in 0..2 {
        let back = system.post("/v1/payments-out/p1/return", &json!({})).await;
        assert_eq!(back.text("id"), "p1-return", "{back:?}");
        assert_eq!(
            (back.text("state"), back.text("returns")),
            ("completed".to_owned(), "p1".to_owned())
        );
    }
    let sent = out("p2", book, "acme", "1.00");
    assert_eq!(system.post("/v1/payments-out", &sent).await.status, 200);
    let not = system.post("/v1/payments-out/p2/return", &json!({})).await;
    assert_eq!((not.status, not.code().as_str()), (409, "not_returned"));
    assert_eq!(system.balance("alice").await, "999.00");
    system.in_transit_is_settled().await;
    system.stop().await;
}

/// The account took nothing in when its money came back: the payment in was undone. When it does again, another is made.
#[tokio::test]
async fn money_that_could_not_be_taken_back_is_taken_back_later() {
    let system = Orders::start().await;
    paid_and_sent_back(&system).await;
    freeze(&system, "freeze").await;
    let back = system.post("/v1/payments-out/p1/return", &json!({})).await;
    assert_eq!(
        (back.text("id"), back.text("state")),
        ("p1-return".to_owned(), "undone".to_owned()),
        "{back:?}"
    );
    freeze(&system, "unfreeze").await;
    for _ in 0..2 {
        let back = system.post("/v1/payments-out/p1/return", &json!({})).await;
        assert_eq!(
            (back.text("id"), back.text("state"), back.text("returns")),
            (
                "p1-return2".to_owned(),
                "completed".to_owned(),
                "p1".to_owned()
            ),
            "{back:?}"
        );
    }
    assert_eq!(system.balance("alice").await, "1000.00");
    system.in_transit_is_settled().await;
    system.stop().await;
}

/// A book has its refusals on record, and answers the same to the same key for ever: a refund that was refused once was never made.
#[tokio::test]
async fn a_refund_that_was_refused_is_made_when_its_reason_is_gone() {
    let system = Orders::start().await;
    let book = system.a.databases.book.as_str();
    let network_fails = async |requests: u32| {
        let silent = json!({"kind": "refuse"});
        system.outside.fails("payments", silent, requests).await;
    };
    network_fails(1_000_000).await;
    let order = out("p1", book, "closed-shop", "100.00");
    let under_way = system.post_waiting("/v1/payments-out", &order, "wait=1");
    assert_eq!(under_way.await.status, 202);
    // Until it is stuck at something: nobody waits for minutes here.
    let stuck_at = async |failure: &str| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let hurry = json!({"reason": "hurry"});
            let told = system.post("/v1/payments-out/p1/retry", &hurry).await;
            let found = told.body["attention"]["failure"].as_str();
            if found.is_some_and(|found| found.contains(failure)) {
                return;
            }
            assert!(Instant::now() < deadline, "{told:?}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    stuck_at("").await;
    assert_eq!(system.balance("alice").await, "900.00");
    // The network declines, and the account takes nothing back.
    freeze(&system, "freeze").await;
    network_fails(0).await;
    stuck_at("account_frozen").await;
    freeze(&system, "unfreeze").await;
    let deadline = Instant::now() + PATIENCE;
    let refunded = loop {
        let hurry = json!({"reason": "it is not frozen any more"});
        system.post("/v1/payments-out/p1/retry", &hurry).await;
        let told = system.get("/v1/payments-out/p1").await;
        if told.text("state") == "undone" {
            break told;
        }
        assert!(Instant::now() < deadline, "{told:?}");
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(refunded.body["turned"]["code"], "payment_declined");
    assert_eq!(system.balance("alice").await, "1000.00");
    system.in_transit_is_settled().await;
    system.stop().await;
}

/// The payment p1 of 100.00, which the network accepts and then sends back.
async fn paid_and_sent_back(system: &Orders) {
    let sends_back = json!({"kind": "accept_then_deny"});
    system.outside.fails("payments", sends_back, 1).await;
    let order = out("p1", system.a.databases.book.as_str(), "acme", "100.00");
    let paid = system.post("/v1/payments-out", &order).await;
    assert_eq!(paid.text("state"), "completed", "{paid:?}");
}

/// Has the account of who pays take nothing in, or take it in again.
async fn freeze(system: &Orders, what: &str) {
    let body = match what {
        "freeze" => json!({"refuse": "credits", "reason": "a court says so"}),
        _ => json!({"reason": "it says so no more"}),
    };
    let path = format!("/v1/accounts/alice/{what}");
    let done = system.a.post(&path, &body).await;
    assert_eq!(done.status, 200, "{done:?}");
}

/// An answer of the network is lost each time: it is asked again under the same reference, and pays once.
#[tokio::test]
async fn a_payment_whose_answer_is_lost_is_asked_for_by_its_reference() {
    let system = Orders::start().await;
    let book = system.a.databases.book.as_str();
    system
        .outside
        .fails("payments", json!({"kind": "lose_answer"}), 3)
        .await;
    let paid = system
        .post("/v1/payments-out", &out("p1", book, "acme", "100.00"))
        .await;
    assert_eq!(paid.text("state"), "completed", "{paid:?}");
    let collected = json!({"id": "p1", "to": {"book": book, "account_id": "alice"}, "payer": "employer",
        "amount": "40.00", "currency": "EUR"});
    let collected = system.post("/v1/payments-in", &collected).await;
    assert_eq!(collected.text("state"), "completed", "{collected:?}");
    assert_eq!(system.balance("alice").await, "940.00");
    system.in_transit_is_settled().await;
    system.stop().await;
}

/// A row of a bank's file.
#[derive(Debug, Clone, Deserialize)]
struct Row {
    transaction_id: String,
    account_id: String,
    direction: String,
    operation: String,
    amount: String,
    counterparty_account: Option<String>,
}

/// What a bank's customers send to other banks and get from there goes through the network as payments, with all its
/// faults on; the rest is posted. Then each account has what the bank's rows add up to, and the network has each payment
/// once.
#[tokio::test]
async fn a_banks_transfers_run_as_payments_while_the_network_fails() {
    let (file, accounts) = ("bank_sample.csv", "bank_sample_accounts.csv");
    Box::pin(bank_of_payments(&bank::sample(), file, accounts)).await;
    if let Some(folder) = bank::real_data() {
        let (file, accounts) = ("transactions.csv", "accounts.csv");
        Box::pin(bank_of_payments(&folder, file, accounts)).await;
    }
}

async fn bank_of_payments(folder: &Path, transactions: &str, accounts: &str) {
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut reader = csv::Reader::from_path(folder.join(transactions)).unwrap();
    for row in reader.deserialize::<Row>() {
        let row = row.unwrap();
        rows.entry(row.account_id.clone()).or_default().push(row);
    }
    // Of a large bank one account in four, or all of them by the long command.
    let every = if rows.len() > 100 {
        4_usize.div_ceil(scale())
    } else {
        1
    };
    let numbered = rows.into_iter().enumerate();
    let rows: BTreeMap<String, Vec<Row>> = numbered
        .filter(|(number, _)| number % every == 0)
        .map(|(_, rows)| rows)
        .collect();
    let is_transfer = |row: &&Row| row.operation.starts_with("transfer_");
    let payments = rows.values().flatten().filter(is_transfer).count();
    let system = Orders::start().await;
    let failing = async {
        // One fault after another on everything outside, each for a while: a breaker that has opened finds it mended.
        let faults = ["lose_answer", "error", "refuse", "error_body"];
        for fault in faults.iter().cycle().take(4 + payments / 20) {
            for outsider in ["payments", "fraud"] {
                let fault = json!({"kind": fault});
                system.outside.fails(outsider, fault, 1_000).await;
            }
            sleep(Duration::from_millis(50)).await;
            for outsider in ["payments", "fraud"] {
                system.outside.works(outsider).await;
            }
            sleep(Duration::from_millis(450)).await;
        }
        std::future::pending().await
    };
    let accounts_done = stream::iter(&rows).for_each_concurrent(SIDE_BY_SIDE, |(account, rows)| {
        let system = &system;
        async move { run_account(system, account, rows).await }
    });
    let started = Instant::now();
    tokio::select! {
        () = accounts_done => {}
        () = failing => {}
    }
    eprintln!(
        "{payments} payments of {} accounts in {:.1} s while the network failed",
        rows.len(),
        started.elapsed().as_secs_f64()
    );
    for outsider in ["payments", "fraud"] {
        system.outside.works(outsider).await;
    }

    let mut reader = csv::Reader::from_path(folder.join(accounts)).unwrap();
    let mut expected = BTreeMap::new();
    for row in reader.deserialize::<BTreeMap<String, String>>() {
        let row = row.unwrap();
        if rows.contains_key(&row["account_id"]) {
            expected.insert(row["account_id"].clone(), row["net_of_amounts"].clone());
        }
    }
    assert_eq!(expected.len(), rows.len());
    let found = system.balances("CZK").await;
    for (account, balance) in &expected {
        assert_eq!(&found[account], balance, "account {account}");
    }
    system.in_transit_is_settled().await;
    // What the network has moved, each payment once, is what the book has there.
    let czk = Currency::from_code("CZK").unwrap();
    let mut moved = Money::zero(czk);
    for row in rows.values().flatten().filter(is_transfer) {
        let amount = Money::parse(&row.amount, czk).unwrap();
        moved = match row.direction.as_str() {
            "credit" => moved.checked_add(amount).unwrap(),
            _ => moved.checked_sub(amount).unwrap(),
        };
    }
    assert_eq!(
        system.balance("contra.nostro.CZK").await,
        moved.amount_text()
    );
    assert_eq!(system.outside.payments().await, payments as u64);
    system.stop().await;
}

/// The rows of one account, in order.
async fn run_account(system: &Orders, account: &str, rows: &[Row]) {
    let book = system.a.databases.book.as_str();
    let open = json!({"id": account, "currency": "CZK", "overdraft": {"kind": "unlimited"}});
    assert_eq!(system.a.post("/v1/accounts", &open).await.status, 201);
    for row in rows {
        let id = format!("r{}", row.transaction_id);
        let place = json!({"book": book, "account_id": account});
        let other = row
            .counterparty_account
            .clone()
            .filter(|other| !other.is_empty());
        let other = other.unwrap_or_else(|| "unknown".to_owned());
        let (path, body) = match row.operation.as_str() {
            "transfer_out" => (
                "/v1/payments-out",
                json!({"id": id, "from": place, "payee": other, "amount": row.amount, "currency": "CZK"}),
            ),
            "transfer_in" => (
                "/v1/payments-in",
                json!({"id": id, "to": place, "payer": other, "amount": row.amount, "currency": "CZK"}),
            ),
            _ => {
                let body = json!({"amount": row.amount, "currency": "CZK", "contra": "cash"});
                let path = format!("/v1/accounts/{account}/{}s", row.direction);
                let posted = system.a.post_as(&path, &id, &body).await;
                assert_eq!(posted.status, 201, "{posted:?}");
                continue;
            }
        };
        let paid = ended(system, path, &id, &body).await;
        assert_eq!(paid.text("state"), "completed", "{paid:?}");
    }
}

/// Orders something, and waits for its end.
async fn ended(system: &Orders, path: &str, id: &str, body: &Value) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    let mut answer = system.post(path, body).await;
    while answer.status != 200
        || ["under_way", "turning_back"].contains(&answer.text("state").as_str())
    {
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        if Instant::now() >= deadline {
            let kind = path
                .trim_start_matches("/v1/")
                .replace("payments-", "payment_");
            let log = system
                .get(&format!("/v1/feed?category={kind}&stream={id}"))
                .await;
            let now = system.get("/v1/payments-out?state=open&limit=1000").await;
            panic!("{:#}\n{:#}", log.body, now.body);
        }
        sleep(Duration::from_millis(50)).await;
        answer = system.get(&format!("{path}/{id}")).await;
    }
    answer
}
