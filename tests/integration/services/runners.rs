//! Several instances of the transfers service on the same databases, and one that finds many sagas open.

use std::sync::Arc;
use std::time::Duration;

use folio_core::breaker::BreakerSettings;
use folio_core::saga::SagaEvent;
use folio_core::{
    Actor, Amount, BatchSize, Currency, EventStore, Position, ReadError, StreamId, Timestamp,
    Version,
};
use folio_postgres::{PostgresStore, Role};
use folio_runtime::{Executor, SagaClock, SagaDriver};
use folio_tests::api::{Api, Reads, answer};
use folio_tests::{postgres, scale};
use futures_util::{StreamExt as _, stream};
use ledger_example::http;
use ledger_example::http::outside::OutsideSettings;
use ledger_example::http::participants::{Books, TransferParticipants};
use ledger_example::transfer::service::{Asked, TransfersDatabases, TransfersService};
use ledger_example::transfer::{Place, Transfer, TransferAnswer, TransferOrder};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::orders::PATIENCE;
use super::rails::Outside;

/// More than any of these tests has asked.
const FAULTS: u64 = 1_000;
/// Calls that one instance makes and whose end is not on record yet: the one that is under way.
const NOT_ON_RECORD: u64 = 1;
/// Sagas that are open at a restart, in every run.
const OPEN: usize = 500;

/// Two books and the outside, and databases for instances of the transfers service.
struct Runners {
    a: Api,
    b: Api,
    outside: Outside,
    databases: TransfersDatabases,
    logs: Arc<PostgresStore>,
}

struct StoreTime(Arc<PostgresStore>);

impl SagaClock for StoreTime {
    async fn now(&self) -> Result<Timestamp, ReadError> {
        self.0.clock().await
    }
}

impl Runners {
    /// `alice` in the first book may draw as much as she wants; `bob` is in the second.
    async fn prepare() -> Self {
        let (a, b) = (Api::start().await, Api::start().await);
        a.open("alice", "unlimited").await;
        b.open("bob", "none").await;
        let name = postgres::unique("runners");
        let databases = TransfersDatabases::prepare(&postgres::server().await, &name).await;
        let databases = databases.unwrap();
        let logs = PostgresStore::open(&databases.logs, 2).await.unwrap();
        Self {
            a,
            b,
            outside: Outside::start().await,
            databases,
            logs: Arc::new(logs),
        }
    }

    fn settings() -> OutsideSettings {
        OutsideSettings {
            each: Duration::from_secs(1),
            tries: 0,
            // It is counted how often somebody is asked, so nothing may keep that from happening.
            breaker: BreakerSettings {
                consecutive_failures: None,
                calls_min: 1_000,
                ..BreakerSettings::default()
            },
            ..OutsideSettings::default()
        }
    }

    fn asked(&self) -> Asked {
        let books = [&self.a, &self.b].map(|api| (api.databases.book.clone(), (&api.url).into()));
        Asked {
            books: books.into(),
            rails: (&self.outside.url).into(),
        }
    }

    async fn instance(&self) -> TransfersService {
        let asked = self.asked();
        let service =
            TransfersService::start(&self.databases, &asked, Self::settings(), None, None);
        service.await.unwrap()
    }

    fn order(&self) -> TransferOrder {
        let place = |api: &Api, account: &str| Place {
            book: api.databases.book.clone(),
            account: account.parse().unwrap(),
        };
        TransferOrder {
            from: place(&self.a, "alice"),
            to: place(&self.b, "bob"),
            amount: Amount::parse("1.00", Currency::from_code("EUR").unwrap()).unwrap(),
            into: None,
            reverses: None,
        }
    }

    /// Begins transfers, and does nothing of them.
    async fn begin(&self, transfers: usize) {
        let asked = self.asked();
        let books = Books::new(&asked.books, Self::settings()).unwrap();
        let participants = TransferParticipants::new(books, self.outside.client(|_| {}));
        let executor = Executor::new(Arc::clone(&self.logs));
        let clock = StoreTime(Arc::clone(&self.logs));
        let driver =
            SagaDriver::<Transfer, _, _, _>::new(executor, participants, clock, Actor::anonymous());
        stream::iter(0..transfers)
            .for_each_concurrent(64, |number| {
                let (driver, order) = (&driver, self.order());
                async move { driver.begin(&format!("t{number}"), order).await.unwrap() }
            })
            .await;
    }

    /// How often the fraud screen was asked that hangs, and how many tries of it are on record then.
    async fn asked_and_on_record(&self, id: &str) -> (u64, u64) {
        // In this order: what is asked meanwhile is not counted, and what is put on record meanwhile is.
        let left = &self.outside.faults().await["faults"]["fraud"]["requests"];
        let stream = StreamId::new("transfer", id).unwrap();
        let page = BatchSize::default();
        let events = self.logs.read_stream(&stream, Version::NONE, page).await;
        let tries = events.unwrap().iter().fold(0, |tries, event| {
            let event = event.decode::<SagaEvent<TransferOrder, TransferAnswer>>();
            let failed = |event: &_| matches!(event, SagaEvent::TryFailed { .. });
            tries + event.unwrap().into_iter().filter(failed).count()
        });
        (FAULTS - left.as_u64().unwrap(), tries as u64)
    }

    /// Two instances, a transfer, and a fraud screen that lets them wait.
    async fn two_that_ask_one_who_hangs(&self) -> [TransfersService; 2] {
        let hang: Value = json!({"kind": "hang"});
        let faults = u32::try_from(FAULTS).unwrap();
        self.outside.fails("fraud", hang, faults).await;
        self.begin(1).await;
        [self.instance().await, self.instance().await]
    }

    async fn stop(self) {
        self.a.stop().await;
        self.b.stop().await;
    }
}

/// Waits until no transfer is open. Answers how many have moved their money: of many at once, some are not begun before
/// their deadline, and are undone.
async fn have_ended(service: &TransfersService, transfers: usize) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = http::transfers_router(service.transfers());
    let serving = tokio::spawn(http::serve(listener, router, std::future::pending()));
    let client = Client::builder().no_proxy().build().unwrap();
    let listed = async |query: &str| {
        let listed = answer(client.get(format!("{url}/v1/transfers?{query}"))).await;
        listed.body
    };
    let deadline = Instant::now() + PATIENCE * u32::try_from(transfers / OPEN + 1).unwrap();
    // The last one is looked for as well: the list may not know of it yet.
    let last = format!("{url}/v1/transfers/t{}", transfers - 1);
    loop {
        let open = listed("state=open&limit=1").await;
        let last = answer(client.get(&last)).await;
        let has_ended = last.body["state"] == "completed" || last.body["state"] == "undone";
        if open["items"] == json!([]) && has_ended {
            break;
        }
        assert!(Instant::now() < deadline, "{open:?}");
        sleep(Duration::from_millis(50)).await;
    }
    let (first, mut completed) = ("state=completed&limit=1000", 0);
    let mut page = listed(first).await;
    loop {
        completed += page["items"].as_array().unwrap().len();
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        page = listed(&format!("{first}&cursor={cursor}")).await;
    }
    serving.abort();
    completed
}

/// Both look for what is due, at the same times. What the screen is asked by one, it is not asked by the other as well.
#[tokio::test]
async fn of_two_instances_one_looks_after_a_saga_until_it_is_gone() {
    let runners = Runners::prepare().await;
    let instances = runners.two_that_ask_one_who_hangs().await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (asked, tries) = runners.asked_and_on_record("t0").await;
        assert!(
            asked <= tries + NOT_ON_RECORD,
            "{asked} times in {tries} tries"
        );
        if tries >= 4 {
            break;
        }
        assert!(Instant::now() < deadline, "asked {asked} times");
        sleep(Duration::from_millis(50)).await;
    }
    // Whichever has it goes, and the other one does the rest.
    let [first, second] = instances;
    first.stop().await;
    runners.outside.works("fraud").await;
    assert_eq!(have_ended(&second, 1).await, 1);
    second.stop().await;
    runners.stop().await;
}

/// The control of the test above: claims that nobody finds keep nobody away. Nothing is harmed by that: the saga is the same.
#[tokio::test]
async fn without_claims_both_instances_ask() {
    let runners = Runners::prepare().await;
    let [first, second] = runners.two_that_ask_one_who_hangs().await;
    let timers = runners.databases.timers.connect(Role::Owner).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        timers
            .execute("DELETE FROM transfers.claims", &[])
            .await
            .unwrap();
        let (asked, tries) = runners.asked_and_on_record("t0").await;
        if asked > tries + NOT_ON_RECORD {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "asked {asked} times in {tries} tries"
        );
        sleep(Duration::from_millis(5)).await;
    }
    runners.outside.works("fraud").await;
    assert_eq!(have_ended(&second, 1).await, 1);
    first.stop().await;
    second.stop().await;
    runners.stop().await;
}

/// An instance that goes in the middle of its work leaves sagas at every step. The next one ends all of them, and each has
/// moved its money once.
#[tokio::test]
async fn sagas_that_a_restart_finds_open_end_and_none_moves_money_twice() {
    let transfers = OPEN * scale();
    let runners = Runners::prepare().await;
    runners.begin(transfers).await;
    let first = runners.instance().await;
    let some_done = Position::new(i64::try_from(transfers * 3).unwrap()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while runners.logs.head().await.unwrap() < some_done {
        assert!(Instant::now() < deadline, "nothing is done");
        sleep(Duration::from_millis(20)).await;
    }
    first.stop().await;
    let second = runners.instance().await;
    let started = Instant::now();
    let completed = have_ended(&second, transfers).await;
    eprintln!(
        "{transfers} sagas that a restart found open ended within {:.1} s, {completed} of them completed",
        started.elapsed().as_secs_f64()
    );
    assert!(completed > 0);
    let moved = format!("{completed}.00");
    let reads = Reads::over(&[&runners.a, &runners.b]).await;
    assert!(reads.caught_up(PATIENCE).await);
    let alice = reads.get("/v1/accounts/alice/balance").await;
    let bob = reads.get("/v1/accounts/bob/balance").await;
    assert_eq!(alice.text("balance"), format!("-{moved}"), "{alice:?}");
    assert_eq!(bob.text("balance"), moved, "{bob:?}");
    reads.stop().await;
    second.stop().await;
    runners.stop().await;
}
