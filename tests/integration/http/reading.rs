//! Balances now and then, statements, lists and the audit view.

use folio_tests::api::Api;
use ledger_example::http;
use serde_json::json;

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
        assert_eq!(line["balance"], format!("{}.00", index + 1));
        assert_eq!(line["side"], "credit");
        assert_eq!(line["contra"], "cash");
    }
    // All pages are of what was known when the first one was answered.
    assert_eq!(lines.len(), 25);
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
    assert_eq!(event["type"], "LegPosted");
    assert_eq!(event["actor"], "teller-7");
    assert_eq!(
        event["correlation_id"],
        "0af76519-16cd-43dd-8448-eb211c80319c"
    );
    assert_eq!(
        (&event["version"], &event["position"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(event["schema_version"], 1);
    let entry = event["payload"]["entry"].as_str().unwrap();
    assert_eq!(
        event["payload"],
        json!({"entry": entry, "side": "credit", "amount": {"amount": "5.00", "currency": "EUR"},
            "effective_date": "1993-01-05"})
    );
    let token = event["position_token"].as_str().unwrap();
    assert_eq!(api.balance("1", token).await, "5.00");
    let entry = api.get(&format!("/v1/journal-entries/{entry}")).await;
    assert_eq!(
        (entry.text("reference"), entry.text("description")),
        ("ref-1".to_owned(), "a gift".to_owned())
    );
    assert_eq!(entry.text("actor"), "teller-7");
    assert_eq!(
        entry.body["legs"],
        json!([
            {"account_id": "1", "side": "credit", "amount": "5.00", "currency": "EUR"},
            {"account_id": "contra.bank-AB.EUR", "side": "debit", "amount": "5.00",
                "currency": "EUR"},
        ])
    );
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
