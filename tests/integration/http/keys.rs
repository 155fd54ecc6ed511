//! A request under its idempotency key has one effect and one answer.

use folio_tests::api::{Answer, Api, answer};
use serde_json::json;

use super::eur;

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
