//! The monitor names the first event after which something is not as it must be.

use std::sync::Arc;
use std::time::Duration;

use folio_core::{BatchSize, EventStore, ReadError};
use folio_postgres::PostgresStore;
use folio_projections::Settings;
use folio_tests::api::{Answer, Api};
use folio_tests::postgres::BookDatabases;
use ledger_example::monitor::{
    self, CheckReport, Invariant, InvariantsProjector, InvariantsQueries, Violation,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::audit::while_changed;
use crate::projections::kit::{Models, Running, SETTINGS, operator};

pub(crate) async fn check(databases: &BookDatabases) -> Result<CheckReport, ReadError> {
    let store = Arc::new(
        PostgresStore::open(&databases.accounts.events, 1)
            .await
            .unwrap(),
    );
    monitor::check(&store, 20, |_, _| {}).await
}

/// What a projection of the invariants finds that takes in so many events at once.
async fn watch(databases: &BookDatabases, batch: u16) -> Vec<Violation> {
    let store = Arc::new(
        PostgresStore::open(&databases.accounts.events, 2)
            .await
            .unwrap(),
    );
    let head = store.head().await.unwrap();
    let settings = Settings {
        batch: BatchSize::new(batch).unwrap(),
        ..SETTINGS
    };
    let models = Models::new().await;
    let running = Running::start_with(InvariantsProjector, store, &models, settings).await;
    running.reaches(head.number()).await;
    let queries = InvariantsQueries::new(running.projection.reader(1).unwrap());
    let invariants = queries.now().await.unwrap();
    let found = invariants.found(head, 20).await.unwrap();
    invariants.close().await.unwrap();
    running.stop().await;
    found.first
}

/// Everything that can happen to a book, once; it is stopped.
async fn book() -> BookDatabases {
    let api = Api::start().await;
    let done = |answer: Answer| assert!(answer.status < 300, "{answer:?}");
    let limited =
        json!({"id": "1", "currency": "EUR", "overdraft": {"kind": "limit", "limit": "50.00"}});
    done(api.post("/v1/accounts", &limited).await);
    api.open("2", "none").await;
    done(api.posting("1", "debits", "20.00").await);
    done(api.posting("2", "credits", "70.00").await);
    let leg = |account: &str, side: &str| json!({"account_id": account, "side": side, "amount": "15.00", "currency": "EUR"});
    let entry = json!({"id": "e", "legs": [leg("2", "debit"), leg("1", "credit")]});
    done(api.post("/v1/journal-entries", &entry).await);
    let undo = json!({"id": "u", "effective_date": "2026-01-01"});
    done(api.post("/v1/journal-entries/e/reverse", &undo).await);
    for (hold, side) in [("h", "debit"), ("i", "credit"), ("j", "debit")] {
        let body = json!({"id": hold, "account_id": "2", "side": side, "amount": "9.00",
            "currency": "EUR", "expires_in_seconds": 3600});
        done(api.post("/v1/holds", &body).await);
    }
    let part =
        json!({"counter_account_id": "contra.cards.EUR", "amount": "4.00", "currency": "EUR"});
    done(api.post("/v1/holds/h/capture", &part).await);
    done(api.post("/v1/holds/j/release", &Value::Null).await);
    done(api.post("/v1/holds/late/release", &Value::Null).await);
    done(api.post("/v1/periods/2025-12-31/close", &Value::Null).await);
    api.stop().await
}

#[tokio::test]
async fn the_first_bad_event_is_named_with_what_it_breaks() {
    let databases = book().await;
    let report = check(&databases).await.unwrap();
    assert_eq!(report.violations, []);
    let change = |what: &str, of: &str| {
        format!(
            "UPDATE store.events SET payload = \
             convert_to(replace(convert_from(payload, 'UTF8'), {what}), 'UTF8') WHERE {of}"
        )
    };
    let first = |event: &str, stream: &str| {
        format!(
            "position = (SELECT min(position) FROM store.events \
             WHERE event_type = '{event}' AND stream_id = '{stream}')"
        )
    };
    let cases = [
        (
            change("'20.00', '20.01'", &first("LegPosted", "1")),
            vec![Invariant::LegsAgree, Invariant::TrialBalance],
            "account 1 says",
        ),
        (
            change("'15.00', '15.01'", &first("EntryPosted", "e")),
            vec![Invariant::LegsAgree],
            "account 1 says",
        ),
        (
            // One of its two legs: the first.
            format!(
                "UPDATE store.events SET payload = convert_to(regexp_replace(\
                 convert_from(payload, 'UTF8'), '15.00', '15.01'), 'UTF8') WHERE {}",
                first("EntryPosted", "e")
            ),
            vec![Invariant::EntryBalances, Invariant::LegsAgree],
            "its credits less its debits are -0.01 EUR",
        ),
        (
            change("'50.00', '19.99'", &first("AccountOpened", "1")),
            vec![Invariant::WithinLimit],
            "account 1 is 0.01 EUR below its limit",
        ),
        (
            change("'9.00', '8.00'", &first("FundsHeld", "2")),
            vec![Invariant::HoldsAgree],
            "account 2 says 8.00 EUR and 0.00 EUR are pending",
        ),
        (
            change("'\"4.00\"', '\"9.01\"'", &first("HoldCaptured", "h")),
            vec![Invariant::HoldOnce],
            "9.01 EUR are captured of 9.00 EUR",
        ),
        (
            change("'\"u\"', '\"v\"'", &first("EntryReversed", "e")),
            vec![Invariant::ReversedOnce],
            "it is reversed by v",
        ),
        (
            format!(
                "UPDATE store.events SET recorded_at = recorded_at - 60000000 WHERE {}",
                first("EntryReversed", "e")
            ),
            vec![Invariant::TimeRises],
            "recorded before",
        ),
        (
            change("'15.00', '15.001'", &first("EntryPosted", "e")),
            vec![Invariant::Readable],
            "cannot be decoded",
        ),
        (
            format!(
                "UPDATE store.events SET event_type = 'AccountClosed', payload = 'null' WHERE {}",
                first("FundsHeld", "2")
            ),
            vec![Invariant::Lifecycle],
            "it is closed, and not empty",
        ),
    ];
    assert_eq!(watch(&databases, 3).await, []);
    for (change, broken, what) in cases {
        // Wherever a batch ends, and however often that is within an append, a projection finds
        // what a check finds.
        let look = async {
            let mut checked = check(&databases).await.unwrap().violations;
            in_order(&mut checked);
            for batch in [1, 3, 1_000] {
                let mut watched = watch(&databases, batch).await;
                in_order(&mut watched);
                assert_eq!(watched, checked, "{change}, {batch} at once");
            }
            checked
        };
        let violations =
            while_changed(&databases.accounts.events, &["store.events"], &change, look).await;
        let found: Vec<_> = violations.iter().map(|v| v.invariant).collect();
        assert!(
            found.starts_with(&broken) || broken.iter().all(|b| found.contains(b)),
            "{change}: {violations:#?}"
        );
        let told = violations
            .iter()
            .any(|violation| violation.what.contains(what));
        assert!(told, "{what} is not in {violations:#?}");
    }
    let gone = "DELETE FROM store.events WHERE position = 5";
    let refused = while_changed(
        &databases.accounts.events,
        &["store.events"],
        gone,
        check(&databases),
    )
    .await;
    assert!(refused.is_err(), "{refused:?}");
}

/// Of one position, in whichever order they were found.
fn in_order(violations: &mut [Violation]) {
    violations.sort_by(|a, b| {
        let key = |v: &Violation| (v.position, v.invariant.as_str(), v.what.clone());
        key(a).cmp(&key(b))
    });
}

#[tokio::test]
async fn the_service_tells_what_is_not_as_it_must_be() {
    let api = Api::on(book().await).await;
    let last = api.posting("2", "credits", "1.00").await;
    let path = format!("/v1/invariants?min_position={}", last.token());
    let well = api.get(&path).await;
    assert_eq!(
        (&well.body["hold"], &well.body["violations"]),
        (&json!(true), &json!([])),
        "{well:?}"
    );
    let databases = api.stop().await;

    // Somebody with all rights books to an account, and to nothing else.
    let owner = folio_tests::postgres::superuser(&databases.accounts.events).await;
    owner
        .batch_execute(
            "ALTER TABLE store.events DISABLE TRIGGER ALL;
             UPDATE store.events SET payload =
                 convert_to(replace(convert_from(payload, 'UTF8'), '1.00', '1.01'), 'UTF8')
             WHERE position = (SELECT max(position) FROM store.events
                               WHERE event_type = 'LegPosted' AND stream_id = '2')",
        )
        .await
        .unwrap();
    let models = databases.accounts.models.clone();
    let store = Arc::new(
        PostgresStore::open(&databases.accounts.events, 2)
            .await
            .unwrap(),
    );
    let watching = ledger_example::service::open_invariants(&store, &models, 4).await;
    let running = Running::run(watching.unwrap());
    // What was taken in before is not looked at again but by a build of its own.
    running
        .projection
        .rebuild(folio_projections::Filling::default(), &operator())
        .await
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while running.projection.swap(2, &operator()).await.is_err() {
        assert!(Instant::now() < deadline, "the build is not filled");
        sleep(Duration::from_millis(20)).await;
    }
    running.stop().await;

    let api = Api::on(databases).await;
    let found = api.get("/v1/invariants").await;
    assert_eq!(found.body["hold"], json!(false), "{found:?}");
    let first = &found.body["violations"][0];
    assert_eq!(
        (&first["invariant"], &first["stream"]),
        (&json!("legs_agree"), &json!("recording/contra.cash.EUR")),
        "{found:?}"
    );
    assert_eq!(
        (
            &found.body["found"],
            &found.body["violations"][1]["invariant"]
        ),
        (&json!(2), &json!("trial_balance"))
    );
    api.stop().await;
}
