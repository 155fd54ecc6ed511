//! What nobody may read in a log: it is brought to the whole system in every way, also in requests that fail and while it cannot
//! record anything, and looked for in all that was logged.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use folio_postgres::Database;
use ledger_example::AccountsDatabases;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::system::{PATIENCE, System};
use crate::erasure::canary::{as_text, holds};

/// What tells who somebody is, in fields that are sealed: none of it is anywhere else.
const PERSONAL: [&str; 6] = [
    "CanaryNameXyzzy",
    "CanaryStreetXyzzy",
    "CanaryMailXyzzy",
    "CanaryOtherXyzzy",
    "CanaryPayeeXyzzy",
    "CanaryPayerXyzzy",
];
/// What is brought as if it were a secret.
const BROUGHT: [&str; 5] = [
    "CanaryTokenXyzzy",
    "CanaryBasicXyzzy",
    "CanaryCookieXyzzy",
    "CanaryQueryXyzzy",
    "CanaryBodyXyzzy",
];
const LEVEL: &str = "debug";
const ACCOUNT: &str = "canary-account";
const PAYMENT: &str = "canary-payment";
const CLIENT: &str = "canary-client";

struct Told {
    status: u16,
    body: Value,
}

impl Told {
    fn correlation_id(&self) -> String {
        self.body["correlation_id"].as_str().unwrap().to_owned()
    }
}

async fn told(request: RequestBuilder) -> Told {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.json().await.unwrap_or_default();
    Told { status, body }
}

/// A request with a key that no other has.
fn asks(system: &System, method: Method, service: &str, path: &str) -> RequestBuilder {
    let url = format!("{}{path}", system.url(service));
    let key = uuid::Uuid::now_v7().to_string();
    let request = system.client.request(method, url);
    request.header("Idempotency-Key", key)
}

/// The same, of the gateway, by an operator.
fn post(system: &System, path: &str, body: &Value) -> RequestBuilder {
    let request = asks(system, Method::POST, "gateway", path);
    request.bearer_auth(system.token("operator")).json(body)
}

fn holder(subject: &str) -> Value {
    let [name, address, email, ..] = PERSONAL;
    json!({"subject": subject, "name": name, "address": address, "email": email})
}

fn opening(id: &str, holder: &Value) -> Value {
    json!({"id": id, "currency": "EUR", "holder": holder})
}

fn payment(id: &str, way: [&str; 3], name: &str) -> Value {
    let [account, party, subject] = way;
    json!({"id": id, account: {"book": "a", "account_id": ACCOUNT}, party: name, subject: "c-2",
        "amount": "1.00", "currency": "EUR"})
}

const OUT: [&str; 3] = ["from", "payee", "payee_subject"];
const IN: [&str; 3] = ["to", "payer", "payer_subject"];

/// What is in the clear where it is kept: tokens, keys, passwords.
async fn secrets(system: &System) -> BTreeMap<String, String> {
    let mut secrets = BTreeMap::new();
    for role in ["reader", "operator", "auditor"] {
        let token = system.token(role).to_owned();
        let signature = token.rsplit('.').next().unwrap().to_owned();
        secrets.insert(format!("signature of {role}"), signature);
        secrets.insert(format!("token of {role}"), token);
    }
    let passwords = system.passwords();
    assert!(passwords.len() >= 5, "one for each login");
    for (number, password) in passwords.into_iter().enumerate() {
        secrets.insert(format!("password {number}"), password);
    }
    let words = ["ledger:read", "ledger:write"].map(|scope| ["--scope", scope]);
    let words = [&["api-keys", "create", CLIENT], &words.concat()[..]].concat();
    secrets.insert("API key".to_owned(), system.command(&words).await);
    for (path, key) in private_files(&system.data_folder().join("keys")) {
        for line in key.lines().filter(|line| !line.starts_with("-----")) {
            secrets.insert(format!("{path}: {}", line.len()), line.to_owned());
        }
    }
    secrets
}

/// The files below a folder that nobody else may read.
fn private_files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(private_files(&path));
        } else if path.metadata().unwrap().permissions().mode() & 0o077 == 0 {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.display().to_string(), text));
        }
    }
    found
}

/// What is carried out: accounts with holders, and payments with people on their other side, whose network fails first.
async fn work(system: &System, api_key: &str) {
    let opened = told(post(
        system,
        "/v1/books/a/accounts",
        &opening(ACCOUNT, &holder("c-1")),
    ))
    .await;
    assert_eq!(opened.status, 201, "{}", opened.body);
    let credit = json!({"amount": "50.00", "currency": "EUR", "contra": "cash"});
    let path = format!("/v1/books/a/accounts/{ACCOUNT}/credits");
    let credited = asks(system, Method::POST, "gateway", &path).json(&credit);
    let credited = told(credited.header("Authorization", format!("ApiKey {api_key}"))).await;
    assert_eq!(credited.status, 201, "{}", credited.body);
    let path = format!("/v1/books/a/accounts/{ACCOUNT}/holder");
    let mut other = holder("c-1");
    other["name"] = json!(PERSONAL[3]);
    let named = asks(system, Method::PUT, "gateway", &path).json(&other);
    let named = told(named.bearer_auth(system.token("operator"))).await;
    assert_eq!(named.status, 200, "{}", named.body);

    let fault = json!({"fault": {"kind": "error"}, "requests": 3});
    let fails = asks(system, Method::PUT, "rails", "/v1/faults/payments").json(&fault);
    assert_eq!(told(fails).await.status, 200);
    for (path, order) in [
        ("/v1/payments-out", payment(PAYMENT, OUT, PERSONAL[4])),
        ("/v1/payments-in", payment(PAYMENT, IN, PERSONAL[5])),
    ] {
        let ordered = told(post(system, path, &order).header("Prefer", "wait=0")).await;
        assert!([200, 202].contains(&ordered.status), "{}", ordered.body);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let path = format!("{path}/{PAYMENT}");
            let looked = asks(system, Method::GET, "gateway", &path);
            let looked = told(looked.bearer_auth(system.token("reader"))).await;
            if looked.body["state"] == "completed" {
                break;
            }
            assert!(Instant::now() < deadline, "{}", looked.body);
            told(post(
                system,
                &format!("{path}/retry"),
                &json!({"reason": "hurry"}),
            ))
            .await;
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What is refused, by the gateway and by the services themselves. Answers with the ids of requests that it has.
async fn refused(system: &System, api_key: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut wrong_currency = opening("2", &holder("c-3"));
    wrong_currency["currency"] = json!(BROUGHT[4]);
    let mut wrong_name = opening("2", &holder("c-3"));
    wrong_name["holder"]["name"] = json!([PERSONAL[0]]);
    let mut unknown = opening("2", &holder("c-3"));
    unknown["holder"][BROUGHT[4]] = json!(PERSONAL[1]);
    let long = PERSONAL[2].repeat(400);
    let mut too_long = opening("2", &holder("c-3"));
    too_long["holder"]["name"] = json!(long);
    let mut no_subject = opening("2", &holder(PERSONAL[2]));
    no_subject["holder"]["subject"] = json!(format!("{} of {}", PERSONAL[2], PERSONAL[1]));
    let mut wrong_amount = payment("p2", OUT, PERSONAL[4]);
    wrong_amount["amount"] = json!("-1");
    let mut another = payment(PAYMENT, OUT, PERSONAL[5]);
    another["amount"] = json!("2.00");
    let bodies = [
        ("accounts", opening(ACCOUNT, &holder("c-4"))),
        ("accounts", wrong_currency),
        ("accounts", wrong_name),
        ("accounts", unknown),
        ("accounts", too_long),
        ("accounts", no_subject),
        ("payments-out", wrong_amount),
        ("payments-out", another),
        ("payments-in", payment("p3", IN, &long)),
    ];
    for (noun, body) in &bodies {
        let (door, service) = match *noun {
            "accounts" => ("/v1/books/a/accounts".to_owned(), "accounts-a"),
            noun => (format!("/v1/{noun}"), "transfers"),
        };
        let path = format!("/v1/{noun}");
        let directly = asks(system, Method::POST, service, &path).json(body);
        for request in [post(system, &door, body), directly] {
            let answer = told(request).await;
            assert!(
                (400..500).contains(&answer.status),
                "{body}: {}",
                answer.body
            );
            ids.push(answer.correlation_id());
        }
    }
    let cut = format!("{{\"id\": \"2\", \"holder\": {{\"name\": \"{}", PERSONAL[0]);
    let cut = asks(system, Method::POST, "gateway", "/v1/books/a/accounts").body(cut);
    let cut = cut.header("Content-Type", "application/json");
    let cut = told(cut.bearer_auth(system.token("operator"))).await;
    assert!((400..500).contains(&cut.status), "{}", cut.body);

    let token = system.token("operator");
    let (other_key, _) = api_key.rsplit_once('_').unwrap();
    for authorization in [
        format!("Bearer {}", BROUGHT[0]),
        format!("Bearer {token}{}", BROUGHT[0]),
        format!("Bearer {}", &token[..token.len() - 3]),
        format!("ApiKey {other_key}_{}{}", BROUGHT[0], "A".repeat(27)),
        format!("ApiKey {api_key}x"),
        format!("Basic {}", BROUGHT[1]),
    ] {
        let path = format!("/v1/accounts?cursor={}", BROUGHT[3]);
        let request = asks(system, Method::GET, "gateway", &path);
        let request = request.header("Cookie", format!("session={}", BROUGHT[2]));
        let answer = told(request.header("Authorization", authorization)).await;
        assert_eq!(answer.status, 401, "{}", answer.body);
        ids.push(answer.correlation_id());
    }
    let path = format!("/v1/accounts?access_token={0}&cursor={0}", BROUGHT[3]);
    let wrong = asks(system, Method::GET, "gateway", &path);
    let wrong = told(wrong.bearer_auth(system.token("reader"))).await;
    assert!((400..500).contains(&wrong.status), "{}", wrong.body);
    ids.push(wrong.correlation_id());
    ids
}

/// What cannot be recorded, as the database refuses it, or all sessions end: what a server says of a row that it refuses has all that
/// is in the row, keys of subjects too.
async fn failed(system: &System) {
    let server = system.server_config();
    let of = AccountsDatabases::existing(&server, &"a".parse().unwrap());
    let owner = async |database: &Database| {
        let mut config = server.clone();
        config.dbname(database.name());
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let (events, vault) = (owner(&of.events).await, owner(&of.vault).await);
    let refuse =
        "ALTER TABLE vault.subjects ADD CONSTRAINT refused CHECK (subject_id <> 'c-5') NOT VALID";
    vault.batch_execute(refuse).await.unwrap();
    let refuse =
        "ALTER TABLE store.events ADD CONSTRAINT refused CHECK (stream_id <> 'refused') NOT VALID";
    events.batch_execute(refuse).await.unwrap();
    for (id, subject) in [("3", "c-5"), ("refused", "c-6")] {
        let opening = post(
            system,
            "/v1/books/a/accounts",
            &opening(id, &holder(subject)),
        );
        let answer = told(opening).await;
        assert!(answer.status >= 500, "{}", answer.body);
    }
    let server = system.server().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
    server.batch_execute(end).await.unwrap();
    told(post(
        system,
        "/v1/books/a/accounts",
        &opening("4", &holder("c-7")),
    ))
    .await;
}

/// The keys under which the names of people are sealed, by whose they are.
async fn keys_of_subjects(system: &System) -> Vec<(String, Vec<u8>)> {
    let mut keys = Vec::new();
    for name in ["folio_a_vault", "folio_transfers_vault"] {
        let mut config = system.server_config();
        config.dbname(name);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let all = "SELECT subject_id, key FROM vault.subjects";
        let rows = client.query(all, &[]).await.unwrap();
        assert!(!rows.is_empty(), "{name}");
        let whose =
            |row: &tokio_postgres::Row| format!("key of {} in {name}", row.get::<_, &str>(0));
        keys.extend(rows.iter().map(|row| (whose(row), row.get(1))));
    }
    keys
}

/// All that was logged, by the name of the file.
fn logs(data_folder: &Path) -> BTreeMap<String, String> {
    let in_folder = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_log = |path: &PathBuf| path.is_file() && path.to_string_lossy().contains(".log");
        paths.filter(is_log).collect::<Vec<_>>()
    };
    let paths = [in_folder(&data_folder.join("logs")), in_folder(data_folder)].concat();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, as_text(&fs::read(path).unwrap()))
    };
    paths.into_iter().map(read).collect()
}

/// Names of people are sealed before there is a command, a line about a request tells its route and not what it brings, and what a
/// token, a key or a password is in does not show it. What a statement is executed with, and the row that a database refuses, are
/// left out of every log: among them were keys, and names of people. All of it where more is logged than anybody asks for.
#[tokio::test]
async fn no_log_of_the_whole_system_holds_a_secret_or_who_somebody_is() {
    let system = System::start_within(&[("RUST_LOG", LEVEL)]).await;
    let secrets = secrets(&system).await;
    let api_key = &secrets["API key"];
    work(&system, api_key).await;
    let ids = refused(&system, api_key).await;
    failed(&system).await;
    system.kill("accounts-a").await;
    system.answers("accounts-a").await;
    let path = format!("/v1/books/a/accounts/{ACCOUNT}/holder");
    let shown = asks(&system, Method::GET, "gateway", &path);
    let shown = told(shown.bearer_auth(system.token("reader"))).await;
    assert_eq!(shown.body["holder"]["name"], PERSONAL[3], "{}", shown.body);

    let keys = keys_of_subjects(&system).await;
    let logged = logs(system.data_folder());
    let mut all: BTreeMap<&str, &[u8]> = BTreeMap::new();
    let texts = secrets
        .iter()
        .map(|(what, text)| (&**what, text.as_bytes()));
    all.extend(texts);
    let canaries = PERSONAL.iter().chain(&BROUGHT);
    all.extend(canaries.map(|text| (*text, text.as_bytes())));
    all.extend(keys.iter().map(|(subject, key)| (&**subject, &key[..])));
    let mut found = Vec::new();
    for (log, text) in &logged {
        for (what, secret) in &all {
            if holds(text, secret) {
                found.push(format!("{what} in {log}"));
            }
        }
        // The key of a subject whose row was refused nobody knows any more.
        if text.contains("Failing row contains") {
            found.push(format!("a row in {log}"));
        }
    }
    assert_eq!(found, [""; 0]);

    // The control: these are the logs of all of it, and what may be in them is.
    let told: usize = logged.values().map(String::len).sum();
    eprintln!("{} logs, {told} bytes", logged.len());
    for service in [
        "accounts-a",
        "accounts-b-2",
        "balances",
        "transfers",
        "rails",
        "gateway",
    ] {
        let log = &logged[&format!("{service}.log")];
        assert!(log.contains("listens at"), "{service}: {log}");
    }
    let access = [1, 2].map(|number| logged[&format!("gateway-{number}.access.log")].as_str());
    let access = access.concat();
    assert!(access.contains(CLIENT), "{access}");
    assert!(ids.iter().any(|id| access.contains(id)), "{access}");
    assert!(logged["postgres.log"].contains("violates check constraint"));
    let as_if: String = all.values().map(|secret| as_text(secret)).collect();
    assert!(all.values().all(|secret| holds(&as_if, secret)));
    system.stop().await;
}
