//! The audit finds what somebody with all rights has changed behind the ledger's back.

use folio_postgres::{Database, PostgresStore};
use folio_tests::api::Api;
use folio_tests::postgres::{self, BookDatabases};
use ledger_example::{AuditError, AuditReport};

#[tokio::test]
async fn a_changed_balance_is_found_and_named() {
    let databases = book().await;
    assert_eq!(audit(&databases).await.unwrap().differences, []);
    let cases = [
        (
            "UPDATE balances_1.accounts SET credits_posted = credits_posted + 0.01, \
             balance = balance + 0.01 WHERE account_id = '2'",
            "balance",
        ),
        (
            "UPDATE balances_1.accounts SET status = 'closing' WHERE account_id = '2'",
            "status",
        ),
        (
            "UPDATE balances_1.accounts SET version = version + 1 WHERE account_id = '2'",
            "version",
        ),
        (
            "DELETE FROM balances_1.accounts WHERE account_id = '2'",
            "account",
        ),
        (
            "UPDATE balances_1.legs SET amount = amount + 0.01 WHERE account_id = '2'",
            "statement",
        ),
        (
            "DELETE FROM balances_1.legs WHERE account_id = '2'",
            "statement",
        ),
        (
            "UPDATE balances_1.totals SET credits = credits + 0.01 WHERE account_id = '2'",
            "totals",
        ),
    ];
    for (change, what) in cases {
        let report = audit_after(&databases.balances, &databases, change)
            .await
            .unwrap();
        let found: Vec<_> = report
            .differences
            .iter()
            .map(|d| (d.account_id.as_str(), d.what))
            .collect();
        assert!(found.contains(&("2", what)), "{change}: {found:?}");
        assert!(
            found.iter().all(|(id, _)| *id == "2"),
            "{change}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_changed_event_is_found_or_stops_the_audit() {
    let databases = book().await;
    let report = audit_after(
        &databases.accounts.events,
        &databases,
        "UPDATE store.events SET payload = replace(convert_from(payload, 'UTF8'), '50.00', '50.01')::bytea \
         WHERE stream_id = '2' AND version = 2",
    )
    .await
    .unwrap();
    let found: Vec<_> = report
        .differences
        .iter()
        .map(|d| (d.account_id.as_str(), d.what))
        .collect();
    assert!(found.contains(&("2", "balance")), "{found:?}");

    let removed = "DELETE FROM store.events WHERE position = 3";
    let error = audit_after(&databases.accounts.events, &databases, removed)
        .await
        .unwrap_err();
    assert!(matches!(error, AuditError::Read(_)), "{error:?}");
    let unknown = "UPDATE store.events SET event_type = 'AccountExploded' WHERE position = 3";
    let error = audit_after(&databases.accounts.events, &databases, unknown)
        .await
        .unwrap_err();
    assert!(matches!(error, AuditError::Decode(_)), "{error:?}");
    let tail = "DELETE FROM store.events WHERE position = (SELECT max(position) FROM store.events)";
    let error = audit_after(&databases.accounts.events, &databases, tail)
        .await
        .unwrap_err();
    assert!(matches!(error, AuditError::StoreBehind { .. }), "{error:?}");
}

#[tokio::test]
async fn a_model_of_another_store_is_not_compared() {
    let (one, two) = (book().await, book().await);
    // The balances service was told that the other book is the one.
    let mixed = BookDatabases {
        accounts: one.accounts,
        ..two
    };
    let error = audit(&mixed).await.unwrap_err();
    assert!(matches!(error, AuditError::OtherStore { .. }), "{error:?}");
}

/// A stopped book with three accounts whose model is where its store is.
async fn book() -> BookDatabases {
    let api = Api::start().await;
    let mut last = None;
    for id in ["1", "2", "3"] {
        api.open(id, "none").await;
        last = Some(api.posting(id, "credits", "50.00").await);
    }
    let last = last.unwrap();
    api.balance("3", last.token()).await;
    api.stop().await
}

/// The audit's answer while `change` is in force; it is undone afterwards.
async fn audit_after(
    database: &Database,
    databases: &BookDatabases,
    change: &str,
) -> Result<AuditReport, AuditError> {
    let tables: &[&str] = if database.name() == databases.accounts.events.name() {
        &["store.events"]
    } else {
        &[
            "balances_1.accounts",
            "balances_1.legs",
            "balances_1.totals",
        ]
    };
    let tables: Vec<String> = tables.iter().map(|table| databases.sql(table)).collect();
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let change = databases.sql(change);
    while_changed(database, &tables, &change, audit(databases)).await
}

/// What `look` finds while somebody with all rights has changed these tables.
pub(crate) async fn while_changed<T>(
    database: &Database,
    tables: &[&str],
    change: &str,
    look: impl Future<Output = T>,
) -> T {
    let client = postgres::superuser(database).await;
    for table in tables {
        let kept = table.replace('.', "_");
        client
            .batch_execute(&format!(
                "CREATE TABLE kept_{kept} AS TABLE {table}; ALTER TABLE {table} DISABLE TRIGGER ALL"
            ))
            .await
            .unwrap();
    }
    client.batch_execute(change).await.unwrap();
    let result = look.await;
    for table in tables {
        let kept = table.replace('.', "_");
        let columns: String = client
            .query_one(
                "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute \
                 WHERE attrelid = $1::text::regclass AND attnum > 0 AND attgenerated = ''",
                &[table],
            )
            .await
            .unwrap()
            .get(0);
        client
            .batch_execute(&format!(
                "DELETE FROM {table}; \
                 INSERT INTO {table} ({columns}) SELECT {columns} FROM kept_{kept}; \
                 DROP TABLE kept_{kept}"
            ))
            .await
            .unwrap();
    }
    result
}

pub(crate) async fn audit(databases: &BookDatabases) -> Result<AuditReport, AuditError> {
    let store = std::sync::Arc::new(
        PostgresStore::open(&databases.accounts.events, 1)
            .await
            .unwrap(),
    );
    ledger_example::audit(&store, &databases.queries(), |_, _| {}).await
}
