//! Transfers between two books, end to end, beside a client that sends the same commands and keeps no record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use folio_core::saga::SagaEvent;
use folio_core::{BatchSize, EventStore, Position};
use folio_postgres::PostgresStore;
use ledger_example::http::outside::OutsideSettings;
use ledger_example::rails::{RailsService, prepare_rails};
use ledger_example::transfer::service::{Asked, TransfersDatabases, TransfersService};
use ledger_example::transfer::{TransferAnswer, TransferOrder};
use ledger_example::{AccountsDatabases, AccountsService, BookName, Connections, http};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::measure::{median, run, runs};
use crate::next;
use crate::report::Report;

/// Accounts of each book; a caller takes turns with them.
const ACCOUNTS: usize = 64;

/// Two books, the rails and the transfers service, each at a port of this process.
struct Services {
    books: [(BookName, String); 2],
    rails: String,
    transfers: String,
    client: Client,
    /// They run as long as these are there.
    _running: (Vec<AccountsService>, RailsService, TransfersService),
}

/// One caller, and 64.
pub(crate) async fn transfers(server: &tokio_postgres::Config, report: &mut Report) {
    let (services, logs) = Services::start(server).await;
    let services = Arc::new(services);
    for callers in [1, 64] {
        let (mut by_hand, mut ours) = (Vec::new(), Vec::new());
        let after = logs.head().await.unwrap();
        for _ in 0..runs() {
            let client = Arc::clone(&services);
            by_hand.push(
                run(callers, move |caller| {
                    let services = Arc::clone(&client);
                    async move { services.by_hand(caller).await }
                })
                .await,
            );
            let client = Arc::clone(&services);
            ours.push(
                run(callers, move |caller| {
                    let services = Arc::clone(&client);
                    async move { services.ordered(caller).await }
                })
                .await,
            );
        }
        let what = format!("transfers between books, {callers} callers (raw: without a record)");
        report.line(&what, &median(by_hand), &median(ours), None);
        report.note(&where_time_goes(&logs, after).await);
    }
}

impl Services {
    async fn start(server: &tokio_postgres::Config) -> (Self, PostgresStore) {
        let client = Client::builder().no_proxy().build().unwrap();
        let (mut books, mut accounts) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let book: BookName = format!("bench_{}", next()).parse().unwrap();
            let databases = AccountsDatabases::prepare(server, &book).await.unwrap();
            let service = AccountsService::start(&databases, Connections::default(), None, None);
            let service = service.await.unwrap();
            let url = serve(http::accounts_router(service.ledger())).await;
            accounts.push(service);
            books.push((book, url));
        }
        let database = prepare_rails(server, &format!("bench_rails_{}", next())).await;
        let outside = RailsService::start(&database.unwrap(), None).await.unwrap();
        let rails = serve(http::rails_router(outside.rails())).await;
        let name = format!("bench_transfers_{}", next());
        let databases = TransfersDatabases::prepare(server, &name).await.unwrap();
        let asked = Asked {
            books: books
                .iter()
                .map(|(book, url)| (book.clone(), url.into()))
                .collect(),
            rails: (&rails).into(),
        };
        let settings = OutsideSettings::default();
        let service = TransfersService::start(&databases, &asked, settings, None, None).await;
        let service = service.unwrap();
        let transfers = serve(http::transfers_router(service.transfers())).await;
        let services = Self {
            books: books.try_into().unwrap(),
            rails,
            transfers,
            client,
            _running: (accounts, outside, service),
        };
        for (_, url) in &services.books {
            for account in 0..ACCOUNTS {
                let id = format!("c{account}");
                let open = json!({"id": id, "currency": "EUR", "overdraft": {"kind": "unlimited"}});
                services.post(url, "/v1/accounts", &id, &open).await;
            }
        }
        let logs = PostgresStore::open(&databases.logs, 2).await.unwrap();
        (services, logs)
    }

    async fn post(&self, url: &str, path: &str, key: &str, body: &Value) {
        let request = self.client.post(format!("{url}{path}")).json(body);
        let request = request.header("Idempotency-Key", key);
        let answer = request.header("Prefer", "wait=25").send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.unwrap();
    }

    /// A transfer as it is ordered. Answered when it has ended.
    async fn ordered(&self, caller: usize) -> u64 {
        let id = format!("t{}", next());
        let account = format!("c{}", caller % ACCOUNTS);
        let place = |book: &BookName| json!({"book": book.as_str(), "account_id": account});
        let body = json!({"id": id, "from": place(&self.books[0].0), "to": place(&self.books[1].0),
            "amount": "1.00", "currency": "EUR"});
        self.post(&self.transfers, "/v1/transfers", &id, &body)
            .await;
        1
    }

    /// The commands of a transfer, one after the other. Whoever dies in between knows nothing of it any more.
    async fn by_hand(&self, caller: usize) -> u64 {
        let id = format!("h{}", next());
        let account = format!("c{}", caller % ACCOUNTS);
        let [(a, first), (b, second)] = &self.books;
        let hold = |name: &str, side: &str| {
            json!({"id": format!("{id}.{name}"), "account_id": account,
            "side": side, "amount": "1.00", "currency": "EUR", "expires_in_seconds": 3_600})
        };
        let capture =
            |peer: &BookName| json!({"counter_account_id": format!("contra.clearing-{peer}.EUR")});
        let screening = json!({"id": id, "payer": account, "payee": account, "amount": "1.00", "currency": "EUR"});
        let (held, expected) = (
            format!("/v1/holds/{id}.hold"),
            format!("/v1/holds/{id}.expected"),
        );
        self.post(first, "/v1/holds", &id, &hold("hold", "debit"))
            .await;
        self.post(&self.rails, "/v1/fraud/screenings", &id, &screening)
            .await;
        self.post(second, "/v1/holds", &id, &hold("expected", "credit"))
            .await;
        self.post(first, &format!("{held}/capture"), &id, &capture(b))
            .await;
        self.post(second, &format!("{expected}/capture"), &id, &capture(a))
            .await;
        1
    }
}

async fn serve(router: http::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(http::serve(listener, router, std::future::pending()));
    url
}

/// Between which events of their logs transfers have spent their time, on average: a step from when it is on record as
/// asked to when it is as done has a call and the append of that, and the rest is appends.
async fn where_time_goes(logs: &PostgresStore, mut after: Position) -> String {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let mut spent: BTreeMap<String, i64> = BTreeMap::new();
    let mut transfers = 0_i64;
    loop {
        let page = logs.read_all(after, BatchSize::default()).await.unwrap();
        let Some(end) = page.last() else {
            break;
        };
        after = end.position;
        for event in &page {
            let at = event.recorded_at.micros();
            let since = last.insert(event.stream.id().to_owned(), at).unwrap_or(at);
            for logged in event
                .decode::<SagaEvent<TransferOrder, TransferAnswer>>()
                .unwrap()
            {
                if logged == SagaEvent::SagaCompleted {
                    transfers += 1;
                }
                let what = if let SagaEvent::StepDone { step, .. } = logged {
                    step
                } else {
                    "appends".to_owned()
                };
                *spent.entry(what).or_default() += at - since;
            }
        }
    }
    let each =
        |micros: i64| Duration::from_micros(u64::try_from(micros / transfers.max(1)).unwrap());
    let spent: Vec<String> = spent
        .iter()
        .map(|(what, micros)| format!("{what} {:.2}", each(*micros).as_secs_f64() * 1_000.0))
        .collect();
    format!("  of {transfers} transfers, ms each: {}", spent.join(", "))
}
