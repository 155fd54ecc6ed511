//! Many postings in one request.

use folio_tests::api::{Answer, Api};
use serde_json::{Value, json};

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

/// Its legs are in a stream of their own, which nobody reads who posts: what was answered was that there is no such account, after
/// the entry was recorded.
#[tokio::test]
async fn a_posting_on_an_account_that_records_is_told_as_posted() {
    let api = Api::start().await;
    let fees = json!({"id": "fees", "currency": "EUR", "kind": "recording"});
    assert_eq!(api.post("/v1/accounts", &fees).await.status, 201);
    let body = json!({"amount": "5.00", "currency": "EUR", "contra": "cash"});
    let path = "/v1/accounts/fees/credits";
    for is_replay in [false, true] {
        let posted = api.post_as(path, "fee", &body).await;
        assert_eq!((posted.status, posted.replayed), (201, is_replay));
        assert_eq!(posted.body["amount"], "5.00");
        assert_eq!(posted.body["balance"], Value::Null, "{posted:?}");
        assert_eq!(api.balance("fees", posted.token()).await, "5.00");
    }
    let item = json!({"key": "k", "account_id": "fees", "side": "debit", "amount": "2.00",
        "currency": "EUR", "contra": "cash"});
    for (key, status) in [("one", "posted"), ("two", "already_posted")] {
        let items = json!({"postings": [item]});
        let posted = api.post_as("/v1/postings/bulk", key, &items).await;
        assert_eq!(posted.status, 200, "{posted:?}");
        assert_eq!(posted.body["results"][0]["status"], status);
        assert_eq!(api.balance("fees", posted.token()).await, "3.00");
    }
    let missing = api
        .post_as("/v1/accounts/none/credits", "none", &body)
        .await;
    assert_eq!(missing.code(), "account_not_found");
    api.stop().await;
}
