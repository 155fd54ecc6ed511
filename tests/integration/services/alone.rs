//! A gateway that is started by itself, beside services that are there already.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use folio_mesh::identity::SigningKey;
use folio_tests::api::Api;
use folio_tests::process::{Program, command, run};
use gateway_example::auth::{LocalIssuer, Scope};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::up::{data_folder, program, text};

const PATIENCE: Duration = Duration::from_secs(60);
/// A registry that nobody answers for.
const NO_REGISTRY: &str = "postgres://nobody@127.0.0.1:1/nothing";

/// A gateway, and somebody who may do everything there.
struct Gateway {
    program: Program,
    url: String,
    operators: String,
    token: String,
    client: reqwest::Client,
    folder: TempDir,
}

impl Gateway {
    /// One that is told where a book's service is and the one that reads, and these words.
    async fn before(api: &Api, words: &[&str]) -> Self {
        let folder = data_folder();
        let issuer = LocalIssuer::in_folder(&folder.path().join("issuer"), "me", "folio").unwrap();
        let scopes = Scope::parse_all("ledger:read ledger:write").unwrap();
        let token = issuer.issue(&"ada".parse().unwrap(), &scopes, Duration::from_secs(600));
        let keys = folder.path().join("keys");
        let seed = |service: &str, url: &str| {
            let address = url.trim_start_matches("http://");
            format!("{service}={address}")
        };
        let (a, balances) = (seed("accounts-a", &api.url), seed("balances", &api.reads));
        let all = [
            "gateway",
            "--listen",
            "127.0.0.1:0",
            "--issuer",
            "me",
            "--jwks",
            text(issuer.jwks()),
            "--keys",
            text(&keys),
            "--seed",
            &a,
            "--seed",
            &balances,
        ];
        let mut started = Program::start(command(program(), &[&all, words].concat()));
        let said = started.line_with("for operators at").await;
        let mut urls = said
            .split([' ', ','])
            .filter(|word| word.starts_with("http://"));
        let mut url = || urls.next().unwrap().to_owned();
        Self {
            url: url(),
            operators: url(),
            program: started,
            token: token.unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            folder,
        }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn of_operators(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.operators)).send();
        answer.await.unwrap().text().await.unwrap()
    }

    /// Tells it to read its files again, and waits until it has.
    async fn reload(&self) {
        // What it does last but one is to write this one anew.
        let public = self
            .folder
            .path()
            .join("keys")
            .join(SigningKey::PUBLIC_FILE);
        let inode = || fs::metadata(&public).unwrap().ino();
        let (before, deadline) = (inode(), Instant::now() + PATIENCE);
        self.program.signal(Signal::SIGHUP);
        while inode() == before {
            assert!(Instant::now() < deadline, "it does not read its files");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        self.program.signal(Signal::SIGTERM);
        let (status, output) = self.program.end().await;
        assert!(status.success(), "{output:?}");
    }
}

/// Whoever starts while the registry is down asks those that it was told of, and so does whoever has none.
#[tokio::test]
async fn a_gateway_that_knows_no_registry_yet_asks_where_it_was_told() {
    let api = Api::start().await;
    for registry in [&["--registry-url", NO_REGISTRY][..], &[]] {
        let gateway = Gateway::before(&api, registry).await;
        let id = format!("alice-{}", registry.len());
        let opened = gateway
            .client
            .post(format!("{}/v1/books/a/accounts", gateway.url))
            .bearer_auth(&gateway.token)
            .header("Idempotency-Key", &id)
            .json(&json!({"id": id, "currency": "EUR"}));
        assert_eq!(opened.send().await.unwrap().status(), 201);
        let (status, accounts) = gateway.get("/v1/accounts").await;
        assert_eq!(status, 200, "{accounts}");
        gateway.stop().await;
    }
    api.stop().await;
    let lost = run(command(
        program(),
        &["gateway", "--jwks", "none", "--keys", "none"],
    ));
    let lost = lost.await;
    assert!(!lost.status.success());
    assert!(lost.stderr.contains("--seed"), "{}", lost.stderr);
}

#[tokio::test]
async fn a_gateway_reads_its_routes_again_when_it_is_told_to_and_keeps_them_if_they_are_wrong() {
    let api = Api::start().await;
    let shipped = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../cli/src/gateway.toml"
    ));
    let shipped = fs::read_to_string(shipped).unwrap();
    let folder = data_folder();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, &shipped).unwrap();
    let gateway = Gateway::before(&api, &["--config", text(&file)]).await;
    let (old, new) = ("/v1/accounts", "/v1/konten");
    assert_eq!(gateway.get(old).await.0, 200);

    let other = shipped.replace("path = \"/v1/accounts\"", "path = \"/v1/konten\"");
    assert_ne!(other, shipped);
    fs::write(&file, &other).unwrap();
    assert_eq!(gateway.get(old).await.0, 200, "nobody has told it yet");
    gateway.reload().await;
    assert_eq!(
        (gateway.get(old).await.0, gateway.get(new).await.0),
        (404, 200)
    );
    for wrong in [
        "services = [",
        "",
        &other.replace("ledger:read", "no scope"),
    ] {
        fs::write(&file, wrong).unwrap();
        gateway.reload().await;
        assert_eq!(
            (gateway.get(old).await.0, gateway.get(new).await.0),
            (404, 200)
        );
    }
    let routes: Value = serde_json::from_str(&gateway.of_operators("/routes").await).unwrap();
    assert_eq!(routes["version"], 2);
    gateway.stop().await;
    api.stop().await;
}

/// What whoever watches a gateway has to go by. No series is named after what a client may choose.
#[tokio::test]
async fn a_gateway_counts_what_becomes_of_requests() {
    let api = Api::start().await;
    let gateway = Gateway::before(&api, &["--registry-url", NO_REGISTRY]).await;
    assert_eq!(gateway.get("/v1/accounts").await.0, 200);
    assert_eq!(gateway.get("/v1/accounts/of-nobody").await.0, 404);
    let unknown = gateway.client.get(format!("{}/v1/accounts", gateway.url));
    let unknown = unknown.bearer_auth("no.to.ken").send().await.unwrap();
    assert_eq!(unknown.status(), 401);
    for number in 1..=3 {
        let method = format!("CHOSEN{number}").parse().unwrap();
        let strange = gateway.client.request(method, format!("{}/x", gateway.url));
        assert!(strange.send().await.unwrap().status().is_client_error());
    }
    let metrics = gateway.of_operators("/metrics").await;
    assert!(metrics.contains("method=\"-\""), "{metrics}");
    assert!(!metrics.contains("CHOSEN"), "{metrics}");
    for series in [
        "folio_gateway_requests_total{method=\"GET\",route=\"/v1/accounts\",status=\"200\"} 1",
        "folio_gateway_requests_total{method=\"GET\",route=\"/v1/accounts\",status=\"401\"} 1",
        "folio_gateway_requests_total{method=\"GET\",route=\"/v1/accounts/{*rest}\",status=\"404\"} 1",
        "folio_gateway_request_seconds_count{method=\"GET\",route=\"/v1/accounts\",status=\"200\"} 1",
        "folio_gateway_auth_refused_total{code=\"token_invalid\"} 1",
        "folio_gateway_jwks_age_seconds ",
        "folio_breaker_phase{",
    ] {
        assert!(metrics.contains(series), "{series} is not in:\n{metrics}");
    }
    assert!(!metrics.contains("of-nobody"), "{metrics}");
    // For how long nobody has said who is there.
    let deadline = Instant::now() + PATIENCE;
    let age = async || {
        let metrics = gateway.of_operators("/metrics").await;
        let mut lines = metrics.lines();
        let age = lines.find_map(|line| line.strip_prefix("folio_registry_age_seconds "));
        age.and_then(|age| age.parse::<f64>().ok())
    };
    while age().await.is_none_or(|age| age < 1.0) {
        assert!(Instant::now() < deadline, "{:?}", age().await);
        sleep(Duration::from_millis(50)).await;
    }
    gateway.stop().await;
    api.stop().await;
}
