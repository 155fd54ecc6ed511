//! The monitor names the first event after which something is not as it must be.

use folio_core::ReadError;
use folio_postgres::PostgresStore;
use folio_tests::api::{Answer, Api};
use ledger_example::AccountsDatabases;
use ledger_example::monitor::{self, CheckReport, Invariant};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::audit::while_changed;

pub(crate) async fn check(databases: &AccountsDatabases) -> Result<CheckReport, ReadError> {
    let store = Arc::new(PostgresStore::open(&databases.events, 1).await.unwrap());
    monitor::check(&store, 20, |_, _| {}).await
}

/// Everything that can happen to a book, once; it is stopped.
async fn book() -> AccountsDatabases {
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
    for (change, broken, what) in cases {
        let report = while_changed(
            &databases.events,
            &["store.events"],
            &change,
            check(&databases),
        )
        .await
        .unwrap();
        let violations = report.violations;
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
        &databases.events,
        &["store.events"],
        gone,
        check(&databases),
    )
    .await;
    assert!(refused.is_err(), "{refused:?}");
}
