//! What the database of the read model refuses, whatever the program believes.

use folio_postgres::Role;
use folio_tests::api::Api;
use serde_json::json;
use tokio_postgres::Client;

/// What PostgreSQL calls a row that a CHECK refuses, one that a trigger refuses to have changed, and a
/// statement that the role may not send.
const CHECK: &str = "23514";
const RESTRICT: &str = "23001";
const PRIVILEGE: &str = "42501";

async fn state_of(client: &Client, sql: &str) -> Option<String> {
    let begun = format!("BEGIN; {sql}; ROLLBACK");
    let refused = client.batch_execute(&begun).await.err();
    client.batch_execute("ROLLBACK").await.unwrap();
    refused.map(|error| error.code().unwrap().code().to_owned())
}

async fn book() -> (Api, Client) {
    let api = Api::start().await;
    api.open("1", "none").await;
    let posted = api.posting("1", "credits", "10.00").await;
    let hold = json!({"id": "h", "account_id": "1", "amount": "4.00", "currency": "EUR",
        "expires_in_seconds": 3600});
    let placed = api.post("/v1/holds", &hold).await;
    assert_eq!((posted.status, placed.status), (201, 201));
    api.balance("1", placed.token()).await;
    let projector = in_model(&api, Role::Projector).await;
    (api, projector)
}

/// A session in this role, for which table names mean those of the model.
async fn in_model(api: &Api, role: Role) -> Client {
    let client = api.databases.balances.connect(role).await.unwrap();
    let schema = format!("SET search_path = {}_1", api.databases.projection().name);
    client.batch_execute(&schema).await.unwrap();
    client
}

fn legs(values: &[(&str, &str, &str)]) -> String {
    let rows: Vec<String> = (0..)
        .zip(values)
        .map(|(leg, (side, amount, currency))| {
            format!("(99, {leg}, '1', '{side}', {amount}, '{currency}', '2026-01-01')")
        })
        .collect();
    format!("INSERT INTO legs VALUES {}", rows.join(", "))
}

#[tokio::test]
async fn legs_that_do_not_balance_are_refused_by_the_database() {
    let (api, projector) = book().await;
    let good = legs(&[("debit", "1.00", "EUR"), ("credit", "1.00", "EUR")]);
    assert_eq!(state_of(&projector, &good).await, None);
    for wrong in [
        vec![("debit", "1.00", "EUR"), ("credit", "1.01", "EUR")],
        vec![("debit", "1.00", "EUR")],
        vec![("debit", "1.00", "EUR"), ("credit", "1.00", "CZK")],
        vec![("debit", "-1.00", "EUR"), ("credit", "-1.00", "EUR")],
    ] {
        let refused = state_of(&projector, &legs(&wrong)).await;
        assert_eq!(refused.as_deref(), Some(CHECK), "{wrong:?}");
    }
    let change = "UPDATE legs SET amount = amount + 1";
    assert_eq!(
        state_of(&projector, change).await.as_deref(),
        Some(RESTRICT)
    );

    // Without the trigger it would be there: the negative control.
    let owner = in_model(&api, Role::Owner).await;
    let off = format!(
        "ALTER TABLE legs DISABLE TRIGGER legs_balance; {}",
        legs(&[("debit", "1.00", "EUR"), ("credit", "1.01", "EUR")])
    );
    assert_eq!(state_of(&owner, &off).await, None);
    api.stop().await;
}

#[tokio::test]
async fn an_account_below_its_limit_is_refused_by_the_database() {
    let (api, projector) = book().await;
    for (change, is_refused) in [
        ("debits_posted = 6, balance = 4", false),
        ("debits_posted = 6.01, balance = 3.99", true),
        ("debits_posted = -1, balance = 11", true),
        ("debits_pending = 10.01", true),
        ("balance = balance + 1", true),
        ("status = 'closed'", true),
        ("overdraft = 'limit'", true),
    ] {
        let update = format!("UPDATE accounts SET {change} WHERE account_id = '1'");
        let refused = state_of(&projector, &update).await;
        assert_eq!(refused.as_deref(), is_refused.then_some(CHECK), "{change}");
    }
    for change in [
        "captured = 4.01, state = 'captured', resolved_at = 1",
        "resolved_at = 1",
    ] {
        let update = format!("UPDATE holds SET {change} WHERE hold_id = 'h'");
        assert_eq!(
            state_of(&projector, &update).await.as_deref(),
            Some(CHECK),
            "{change}"
        );
    }
    api.stop().await;
}

#[tokio::test]
async fn whoever_reads_the_model_writes_nothing() {
    let (api, _) = book().await;
    let reader = in_model(&api, Role::Reader).await;
    for table in [
        "accounts",
        "metadata_changes",
        "entries",
        "legs",
        "totals",
        "holds",
    ] {
        let read = format!("SELECT * FROM {table}");
        assert_eq!(state_of(&reader, &read).await, None);
        for write in [
            format!("DELETE FROM {table}"),
            format!("INSERT INTO {table} SELECT * FROM {table}"),
            format!("TRUNCATE {table}"),
        ] {
            let refused = state_of(&reader, &write).await;
            assert_eq!(refused.as_deref(), Some(PRIVILEGE), "{write}");
        }
    }
    api.stop().await;
}
