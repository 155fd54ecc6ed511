//! Transfers as those meet them who order them over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use folio_core::breaker::BreakerSettings;
use folio_tests::api::{Answer, Api, Reads, answer};
use folio_tests::postgres;
use ledger_example::http;
use ledger_example::http::outside::OutsideSettings;
use ledger_example::transfer::service::{Asked, TransfersDatabases, TransfersService};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::rails::Outside;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Two books, the outside, the transfers service, and what reconciles all of them, in this process: `alice` with 1,000.00
/// EUR in the first book, `bob` and `bill` (USD) without anything in the second.
pub(crate) struct Orders {
    pub(crate) a: Api,
    pub(crate) b: Api,
    pub(crate) outside: Outside,
    pub(crate) reads: Reads,
    pub(crate) databases: TransfersDatabases,
    service: TransfersService,
    url: String,
    client: Client,
}

impl Orders {
    pub(crate) async fn start() -> Self {
        let (a, b) = (Api::start().await, Api::start().await);
        let outside = Outside::start().await;
        let name = postgres::unique("transfers");
        let databases = TransfersDatabases::prepare(&postgres::server().await, &name).await;
        let databases = databases.unwrap();
        let books = [&a, &b].map(|api| (api.databases.book.clone(), (&api.url).into()));
        let asked = Asked {
            books: books.into(),
            rails: (&outside.url).into(),
        };
        let settings = OutsideSettings {
            each: Duration::from_secs(1),
            tries: 0,
            // What is kept from a service that fails on purpose is asked again soon.
            breaker: BreakerSettings {
                open_first: Duration::from_millis(100),
                open_max: Duration::from_millis(400),
                ..BreakerSettings::default()
            },
            ..OutsideSettings::default()
        };
        let service = TransfersService::start(&databases, &asked, settings, None, None).await;
        let service = service.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = http::transfers_router(service.transfers());
        tokio::spawn(http::serve(listener, router, std::future::pending()));
        let reads = Reads::reconciling(&[&a, &b], Some(url.clone())).await;
        a.open("alice", "none").await;
        let paid_in = a.posting("alice", "credits", "1000.00").await;
        assert_eq!(paid_in.status, 201);
        b.open("bob", "none").await;
        let dollars = json!({"id": "bill", "currency": "USD"});
        assert_eq!(b.post("/v1/accounts", &dollars).await.status, 201);
        Self {
            a,
            b,
            outside,
            reads,
            databases,
            service,
            url,
            client: Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Posts to the transfers service, and waits for what is ordered.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_waiting(path, body, "wait=20").await
    }

    pub(crate) async fn post_waiting(&self, path: &str, body: &Value, wait: &str) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url));
        answer(request.header("Prefer", wait).json(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.url))).await
    }

    fn transfer(&self, id: &str, to: &str, amount: &str) -> Value {
        let [a, b] = [&self.a, &self.b].map(|api| api.databases.book.as_str());
        json!({"id": id, "from": {"book": a, "account_id": "alice"},
            "to": {"book": b, "account_id": to}, "amount": amount, "currency": "EUR"})
    }

    /// Waits until a transfer is in a state.
    async fn is(&self, id: &str, field: &str, state: &str) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let transfer = self.get(&format!("/v1/transfers/{id}")).await;
            if transfer.body[field] == state {
                return transfer;
            }
            assert!(Instant::now() < deadline, "{transfer:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A balance, when the models have all that there is.
    pub(crate) async fn balance(&self, account: &str) -> String {
        assert!(self.reads.caught_up(PATIENCE).await);
        let balance = self
            .reads
            .get(&format!("/v1/accounts/{account}/balance"))
            .await;
        balance.text("balance")
    }

    /// All balances in a currency.
    pub(crate) async fn balances(&self, currency: &str) -> BTreeMap<String, String> {
        assert!(self.reads.caught_up(PATIENCE).await);
        let mut balances = BTreeMap::new();
        let mut path = "/v1/accounts?limit=1000".to_owned();
        loop {
            let page = self.reads.get(&path).await;
            for account in page.body["accounts"].as_array().unwrap() {
                if account["currency"] == currency {
                    let text = |field: &str| account[field].as_str().unwrap().to_owned();
                    balances.insert(text("id"), text("balance"));
                }
            }
            match page.body["next_cursor"].as_str() {
                Some(cursor) => path = format!("/v1/accounts?limit=1000&cursor={cursor}"),
                None => return balances,
            }
        }
    }

    /// What is on its way, at a cut; whatever that is, all books together are as they must be.
    pub(crate) async fn in_transit(&self) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.reads.get("/v1/in-transit").await;
            if told.status == 200 {
                assert_eq!(told.body["holds"], true, "{:#}", told.body);
                return told;
            }
            assert!(Instant::now() < deadline, "{told:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is on its way any more, and no saga under way.
    pub(crate) async fn in_transit_is_settled(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.in_transit().await;
            let is_settled = told.body["under_way"] == 0
                && told.body["on_the_way_count"] == 0
                && told.body["settled"] != 0
                && told.body["waiting"] == json!([]);
            if is_settled {
                return;
            }
            assert!(Instant::now() < deadline, "{:#}", told.body);
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.service.stop().await;
        self.reads.stop().await;
        self.a.stop().await;
        self.b.stop().await;
    }
}

/// Ordered, waited for, looked at, cancelled; and driven on by timers alone.
#[tokio::test]
async fn transfers_are_ordered_looked_at_and_cancelled() {
    let system = Orders::start().await;
    let order = system.transfer("t1", "bob", "100.00");
    let done = system.post("/v1/transfers", &order).await;
    assert_eq!(
        (done.status, &done.body["state"], &done.body["money_is"]),
        (200, &json!("completed"), &json!("destination")),
        "{done:?}"
    );
    let again = system.post("/v1/transfers", &order).await;
    assert_eq!((again.status, &again.body), (200, &done.body));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut order = system.transfer("t2", "bob", "1.00");
        change(&mut order);
        order
    };
    for (order, status, code) in [
        (
            system.transfer("t1", "bob", "100.01"),
            409,
            "transfer_exists",
        ),
        (
            with(&|order| order["to"]["book"] = order["from"]["book"].clone()),
            422,
            "same_book",
        ),
        (
            with(&|order| order["to"]["book"] = json!("Z")),
            422,
            "invalid_book",
        ),
        (
            with(&|order| order["amount"] = json!("0.00")),
            422,
            "zero_amount",
        ),
        (
            with(&|order| order["id"] = json!("x".repeat(60))),
            422,
            "invalid_transfer_id",
        ),
    ] {
        let refused = system.post("/v1/transfers", &order).await;
        assert_eq!(
            (refused.status, &*refused.code()),
            (status, code),
            "{refused:?}"
        );
    }
    let mistake = json!({"reason": "a mistake"});
    let unknown = system.get("/v1/transfers/t2").await;
    assert_eq!(unknown.code(), "transfer_not_found");
    for (id, code) in [("t2", "transfer_not_found"), ("t1", "transfer_ended")] {
        let refused = system
            .post(&format!("/v1/transfers/{id}/cancel"), &mistake)
            .await;
        assert_eq!(refused.code(), code);
    }

    // One that waits for the screen is cancelled, and gives the money back; another is driven on when that is back.
    system
        .outside
        .fails("fraud", json!({"kind": "error"}), 1_000)
        .await;
    for id in ["t3", "t4"] {
        let order = system.transfer(id, "bob", "50.00");
        let under_way = system.post_waiting("/v1/transfers", &order, "wait=0").await;
        assert_eq!(under_way.status, 202, "{under_way:?}");
    }
    system.is("t3", "money_is", "held").await;
    let cancelled = system.post("/v1/transfers/t3/cancel", &mistake).await;
    assert_eq!(cancelled.status, 200);
    system.outside.works("fraud").await;
    let undone = system.is("t3", "state", "undone").await;
    let expected = json!({"because": "cancelled", "actor": "anonymous", "reason": "a mistake"});
    assert_eq!(undone.body["turned"], expected);
    system.is("t4", "state", "completed").await;
    assert_eq!(system.balance("alice").await, "850.00");
    assert_eq!(system.balance("bob").await, "150.00");
    system.in_transit_is_settled().await;
    let told = system.in_transit().await;
    assert_eq!(told.body["settled"], 3, "{:#}", told.body);
    system.stop().await;
}

/// The money is exchanged in the first book's entry, so what is on its way is in the currency in which it arrives.
#[tokio::test]
async fn a_transfer_into_another_currency_is_exchanged_at_a_quote() {
    let system = Orders::start().await;
    let mut order = system.transfer("t1", "bill", "100.00");
    order["to_currency"] = json!("USD");
    let done = system.post("/v1/transfers", &order).await;
    assert_eq!(done.text("state"), "completed", "{done:?}");
    let arriving = &done.body["arriving"];
    assert_eq!(
        (
            &arriving["amount"],
            &arriving["currency"],
            &arriving["rate"]
        ),
        (&json!("108.14"), &json!("USD"), &json!("1.08149"))
    );
    for (account, balance) in [
        ("alice", "900.00"),
        ("bill", "108.14"),
        ("contra.exchange.EUR", "-100.00"),
        ("contra.exchange.USD", "108.14"),
    ] {
        assert_eq!(system.balance(account).await, balance, "{account}");
    }
    let entry = system.reads.get("/v1/journal-entries/t1.captured").await;
    assert_eq!(entry.body["legs"].as_array().unwrap().len(), 4);
    assert_eq!(entry.body["exchange"]["market_rate"], "1.0842", "{entry:?}");
    system.in_transit_is_settled().await;

    // There and back makes no money: the spread is lost twice.
    let back = system.post("/v1/transfers/t1/reverse", &json!({})).await;
    assert_eq!(back.text("state"), "completed", "{back:?}");
    assert_eq!(
        (back.text("reverses"), back.text("amount")),
        ("t1".to_owned(), "108.14".to_owned())
    );
    let returned = back.body["arriving"]["amount"].as_str().unwrap();
    assert_eq!(returned, "99.49", "{back:?}");
    assert_eq!(system.balance("bill").await, "0.00");
    assert_eq!(system.balance("alice").await, "999.49");
    let mut nowhere = system.transfer("t2", "bob", "1.00");
    nowhere["to_currency"] = json!("KWD");
    let refused = system.post("/v1/transfers", &nowhere).await;
    assert_eq!(refused.body["turned"]["code"], "no_market", "{refused:?}");
    system.in_transit_is_settled().await;
    system.stop().await;
}

/// What was carried out is taken back once, by a transfer that names it.
#[tokio::test]
async fn a_transfer_is_taken_back_once() {
    let system = Orders::start().await;
    let order = system.transfer("t1", "bob", "100.00");
    assert_eq!(system.post("/v1/transfers", &order).await.status, 200);
    // Bob has spent it: then it cannot be, and can when he has it again.
    let spent = system.b.posting("bob", "debits", "100.00").await;
    assert_eq!(spent.status, 201);
    let refused = system.post("/v1/transfers/t1/reverse", &json!({})).await;
    assert_eq!(refused.text("state"), "undone", "{refused:?}");
    assert_eq!(refused.body["turned"]["code"], "insufficient_funds");
    assert_eq!(
        system.b.posting("bob", "credits", "100.00").await.status,
        201
    );
    for _ in 0..2 {
        let back = system.post("/v1/transfers/t1/reverse", &json!({})).await;
        assert_eq!(
            (back.text("id"), back.text("state"), back.text("reverses")),
            (
                "t1-back2".to_owned(),
                "completed".to_owned(),
                "t1".to_owned()
            ),
            "{back:?}"
        );
    }
    let of_a_reversal = system
        .post("/v1/transfers/t1-back2/reverse", &json!({}))
        .await;
    assert_eq!(of_a_reversal.code(), "not_reversible");
    let of_an_undone = system
        .post("/v1/transfers/t1-back/reverse", &json!({}))
        .await;
    assert_eq!(of_an_undone.code(), "not_reversible");
    assert_eq!(system.balance("alice").await, "1000.00");
    assert_eq!(system.balance("bob").await, "0.00");
    system.in_transit_is_settled().await;
    system.stop().await;
}

/// After the pivot the destination refuses what it must not: the transfer is stuck, and whoever lists it sees since when,
/// at which step, how often it was tried and where the money is. It is told to try again with a reason when that is mended.
#[tokio::test]
async fn a_transfer_that_is_stuck_is_listed_until_somebody_has_mended_what_it_is_stuck_at() {
    let system = Orders::start().await;
    // Both books are asked for what is expected, and then the second one goes away.
    let closed = system
        .b
        .post("/v1/periods/9999-12-31/close", &Value::Null)
        .await;
    assert_eq!(closed.status, 200, "{closed:?}");
    let order = system.transfer("t1", "bob", "100.00");
    let under_way = system.post_waiting("/v1/transfers", &order, "wait=1").await;
    assert_eq!(under_way.status, 202, "{under_way:?}");
    let deadline = Instant::now() + PATIENCE;
    let item = loop {
        let stuck = system.get("/v1/transfers?state=stuck").await;
        if let Some(item) = stuck.body["items"].get(0) {
            break item.clone();
        }
        assert!(Instant::now() < deadline, "{stuck:?}");
        // Nobody waits for minutes here.
        let hurry = json!({"reason": "hurry"});
        let told = system.post("/v1/transfers/t1/retry", &hurry).await;
        assert_eq!(told.status, 200, "{told:?}");
    };
    assert_eq!(
        (
            &item["id"],
            &item["step"],
            &item["money_is"],
            &item["state"]
        ),
        (
            &json!("t1"),
            &json!("credit"),
            &json!("clearing"),
            &json!("under_way")
        )
    );
    assert!(item["tries"].as_u64().unwrap() >= 8, "{item}");
    assert_eq!(item["failure"], "period_closed");
    assert!(item["stuck_since"].is_string() && item["age_seconds"].is_number());
    let transit = system.in_transit().await;
    assert_eq!(transit.body["on_the_way"], json!(["t1"]));
    assert_eq!(transit.body["currencies"][0]["clearing"], "100.00");
    let late = system
        .post("/v1/transfers/t1/cancel", &json!({"reason": "late"}))
        .await;
    assert_eq!(late.code(), "past_pivot");
    for (query, status) in [("open", 200), ("under_way", 200), ("lost", 422)] {
        let listed = system.get(&format!("/v1/transfers?state={query}")).await;
        assert_eq!(listed.status, status, "{listed:?}");
    }
    let closed = system.get("/v1/transfers?state=completed").await;
    assert_eq!(closed.body["items"], json!([]));
    system.stop().await;
}
