//! Whatever cannot be carried out is told how, and leaves nothing behind.

use folio_tests::api::{Api, answer};
use serde_json::{Value, json};

use super::eur;

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

/// What looks like SQL is text wherever it stands: it is kept as it is, or refused as what it is not.
#[tokio::test]
async fn what_looks_like_sql_is_text() {
    const SQL: &str = "x'); DROP TABLE store.events; DELETE FROM accounts; --";
    let api = Api::start().await;
    api.open("1", "unlimited").await;
    api.open("2", "unlimited").await;
    let leg = |account: &str, side: &str| json!({"account_id": account, "side": side, "amount": "1.00", "currency": "EUR"});
    let bodies = [
        (
            "/v1/accounts",
            json!({"id": "sql", "currency": "EUR", "metadata": {"customer": "42"}}),
        ),
        ("/v1/accounts/1/credits", eur("1.00")),
        (
            "/v1/holds",
            json!({"id": "h", "account_id": "1", "amount": "1.00", "currency": "EUR"}),
        ),
        (
            "/v1/journal-entries",
            json!({"id": "e", "legs": [leg("1", "debit"), leg("2", "credit")],
                "effective_date": "2026-06-30"}),
        ),
    ];
    let mut asked = 0;
    for (path, body) in &bodies {
        for (number, body) in with_each_text_as(SQL, body).into_iter().enumerate() {
            for (path, key) in [
                (path.to_string(), format!("{path} {number}")),
                (format!("{path}?x={SQL}"), SQL.to_owned()),
            ] {
                let answer = api.post_as(&path, &key, &body).await;
                assert!(answer.status < 500, "{body}: {answer:?}");
                asked += 1;
            }
        }
    }
    assert!(asked > 30, "{asked}");
    let kept = json!({"id": "kept", "currency": "EUR", "metadata": {"customer": SQL}});
    let opened = api.post("/v1/accounts", &kept).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let path = format!("/v1/accounts/kept/metadata?min_position={}", opened.token());
    assert_eq!(api.get(&path).await.body["metadata"]["customer"], SQL);
    let found = api
        .get(&format!("/v1/accounts?metadata=customer:{SQL}"))
        .await;
    let found = found.body["accounts"].as_array().unwrap();
    assert!(found.iter().any(|account| account["id"] == "kept"));
    let posted = api.posting("1", "credits", "1.00").await;
    assert_eq!(posted.status, 201, "{posted:?}");
    let path = format!("/v1/trial-balance?min_position={}", posted.token());
    assert_eq!(api.get(&path).await.body["currencies"][0]["net"], "0.00");
    api.stop().await;
}

/// The body once for each text in it, with that text replaced.
fn with_each_text_as(text: &str, body: &Value) -> Vec<Value> {
    match body {
        Value::String(_) => vec![text.into()],
        Value::Array(items) => replaced(items.iter().enumerate(), text, |at, item| {
            let mut items = items.clone();
            items[at] = item;
            items.into()
        }),
        Value::Object(fields) => replaced(fields.iter(), text, |name, field| {
            let mut fields = fields.clone();
            fields.insert(name.clone(), field);
            fields.into()
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn replaced<'a, K: Copy>(
    parts: impl Iterator<Item = (K, &'a Value)>,
    text: &str,
    whole: impl Fn(K, Value) -> Value,
) -> Vec<Value> {
    let each = parts.flat_map(|(key, part)| {
        with_each_text_as(text, part)
            .into_iter()
            .map(move |part| (key, part))
    });
    each.map(|(key, part)| whole(key, part)).collect()
}
