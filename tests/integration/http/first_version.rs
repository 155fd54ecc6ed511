//! A book that the first version of the ledger wrote: `tests/data/first_version/` has both of its
//! databases as `pg_dump` tells them, and README.md there how they were made.

use std::time::Duration;

use folio_postgres::{Database, Role, provision};
use folio_tests::api::{Answer, Api};
use folio_tests::postgres;
use ledger_example::AccountsDatabases;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const BOOK: &str = "first_version";

/// The databases as they were, before anybody has migrated them.
async fn saved() -> AccountsDatabases {
    let server = postgres::server().await;
    let databases = AccountsDatabases::existing(&server, &BOOK.parse().unwrap());
    for (database, roles, dump) in [
        (
            &databases.events,
            [Role::Appender, Role::Reader],
            "events.sql",
        ),
        (
            &databases.models,
            [Role::Projector, Role::Reader],
            "models.sql",
        ),
    ] {
        let database: &Database = database;
        provision(&server, database.name(), &roles).await.unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/first_version");
        let sql = std::fs::read_to_string(format!("{folder}/{dump}")).unwrap();
        let client = postgres::superuser(database).await;
        client.batch_execute(&sql).await.unwrap();
    }
    databases
}

async fn replays(api: &Api, path: &str, key: &str, body: &Value) -> Answer {
    let request = api.request(path).header("Folio-Actor", "teller");
    let request = request.header("Idempotency-Key", key).json(body);
    let answer = folio_tests::api::answer(request).await;
    assert!(answer.replayed, "{path} {key}: {answer:?}");
    answer
}

fn posting(amount: &str, contra: &str) -> Value {
    json!({"amount": amount, "currency": "EUR", "contra": contra})
}

#[tokio::test]
async fn a_book_of_the_first_version_opens_and_goes_on() {
    let server = postgres::server().await;
    saved().await;
    let databases = postgres::book_on(&server, BOOK).await;
    let api = Api::on(databases).await;

    // The balances service has it from the feed, from its first event on.
    let deadline = Instant::now() + Duration::from_secs(60);
    let balance = loop {
        let answer = api.get("/v1/accounts/1/balance").await;
        if answer.status == 200 && answer.body["version"] == 4 {
            break answer;
        }
        assert!(Instant::now() < deadline, "it is not filled: {answer:?}");
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(balance.text("balance"), "-12.50");
    assert_eq!(api.get("/v1/accounts/2").await.text("status"), "closed");

    // Each posting stands for two legs.
    let sums = api.get("/v1/trial-balance").await;
    let euro = json!({"currency": "EUR", "debits": "136.50", "credits": "136.50", "net": "0.00"});
    assert_eq!(sums.body["currencies"], json!([euro]));
    let statement = api.get("/v1/accounts/1/statement").await;
    let lines = statement.body["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (
            &lines[0]["effective_date"],
            &lines[0]["entry_id"],
            &lines[0]["contra"]
        ),
        (&json!("1993-01-05"), &Value::Null, &json!("bank:AB"))
    );
    assert_eq!(statement.text("closing_balance"), "-12.50");

    // What was answered is answered again, refusals too.
    let opened =
        json!({"id": "1", "currency": "EUR", "overdraft": {"kind": "limit", "limit": "20.00"}});
    replays(&api, "/v1/accounts", "open-1", &opened).await;
    let path = "/v1/accounts/1/debits";
    let again = replays(&api, path, "debit-1", &posting("62.50", "cards")).await;
    assert_eq!(
        (again.status, again.text("balance")),
        (201, "-12.50".to_owned())
    );
    let again = replays(&api, path, "refused-1", &posting("7.51", "cards")).await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (422, "insufficient_funds")
    );
    let again = replays(&api, "/v1/accounts/2/close", "close-2", &Value::Null).await;
    assert_eq!(again.text("status"), "closed");
    let bulk = json!({"postings": [
        {"key": "b-1", "account_id": "3", "side": "credit", "amount": "1.00", "currency": "EUR", "contra": "interest"},
        {"key": "b-2", "account_id": "4", "side": "credit", "amount": "1.00", "currency": "EUR", "contra": "interest"},
    ]});
    let again = replays(&api, "/v1/postings/bulk", "bulk", &bulk).await;
    assert_eq!(
        (again.status, &again.body["already_posted"]),
        (207, &json!(1))
    );
    let other = api.request(path).header("Folio-Actor", "teller");
    let other = other
        .header("Idempotency-Key", "debit-1")
        .json(&posting("62.51", "cards"));
    let reused = folio_tests::api::answer(other).await;
    assert_eq!(
        (reused.status, reused.code().as_str()),
        (422, "idempotency_key_reused")
    );

    // And it goes on.
    let hold = json!({"id": "h", "account_id": "1", "amount": "7.50", "currency": "EUR", "expires_in_seconds": 3600});
    assert_eq!(api.post("/v1/holds", &hold).await.status, 201);
    let refused = api.posting("1", "debits", "0.01").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "insufficient_funds")
    );
    let posted = api.posting("3", "credits", "5.00").await;
    assert_eq!(api.balance("3", posted.token()).await, "6.00");
    let cash = api.balance("contra.cash.EUR", posted.token()).await;
    assert_eq!(
        cash, "15.00",
        "with what the first version posted against it"
    );
    let databases = api.stop().await;
    let report = crate::audit::audit(&databases).await.unwrap();
    assert_eq!(report.differences, []);
}
