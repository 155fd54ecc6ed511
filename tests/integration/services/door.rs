//! The whole system behind its gateway, while instances come, go, freeze and lose their registry: what clients see of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use folio_tests::bank;
use folio_tests::process::{command, run};
use folio_tests::scale;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::load::{ALL, CREDITS, open_accounts, post, under_load};
use super::system::{PATIENCE, System};
use crate::up::{program, text};

/// How long a service is frozen at least.
const FROZEN: Duration = Duration::from_secs(6);
/// What a statement says that may lack something.
const MAY_LACK: &str = "This may not be all.";

#[tokio::test]
async fn no_client_notices_that_an_instance_is_killed() {
    let system = System::start().await;
    open_accounts(&system).await;
    let mut seen = under_load(&system, &CREDITS, async {
        for killed in [
            "accounts-a-1",
            "accounts-b-2",
            "accounts-a-2",
            "accounts-b-1",
        ] {
            sleep(Duration::from_millis(700)).await;
            system.kill(killed).await;
            sleep(Duration::from_millis(1_500)).await;
        }
    })
    .await;
    seen.told("instances killed");
    assert_eq!(seen.failed, Vec::<String>::new());
    seen.is_in_the_books(&system).await;
    system.verify(&["a", "b"]).await;
    system.stop().await;
}

/// It runs for a tenth of the time. Whoever is asked is chosen by how soon others were answered, and the wait for one that is
/// slow is bounded by a try.
#[tokio::test]
async fn no_client_fails_while_an_instance_is_ten_times_slower() {
    let system = System::start().await;
    open_accounts(&system).await;
    let mut seen = under_load(&system, &CREDITS, async {
        sleep(Duration::from_millis(500)).await;
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until {
            assert!(system.signal("accounts-a-1", Signal::SIGSTOP));
            sleep(Duration::from_millis(90)).await;
            assert!(system.signal("accounts-a-1", Signal::SIGCONT));
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let p99 = seen.told("an instance ten times slower for 6 s");
    assert_eq!(seen.failed, Vec::<String>::new());
    // It is asked by whoever finds the other one busy as well, and for no longer than a try. It takes a tenth of that, mostly.
    let bound = Duration::from_millis(2_500);
    assert!(p99.values().all(|p99| *p99 <= bound), "{p99:?}");
    seen.is_in_the_books(&system).await;
    system.stop().await;
}

/// It accepts connections, by way of the system, and answers nothing. Whoever had asked it is answered by the other one.
#[tokio::test]
async fn no_client_fails_while_an_instance_is_frozen() {
    let system = System::start().await;
    open_accounts(&system).await;
    let mut seen = under_load(&system, &CREDITS, async {
        sleep(Duration::from_secs(1)).await;
        assert!(system.signal("accounts-a-1", Signal::SIGSTOP));
        sleep(Duration::from_secs(8)).await;
        assert!(system.signal("accounts-a-1", Signal::SIGCONT));
        sleep(Duration::from_secs(2)).await;
    })
    .await;
    seen.told("an instance frozen for 8 s");
    assert_eq!(seen.failed, Vec::<String>::new());
    seen.is_in_the_books(&system).await;
    system.stop().await;
}

/// Who was there when it was last seen is asked on, and a gateway that starts meanwhile asks where it was told.
#[tokio::test]
async fn no_client_notices_that_the_registry_is_down() {
    let system = System::start().await;
    open_accounts(&system).await;
    let server = system.server().await;
    let down = Duration::from_secs(6 * scale() as u64);
    let mut seen = under_load(&system, &ALL, async {
        sleep(Duration::from_millis(500)).await;
        server
            .batch_execute(
                "ALTER DATABASE folio_registry ALLOW_CONNECTIONS false; \
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'folio_registry'",
            )
            .await
            .unwrap();
        system.restart("gateway-1").await;
        sleep(down).await;
        server
            .batch_execute("ALTER DATABASE folio_registry ALLOW_CONNECTIONS true")
            .await
            .unwrap();
        sleep(Duration::from_secs(3)).await;
    })
    .await;
    seen.told("the registry down");
    assert_eq!(seen.failed, Vec::<String>::new());
    seen.is_in_the_books(&system).await;
    system.stop().await;
}

/// All of one service is gone for a while: who asks it is told so, and whoever asks others is not concerned.
#[tokio::test]
async fn where_all_of_one_service_is_gone_the_others_answer_as_before() {
    let system = System::start().await;
    open_accounts(&system).await;
    let calm = under_load(&system, &ALL, sleep(Duration::from_secs(3)))
        .await
        .told("before");
    let mut seen = under_load(&system, &ALL, async {
        for instance in ["accounts-b-1", "accounts-b-2"] {
            assert!(system.signal(instance, Signal::SIGSTOP));
        }
        // Whoever reads a statement meanwhile sees that it may lack something, and of which service.
        let mut page = String::new();
        let frozen_since = Instant::now();
        while !page.contains("what accounts-b has recorded") || frozen_since.elapsed() < FROZEN {
            assert!(frozen_since.elapsed() < PATIENCE, "{page}");
            sleep(Duration::from_millis(250)).await;
            page = statement(&system, "b-0").await;
        }
        assert!(!statement(&system, "a-0").await.contains(MAY_LACK));
        for instance in ["accounts-b-1", "accounts-b-2"] {
            assert!(system.signal(instance, Signal::SIGCONT));
        }
    })
    .await;
    let p99 = seen.told("all of accounts-b frozen for 6 s");
    let others = |failed: &&String| !failed.contains("Credit(\"b\"");
    assert_eq!(seen.failed.iter().find(others), None);
    // Whoever asks it is told which service it is.
    let unnamed = |failed: &&String| !failed.contains("accounts-b");
    assert_eq!(seen.failed.iter().find(unnamed), None);
    assert!(!seen.failed.is_empty());
    for service in ["accounts-a", "balances", "transfers"] {
        // Twice as long, and what a busy machine adds.
        let bound = calm[service] * 2 + Duration::from_millis(750);
        assert!(
            p99[service] <= bound,
            "{service}: {:?} after {:?}",
            p99[service],
            calm[service]
        );
    }
    // It is back.
    let deadline = Instant::now() + PATIENCE;
    let body = json!({"amount": "1.00", "currency": "EUR", "contra": "cash"});
    while post(&system, "/v1/books/b/accounts/b-0/credits", "back", &body)
        .await
        .0
        >= 300
    {
        assert!(Instant::now() < deadline, "accounts-b does not come back");
        sleep(Duration::from_millis(100)).await;
    }
    while statement(&system, "b-0").await.contains(MAY_LACK) {
        assert!(Instant::now() < deadline, "it is not followed again");
        sleep(Duration::from_millis(100)).await;
    }
    system.stop().await;
}

/// An account's statement, as people read it.
async fn statement(system: &System, account: &str) -> String {
    let door = system.url("gateway");
    let url = format!("{door}/v1/accounts/{account}/statement?format=html");
    let request = system.client.get(url).bearer_auth(system.token("reader"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// One after another, as whoever brings a new version does; the gateways last.
#[tokio::test]
async fn every_service_is_restarted_and_no_request_fails_or_is_done_twice() {
    let system = System::start().await;
    open_accounts(&system).await;
    let mut seen = under_load(&system, &ALL, async {
        for instance in [
            "accounts-a-1",
            "accounts-a-2",
            "accounts-b-1",
            "accounts-b-2",
            "balances-1",
            "balances-2",
            "transfers-1",
            "transfers-2",
            "rails-1",
            "gateway-1",
            "gateway-2",
        ] {
            sleep(Duration::from_millis(500)).await;
            system.restart(instance).await;
        }
        sleep(Duration::from_secs(1)).await;
    })
    .await;
    seen.told("every service restarted");
    assert_eq!(seen.failed, Vec::<String>::new());
    seen.is_in_the_books(&system).await;
    system.verify(&["a", "b"]).await;
    system.stop().await;
}

/// A bank's transactions through the door, by somebody with a token, while instances are killed.
#[tokio::test]
async fn a_bank_is_imported_through_the_door_to_the_cent_while_instances_are_killed() {
    through_the_door(
        &bank::sample(),
        "bank_sample.csv",
        "bank_sample_accounts.csv",
    )
    .await;
    if scale() > 1
        && let Some(folder) = bank::real_data()
    {
        through_the_door(&folder, "transactions.csv", "accounts.csv").await;
    }
}

async fn through_the_door(folder: &Path, transactions: &str, accounts: &str) {
    let system = System::start().await;
    let url = format!("{}/v1/books/a", system.url("gateway"));
    let file = folder.join(transactions);
    let arguments = ["import", text(&file), "--url", &url, "--batch", "20"];
    let mut import = command(program(), &arguments);
    import.env("FOLIO_TOKEN", system.token("operator"));
    let mut kills = 0;
    let killing = async {
        loop {
            for (instance, name) in [
                ("accounts-a-1", "accounts-a"),
                ("accounts-a-2", "accounts-a-2"),
            ] {
                system.kill(instance).await;
                kills += 1;
                // One at a time: the other one is not killed before this one is back.
                system.answers(name).await;
                sleep(Duration::from_millis(500)).await;
            }
        }
    };
    let imported = tokio::select! {
        imported = run(import) => imported,
        () = killing => unreachable!("it goes on for ever"),
    };
    assert!(imported.status.success(), "{}", imported.stderr);
    eprintln!(
        "a bank through the door: {kills} instances killed; {}",
        imported.stdout.trim()
    );
    let expected = super::processes::expected_balances(&folder.join(accounts));
    let deadline = Instant::now() + PATIENCE;
    let mut found = BTreeMap::new();
    while found != expected {
        assert!(
            Instant::now() < deadline,
            "{} of {} accounts",
            found.len(),
            expected.len()
        );
        sleep(Duration::from_millis(100)).await;
        found = super::processes::balances(&system)
            .await
            .unwrap_or_default();
    }
    system.verify(&["a"]).await;
    system.stop().await;
}

/// Whoever looks at an event finds the request that it came of, and who asked: not by what the client says of itself, but by
/// its token. What may be asked is in one document.
#[tokio::test]
async fn an_event_leads_to_the_request_through_the_door_and_who_sent_it() {
    let system = System::start().await;
    open_accounts(&system).await;
    let door = system.url("gateway");
    let body = json!({"amount": "5.00", "currency": "EUR", "contra": "cash"});
    let request = system
        .client
        .post(format!("{door}/v1/books/a/accounts/a-0/credits"));
    let request = request
        .bearer_auth(system.token("operator"))
        .header("Idempotency-Key", "traced")
        .header("Folio-Actor", "the boss")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    assert!(
        request
            .json(&body)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    let get = async |path: &str, role: &str| -> (u16, Value) {
        let request = system
            .client
            .get(format!("{door}{path}"))
            .bearer_auth(system.token(role));
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    };
    let (_, events) = get("/v1/books/a/accounts/a-0/events", "auditor").await;
    let event = events["events"].as_array().unwrap().last().unwrap();
    let told = event.to_string();
    assert!(
        told.contains("0af76519-16cd-43dd-8448-eb211c80319c"),
        "{event}"
    );
    assert!(
        told.contains("operator") && !told.contains("the boss"),
        "{event}"
    );
    // So it is of a transfer, in both books and in its log, whoever carried it out.
    let order = json!({"id": "traced", "from": {"book": "a", "account_id": "a-0"},
        "to": {"book": "b", "account_id": "b-0"}, "amount": "2.00", "currency": "EUR"});
    let request = system.client.post(format!("{door}/v1/transfers"));
    let request = request
        .bearer_auth(system.token("operator"))
        .header("Prefer", "wait=20")
        .header(
            "traceparent",
            "00-1bf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    let transfer: Value = request
        .json(&order)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(transfer["state"], "completed", "{transfer}");
    for (book, account) in [("a", "a-0"), ("b", "b-0")] {
        let path = format!("/v1/books/{book}/accounts/{account}/events");
        let (_, events) = get(&path, "auditor").await;
        let events = events["events"].as_array().unwrap();
        let traced =
            |event: &&Value| event["correlation_id"] == "1bf76519-16cd-43dd-8448-eb211c80319c";
        assert!(events.iter().filter(traced).count() >= 2, "{events:#?}");
    }
    // A reader reads, and does not audit.
    assert_eq!(
        get("/v1/books/a/accounts/a-0/events", "reader").await.0,
        403
    );

    // A program brings a key, until it is revoked.
    let key = system
        .command(&[
            "api-keys",
            "create",
            "nightly-report",
            "--scope",
            "ledger:read",
        ])
        .await;
    let balance = async || {
        let request = system.client.get(format!("{door}/v1/accounts/a-0/balance"));
        let request = request.header("Authorization", format!("ApiKey {key}"));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(balance().await, 200);
    let prefix = key.split('_').nth(1).unwrap();
    system.command(&["api-keys", "revoke", prefix]).await;
    let deadline = Instant::now() + PATIENCE;
    while balance().await != 401 {
        assert!(Instant::now() < deadline, "it is still taken");
        sleep(Duration::from_millis(100)).await;
    }

    // Without a token: it is the same for everybody.
    let document = system.get("gateway", "/openapi.json").await.unwrap();
    let paths = document["paths"].as_object().unwrap();
    for (path, method) in [
        ("/v1/books/{book}/accounts/{id}/credits", "post"),
        ("/v1/books/{book}/accounts/{id}/limits", "put"),
        ("/v1/books/{book}/accounts/{id}/events", "get"),
        ("/v1/books/{book}/journal-entries/{id}/reverse", "post"),
        ("/v1/accounts/{id}/balance", "get"),
        ("/v1/trial-balance", "get"),
        ("/v1/transfers", "post"),
        ("/v1/payments-out/{id}/return", "post"),
    ] {
        assert!(paths[path][method].is_object(), "{method} {path}");
        let security = &paths[path][method]["security"][0]["token"][0];
        assert!(security.as_str().unwrap().starts_with("ledger:"), "{path}");
    }
    assert!(
        !paths
            .keys()
            .any(|path| path.contains("feed") || path.contains("metrics"))
    );
    // Whatever it refers to is in it.
    let text = document.to_string();
    let schemas = &document["components"]["schemas"];
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas[name].is_object(), "{name}");
    }
    system.stop().await;
}
