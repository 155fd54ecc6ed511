//! Clocks of machines that differ from each other and from the database's.
//!
//! A library of ours puts the wall clock of a program wrong by `LD_PRELOAD`, so this runs on Linux.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use folio_mesh::discovery::Registry;
use folio_mesh::identity::SigningKey;
use folio_tests::postgres;
use folio_tests::process::{Program, command};
use gateway_example::auth::{LocalIssuer, Scope};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::up::{data_folder, program, text};

const PATIENCE: Duration = Duration::from_secs(60);
const BOOK: &str = "clocks";
const SERVICE: &str = "accounts-clocks";
const HOUR: i64 = 3_600;

/// What programs are started with, whatever their clocks say.
struct Machines {
    folder: TempDir,
    library: PathBuf,
    registry: String,
    issuer: LocalIssuer,
    client: reqwest::Client,
}

impl Machines {
    async fn new() -> Self {
        let folder = data_folder();
        let database = Registry::prepare(&postgres::server().await, "clocks_registry").await;
        let url = postgres::url().await;
        let (server, _) = url.rsplit_once('/').unwrap();
        SigningKey::in_folder(&folder.path().join("keys")).unwrap();
        Self {
            registry: format!("{server}/{}", database.unwrap().name()),
            library: compile(folder.path()),
            issuer: LocalIssuer::in_folder(&folder.path().join("issuer"), "me", "folio").unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            folder,
        }
    }

    /// Starts a program whose clock is off by so many seconds, and waits until it says this.
    async fn start(&self, seconds: i64, words: &[&str], said: &str) -> (Program, String) {
        let mut started = command(program(), words);
        started
            .env("LD_PRELOAD", &self.library)
            .env("FOLIO_CLOCK_OFF", seconds.to_string())
            .env("FOLIO_REGISTRY_URL", &self.registry);
        if words[0] == "accounts" {
            let keys = self
                .folder
                .path()
                .join("keys")
                .join(SigningKey::PUBLIC_FILE);
            started
                .env("DATABASE_URL", postgres::url().await)
                .env("FOLIO_GATEWAY_KEYS", keys);
        }
        let mut started = Program::start(started);
        let line = started.line_with(said).await;
        let mut words = line.split([' ', ',']);
        let url = words.find(|word| word.starts_with("http://")).unwrap();
        (started, url.to_owned())
    }

    async fn gateway(&self, seconds: i64) -> (Program, String) {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/src/gateway.toml");
        let routes = fs::read_to_string(shipped).unwrap();
        let routes = routes.replace("\"accounts-a\"", &format!("\"{SERVICE}\""));
        let file = self.folder.path().join("gateway.toml");
        fs::write(&file, routes).unwrap();
        let keys = self.folder.path().join("keys");
        let words = [
            "gateway",
            "--listen",
            "127.0.0.1:0",
            "--config",
            text(&file),
            "--issuer",
            "me",
            "--jwks",
            text(self.issuer.jwks()),
            "--keys",
            text(&keys),
        ];
        self.start(seconds, &words, "for operators at").await
    }

    /// What is answered at a path of the book's, to somebody with a token of ten minutes.
    async fn ask(&self, door: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let scopes = Scope::parse_all("ledger:write ledger:audit").unwrap();
        let lifetime = Duration::from_secs(600);
        let token = self
            .issuer
            .issue(&"ada".parse().unwrap(), &scopes, lifetime);
        let url = format!("{door}/v1/books/{BOOK}{path}");
        let request = match body {
            Some(body) => {
                let key = postgres::unique("key");
                let request = self.client.post(url).json(&body);
                request.header("Idempotency-Key", key)
            }
            None => self.client.get(url),
        };
        let answer = request.bearer_auth(token.unwrap()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }
}

fn compile(folder: &Path) -> PathBuf {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/integration/services/clock_fault.c"
    );
    let library = folder.join("clock_fault.so");
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .status()
        .expect("cc, which links Rust programs too");
    assert!(compiled.success());
    library
}

/// A service that is an hour behind, and a gateway that is five seconds ahead: a lease goes by the database's clock, and so does what is
/// recorded; a token is good within the leeway.
#[tokio::test]
async fn a_clock_that_is_wrong_ends_no_lease_and_records_no_other_time() {
    let machines = Machines::new().await;
    let words = [
        "accounts",
        "--book",
        BOOK,
        "--listen",
        "127.0.0.1:0",
        "--instance",
        "late-1",
    ];
    let (service, _) = machines.start(-HOUR, &words, "listens at").await;
    let (gateway, door) = machines.gateway(5).await;
    let deadline = Instant::now() + PATIENCE;
    let account = json!({"id": "alice", "currency": "EUR"});
    loop {
        let (status, answer) = machines
            .ask(&door, "/accounts", Some(account.clone()))
            .await;
        if status == 201 {
            break;
        }
        // It is not listed yet.
        assert_eq!(status, 503, "{answer}");
        assert!(Instant::now() < deadline, "{answer}");
        sleep(Duration::from_millis(50)).await;
    }
    let (status, events) = machines.ask(&door, "/accounts/alice/events", None).await;
    assert_eq!(status, 200, "{events}");
    let recorded = events["events"][0]["recorded_at"].as_str().unwrap();
    let recorded: chrono::DateTime<chrono::Utc> = recorded.parse().unwrap();
    let age = chrono::Utc::now() - recorded;
    assert!(
        age.num_seconds().abs() < HOUR / 2,
        "{recorded} is {age} ago"
    );

    // It is the same one for longer than two leases.
    let registry = machines.registry.parse().unwrap();
    let registry = folio_postgres::Database::new(registry, "clocks_registry");
    let registry = postgres::superuser(&registry).await;
    let lease = async || {
        let sql = "SELECT incarnation, status, extract(epoch FROM held_until)::float8, held_until > now() \
                   FROM registry.instances WHERE instance_id = 'late-1'";
        let row = registry.query_one(sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(1), "serving");
        assert!(row.get::<_, bool>(3), "its lease has ended");
        (row.get::<_, i64>(0), row.get::<_, f64>(2))
    };
    let first = lease().await;
    while lease().await.1 < first.1 + 7.0 {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(50)).await;
    }
    let last = lease().await;
    assert_eq!(first.0, last.0);
    // By none of their clocks.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!((last.1 - now.as_secs_f64()).abs() < 60.0, "{last:?}");

    // The control: the library does put a clock wrong, and an hour is more than is forgiven.
    let (ahead, other) = machines.gateway(HOUR).await;
    let (status, refused) = machines.ask(&other, "/accounts/alice/events", None).await;
    assert_eq!((status, &refused["code"]), (401, &json!("token_expired")));
    for program in [ahead, gateway, service] {
        program.signal(Signal::SIGTERM);
        let (status, output) = program.end().await;
        assert!(status.success(), "{output:?}");
    }
}
