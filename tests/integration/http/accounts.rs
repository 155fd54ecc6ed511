//! An account from its opening to its closing, and what its balance may be.

use folio_tests::api::{Answer, Api};
use serde_json::{Value, json};

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
