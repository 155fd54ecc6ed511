//! A transfer is traced from the request at the gateway over the stores of all services.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::system::System;

const STORES: [&str; 4] = ["a", "b", "transfers", "rails"];

#[tokio::test]
async fn a_transfer_is_traced_over_all_services_each_event_once_and_nothing_else() {
    let system = System::start().await;
    let post = async |path: &str, trace: u128, body: Value| {
        let url = format!("{}{path}", system.url("gateway"));
        let request = system
            .client
            .post(url)
            .bearer_auth(system.token("operator"));
        let request = request
            .header("Idempotency-Key", format!("key-{trace}"))
            .header("Prefer", "wait=20")
            .header(
                "traceparent",
                format!("00-{trace:032x}-b7ad6b7169203331-01"),
            );
        let answer = request.json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    for (trace, book, account) in [(1, "a", "alice"), (2, "b", "bob")] {
        let path = format!("/v1/books/{book}/accounts");
        post(&path, trace, json!({"id": account, "currency": "EUR"})).await;
    }
    let credit = json!({"amount": "100.00", "currency": "EUR", "contra": "cash"});
    post("/v1/books/a/accounts/alice/credits", 3, credit).await;
    for (trace, id) in [(4, "t1"), (5, "t2")] {
        let order = json!({"id": id, "from": {"book": "a", "account_id": "alice"},
            "to": {"book": "b", "account_id": "bob"}, "amount": "10.00", "currency": "EUR"});
        let transfer = post("/v1/transfers", trace, order).await;
        assert_eq!(transfer["state"], "completed", "{transfer}");
    }

    // What each store holds of the first transfer, by looking at all that it holds.
    let id = "00000000-0000-0000-0000-000000000004";
    let mut expected = BTreeSet::new();
    for store in STORES {
        let listed = system
            .command(&["events", "--store", store, "--format", "json"])
            .await;
        for line in listed.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            if event["metadata"]["correlation_id"] == id {
                let position = event["position"].as_i64().unwrap();
                expected.insert((store.to_owned(), position));
            }
        }
    }
    let trace = format!("{:032x}", 4);
    let traced = system.command(&["trace", &trace, "--format", "json"]).await;
    let traced: Value = serde_json::from_str(&traced).unwrap();
    // It begins at the one gateway that has it on record.
    let requests = traced["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 1, "{traced:#}");
    let told = &requests[0]["fields"];
    assert_eq!(
        [&told["route"], &told["status"], &told["principal"]],
        ["/v1/transfers", "200", "operator"]
    );
    let nodes = traced["nodes"].as_array().unwrap();
    let events: Vec<&Value> = nodes
        .iter()
        .filter(|node| node["kind"] == "event")
        .collect();
    let found = events.iter().map(|event| {
        let service = event["service"].as_str().unwrap().to_owned();
        (service, event["position"].as_i64().unwrap())
    });
    assert_eq!(found.collect::<BTreeSet<_>>(), expected, "{traced:#}");
    assert_eq!(events.len(), expected.len(), "{traced:#}");
    for store in STORES {
        let of_store = events.iter().filter(|event| event["service"] == store);
        assert!(of_store.count() > 0, "{store}: {traced:#}");
    }
    // Whatever a book or the rails did was asked for by an event of the transfer's log.
    let at = |number: &Value| &nodes[usize::try_from(number.as_u64().unwrap()).unwrap()];
    for event in &events {
        let command = at(&event["parent"]);
        assert_eq!(command["note"], Value::Null, "{traced:#}");
        if event["service"] != "transfers" {
            let cause = at(&command["parent"]);
            assert_eq!(cause["service"], "transfers", "{traced:#}");
            assert_eq!(cause["stream"], "transfer/t1", "{traced:#}");
        }
    }
    system.stop().await;
}
