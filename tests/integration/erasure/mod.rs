//! What is recorded about people is sealed: nothing holds it in the clear, and whoever is forgotten is told of no more.

mod backups;
pub(crate) mod canary;
mod forgotten;
mod payments;
mod repeats;
mod sealed;
mod snapshots;
mod vault;

use folio_postgres::Database;
use folio_tests::api::Api;
use folio_tests::postgres;
use serde_json::{Value, json};

/// A holder whose texts are nowhere else, and those texts.
fn holder(subject: &str) -> (Value, [String; 3]) {
    let tag = subject.replace('-', "");
    let texts = ["Name", "Street", "Mail"].map(|what| format!("Canary{what}Of{tag}Xyzzy"));
    let [name, address, email] = &texts;
    let body = json!({"subject": subject, "name": name, "address": address, "email": email});
    (body, texts)
}

fn opening(id: &str, holder: &Value) -> Value {
    json!({"id": id, "currency": "EUR", "holder": holder})
}

fn reason() -> Value {
    json!({"reason": "asked for it, ticket 812"})
}

/// All databases of the book.
fn databases(api: &Api) -> Vec<Database> {
    let of = &api.databases;
    let accounts = &of.accounts;
    [
        &accounts.events,
        &accounts.models,
        &accounts.vault,
        &of.balances,
    ]
    .map(Clone::clone)
    .into()
}

/// All that is on record of the book, as one hash.
async fn history(api: &Api) -> String {
    history_in(&api.databases.accounts.events).await
}

/// All that is on record in a store.
async fn history_in(store: &Database) -> String {
    let client = postgres::superuser(store).await;
    let sql = "SELECT md5(concat( \
                   (SELECT string_agg(e::text, '|' ORDER BY position) FROM store.events e), \
                   (SELECT string_agg(o::text, '|' ORDER BY o::text) FROM store.outcomes o)))";
    client.query_one(sql, &[]).await.unwrap().get(0)
}
