//! What the service tells about itself.

use std::collections::BTreeSet;
use std::time::Duration;

use folio_tests::api::{Api, answer};
use ledger_example::http;
use serde_json::{Value, json};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_services_tell_how_they_are() {
    let api = Api::start().await;
    assert_eq!(api.get("/livez").await.status, 200);
    assert_eq!(api.ask_balances("/livez").await.status, 200);
    let opened = api.open("1", "none").await;
    api.get(&format!("/v1/accounts/1?min_position={}", opened.token()))
        .await;
    let ready = api.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.body),
        (200, &json!({"ready": true})),
        "{ready:?}"
    );
    // Measured once a second.
    let deadline = Instant::now() + PATIENCE;
    let book = loop {
        let ready = api.ask_balances("/readyz").await;
        assert_eq!((ready.status, &ready.body["ready"]), (200, &json!(true)));
        let book = ready.body["books"][0].clone();
        if book["builds"][0]["position"] == 1 {
            break book;
        }
        assert!(Instant::now() < deadline, "{book:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(
        (&book["book"], &book["follows"]),
        (&json!(api.databases.book.as_str()), &json!(true)),
        "{book}"
    );
    assert!(book["age_ms"].is_u64(), "{book}");
    let build = &book["builds"][0];
    assert_eq!(
        (&build["state"], &build["lag_events"]),
        (&json!("live"), &json!(0))
    );
    let builds = api.ask_balances("/v1/projections").await;
    assert_eq!(builds.body["builds"][0]["percent"], 100);
    let builds = api.get("/v1/projections").await;
    let names = ["invariants", "due_holds"].map(|name| json!(name));
    let told = builds.body["builds"].as_array().unwrap();
    assert!(
        told.iter()
            .all(|build| names.contains(&build["projection"]))
    );
    assert_eq!(api.get("/metrics").await.status, 200);
    assert_eq!(api.ask_balances("/metrics").await.status, 200);
    api.stop().await;
}

/// The routes that a document has, with their methods.
fn routes_of(document: &Value) -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routes.insert(format!("{method} {path}"));
        }
    }
    routes
}

#[tokio::test]
async fn every_route_is_in_the_document_of_its_service() {
    let api = Api::start().await;
    let accounts = api.get("/openapi.json").await.body;
    assert_eq!(
        accounts,
        serde_json::to_value(http::accounts_openapi()).unwrap()
    );
    let expected = [
        "get /livez",
        "get /metrics",
        "get /readyz",
        "get /v1/accounts/{id}/balance",
        "get /v1/accounts/{id}/events",
        "get /v1/accounts/{id}/holder",
        "get /v1/audit/accounts/{id}",
        "get /v1/audit/accounts/{id}/bundle",
        "get /v1/audit/checkpoint",
        "get /v1/audit/growth",
        "get /v1/audit/inclusion",
        "get /v1/audit/streams/{category}/{id}/bundle",
        "get /v1/feed",
        "get /v1/invariants",
        "get /v1/outcomes/{key}",
        "get /v1/periods",
        "get /v1/projections",
        "patch /v1/accounts/{id}/metadata",
        "post /v1/accounts",
        "post /v1/accounts/{id}/close",
        "post /v1/accounts/{id}/closing",
        "post /v1/accounts/{id}/credits",
        "post /v1/accounts/{id}/debits",
        "post /v1/accounts/{id}/freeze",
        "post /v1/accounts/{id}/unfreeze",
        "post /v1/holds",
        "post /v1/holds/{id}/capture",
        "post /v1/holds/{id}/release",
        "post /v1/journal-entries",
        "post /v1/journal-entries/bulk",
        "post /v1/journal-entries/{id}/reverse",
        "post /v1/periods/{day}/close",
        "post /v1/postings/bulk",
        "post /v1/subjects/{id}/forget",
        "put /v1/accounts/{id}/holder",
        "put /v1/accounts/{id}/limits",
    ];
    assert_eq!(routes_of(&accounts), expected.map(str::to_owned).into());

    let balances = api.ask_balances("/openapi.json").await.body;
    assert_eq!(
        balances,
        serde_json::to_value(http::balances_openapi()).unwrap()
    );
    let expected = [
        "get /livez",
        "get /metrics",
        "get /readyz",
        "get /v1/accounts",
        "get /v1/accounts/{id}",
        "get /v1/accounts/{id}/balance",
        "get /v1/accounts/{id}/entries",
        "get /v1/accounts/{id}/holds",
        "get /v1/accounts/{id}/metadata",
        "get /v1/accounts/{id}/statement",
        "get /v1/holds/{id}",
        "get /v1/in-transit",
        "get /v1/journal-entries",
        "get /v1/journal-entries/{id}",
        "get /v1/projections",
        "get /v1/trial-balance",
        "get /v1/trial-balance/accounts",
    ];
    assert_eq!(routes_of(&balances), expected.map(str::to_owned).into());

    // Amounts are strings, in the document as on the wire.
    let posting = &accounts["components"]["schemas"]["PostingRequest"]["properties"];
    assert_eq!(posting["amount"]["type"], "string");
    let balance = &balances["components"]["schemas"]["BalanceBody"]["properties"];
    assert_eq!(balance["balance"]["type"], "string");
    api.stop().await;
}

/// A deadline comes along with a request, and nothing is done that nobody waits for.
#[tokio::test]
async fn a_request_takes_no_longer_than_its_caller_waits() {
    let api = Api::start().await;
    let ask = async |path: &str, left: &str| {
        let request = reqwest::Client::new().get(format!("{}{path}", api.url));
        answer(request.header("Folio-Deadline-Ms", left)).await
    };
    let waits = "/v1/feed?wait_ms=20000";
    let began = Instant::now();
    let late = ask(waits, "200").await;
    assert_eq!(
        (late.status, late.code().as_str()),
        (503, "deadline_exceeded")
    );
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(ask("/livez", "5000").await.status, 200);
    for (left, status, code) in [
        ("0", 503, "deadline_exceeded"),
        ("-1", 400, "deadline_invalid"),
        ("soon", 400, "deadline_invalid"),
        ("86400001", 400, "deadline_invalid"),
    ] {
        let refused = ask("/livez", left).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{left}"
        );
    }
    // Of a command that came too late nothing is there.
    let body = json!({"id": "late", "currency": "EUR"});
    let request = api.request("/v1/accounts").header("Idempotency-Key", "k");
    let request = request.header("Folio-Deadline-Ms", "0").json(&body);
    assert_eq!(answer(request).await.status, 503);
    assert_eq!(api.get("/v1/feed").await.body["head"], 0);
    api.stop().await;
}
