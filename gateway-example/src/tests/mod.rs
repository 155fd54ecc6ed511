//! The door as clients meet it: over sockets, with services behind it that are real servers and misbehave.

mod framing;
mod http2;
mod life;
mod requests;
mod services;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::routing::get;
use folio_mesh::discovery::{
    Discovery, Incarnation, Instance, NewInstance, RegisterError, Registration, Revision,
    ServiceName, Snapshot, Status, Watch, WatchSource,
};
use folio_mesh::identity::SigningKey;
use folio_mesh::{BalanceSettings, IdentitySigner, StaticList};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::auth::{Authenticator, KeySet, KeySetSettings, KeySource, LocalIssuer, TokenVerifier};
use crate::limits::{Limits, LimitsConfig, LimitsDatabase};
use crate::{AccessLog, AccessRecord, Gateway, GatewayConfig, LogFile, Upstreams, serve};

/// What is large.
const LARGE: &str = "/v1/accounts/large";
/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing more has to come for nothing more to come.
const QUIET: Duration = Duration::from_millis(300);

const FILE: &str = r#"
services = ["accounts-a", "balances"]
per_address = { name = "address", quota = 100000, window_s = 1 }
per_principal = { name = "principal", quota = 100000, window_s = 1 }
origins = ["https://bank.example"]

[bounds]
connections = 64
connections_per_address = 32
header_ms = 700
body_ms = 700
body_bytes = 10000
drain_ms = 5000

[[route]]
methods = ["GET"]
path = "/v1/accounts/{*rest}"
service = "balances"
forward = "/v1/accounts/{rest}"
scope = "ledger:read"
repeat = "reads"
timeout_ms = 4000
try_ms = 500

[[route]]
methods = ["POST"]
path = "/v1/books/{book}/accounts/{id}/{change}"
service = "accounts-{book}"
forward = "/v1/accounts/{id}/{change}"
scope = "ledger:write"
key = "id"
repeat = "by-key"
timeout_ms = 4000
try_ms = 500

[[route]]
methods = ["POST"]
path = "/v1/unkeyed"
service = "balances"
forward = "/v1/unkeyed"
scope = "ledger:write"
timeout_ms = 4000
try_ms = 500

[[route]]
methods = ["GET"]
path = "/v1/stream"
service = "balances"
forward = "/v1/stream"
scope = "ledger:read"
repeat = "reads"
timeout_ms = 1000
answer = "endless"
"#;

/// A door, and whoever may go through it.
struct Door {
    address: SocketAddr,
    gateway: Gateway,
    listed: Listed,
    issuer: LocalIssuer,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
    access_log: AccessLog,
    folder: TempDir,
}

/// Finds the instances that a test lists.
#[derive(Clone, Default)]
struct Listed(Arc<Mutex<BTreeMap<ServiceName, WatchSource>>>);

/// A service that notes what it is asked, and says it. Asked for what is large, it says that and counts how much was taken of it.
struct Behind {
    address: SocketAddr,
    taken: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Value>>>,
    serving: JoinHandle<()>,
}

impl Door {
    /// A door before one instance that answers for both services.
    async fn before(behind: &Behind) -> Self {
        let one = [("one", behind.address)];
        Self::with(FILE, &[("balances", &one), ("accounts-a", &one)]).await
    }

    async fn with(file: &str, services: &[(&str, &[(&str, SocketAddr)])]) -> Self {
        Self::with_limits(file, services, None).await
    }

    async fn with_limits(
        file: &str,
        services: &[(&str, &[(&str, SocketAddr)])],
        shared: Option<LimitsDatabase>,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let issuer = LocalIssuer::in_folder(&folder.path().join("issuer"), "issuer", "folio");
        let issuer = issuer.unwrap();
        let config = GatewayConfig::parse(file).unwrap();
        let listed = Listed::default();
        for (service, instances) in services {
            listed.list(service, instances);
        }
        let upstreams = Upstreams::new(&config.services, &listed, BalanceSettings::default());
        let keys = KeySet::start(KeySource::file(issuer.jwks()), KeySetSettings::default());
        keys.ready().await;
        let tokens = TokenVerifier::new(keys, "issuer", "folio");
        let signing = SigningKey::in_folder(&folder.path().join("gateway")).unwrap();
        let limits = Limits::new(LimitsConfig {
            per_address: config.per_address.clone(),
            per_principal: config.per_principal.clone(),
            keys_max: LimitsConfig::KEYS_MAX,
            shared,
        });
        let bounds = config.bounds;
        let records = folder.path().join("access.log");
        let access_log = AccessLog::start(LogFile::open(&records).unwrap()).unwrap();
        let gateway = Gateway::new(
            config,
            upstreams.unwrap(),
            Authenticator::new(tokens, None),
            IdentitySigner::new(signing),
            limits.unwrap(),
            Some(access_log.clone()),
        );
        let gateway = gateway.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve(listener, gateway.clone(), bounds, stopped));
        Self {
            address,
            gateway,
            listed,
            issuer,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop: Some(stop),
            serving,
            access_log,
            folder,
        }
    }

    /// What is on record of its requests.
    fn records(&self) -> Vec<AccessRecord<'static>> {
        self.access_log.write_out();
        let text = std::fs::read_to_string(self.folder.path().join("access.log")).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn token(&self, scopes: &[&str]) -> String {
        let scopes = scopes.iter().map(|scope| scope.parse().unwrap());
        let lifetime = Duration::from_secs(60);
        let issued = self
            .issuer
            .issue(&"alice".parse().unwrap(), &scopes.collect(), lifetime);
        issued.unwrap()
    }

    fn reader(&self) -> String {
        self.token(&["ledger:read"])
    }

    fn writer(&self) -> String {
        self.token(&["ledger:write"])
    }

    fn request(&self, method: &str, path: &str, token: &str) -> reqwest::RequestBuilder {
        let method = method.parse::<reqwest::Method>().unwrap();
        let url = format!("http://{}{path}", self.address);
        self.client.request(method, url).bearer_auth(token)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request("GET", path, &self.reader())).await
    }

    async fn debit(&self, key: &str) -> (u16, Value) {
        let path = "/v1/books/a/accounts/alice/debits";
        let request = self.request("POST", path, &self.writer());
        answer(
            request
                .header("idempotency-key", key)
                .json(&json!({"amount": "1.00"})),
        )
        .await
    }

    /// Writes bytes, and answers everything that comes back until nothing more does.
    async fn raw(&self, sent: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // It may be closed on while it is still being written to.
        let _ = stream.write_all(sent).await;
        all_of(&mut stream).await
    }

    /// A request that is well-formed but for what is replaced in it.
    async fn raw_get(&self, path: &str, lines: &str) -> String {
        let token = self.reader();
        let request =
            format!("GET {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\n{lines}\r\n");
        self.raw(request.as_bytes()).await
    }

    async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        let serving = timeout(PATIENCE, &mut self.serving).await;
        serving.unwrap().unwrap().unwrap();
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = timeout(PATIENCE, request.send()).await.unwrap().unwrap();
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Everything until it is closed, or nothing more comes.
async fn all_of(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut buffer = vec![0; 65_536];
    let mut patience = PATIENCE;
    while let Ok(Ok(read)) = timeout(patience, stream.read(&mut buffer)).await {
        if read == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..read]);
        patience = QUIET;
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

impl Listed {
    fn list(&self, service: &str, instances: &[(&str, SocketAddr)]) {
        let service: ServiceName = service.parse().unwrap();
        let instances = instances.iter().map(|(id, address)| Instance {
            service: service.clone(),
            id: id.parse().unwrap(),
            incarnation: Incarnation::new(1),
            address: *address,
            status: Status::Serving,
        });
        let snapshot = Snapshot {
            revision: Revision::new(1),
            instances: instances.collect(),
        };
        let mut all = self.0.lock().unwrap();
        let source = all
            .entry(service)
            .or_insert_with(|| WatchSource::new(Snapshot::default()));
        source.confirm(snapshot);
    }
}

#[async_trait]
impl Discovery for Listed {
    async fn register(&self, instance: NewInstance) -> Result<Registration, RegisterError> {
        StaticList::default().register(instance).await
    }

    fn watch(&self, service: &ServiceName) -> Watch {
        let mut all = self.0.lock().unwrap();
        let source = all
            .entry(service.clone())
            .or_insert_with(|| WatchSource::new(Snapshot::default()));
        source.watch()
    }
}

impl Behind {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let taken: Arc<AtomicUsize> = Arc::default();
        let counted = Arc::clone(&taken);
        let large = get(async move || large(counted));
        let router = Router::new()
            .route(LARGE, large)
            .fallback(said)
            .with_state(Arc::clone(&asked));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            taken,
            asked,
            serving,
        }
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// 64 MiB, a piece at a time.
fn large(taken: Arc<AtomicUsize>) -> Body {
    let pieces = (0..1_024).map(move |_| {
        taken.fetch_add(65_536, Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from_static(&[b'a'; 65_536]))
    });
    Body::from_stream(futures_util::stream::iter(pieces))
}

/// Notes the request, and says it; what is a stream, after a while.
async fn said(State(asked): State<Arc<Mutex<Vec<Value>>>>, request: Request) -> String {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), Value::String(value))
    });
    let said = json!({
        "method": head.method.as_str(),
        "path": head.uri.to_string(),
        "headers": headers.collect::<serde_json::Map<_, _>>(),
        "body": String::from_utf8_lossy(&body),
    });
    asked.lock().unwrap().push(said.clone());
    if head.uri.path() == "/v1/stream" {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    said.to_string()
}
