//! Requests that come again, before and after their subject was forgotten, and requests that come too late.

use folio_tests::api::{Answer, Api};
use ledger_example::http::{Router, accounts_router, serve};
use ledger_example::{AccountsService, Connections};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{history, holder, opening, reason};

async fn name(api: &Api, key: &str, holder: &Value) -> Answer {
    let url = format!("{}/v1/accounts/1/holder", api.url);
    let request = reqwest::Client::new().put(url);
    let request = request.header("Idempotency-Key", key).json(holder);
    folio_tests::api::answer(request).await
}

async fn forget(api: &Api, subject: &str) {
    let path = format!("/v1/subjects/{subject}/forget");
    let forgotten = api.post(&path, &reason()).await;
    assert_eq!(forgotten.status, 200, "{forgotten:?}");
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer_also_when_its_subject_is_forgotten() {
    let api = Api::start().await;
    let (ada, _) = holder("c-1");
    let mut renamed = ada.clone();
    renamed["name"] = json!("Another Name");
    let open = opening("1", &ada);
    let opened = api.post_as("/v1/accounts", "open", &open).await;
    let refused = api.post_as("/v1/accounts", "open-again", &open).await;
    assert_eq!((opened.status, refused.status), (201, 409));
    let named = name(&api, "name", &ada).await;
    assert_eq!(named.body["holder"]["name"], ada["name"]);

    let again = api.post_as("/v1/accounts", "open", &open).await;
    assert_eq!((&again.body, again.replayed), (&opened.body, true));
    assert_eq!(name(&api, "name", &ada).await.body, named.body);
    let reused = name(&api, "name", &renamed).await;
    assert_eq!(reused.code(), "idempotency_key_reused");
    let open_renamed = opening("1", &renamed);
    let reused = api.post_as("/v1/accounts", "open", &open_renamed).await;
    assert_eq!(reused.code(), "idempotency_key_reused");

    forget(&api, "c-1").await;
    let recorded = history(&api).await;
    let again = api.post_as("/v1/accounts", "open", &open).await;
    assert_eq!((&again.body, again.replayed), (&opened.body, true));
    let again = api.post_as("/v1/accounts", "open-again", &open).await;
    assert_eq!((again.code(), again.replayed), (refused.code(), true));
    let again = name(&api, "name", &ada).await;
    assert_eq!((again.status, again.replayed), (200, true));
    assert_eq!(again.body["holder"]["erased"], true, "{again:?}");
    // What can still be compared is.
    let mut other = open;
    other["currency"] = json!("USD");
    let reused = api.post_as("/v1/accounts", "open", &other).await;
    assert_eq!(reused.code(), "idempotency_key_reused");
    assert_eq!(history(&api).await, recorded);
    api.stop().await;
}

#[tokio::test]
async fn nothing_more_is_written_about_a_forgotten_subject() {
    let api = Api::start().await;
    let (ada, _) = holder("c-1");
    let opened = api.post("/v1/accounts", &opening("1", &ada)).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    forget(&api, "c-1").await;
    let recorded = history(&api).await;

    let late = api.post("/v1/accounts", &opening("2", &ada)).await;
    assert_eq!(
        (late.status, late.code().as_str()),
        (409, "subject_forgotten")
    );
    let late = name(&api, "late", &ada).await;
    assert_eq!(late.code(), "subject_forgotten");
    assert_eq!(history(&api).await, recorded);
    let (eve, _) = holder("c-9");
    assert_eq!(name(&api, "other", &eve).await.status, 200);

    let nobody = api.post("/v1/subjects/c-404/forget", &reason()).await;
    assert_eq!(
        (nobody.status, nobody.code().as_str()),
        (404, "subject_not_found")
    );
    let unnamed = api.open("3", "none").await;
    assert!(unnamed.body.get("holder").is_none());
    let unnamed = api.get("/v1/accounts/3/holder").await;
    assert_eq!(unnamed.code(), "holder_not_found");
    for wrong in [
        json!({"reason": ""}),
        json!({}),
        json!({"reason": "a", "by": "b"}),
    ] {
        let wrong = api.post("/v1/subjects/c-9/forget", &wrong).await;
        assert_eq!(wrong.status, 422, "{wrong:?}");
    }
    for (field, value) in [("subject", "Ada Lovelace"), ("name", ""), ("email", "a\nb")] {
        let mut wrong = eve.clone();
        wrong[field] = json!(value);
        let wrong = name(&api, field, &wrong).await;
        assert_eq!(wrong.status, 422, "{field}: {wrong:?}");
    }
    api.stop().await;
}

/// A key is remembered nowhere, so there is nothing to wait for.
#[tokio::test]
async fn what_one_instance_forgets_no_other_opens() {
    let api = Api::start().await;
    let (ada, _) = holder("c-1");
    api.post("/v1/accounts", &opening("1", &ada)).await;
    let other = AccountsService::start(&api.databases.accounts, Connections::default(), None, None);
    let other = other.await.unwrap();
    let router: Router = accounts_router(other.ledger());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(serve(listener, router, std::future::pending()));
    let ask = || {
        let url = format!("{url}/v1/accounts/1/holder");
        folio_tests::api::answer(reqwest::Client::new().get(url))
    };
    assert_eq!(ask().await.body["holder"]["name"], ada["name"]);

    forget(&api, "c-1").await;
    let told = ask().await;
    assert_eq!(told.body["holder"]["erased"], true, "{told:?}");
    assert_eq!(told.body["holder"].get("name"), None);
    serving.abort();
    other.stop().await;
    api.stop().await;
}
