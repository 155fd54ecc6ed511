//! What the service tells about itself.

use std::collections::BTreeSet;

use folio_tests::api::Api;
use ledger_example::http;

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
