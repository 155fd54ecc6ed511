//! Holds, and what an account refuses.

use std::sync::Arc;
use std::time::Duration;

use folio_postgres::{PostgresStore, Role};
use folio_tests::api::{Answer, Api};
use ledger_example::service::open_due_holds;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::journal::{leg, two_accounts};
use crate::projections::kit::operator;

fn hold(id: &str, amount: &str) -> Value {
    json!({"id": id, "account_id": "1", "amount": amount, "currency": "EUR",
        "expires_in_seconds": 3600, "reference": "card 4711"})
}

async fn capture(api: &Api, id: &str, amount: Option<&str>) -> Answer {
    let mut body = json!({"counter_account_id": "contra.cards.EUR"});
    if let Some(amount) = amount {
        body["amount"] = json!(amount);
        body["currency"] = json!("EUR");
    }
    api.post(&format!("/v1/holds/{id}/capture"), &body).await
}

async fn release(api: &Api, id: &str) -> Answer {
    api.post(&format!("/v1/holds/{id}/release"), &json!({}))
        .await
}

async fn balance(api: &Api, id: &str, written: &Answer) -> Value {
    let path = format!("/v1/accounts/{id}/balance?min_position={}", written.token());
    api.get(&path).await.body
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[tokio::test]
async fn a_hold_counts_at_once_and_its_capture_releases_the_rest() {
    let api = two_accounts().await;
    let placed = api.post("/v1/holds", &hold("h", "40.00")).await;
    assert_eq!(
        (placed.status, placed.text("state")),
        (201, "open".to_owned()),
        "{placed:?}"
    );
    let held = balance(&api, "1", &placed).await;
    assert_eq!(
        (
            &held["balance"],
            &held["available"],
            &held["debits_pending"]
        ),
        (&json!("100.00"), &json!("60.00"), &json!("40.00"))
    );
    let refused = api.posting("1", "debits", "60.01").await;
    assert_eq!(code(&refused), (422, "insufficient_funds".to_owned()));

    let captured = capture(&api, "h", Some("25.00")).await;
    assert_eq!(captured.status, 201, "{captured:?}");
    assert_eq!(captured.text("captures"), "h");
    let after = balance(&api, "1", &captured).await;
    assert_eq!(
        (
            &after["balance"],
            &after["available"],
            &after["debits_pending"]
        ),
        (&json!("75.00"), &json!("75.00"), &json!("0.00"))
    );
    let told = api.get("/v1/holds/h").await;
    assert_eq!(
        (
            told.text("state"),
            told.text("captured"),
            told.text("entry_id")
        ),
        (
            "captured".to_owned(),
            "25.00".to_owned(),
            captured.text("entry_id")
        )
    );
    assert_eq!(
        code(&capture(&api, "h", None).await),
        (409, "already_captured".to_owned())
    );
    assert_eq!(
        code(&release(&api, "h").await),
        (409, "already_captured".to_owned())
    );
    assert_eq!(
        code(&capture(&api, "none", None).await),
        (404, "hold_not_found".to_owned())
    );
    let taken = api.post("/v1/holds", &hold("h", "1.00")).await;
    assert_eq!(code(&taken), (409, "hold_exists".to_owned()));

    let list = api.get("/v1/accounts/1/holds?state=open").await;
    assert_eq!(list.body["holds"], json!([]));
    let list = api.get("/v1/accounts/1/holds").await;
    assert_eq!(list.body["holds"][0]["hold_id"], "h");
    api.stop().await;
}

/// Cases 11 and 12: whoever gave it up did not know what became of it.
#[tokio::test]
async fn a_hold_that_was_given_up_first_is_never_placed() {
    let api = two_accounts().await;
    let ruled_out = release(&api, "late").await;
    assert_eq!(
        (ruled_out.status, ruled_out.text("state")),
        (200, "ruled_out".to_owned())
    );
    let again = release(&api, "late").await;
    assert_eq!(
        (again.status, again.text("state")),
        (200, "ruled_out".to_owned()),
        "{again:?}"
    );
    let placed = api.post("/v1/holds", &hold("late", "40.00")).await;
    assert_eq!(code(&placed), (409, "hold_ruled_out".to_owned()));
    assert_eq!(balance(&api, "1", &again).await["available"], "100.00");
    api.stop().await;
}

/// Case 9: each alone could be paid, together they cannot.
#[tokio::test]
async fn fifty_holds_at_once_hold_no_more_than_there_is() {
    let api = two_accounts().await;
    let all = (0..50).map(|number| {
        let body = hold(&format!("h{number}"), "9.00");
        let api = &api;
        async move { api.post("/v1/holds", &body).await }
    });
    let answers = futures_util::future::join_all(all).await;
    let placed: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(placed.len(), 11);
    let others = answers.iter().filter(|answer| answer.status != 201);
    for refused in others {
        assert_eq!(code(refused), (422, "insufficient_funds".to_owned()));
    }
    let last = api.posting("1", "credits", "1.00").await;
    assert_eq!(balance(&api, "1", &last).await["available"], "2.00");
    api.stop().await;
}

/// Case 10: whoever is first, one of them is.
#[tokio::test]
async fn captures_and_releases_at_once_resolve_a_hold_once() {
    let api = two_accounts().await;
    for round in 0..10 {
        let id = format!("h{round}");
        api.post("/v1/holds", &hold(&id, "5.00")).await;
        let captures = futures_util::future::join_all((0..5).map(|_| capture(&api, &id, None)));
        let releases = futures_util::future::join_all((0..5).map(|_| release(&api, &id)));
        let (captures, releases) = tokio::join!(captures, releases);
        let won = captures
            .iter()
            .chain(&releases)
            .filter(|answer| answer.status < 300);
        assert_eq!(won.count(), 1, "{captures:?} {releases:?}");
    }
    let last = api.posting("1", "credits", "1.00").await;
    let after = balance(&api, "1", &last).await;
    assert_eq!(after["balance"], after["available"]);
    api.stop().await;
}

/// What is decided on its way to the store is what later commands are decided on. Who captures, releases
/// or reverses looks up what it is about, and missed it as long as it looked in the store: with
/// every try in vain, the answer was an internal error.
#[tokio::test]
async fn what_is_on_its_way_to_the_store_is_found_by_what_is_decided_on_it() {
    let api = two_accounts().await;
    let owner = api
        .databases
        .accounts
        .events
        .connect(Role::Owner)
        .await
        .unwrap();
    let entry = json!({"id": "e", "legs": [leg("1", "debit", "1.00"), leg("2", "credit", "1.00")]});
    for (path, made, then, body) in [
        (
            "/v1/holds",
            hold("h1", "5.00"),
            "/v1/holds/h1/capture",
            json!({"counter_account_id": "2"}),
        ),
        (
            "/v1/holds",
            hold("h2", "5.00"),
            "/v1/holds/h2/release",
            Value::Null,
        ),
        (
            "/v1/journal-entries",
            entry,
            "/v1/journal-entries/e/reverse",
            json!({"effective_date": "2026-06-30"}),
        ),
    ] {
        let lock = "BEGIN; LOCK TABLE store.events IN EXCLUSIVE MODE";
        owner.batch_execute(lock).await.unwrap();
        let later = async {
            let waiting = "SELECT count(*) FROM pg_locks \
                           WHERE relation = 'store.events'::regclass AND NOT granted";
            let deadline = Instant::now() + Duration::from_secs(30);
            while owner
                .query_one(waiting, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 0
            {
                assert!(Instant::now() < deadline, "nothing waits for the lock");
                sleep(Duration::from_millis(5)).await;
            }
            let unlocked = async {
                // Long enough for an answer that waits for nothing.
                for _ in 0..100 {
                    assert_eq!(api.get("/v1/accounts/1").await.status, 200);
                }
                owner.batch_execute("COMMIT").await.unwrap();
            };
            tokio::join!(api.post(then, &body), unlocked).0
        };
        let (made, later) = tokio::join!(api.post(path, &made), later);
        assert_eq!(made.status, 201, "{made:?}");
        assert!(matches!(later.status, 200 | 201), "{later:?}");
    }
    api.stop().await;
}

/// The service ends it by itself, by the store's clock.
#[tokio::test]
async fn a_hold_expires_as_an_event() {
    let api = two_accounts().await;
    let mut body = hold("short", "40.00");
    body["expires_in_seconds"] = json!(1);
    let placed = api.post("/v1/holds", &body).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let path = format!("/v1/holds/short?min_position={}", placed.token());
        let told = api.get(&path).await;
        match told.text("state").as_str() {
            "expired" => break,
            state => assert_eq!(state, "open"),
        }
        assert!(Instant::now() < deadline, "it does not expire");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        code(&capture(&api, "short", None).await),
        (409, "hold_expired".to_owned())
    );
    assert_eq!(
        code(&release(&api, "short").await),
        (409, "hold_expired".to_owned())
    );
    let events = api.get("/v1/accounts/1/events").await;
    let events = events.body["events"].as_array().unwrap();
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["actor"]),
        (&json!("FundsReleased"), &json!("folio-expirer"))
    );
    let lifetimes = [0, 366 * 86_400 + 1];
    for seconds in lifetimes {
        body["id"] = json!("other");
        body["expires_in_seconds"] = json!(seconds);
        let refused = api.post("/v1/holds", &body).await;
        assert_eq!(code(&refused), (422, "invalid_lifetime".to_owned()));
    }
    api.stop().await;
}

/// A model that stands still calls a hold open that has expired. Each second the service asked for its end
/// again, and each time a refusal went on record.
#[tokio::test]
async fn a_model_that_is_behind_does_not_fill_the_record_with_refusals() {
    let api = two_accounts().await;
    let mut body = hold("short", "40.00");
    body["expires_in_seconds"] = json!(1);
    let placed = api.post("/v1/holds", &body).await;
    balance(&api, "1", &placed).await;
    let databases = &api.databases.accounts;
    let store = Arc::new(PostgresStore::open(&databases.events, 1).await.unwrap());
    let due_holds = open_due_holds(&store, &databases.models, 2).await;
    due_holds
        .unwrap()
        .pause(&operator(), "a test")
        .await
        .unwrap();

    let client = api
        .databases
        .accounts
        .events
        .connect(Role::Owner)
        .await
        .unwrap();
    let wait = async |until: &str| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !client
            .query_one(until, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            assert!(Instant::now() < deadline, "{until}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    wait("SELECT EXISTS (SELECT FROM store.events WHERE event_type = 'HoldExpired')").await;
    // Three more rounds, by the server's clock.
    wait(
        "SELECT extract(epoch FROM clock_timestamp()) * 1000000 > max(recorded_at) + 3200000 \
         FROM store.events WHERE event_type = 'HoldExpired'",
    )
    .await;
    let still_due = "SELECT count(*) FROM due_holds_1.open_holds";
    let models = databases.models.connect(Role::Owner).await.unwrap();
    let still_due: i64 = models.query_one(still_due, &[]).await.unwrap().get(0);
    assert_eq!(still_due, 1, "the model does not stand still");
    let refusals = "SELECT count(*) FROM store.outcomes";
    let refusals: i64 = client.query_one(refusals, &[]).await.unwrap().get(0);
    assert_eq!(refusals, 0);
    api.stop().await;
}

/// Cases 16 and 19.
#[tokio::test]
async fn an_account_is_frozen_unfrozen_emptied_and_closed() {
    let api = two_accounts().await;
    let frozen = api
        .post(
            "/v1/accounts/1/freeze",
            &json!({"refuse": "debits", "reason": "a court order"}),
        )
        .await;
    assert_eq!(
        (frozen.status, frozen.text("frozen")),
        (200, "debits".to_owned()),
        "{frozen:?}"
    );
    let refused = api.posting("1", "debits", "1.00").await;
    assert_eq!(code(&refused), (409, "account_frozen".to_owned()));
    assert_eq!(api.posting("1", "credits", "1.00").await.status, 201);
    let lifted = api
        .post("/v1/accounts/1/unfreeze", &json!({"reason": "lifted"}))
        .await;
    assert_eq!((lifted.status, &lifted.body["frozen"]), (200, &Value::Null));
    let again = api
        .post("/v1/accounts/1/unfreeze", &json!({"reason": "lifted"}))
        .await;
    assert_eq!(code(&again), (409, "account_not_frozen".to_owned()));

    api.post("/v1/holds", &hold("out", "1.00")).await;
    let mut expected = hold("in", "5.00");
    expected["side"] = json!("credit");
    assert_eq!(api.post("/v1/holds", &expected).await.status, 201);
    let close = || api.post("/v1/accounts/1/close", &Value::Null);
    let refused = close().await;
    assert_eq!(code(&refused), (409, "open_holds".to_owned()));
    assert_eq!(
        refused.body["details"],
        json!({"account_id": "1", "holds": ["out"]})
    );
    assert_eq!(
        api.post("/v1/accounts/1/closing", &Value::Null)
            .await
            .text("status"),
        "closing"
    );
    release(&api, "out").await;
    let refused = close().await;
    assert_eq!(code(&refused), (409, "expected_credits".to_owned()));
    assert_eq!(refused.body["details"]["holds"], json!(["in"]));
    assert_eq!(capture(&api, "in", None).await.status, 201);
    let refused = api.posting("1", "credits", "1.00").await;
    assert_eq!(code(&refused), (409, "account_closing".to_owned()));
    let refused = close().await;
    assert_eq!(code(&refused), (409, "balance_not_zero".to_owned()));
    assert_eq!(refused.body["details"]["balance"]["amount"], "106.00");
    api.posting("1", "debits", "106.00").await;
    assert_eq!(close().await.text("status"), "closed");
    let refused = api.posting("1", "credits", "1.00").await;
    assert_eq!(code(&refused), (409, "account_closed".to_owned()));
    api.stop().await;
}

#[tokio::test]
async fn limits_are_set_and_kept() {
    let api = two_accounts().await;
    let limits = json!({
        "overdraft": {"kind": "limit", "limit": "50.00"},
        "velocity": [{"window_seconds": 86400, "amount": "120.00"}, {"window_seconds": 86400, "count": 3}],
    });
    let set = api.send("PUT", "/v1/accounts/1/limits", &limits).await;
    assert_eq!(
        (set.status, set.text("available")),
        (200, "150.00".to_owned()),
        "{set:?}"
    );
    assert_eq!(set.body["velocity"][0]["amount"], "120.00");
    assert_eq!(api.posting("1", "debits", "110.00").await.status, 201);
    let refused = api.posting("1", "debits", "10.01").await;
    assert_eq!(code(&refused), (422, "limit_exceeded".to_owned()));
    assert_eq!(refused.body["details"]["window_seconds"], 86400);
    assert!(
        refused.body["details"]["resets_at"]
            .as_str()
            .unwrap()
            .ends_with('Z'),
        "{refused:?}"
    );
    assert_eq!(api.posting("1", "debits", "1.00").await.status, 201);
    assert_eq!(api.posting("1", "debits", "1.00").await.status, 201);
    let refused = api.posting("1", "debits", "1.00").await;
    assert_eq!(refused.body["details"]["count"], 3, "{refused:?}");
    let none = api.send("PUT", "/v1/accounts/1/limits", &json!({})).await;
    assert_eq!(code(&none), (409, "limit_passed".to_owned()));
    let unsound = json!({"overdraft": {"kind": "unlimited"}, "velocity": [{"window_seconds": 0, "count": 1}]});
    let unsound = api.send("PUT", "/v1/accounts/1/limits", &unsound).await;
    assert_eq!(code(&unsound), (422, "invalid_limit".to_owned()));
    api.stop().await;
}

#[tokio::test]
async fn metadata_is_kept_with_its_history_and_found_by() {
    let api = Api::start().await;
    let body =
        json!({"id": "a-1", "currency": "EUR", "metadata": {"customer": "42", "tier": "gold"}});
    assert_eq!(api.post("/v1/accounts", &body).await.status, 201);
    api.open("a-2", "none").await;
    api.open("b-1", "none").await;
    let changed = api
        .send(
            "PATCH",
            "/v1/accounts/a-1/metadata",
            &json!({"tier": null, "note": "called"}),
        )
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(
        changed.body["metadata"],
        json!({"customer": "42", "note": "called"})
    );
    let path = format!("/v1/accounts/a-1/metadata?min_position={}", changed.token());
    let told = api.get(&path).await;
    assert_eq!(told.body["metadata"], changed.body["metadata"]);
    let history = told.body["history"].as_array().unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(
        history[0]["changes"],
        json!({"customer": "42", "tier": "gold"})
    );
    assert_eq!(
        history[1]["changes"],
        json!({"tier": null, "note": "called"})
    );

    let ids = |answer: &Answer| -> Vec<String> {
        let accounts = answer.body["accounts"].as_array().unwrap();
        accounts
            .iter()
            .map(|a| a["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        ids(&api.get("/v1/accounts?prefix=a-").await),
        ["a-1", "a-2"]
    );
    assert_eq!(
        ids(&api.get("/v1/accounts?metadata=customer:42").await),
        ["a-1"]
    );
    assert_eq!(
        ids(&api.get("/v1/accounts?metadata=tier:gold").await),
        Vec::<String>::new()
    );
    let wrong = api.get("/v1/accounts?metadata=customer").await;
    assert_eq!(code(&wrong), (422, "invalid_query".to_owned()));
    api.stop().await;
}

/// Case 2 to 6, of a hold: what is no amount holds nothing.
#[tokio::test]
async fn a_hold_of_no_amount_is_refused() {
    let api = two_accounts().await;
    for (amount, currency, code) in [
        ("0", "EUR", "zero_amount"),
        ("-1", "EUR", "negative_amount"),
        ("0.001", "EUR", "amount_not_representable"),
        ("1.5", "JPY", "amount_not_representable"),
        ("1", "USD", "currency_mismatch"),
        ("1", "eur", "unknown_currency"),
    ] {
        let mut body = hold("h", amount);
        body["currency"] = json!(currency);
        let refused = api.post("/v1/holds", &body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, code),
            "{amount}"
        );
    }
    let loop_back = json!({"legs": [leg("1", "debit", "1.00"), leg("1", "credit", "1.00")]});
    let refused = api.post("/v1/journal-entries", &loop_back).await;
    assert_eq!(code(&refused), (422, "same_account".to_owned()));
    api.stop().await;
}
