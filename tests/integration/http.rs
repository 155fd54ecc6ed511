//! The accounts service over HTTP, as its conventions promise.

use std::collections::BTreeSet;

use folio_tests::api::{Answer, Api, answer};
use ledger_example::http;
use serde_json::{Value, json};

fn eur(amount: &str) -> Value {
    json!({"amount": amount, "currency": "EUR", "contra": "cash"})
}

#[tokio::test]
async fn an_account_from_opening_to_closing() {
    let api = Api::start().await;
    let opened = api.open("1", "none").await;
    assert_eq!(opened.text("balance"), "0.00");
    assert_eq!(opened.text("status"), "open");

    let credit = api.posting("1", "credits", "100.00").await;
    assert_eq!(credit.status, 201);
    assert_eq!(credit.text("balance"), "100.00");
    assert_eq!(credit.body["version"], 2);
    let debit = api.posting("1", "debits", "99.99").await;
    assert_eq!(debit.text("balance"), "0.01");
    assert_eq!(api.balance("1", debit.token()).await, "0.01");

    let refused = api.post("/v1/accounts/1/close", &json!({})).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "balance_not_zero")
    );
    api.posting("1", "debits", "0.01").await;
    let closed = api.post("/v1/accounts/1/close", &json!({})).await;
    assert_eq!(
        (closed.status, closed.text("status").as_str()),
        (200, "closed")
    );
    let refused = api.posting("1", "credits", "1").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "account_closed")
    );

    let path = format!("/v1/accounts/1?min_position={}", closed.token());
    let account = api.get(&path).await;
    assert_eq!(account.text("status"), "closed");
    assert!(account.text("opened_at") <= account.text("updated_at"));
    api.stop().await;
}

/// Whatever stands in the place of an amount, the answer names it and nothing is posted.
#[tokio::test]
async fn amounts_that_are_none_are_refused() {
    let api = Api::start().await;
    let czk = json!({"id": "1", "currency": "CZK", "overdraft": {"kind": "unlimited"}});
    api.post("/v1/accounts", &czk).await;
    let cases = [
        (json!(12.5), "invalid_amount"),
        (json!(12), "invalid_amount"),
        (json!(null), "invalid_amount"),
        (json!(true), "invalid_amount"),
        (json!(["1"]), "invalid_amount"),
        (json!({"amount": "1"}), "invalid_amount"),
        (json!(""), "invalid_amount"),
        (json!("1e3"), "invalid_amount"),
        (json!("NaN"), "invalid_amount"),
        (json!("inf"), "invalid_amount"),
        (json!("-0"), "invalid_amount"),
        (json!("+5"), "invalid_amount"),
        (json!("0x10"), "invalid_amount"),
        (json!("1,00"), "invalid_amount"),
        (json!(" 1"), "invalid_amount"),
        (json!(".5"), "invalid_amount"),
        (json!("01"), "invalid_amount"),
        (json!("１"), "invalid_amount"),
        (json!("1\u{0}"), "invalid_amount"),
        (json!("-5"), "negative_amount"),
        (json!("0"), "zero_amount"),
        (json!("0.00"), "zero_amount"),
        (json!("1.005"), "amount_not_representable"),
        (json!("1.000"), "amount_not_representable"),
        (json!("9".repeat(40)), "overflow"),
    ];
    for side in ["credits", "debits"] {
        for (amount, code) in &cases {
            let body = json!({"amount": amount, "currency": "CZK", "contra": "cash"});
            let answer = api.post(&format!("/v1/accounts/1/{side}"), &body).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (422, *code),
                "{amount}"
            );
        }
    }
    let events = api.get("/v1/accounts/1/events").await;
    assert_eq!(events.body["events"].as_array().unwrap().len(), 1);
    api.stop().await;
}

#[tokio::test]
async fn requests_that_are_not_as_they_should_be_are_told_how() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let with = |field: &str, value: Value| {
        let mut body = eur("1.00");
        body[field] = value;
        body
    };
    let credits = "/v1/accounts/1/credits";
    let cases = [
        (credits, with("surprise", json!(1)), 422, "invalid_request"),
        (
            credits,
            with("currency", json!("EURO")),
            422,
            "unknown_currency",
        ),
        (
            credits,
            with("currency", json!("eur")),
            422,
            "unknown_currency",
        ),
        (
            credits,
            with("currency", json!("USD")),
            422,
            "currency_mismatch",
        ),
        (
            credits,
            with("contra", json!("bank:")),
            422,
            "invalid_contra",
        ),
        (
            credits,
            with("contra", json!("mattress")),
            422,
            "invalid_contra",
        ),
        (credits, with("reference", json!("")), 422, "invalid_text"),
        (
            credits,
            with("reference", json!("a\u{0}b")),
            422,
            "invalid_text",
        ),
        (
            credits,
            with("description", json!("x".repeat(201))),
            422,
            "invalid_text",
        ),
        (
            credits,
            with("effective_date", json!("1993-02-30")),
            422,
            "invalid_request",
        ),
        (credits, json!([]), 422, "invalid_request"),
        (credits, json!({}), 422, "invalid_request"),
        (
            "/v1/accounts/unknown/credits",
            eur("1"),
            404,
            "account_not_found",
        ),
        (
            "/v1/accounts/unknown/close",
            json!({}),
            404,
            "account_not_found",
        ),
        (
            "/v1/accounts/x'%20OR%20'1'='1/credits",
            eur("1"),
            422,
            "invalid_account_id",
        ),
        (
            "/v1/accounts",
            json!({"id": "a b", "currency": "EUR"}),
            422,
            "invalid_account_id",
        ),
        (
            "/v1/accounts",
            json!({"id": "2", "currency": "XXX"}),
            422,
            "unknown_currency",
        ),
        (
            "/v1/accounts",
            json!({"id": "2", "currency": "EUR", "overdraft": {"kind": "huge"}}),
            422,
            "invalid_request",
        ),
        (
            "/v1/accounts",
            json!({"id": "2", "currency": "EUR", "overdraft": {"kind": "limit", "limit": 5}}),
            422,
            "invalid_amount",
        ),
        (
            "/v1/accounts",
            json!({"id": "2", "currency": "EUR", "overdraft": {"kind": "limit", "limit": "0"}}),
            422,
            "zero_amount",
        ),
        (
            "/v1/accounts",
            json!({"id": "1", "currency": "EUR"}),
            409,
            "account_already_open",
        ),
        ("/v1/nothing", json!({}), 404, "route_not_found"),
        (
            "/v1/accounts/1/balance",
            json!({}),
            405,
            "method_not_allowed",
        ),
    ];
    for (path, body, status, code) in cases {
        let answer = api.post(path, &body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{path} {body}"
        );
    }

    let gets = [
        ("/v1/accounts/unknown", 404, "account_not_found"),
        ("/v1/accounts/unknown/balance", 404, "account_not_found"),
        ("/v1/accounts/unknown/statement", 404, "account_not_found"),
        ("/v1/accounts/unknown/events", 404, "account_not_found"),
        ("/v1/accounts/1/balance?surprise=1", 422, "invalid_query"),
        (
            "/v1/accounts/1/balance?min_position=abc",
            422,
            "invalid_position",
        ),
        (
            "/v1/accounts/1/balance?at_version=0",
            422,
            "version_not_reached",
        ),
        (
            "/v1/accounts/1/balance?at_version=-1",
            422,
            "version_not_reached",
        ),
        (
            "/v1/accounts/1/balance?at_version=9",
            422,
            "version_not_reached",
        ),
        (
            "/v1/accounts/1/balance?at_version=1e3",
            422,
            "invalid_query",
        ),
        (
            "/v1/accounts/1/balance?at_time=yesterday",
            422,
            "invalid_query",
        ),
        (
            "/v1/accounts/1/balance?at_time=1993-01-01T00:00:00Z",
            404,
            "account_not_found",
        ),
        (
            "/v1/accounts/1/balance?at_version=1&at_time=2030-01-01T00:00:00Z",
            422,
            "invalid_query",
        ),
        ("/v1/accounts/1/statement?limit=0", 422, "invalid_limit"),
        ("/v1/accounts/1/statement?limit=1001", 422, "invalid_limit"),
        ("/v1/accounts/1/statement?cursor=abc", 422, "invalid_cursor"),
        ("/v1/accounts/1/events?cursor=abc", 422, "invalid_cursor"),
        ("/v1/accounts?cursor=abc", 422, "invalid_cursor"),
    ];
    for (path, status, code) in gets {
        let answer = api.get(path).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{path}"
        );
    }
    api.stop().await;
}

#[tokio::test]
async fn bodies_and_headers_that_cannot_be_read_are_refused() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let credits = "/v1/accounts/1/credits";
    let raw = |body: String| {
        api.request(credits)
            .header("Idempotency-Key", "raw")
            .header("Content-Type", "application/json")
            .body(body)
    };
    let cut = answer(raw("{\"amount\": ".to_owned())).await;
    assert_eq!((cut.status, cut.code().as_str()), (400, "invalid_json"));
    let not_json = answer(raw("amount=1".to_owned())).await;
    assert_eq!(
        (not_json.status, not_json.code().as_str()),
        (400, "invalid_json")
    );
    let twice = r#"{"amount":"1","amount":"2","currency":"EUR","contra":"cash"}"#;
    let twice = answer(raw(twice.to_owned())).await;
    assert_eq!(
        (twice.status, twice.code().as_str()),
        (422, "invalid_request")
    );
    let large = answer(raw(format!("\"{}\"", "x".repeat(2 * 1024 * 1024)))).await;
    assert_eq!(
        (large.status, large.code().as_str()),
        (413, "body_too_large")
    );

    let plain = api
        .request(credits)
        .header("Idempotency-Key", "plain")
        .body("1");
    let plain = answer(plain).await;
    assert_eq!((plain.status, plain.code().as_str()), (415, "content_type"));
    let keyless = answer(api.request(credits).json(&eur("1"))).await;
    assert_eq!(
        (keyless.status, keyless.code().as_str()),
        (400, "idempotency_key_missing")
    );
    for key in ["", " ", "a b", "\"\"", &"k".repeat(256), "ключ"] {
        let request = api
            .request(credits)
            .header("Idempotency-Key", key.as_bytes());
        let refused = answer(request.json(&eur("1"))).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "idempotency_key_invalid"),
            "{key}"
        );
    }
    let actor = api
        .request(credits)
        .header("Idempotency-Key", "k")
        .header("Folio-Actor", "");
    let refused = answer(actor.json(&eur("1"))).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "actor_invalid")
    );
    api.stop().await;
}

#[tokio::test]
async fn an_overdraft_is_what_was_agreed() {
    let api = Api::start().await;
    api.open("none", "none").await;
    api.open("unlimited", "unlimited").await;
    let limited = json!({"id": "limited", "currency": "EUR", "overdraft": {"kind": "limit", "limit": "50.00"}});
    let limited = api.post("/v1/accounts", &limited).await;
    assert_eq!(
        limited.body["overdraft"],
        json!({"kind": "limit", "limit": "50.00"})
    );

    let refused = api.posting("none", "debits", "0.01").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "insufficient_funds")
    );
    assert!(refused.text("detail").contains("0.00 EUR"), "{refused:?}");
    assert_eq!(
        api.posting("limited", "debits", "50.00")
            .await
            .text("balance"),
        "-50.00"
    );
    let refused = api.posting("limited", "debits", "0.01").await;
    assert_eq!(refused.code(), "insufficient_funds");
    let last = api.posting("unlimited", "debits", "12345.67").await;
    assert_eq!(last.text("balance"), "-12345.67");

    let path = format!("/v1/accounts/limited/balance?min_position={}", last.token());
    let balance = api.get(&path).await;
    assert_eq!(balance.text("available"), "0.00");
    let balance = api.get("/v1/accounts/unlimited/balance").await;
    assert_eq!(balance.body["available"], Value::Null);
    api.stop().await;
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let first = api
        .post_as("/v1/accounts/1/credits", "k", &eur("5.00"))
        .await;
    assert!(!first.replayed);
    api.posting("1", "credits", "7.00").await;

    // The same answer, though the balance has moved on.
    let again = api
        .post_as("/v1/accounts/1/credits", "k", &eur("5.00"))
        .await;
    assert!(again.replayed);
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.position, first.position);

    // The same request in other bytes: another order, other blanks, another way to write 5.00, the
    // key in quotes as the draft standard has it.
    let same = r#"{ "contra":"cash",  "currency":"EUR", "amount":"5" }"#;
    let request = api
        .request("/v1/accounts/1/credits")
        .header("Idempotency-Key", "\"k\"")
        .header("Content-Type", "application/json; charset=utf-8")
        .body(same);
    let same = answer(request).await;
    assert!(same.replayed, "{same:?}");

    for other in [
        eur("5.01"),
        json!({"amount": "5.00", "currency": "EUR", "contra": "fees"}),
    ] {
        let reused = api.post_as("/v1/accounts/1/credits", "k", &other).await;
        assert_eq!(
            (reused.status, reused.code().as_str()),
            (422, "idempotency_key_reused")
        );
    }
    // Another account under the same key is another request.
    api.open("2", "none").await;
    let reused = api
        .post_as("/v1/accounts/2/credits", "k", &eur("5.00"))
        .await;
    assert_eq!(reused.code(), "idempotency_key_reused");
    // Another route and another actor have keys of their own.
    let debit = api
        .post_as("/v1/accounts/1/debits", "k", &eur("5.00"))
        .await;
    assert_eq!((debit.status, debit.replayed), (201, false));
    let other = api
        .request("/v1/accounts/1/credits")
        .header("Idempotency-Key", "k")
        .header("Folio-Actor", "somebody else");
    let other = answer(other.json(&eur("5.00"))).await;
    assert_eq!((other.status, other.replayed), (201, false));

    let last = api.posting("1", "credits", "0.01").await;
    assert_eq!(api.balance("1", last.token()).await, "12.01");
    api.stop().await;
}

#[tokio::test]
async fn a_refusal_stays_the_answer_to_its_key() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let refused = api
        .post_as("/v1/accounts/1/debits", "k", &eur("5.00"))
        .await;
    assert_eq!(refused.code(), "insufficient_funds");
    api.posting("1", "credits", "100.00").await;
    let again = api
        .post_as("/v1/accounts/1/debits", "k", &eur("5.00"))
        .await;
    assert!(again.replayed);
    assert_eq!(
        (again.status, again.code()),
        (refused.status, refused.code())
    );
    let fresh = api
        .post_as("/v1/accounts/1/debits", "k2", &eur("5.00"))
        .await;
    assert_eq!(fresh.text("balance"), "95.00");
    api.stop().await;
}

#[tokio::test]
async fn fifty_at_once_with_one_key_have_one_effect_and_one_answer() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let body = eur("3.00");
    let calls = (0..50).map(|_| api.post_as("/v1/accounts/1/credits", "k", &body));
    let answers: Vec<Answer> = futures_util::future::join_all(calls).await;
    assert!(
        answers
            .iter()
            .all(|a| a.status == 201 && a.body == answers[0].body),
        "{answers:?}"
    );
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(api.balance("1", answers[0].token()).await, "3.00");
    api.stop().await;
}

/// Each debit could be afforded alone, all fifty not.
#[tokio::test]
async fn fifty_debits_at_once_cannot_overdraw() {
    let api = Api::start().await;
    api.open("1", "none").await;
    api.posting("1", "credits", "20.00").await;
    let calls = (0..50).map(|_| api.posting("1", "debits", "1.00"));
    let answers: Vec<Answer> = futures_util::future::join_all(calls).await;
    let posted = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(posted, 20);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, "insufficient_funds")
        );
    }
    let last = api.posting("1", "credits", "0.01").await;
    assert_eq!(api.balance("1", last.token()).await, "0.01");
    api.stop().await;
}

#[tokio::test]
async fn a_balance_can_be_asked_as_it_was() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let mut times = Vec::new();
    for amount in ["10.00", "20.00", "30.00"] {
        api.posting("1", "credits", amount).await;
        let events = api.get("/v1/accounts/1/events").await;
        let last = events.body["events"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        times.push(last["recorded_at"].as_str().unwrap().to_owned());
    }
    for (version, balance) in [(1, "0.00"), (2, "10.00"), (3, "30.00"), (4, "60.00")] {
        let at = api
            .get(&format!("/v1/accounts/1/balance?at_version={version}"))
            .await;
        assert_eq!(at.text("balance"), balance);
        assert_eq!(at.text("source"), "replay");
        assert_eq!(at.body["version"], version);
    }
    for (time, balance) in times.iter().zip(["10.00", "30.00", "60.00"]) {
        let at = api
            .get(&format!("/v1/accounts/1/balance?at_time={time}"))
            .await;
        assert_eq!(at.text("balance"), balance);
    }
    let later = api
        .get("/v1/accounts/1/balance?at_time=2200-01-01T00:00:00Z")
        .await;
    assert_eq!(later.text("balance"), "60.00");
    api.stop().await;
}

#[tokio::test]
async fn a_statement_keeps_its_pages_while_postings_come_in() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let mut last = api.posting("1", "credits", "1.00").await;
    for _ in 1..25 {
        last = api.posting("1", "credits", "1.00").await;
    }
    let mut path = format!(
        "/v1/accounts/1/statement?limit=10&min_position={}",
        last.token()
    );
    let mut lines = Vec::new();
    loop {
        let page = api.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        lines.extend(page.body["lines"].as_array().unwrap().clone());
        // One more comes in between any two pages.
        last = api.posting("1", "credits", "1.00").await;
        match page.body["next_cursor"].as_str() {
            Some(cursor) if lines.len() < 60 => {
                path = format!("/v1/accounts/1/statement?limit=10&cursor={cursor}");
            }
            _ => break,
        }
    }
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["version"], index + 2);
        assert_eq!(line["balance"], format!("{}.00", index + 1));
        assert_eq!(line["side"], "credit");
        assert_eq!(line["contra"], "cash");
    }
    assert!(lines.len() >= 25);
    // A cursor of one account is none of another.
    api.open("2", "none").await;
    let page = api.get("/v1/accounts/1/statement?limit=10").await;
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let foreign = api
        .get(&format!(
            "/v1/accounts/2/statement?cursor={cursor}&min_position={}",
            last.token()
        ))
        .await;
    assert_ne!(foreign.status, 200);
    api.stop().await;
}

#[tokio::test]
async fn accounts_are_listed_in_pages() {
    let api = Api::start().await;
    let mut last = None;
    for id in ["c", "a", "e", "b", "d"] {
        last = Some(api.open(id, "none").await);
    }
    let token = last.unwrap().token().to_owned();
    let mut path = format!("/v1/accounts?limit=2&min_position={token}");
    let mut ids = Vec::new();
    loop {
        let page = api.get(&path).await;
        for account in page.body["accounts"].as_array().unwrap() {
            ids.push(account["id"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/accounts?limit=2&cursor={cursor}");
    }
    assert_eq!(ids, ["a", "b", "c", "d", "e"]);
    api.stop().await;
}

#[tokio::test]
async fn the_audit_view_tells_who_and_why() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = api
        .request("/v1/accounts/1/credits")
        .header("Idempotency-Key", "k")
        .header("Folio-Actor", "teller-7")
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let body = json!({"amount": "5.00", "currency": "EUR", "contra": "bank:AB",
        "effective_date": "1993-01-05", "reference": "ref-1", "description": "a gift"});
    let response = request.json(&body).send().await.unwrap();
    let parent = response.headers()["traceparent"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(parent.starts_with(&format!("00-{trace}-")) && !parent.contains("b7ad6b7169203331"));

    let page = api.get("/v1/accounts/1/events?limit=1").await;
    assert_eq!(page.body["events"][0]["type"], "AccountOpened");
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let page = api
        .get(&format!("/v1/accounts/1/events?cursor={cursor}"))
        .await;
    let event = &page.body["events"][0];
    assert_eq!(event["type"], "AccountCredited");
    assert_eq!(event["actor"], "teller-7");
    assert_eq!(
        event["correlation_id"],
        "0af76519-16cd-43dd-8448-eb211c80319c"
    );
    assert_eq!(
        (&event["version"], &event["position"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(event["schema_version"], 1);
    assert_eq!(
        event["payload"],
        json!({"amount": {"amount": "5.00", "currency": "EUR"}, "contra": "bank:AB",
            "effective_date": "1993-01-05", "reference": "ref-1", "description": "a gift"})
    );
    let token = event["position_token"].as_str().unwrap();
    assert_eq!(api.balance("1", token).await, "5.00");
    for id in ["event_id", "command_id"] {
        assert_eq!(event[id].as_str().unwrap().len(), 36);
    }
    api.stop().await;
}

/// A read that names a write sees it, however far behind the model was when it came.
#[tokio::test]
async fn a_reader_sees_what_it_wrote() {
    let api = Api::start().await;
    api.open("1", "none").await;
    for number in 1..=50 {
        let written = api.posting("1", "credits", "1.00").await;
        assert_eq!(
            api.balance("1", written.token()).await,
            format!("{number}.00")
        );
    }
    // A position of a store that this model is not fed by is of no concern to it.
    let foreign = http::PositionToken::of(
        folio_core::StoreId::from_uuid(uuid::Uuid::from_u128(1)),
        folio_core::Position::new(1_000_000).unwrap(),
    );
    assert_eq!(api.balance("1", &foreign.encode()).await, "50.00");
    api.stop().await;
}

#[tokio::test]
async fn a_bulk_posts_each_on_its_own() {
    let api = Api::start().await;
    api.open("1", "none").await;
    api.open("2", "none").await;
    let item = |key: &str, account: &str, side: &str, amount: &str| {
        json!({"key": key, "account_id": account, "side": side, "amount": amount,
            "currency": "EUR", "contra": "cash"})
    };
    let body = json!({"postings": [
        item("a", "1", "credit", "10.00"),
        item("b", "2", "credit", "1.00"),
        item("c", "1", "debit", "4.00"),
        item("d", "2", "debit", "1.01"),
        item("e", "3", "credit", "1.00"),
        item("f", "1", "debit", "6.00"),
    ]});
    let first = api.post_as("/v1/postings/bulk", "bulk", &body).await;
    assert_eq!(first.status, 207);
    let statuses = |answer: &Answer| -> Vec<String> {
        let results = answer.body["results"].as_array().unwrap();
        results
            .iter()
            .map(|r| r["status"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        statuses(&first),
        ["posted", "posted", "posted", "refused", "refused", "posted"]
    );
    assert_eq!(first.body["results"][2]["balance"], "6.00");
    assert_eq!(
        first.body["results"][3]["problem"]["code"],
        "insufficient_funds"
    );
    assert_eq!(
        first.body["results"][4]["problem"]["code"],
        "account_not_found"
    );
    assert_eq!(api.balance("1", first.token()).await, "0.00");

    // The whole again: nothing new, and the refused stay refused.
    let again = api.post_as("/v1/postings/bulk", "bulk", &body).await;
    assert!(again.replayed);
    assert_eq!(
        statuses(&again),
        [
            "already_posted",
            "already_posted",
            "already_posted",
            "refused",
            "refused",
            "already_posted"
        ]
    );
    // One of them in another bulk: nothing new either.
    let part =
        json!({"postings": [item("a", "1", "credit", "10.00"), item("g", "2", "credit", "2.00")]});
    let part = api.post_as("/v1/postings/bulk", "part", &part).await;
    assert_eq!(statuses(&part), ["already_posted", "posted"]);
    // Its key for something else.
    let other = json!({"postings": [item("a", "1", "credit", "10.01")]});
    let other = api.post_as("/v1/postings/bulk", "other", &other).await;
    assert_eq!(
        other.body["results"][0]["problem"]["code"],
        "idempotency_key_reused"
    );
    // The request's key for another request: refused whole, before anything is posted.
    let reused = json!({"postings": [item("h", "2", "credit", "1.00")]});
    let reused = api.post_as("/v1/postings/bulk", "bulk", &reused).await;
    assert_eq!(
        (reused.status, reused.code().as_str()),
        (422, "idempotency_key_reused")
    );
    // One that is wrong in itself: nothing of the request is posted.
    let wrong =
        json!({"postings": [item("i", "2", "credit", "1.00"), item("j", "2", "credit", "1.001")]});
    let wrong = api.post_as("/v1/postings/bulk", "wrong", &wrong).await;
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (422, "amount_not_representable")
    );
    assert!(
        wrong.text("detail").starts_with("postings[1]: "),
        "{wrong:?}"
    );
    let many = vec![item("k", "2", "credit", "1.00"); 1_001];
    let many = api
        .post_as("/v1/postings/bulk", "many", &json!({"postings": many}))
        .await;
    assert_eq!(
        (many.status, many.code().as_str()),
        (422, "too_many_postings")
    );

    let last = api.posting("2", "credits", "0.01").await;
    assert_eq!(api.balance("2", last.token()).await, "3.01");
    api.stop().await;
}

#[tokio::test]
async fn data_outlives_the_service() {
    let api = Api::start().await;
    api.open("1", "none").await;
    api.posting("1", "credits", "5.00").await;
    let databases = api.stop().await;
    let api = Api::on(databases).await;
    let last = api.posting("1", "credits", "1.00").await;
    assert_eq!(api.balance("1", last.token()).await, "6.00");
    api.stop().await;
}

#[tokio::test]
async fn the_service_tells_how_it_is() {
    let api = Api::start().await;
    assert_eq!(api.get("/livez").await.status, 200);
    let opened = api.open("1", "none").await;
    api.get(&format!("/v1/accounts/1?min_position={}", opened.token()))
        .await;
    let ready = api.get("/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(ready.body["ready"], true);
    assert_eq!(ready.body["projections"][0]["status"], "running");
    assert_eq!(ready.body["projections"][0]["lag_events"], 0);
    assert_eq!(api.get("/metrics").await.status, 200);
    api.stop().await;
}

#[tokio::test]
async fn every_route_is_in_the_document() {
    let api = Api::start().await;
    let document = api.get("/openapi.json").await;
    assert_eq!(
        document.body,
        serde_json::to_value(http::openapi()).unwrap()
    );
    let mut routes = BTreeSet::new();
    for (path, item) in document.body["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routes.insert(format!("{method} {path}"));
        }
    }
    let expected = [
        "get /livez",
        "get /metrics",
        "get /readyz",
        "get /v1/accounts",
        "get /v1/accounts/{id}",
        "get /v1/accounts/{id}/balance",
        "get /v1/accounts/{id}/events",
        "get /v1/accounts/{id}/statement",
        "post /v1/accounts",
        "post /v1/accounts/{id}/close",
        "post /v1/accounts/{id}/credits",
        "post /v1/accounts/{id}/debits",
        "post /v1/postings/bulk",
    ];
    assert_eq!(routes, expected.map(str::to_owned).into());
    // Amounts are strings, in the document as on the wire.
    let schemas = &document.body["components"]["schemas"];
    assert_eq!(
        schemas["PostingRequest"]["properties"]["amount"]["type"],
        "string"
    );
    assert_eq!(
        schemas["BalanceBody"]["properties"]["balance"]["type"],
        "string"
    );
    api.stop().await;
}
