//! What a book is put to by clients that mean no good, or do not know better.

use std::sync::Arc;

use folio_tests::api::Api;
use serde_json::json;

use super::journal::{leg, trial_balance, two_accounts};

/// Case 14: a request is the same however its JSON is written.
#[tokio::test]
async fn the_same_request_written_otherwise_is_the_same_request() {
    let api = two_accounts().await;
    let texts = [
        r#"{"amount":"5.00","currency":"EUR","contra":"cash","reference":"r"}"#,
        "{ \"reference\": \"r\",\n  \"contra\": \"cash\",\n  \"currency\": \"EUR\", \"amount\": \"5.00\" }",
        r#"{"amount":"5.0","currency":"EUR","contra":"cash","reference":"\u0072"}"#,
    ];
    let mut answers = Vec::new();
    for text in texts {
        let request = api.request("/v1/accounts/1/credits");
        let request = request.header("Idempotency-Key", "k");
        let request = request
            .header("Content-Type", "application/json")
            .body(text);
        answers.push(folio_tests::api::answer(request).await);
    }
    assert_eq!((answers[0].status, answers[0].replayed), (201, false));
    for again in &answers[1..] {
        assert_eq!((again.status, again.replayed), (201, true), "{again:?}");
        assert_eq!(again.body, answers[0].body);
    }
    assert_eq!(api.balance("1", answers[0].token()).await, "105.00");
    api.stop().await;
}

/// Case 23: on one account, a thousand at once; nobody is refused, nobody starves.
#[tokio::test]
async fn a_thousand_writers_on_one_account_all_get_through() {
    let api = Arc::new(two_accounts().await);
    let writers = (0..1_000).map(|number| {
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let (from, to) = if number % 2 == 0 {
                ("1", "2")
            } else {
                ("contra.cash.EUR", "1")
            };
            let body = json!({"legs": [leg(from, "debit", "0.01"), leg(to, "credit", "0.01")]});
            api.post("/v1/journal-entries", &body).await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        let answer = writer.await.unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let api = Arc::into_inner(api).unwrap();
    let last = api.posting("2", "credits", "1.00").await;
    assert_eq!(api.balance("1", last.token()).await, "100.00");
    assert_eq!(api.balance("2", last.token()).await, "6.00");
    assert_eq!(trial_balance(&api, &last).await[0]["net"], "0.00");
    api.stop().await;
}

/// Case 13: every message comes a hundred times, in any order and all at once.
#[tokio::test]
async fn messages_that_come_a_hundred_times_have_one_effect() {
    let api = Arc::new(two_accounts().await);
    let messages = [
        (
            "/v1/accounts/1/credits",
            json!({"amount": "7.00", "currency": "EUR", "contra": "cash"}),
        ),
        (
            "/v1/journal-entries",
            json!({"id": "t", "legs": [leg("1", "debit", "3.00"), leg("2", "credit", "3.00")]}),
        ),
        (
            "/v1/holds",
            json!({"id": "h", "account_id": "1", "amount": "2.00", "currency": "EUR", "expires_in_seconds": 3600}),
        ),
    ];
    let sent = (0..300_usize).map(|number| {
        let api = Arc::clone(&api);
        // Reordered: each message's repeats lie among those of the others.
        let (path, body) = messages[number * 7 % 3].clone();
        tokio::spawn(async move { api.post_as(path, "one", &body).await })
    });
    let mut executed = 0;
    for answer in sent.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        executed += usize::from(!answer.replayed);
    }
    assert_eq!(executed, messages.len());
    let api = Arc::into_inner(api).unwrap();
    let last = api.posting("2", "credits", "1.00").await;
    let balance = api
        .get(&format!(
            "/v1/accounts/1/balance?min_position={}",
            last.token()
        ))
        .await;
    assert_eq!(
        (balance.text("balance"), balance.text("available")),
        ("104.00".to_owned(), "102.00".to_owned())
    );
    api.stop().await;
}

/// Case 6: a currency is one of today's, and written as the standard writes it.
#[tokio::test]
async fn currencies_that_are_none_are_refused() {
    let api = Api::start().await;
    for code in ["eur", "DEM", "XXX", "EURO", "", "€", "XAU"] {
        let body = json!({"id": "1", "currency": code});
        let refused = api.post("/v1/accounts", &body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, "unknown_currency"),
            "{code}"
        );
    }
    api.stop().await;
}
