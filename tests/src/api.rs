//! The accounts service as its clients see it: over HTTP.

use std::sync::atomic::{AtomicU32, Ordering};

use ledger_example::{AccountsDatabases, AccountsService, Connections, http};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A service of this process, on a port of its own.
#[derive(Debug)]
pub struct Api {
    /// Where it listens, for example `http://127.0.0.1:40123`.
    pub url: String,
    /// Its databases.
    pub databases: AccountsDatabases,
    client: Client,
    service: AccountsService,
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
}

impl Api {
    /// A service on an empty book.
    pub async fn start() -> Self {
        Self::on(super::postgres::book().await).await
    }

    /// A service on this book.
    pub async fn on(databases: AccountsDatabases) -> Self {
        Self::at(databases, "127.0.0.1:0").await
    }

    /// A service on this book that listens here.
    pub async fn at(databases: AccountsDatabases, address: &str) -> Self {
        let service = AccountsService::start(&databases, Connections::default(), None)
            .await
            .expect("the service starts");
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let router = http::router(service.ledger());
        let serving = tokio::spawn(http::serve(listener, router, async {
            let _ = stopped.await;
        }));
        Self {
            url: format!("http://{address}"),
            databases,
            client: Client::new(),
            service,
            stop,
            serving,
        }
    }

    /// Stops it.
    pub async fn stop(self) -> AccountsDatabases {
        let _ = self.stop.send(());
        self.serving.await.expect("no panic").expect("no failure");
        self.service.stop().await;
        self.databases
    }

    /// Gets `path`.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.url))).await
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

/// Sends a request.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response: Response = request.send().await.expect("an answer");
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().expect("a readable header").to_owned())
    };
    let status = response.status().as_u16();
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
