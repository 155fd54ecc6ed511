//! What the service tells about itself.

use std::collections::BTreeSet;
use std::time::Duration;

use folio_tests::api::Api;
use ledger_example::http;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_service_tells_how_it_is() {
    let api = Api::start().await;
    assert_eq!(api.get("/livez").await.status, 200);
    let opened = api.open("1", "none").await;
    api.get(&format!("/v1/accounts/1?min_position={}", opened.token()))
        .await;
    // Measured once a second, and not ready before it was.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let ready = loop {
        let ready = api.get("/readyz").await;
        if ready.body["projections"][0]["position"] == 1 {
            break ready;
        }
        assert!(tokio::time::Instant::now() < deadline, "{ready:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(ready.body["ready"], true);
    assert_eq!(ready.body["status"], "running");
    let build = &ready.body["projections"][0];
    assert_eq!(
        (&build["state"], &build["lag_events"]),
        (&json!("live"), &json!(0))
    );
    let builds = api.get("/v1/projections").await;
    assert_eq!(builds.body["builds"][0]["percent"], 100);
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
        "get /v1/accounts/{id}/entries",
        "get /v1/accounts/{id}/events",
        "get /v1/accounts/{id}/holds",
        "get /v1/accounts/{id}/metadata",
        "get /v1/accounts/{id}/statement",
        "get /v1/feed",
        "get /v1/holds/{id}",
        "get /v1/invariants",
        "get /v1/journal-entries",
        "get /v1/journal-entries/{id}",
        "get /v1/outcomes/{key}",
        "get /v1/periods",
        "get /v1/projections",
        "get /v1/trial-balance",
        "get /v1/trial-balance/accounts",
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
        "put /v1/accounts/{id}/limits",
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
