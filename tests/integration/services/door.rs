//! The whole system behind its gateway, while instances come, go, freeze and lose their registry: what clients see of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use folio_tests::bank;
use folio_tests::process::{command, run};
use folio_tests::scale;
use nix::sys::signal::Signal;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep};

use super::system::{PATIENCE, System};
use crate::up::{program, text};

/// Requests a second in every run; at most 200 where more is asked for.
const A_SECOND: u64 = 50;
/// Accounts in each book.
const ACCOUNTS: usize = 12;
/// Longer than any request may take.
const REQUEST: Duration = Duration::from_secs(40);

/// What clients have seen.
#[derive(Debug, Default)]
struct Seen {
    /// How often each account was credited, by book and account.
    credited: BTreeMap<(&'static str, usize), u32>,
    failed: Vec<String>,
    /// How long each request has taken, by the service that it was for.
    took: BTreeMap<&'static str, Vec<Duration>>,
}

/// A request of a client.
#[derive(Debug, Clone, Copy)]
enum Asks {
    Credit(&'static str, usize),
    Balances,
    Transfers,
}

impl Asks {
    fn service(self) -> &'static str {
        match self {
            Self::Credit("a", _) => "accounts-a",
            Self::Credit(..) => "accounts-b",
            Self::Balances => "balances",
            Self::Transfers => "transfers",
        }
    }
}

fn account(book: &str, number: usize) -> String {
    format!("{book}-{number}")
}

pub(super) async fn open_accounts(system: &System) {
    for book in ["a", "b"] {
        for number in 0..ACCOUNTS {
            let id = account(book, number);
            let body = json!({"id": id, "currency": "EUR"});
            let path = format!("/v1/books/{book}/accounts");
            let opened = post(system, &path, &id, &body).await;
            assert_eq!(opened.0, 201, "{opened:?}");
        }
    }
}

async fn post(system: &System, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}{path}", system.url("gateway"));
    let request = system
        .client
        .post(url)
        .bearer_auth(system.token("operator"));
    let request = request.header("Idempotency-Key", key).json(body);
    let answer = request.send().await.unwrap();
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

/// Clients that ask at a steady rate, whether they are answered or not, until `meanwhile` is over. The mix is of those named.
async fn under_load(system: &System, mix: &[Asks], meanwhile: impl Future<Output = ()>) -> Seen {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let (door, token) = (
        system.url("gateway").to_owned(),
        system.token("operator").to_owned(),
    );
    let client = Client::builder()
        .no_proxy()
        .timeout(REQUEST)
        .build()
        .unwrap();
    let rate = (A_SECOND * scale() as u64).min(200);
    let asking = async {
        let mut requests = tokio::task::JoinSet::new();
        let mut ticks = interval(Duration::from_micros(1_000_000 / rate));
        let mut number = 0;
        let mut is_over = std::pin::pin!(meanwhile);
        loop {
            tokio::select! {
                () = &mut is_over => break,
                _ = ticks.tick() => {}
            }
            let asks = match mix[number % mix.len()] {
                Asks::Credit(book, _) => Asks::Credit(book, number % ACCOUNTS),
                asks @ (Asks::Balances | Asks::Transfers) => asks,
            };
            let (door, token, client) = (door.clone(), token.clone(), client.clone());
            requests.spawn(ask(door, token, client, asks, number, Arc::clone(&seen)));
            number += 1;
        }
        while let Some(ended) = requests.join_next().await {
            ended.unwrap();
        }
    };
    asking.await;
    Arc::try_unwrap(seen).unwrap().into_inner().unwrap()
}

async fn ask(
    door: String,
    token: String,
    client: Client,
    asks: Asks,
    number: usize,
    seen: Arc<Mutex<Seen>>,
) {
    let began = Instant::now();
    let request = match asks {
        Asks::Credit(book, of) => {
            let id = account(book, of);
            let body = json!({"amount": "1.00", "currency": "EUR", "contra": "cash"});
            let request = client.post(format!("{door}/v1/books/{book}/accounts/{id}/credits"));
            request
                .header("Idempotency-Key", format!("credit-{number}"))
                .json(&body)
        }
        Asks::Balances => client.get(format!("{door}/v1/accounts?limit=5")),
        Asks::Transfers => client.get(format!("{door}/v1/transfers?limit=5")),
    };
    let answer = request.bearer_auth(token).send().await;
    let failed = match answer {
        Ok(answer) if answer.status().is_success() => None,
        Ok(answer) => {
            let status = answer.status();
            Some(format!(
                "{asks:?}: {status} {}",
                answer.text().await.unwrap_or_default()
            ))
        }
        Err(error) => Some(format!("{asks:?}: {error:?}")),
    };
    let mut seen = seen.lock().unwrap();
    seen.took
        .entry(asks.service())
        .or_default()
        .push(began.elapsed());
    match (failed, asks) {
        (Some(failed), _) => seen.failed.push(failed),
        (None, Asks::Credit(book, of)) => *seen.credited.entry((book, of)).or_default() += 1,
        (None, Asks::Balances | Asks::Transfers) => {}
    }
}

impl Seen {
    /// Says what was seen, and answers how long all but one in a hundred requests to a service took at most.
    fn told(&mut self, what: &str) -> BTreeMap<&'static str, Duration> {
        let mut p99 = BTreeMap::new();
        for (service, took) in &mut self.took {
            took.sort_unstable();
            let at = |share: usize| took[(took.len() * share / 1_000).min(took.len() - 1)];
            eprintln!(
                "{what}: {service} {} requests, p50 {:.1?}, p99 {:.1?}, longest {:.1?}",
                took.len(),
                at(500),
                at(990),
                at(1_000)
            );
            p99.insert(*service, at(990));
        }
        eprintln!("{what}: {} failed", self.failed.len());
        p99
    }

    /// Each account has what was credited to it: nothing twice, and nothing of what was answered is lost.
    async fn is_in_the_books(&self, system: &System) {
        for ((book, number), times) in &self.credited {
            let id = account(book, *number);
            let expected = format!("{times}.00");
            let deadline = Instant::now() + PATIENCE;
            loop {
                let url = format!("{}/v1/accounts/{id}/balance", system.url("gateway"));
                let request = system.client.get(url).bearer_auth(system.token("reader"));
                let answer: Value = request.send().await.unwrap().json().await.unwrap();
                if answer["balance"] == expected.as_str() {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "{id} should have {expected}: {answer}"
                );
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

const CREDITS: [Asks; 2] = [Asks::Credit("a", 0), Asks::Credit("b", 0)];
const ALL: [Asks; 4] = [
    Asks::Credit("a", 0),
    Asks::Balances,
    Asks::Credit("b", 0),
    Asks::Transfers,
];

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
    seen.told("an instance ten times slower for 6 s");
    assert_eq!(seen.failed, Vec::<String>::new());
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

/// Who was there when it was last seen is asked on.
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
        sleep(Duration::from_secs(6)).await;
        for instance in ["accounts-b-1", "accounts-b-2"] {
            assert!(system.signal(instance, Signal::SIGCONT));
        }
    })
    .await;
    let p99 = seen.told("all of accounts-b frozen for 6 s");
    let others = |failed: &&String| !failed.contains("Credit(\"b\"");
    assert_eq!(seen.failed.iter().find(others), None);
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
    system.stop().await;
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
