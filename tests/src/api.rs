//! The services as their clients see them: over HTTP.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use folio_postgres::Database;
use ledger_example::balances::{BalancesConnections, BookFeed, Feeds, prepare_balances};
use ledger_example::{AccountsService, BalancesService, Connections, Seals, http};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::postgres::{self, BookDatabases};

/// The services of a book in this process, each on a port of its own: the accounts service, and a balances
/// service that is fed by it.
#[derive(Debug)]
pub struct Api {
    /// Where the accounts service listens, for example `http://127.0.0.1:40123`.
    pub url: String,
    /// Where the balances service does.
    pub reads: String,
    /// Their databases.
    pub databases: BookDatabases,
    client: Client,
    accounts: (AccountsService, Listening),
    balances: (BalancesService, Listening),
}

#[derive(Debug)]
struct Listening {
    url: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// What a request was answered with.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON or not.
    pub body: Value,
    /// The `Folio-Position` header.
    pub position: Option<String>,
    /// Whether the `Idempotent-Replayed` header was there.
    pub replayed: bool,
    /// The media type.
    pub content_type: String,
    /// How old it may be, where it was read.
    pub age_ms: Option<u64>,
}

impl Api {
    /// The services of an empty book.
    pub async fn start() -> Self {
        Self::on(postgres::book().await).await
    }

    /// The services of this book.
    pub async fn on(databases: BookDatabases) -> Self {
        Self::at(databases, "127.0.0.1:0").await
    }

    /// The services of this book, which is sealed.
    pub async fn sealed(databases: BookDatabases, seals: Seals) -> Self {
        Self::assembled(databases, "127.0.0.1:0", Some(seals)).await
    }

    /// The services of this book, the accounts service at this address.
    pub async fn at(databases: BookDatabases, address: &str) -> Self {
        Self::assembled(databases, address, None).await
    }

    async fn assembled(databases: BookDatabases, address: &str, seals: Option<Seals>) -> Self {
        let connections = Connections::default();
        let accounts = AccountsService::start(&databases.accounts, connections, None, seals)
            .await
            .expect("the accounts service starts");
        let listening = Listening::at(address, http::accounts_router(accounts.ledger())).await;
        let feed = BookFeed {
            book: databases.book.clone(),
            accounts: (&listening.url).into(),
        };
        let connections = BalancesConnections::default();
        let feeds = Feeds {
            books: vec![feed],
            transfers: None,
        };
        let balances = BalancesService::start(&databases.balances, &feeds, connections, None)
            .await
            .expect("the balances service starts");
        let router = http::balances_router(balances.shelf());
        let reading = Listening::at("127.0.0.1:0", router).await;
        Self {
            url: listening.url.clone(),
            reads: reading.url.clone(),
            databases,
            client: Client::new(),
            accounts: (accounts, listening),
            balances: (balances, reading),
        }
    }

    /// Stops them.
    pub async fn stop(self) -> BookDatabases {
        let (balances, reading) = self.balances;
        reading.stop().await;
        balances.stop().await;
        let (accounts, listening) = self.accounts;
        listening.stop().await;
        accounts.stop().await;
        self.databases
    }

    /// The service that answers a GET of `path`: what is read is read from the balances service, what is
    /// replayed and what happened is in the book itself.
    fn answers(&self, path: &str) -> &str {
        let (route, query) = path.split_once('?').unwrap_or((path, ""));
        let is_of_the_store = route.ends_with("/events")
            || route.ends_with("/holder")
            || query.starts_with("at_version=")
            || query.starts_with("at_time=");
        let is_read = ["accounts", "holds", "journal-entries", "trial-balance"]
            .iter()
            .any(|noun| route.starts_with(&format!("/v1/{noun}")));
        if is_read && !is_of_the_store {
            &self.reads
        } else {
            &self.url
        }
    }

    /// Gets `path`.
    pub async fn get(&self, path: &str) -> Answer {
        let url = self.answers(path);
        answer(self.client.get(format!("{url}{path}"))).await
    }

    /// Gets `path` from the balances service, whatever it is.
    pub async fn ask_balances(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.reads))).await
    }

    /// Posts a body under a key that no other request has.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let key = format!("unique-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.post_as(path, &key, body).await
    }

    /// Posts a body under this key.
    pub async fn post_as(&self, path: &str, key: &str, body: &Value) -> Answer {
        answer(self.request(path).header("Idempotency-Key", key).json(body)).await
    }

    /// Sends a body by another method, under a key that no other request has.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let key = format!("sent-{}", uuid::Uuid::now_v7());
        let method = method.parse().expect("a method");
        let request = self.client.request(method, format!("{}{path}", self.url));
        answer(request.header("Idempotency-Key", key).json(body)).await
    }

    /// A POST to be built further.
    pub fn request(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// Opens an account in EUR.
    pub async fn open(&self, id: &str, overdraft: &str) -> Answer {
        let body = json!({"id": id, "currency": "EUR", "overdraft": {"kind": overdraft}});
        let answer = self.post("/v1/accounts", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    }

    /// Posts to an account.
    pub async fn posting(&self, id: &str, side: &str, amount: &str) -> Answer {
        let body = json!({"amount": amount, "currency": "EUR", "contra": "cash"});
        self.post(&format!("/v1/accounts/{id}/{side}"), &body).await
    }

    /// The balance of an account, once the model has `position`.
    pub async fn balance(&self, id: &str, position: &str) -> String {
        let path = format!("/v1/accounts/{id}/balance?min_position={position}");
        let answer = self.get(&path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("balance")
    }
}

/// A balances service that reads several books, in this process.
#[derive(Debug)]
pub struct Reads {
    client: Client,
    database: Database,
    service: BalancesService,
    listening: Listening,
}

impl Reads {
    /// A service with a database of its own that reads the books of these.
    pub async fn over(books: &[&Api]) -> Self {
        Self::reconciling(books, None).await
    }

    /// As [`over`](Self::over), and reconciles them with the transfers service at this address.
    pub async fn reconciling(books: &[&Api], transfers: Option<String>) -> Self {
        let name = postgres::unique("balances");
        let database = prepare_balances(&postgres::server().await, &name).await;
        let database = database.expect("a database for balances");
        let feeds = books.iter().map(|api| BookFeed {
            book: api.databases.book.clone(),
            accounts: (&api.url).into(),
        });
        let feeds = Feeds {
            books: feeds.collect(),
            transfers: transfers.map(Into::into),
        };
        let connections = BalancesConnections::default();
        let service = BalancesService::start(&database, &feeds, connections, None)
            .await
            .expect("the balances service starts");
        let router = http::balances_router(service.shelf());
        Self {
            client: Client::new(),
            database,
            listening: Listening::at("127.0.0.1:0", router).await,
            service,
        }
    }

    /// Gets `path`.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.listening.url))).await
    }

    /// The balance of an account, once the models have `position`.
    pub async fn balance(&self, id: &str, position: &str) -> String {
        let path = format!("/v1/accounts/{id}/balance?min_position={position}");
        let answer = self.get(&path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("balance")
    }

    /// Waits until it has all that the books have by now.
    pub async fn caught_up(&self, patience: Duration) -> bool {
        self.service.shelf().caught_up(patience).await
    }

    /// Stops it.
    pub async fn stop(self) -> Database {
        self.listening.stop().await;
        self.service.stop().await;
        self.database
    }
}

impl Listening {
    async fn at(address: &str, router: http::Router) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(http::serve(listener, router, async {
            let _ = stopped.await;
        }));
        Self {
            url: format!("http://{address}"),
            stop,
            serving,
        }
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.serving.await.expect("no panic").expect("no failure");
    }
}

/// Sends a request.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response: Response = request.send().await.expect("an answer");
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().expect("a readable header").to_owned())
    };
    let status = response.status().as_u16();
    let age_ms = header("folio-age-ms").map(|age_ms| age_ms.parse().expect("milliseconds"));
    let (position, replayed, content_type) = (
        header("folio-position"),
        header("idempotent-replayed").is_some(),
        header("content-type").unwrap_or_default(),
    );
    let text = response.text().await.expect("a whole body");
    Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        position,
        replayed,
        content_type,
        age_ms,
    }
}

impl Answer {
    /// The text in a field of the body.
    pub fn text(&self, field: &str) -> String {
        match self.body.get(field) {
            Some(Value::String(text)) => text.clone(),
            other => panic!("{field} is {other:?} in {self:?}"),
        }
    }

    /// The code of a problem, with all that every problem has.
    pub fn code(&self) -> String {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        assert_eq!(
            self.body.get("status"),
            Some(&json!(self.status)),
            "{self:?}"
        );
        assert!(
            self.body.get("retryable").is_some_and(Value::is_boolean),
            "{self:?}"
        );
        let code = self.text("code");
        assert_eq!(self.text("type"), format!("urn:folio:problem:{code}"));
        for field in ["title", "detail", "correlation_id"] {
            assert!(!self.text(field).is_empty(), "{self:?}");
        }
        code
    }

    /// The position of a write.
    pub fn token(&self) -> &str {
        self.position.as_deref().expect("a Folio-Position header")
    }
}
