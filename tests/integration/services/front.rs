//! What may be asked through the door, and what becomes of a request that is sent again.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::load::open_accounts;
use super::system::System;
use crate::openapi::is_as_documented;

/// Requests of random content for each route of the gateway: it has those of all services.
const EXAMPLES: usize = 5;
/// Requests at once that are the same.
const AT_ONCE: usize = 20;

/// Asks for a credit, as whoever has these credentials.
async fn credit(system: &System, who: &str, key: Option<&str>, amount: &str) -> (u16, Value) {
    let url = format!("{}/v1/books/a/accounts/a-0/credits", system.url("gateway"));
    let body = json!({"amount": amount, "currency": "EUR", "contra": "cash"});
    let request = system.client.post(url).header("Authorization", who);
    let request = match key {
        Some(key) => request.header("Idempotency-Key", key),
        None => request,
    };
    let request = request.timeout(Duration::from_secs(30)).json(&body);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn what_the_door_serves_is_what_its_document_says() {
    let system = System::start().await;
    open_accounts(&system).await;
    let token = system.token("operator");
    is_as_documented(system.url("gateway"), EXAMPLES, Some(token)).await;
    system.stop().await;
}

/// However often it comes, at once, through whichever instance, and after all of them were started anew.
#[tokio::test]
async fn a_key_stands_for_one_request_of_one_client() {
    let system = System::start().await;
    open_accounts(&system).await;
    let operator = format!("Bearer {}", system.token("operator"));
    let same = || credit(&system, &operator, Some("rent"), "5.00");
    let asked = join_all((0..AT_ONCE).map(|_| same())).await;
    let (first, done) = asked.iter().find(|(status, _)| *status < 300).unwrap();
    for (status, answer) in &asked {
        let is_the_same = (status, answer) == (first, done);
        assert!(is_the_same || *status == 409, "{status} {answer}");
    }
    for instance in ["accounts-a-1", "accounts-a-2"] {
        system.restart(instance).await;
    }
    assert_eq!(same().await, (*first, done.clone()));

    let other = credit(&system, &operator, Some("rent"), "6.00").await;
    assert_eq!(
        (other.0, &other.1["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    let without = credit(&system, &operator, None, "5.00").await;
    assert_eq!(
        (without.0, &without.1["code"]),
        (400, &json!("idempotency_key_missing"))
    );
    // The same key, and somebody else.
    let words = ["api-keys", "create", "landlord", "--scope", "ledger:write"];
    let program = format!("ApiKey {}", system.command(&words).await);
    let others = credit(&system, &program, Some("rent"), "7.00").await;
    assert!(others.0 < 300, "{others:?}");
    assert_eq!(others.1["balance"], "12.00", "{others:?}");
    system.stop().await;
}

/// Wherever the request is when its client hangs up: it was done whole or not at all, and sent again with its key it is done once.
#[tokio::test]
async fn whoever_hangs_up_and_asks_again_is_served_once() {
    let system = System::start().await;
    open_accounts(&system).await;
    let operator = format!("Bearer {}", system.token("operator"));
    let mut left = 0;
    let rounds = 60 * folio_tests::scale();
    for round in 0..rounds {
        let key = format!("round-{round}");
        // From before it is sent to after it is answered.
        let patience = Duration::from_micros(250 * (round as u64 % 60));
        let asked = credit(&system, &operator, Some(&key), "1.00");
        left += usize::from(timeout(patience, asked).await.is_err());
        let again = credit(&system, &operator, Some(&key), "1.00").await;
        assert!(again.0 < 300, "{again:?}");
        let balance = format!("{}.00", round + 1);
        assert_eq!(again.1["balance"], balance.as_str(), "{again:?}");
    }
    eprintln!("{left} of {rounds} clients hung up before they were answered");
    assert!(left > 0);
    system.verify(&["a"]).await;
    system.stop().await;
}
