//! Transfers between two books: all of it or none, whatever fails.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use folio_core::saga::{Heard, SagaEnd, SagaEvent, SagaLog, Turned};
use folio_core::{
    Actor, Amount, BatchSize, Currency, EventStore, ReadError, StreamId, Timestamp, Version,
};
use folio_postgres::PostgresStore;
use folio_projections::StoreSource;
use folio_runtime::{Driven, Executor, Participants, SagaClock, SagaDriver, Said, StepCall};
use folio_tests::api::{Api, Reads, answer};
use folio_tests::postgres;
use ledger_example::http::PositionToken;
use ledger_example::http::outside::OutsideSettings;
use ledger_example::http::participants::{Books, TransferParticipants};
use ledger_example::transfer::{Place, Transfer, TransferAnswer, TransferOrder};
use ledger_example::transit::{Followed, Owner, reconcile};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::rails::Outside;
use crate::kill::free_address;

const PATIENCE: Duration = Duration::from_secs(60);

/// The clock of the store that the sagas' logs are in.
struct StoreTime(Arc<PostgresStore>);

impl SagaClock for StoreTime {
    async fn now(&self) -> Result<Timestamp, ReadError> {
        self.0.clock().await
    }
}

type Log = Vec<SagaEvent<TransferOrder, TransferAnswer>>;
type Driver = SagaDriver<Transfer, Arc<PostgresStore>, TransferParticipants, StoreTime>;

struct System {
    a: Api,
    b: Api,
    outside: Outside,
    store: Arc<PostgresStore>,
    driver: Driver,
}

impl System {
    /// Two books: `alice` with 1,000.00 in the first, `bob` without anything in the second.
    async fn start() -> Self {
        Self::on(Api::start().await, Api::start().await).await
    }

    async fn on(a: Api, b: Api) -> Self {
        let outside = Outside::start().await;
        let store = Arc::new(postgres::store().await);
        let settings = OutsideSettings {
            each: Duration::from_secs(2),
            backoff: Duration::from_millis(20),
            ..OutsideSettings::default()
        };
        let rails = outside.client(|_| {});
        let books = [&a, &b].map(|api| (api.databases.book.clone(), api.url.clone()));
        let participants = TransferParticipants::new(Books::new(&books, settings).unwrap(), rails);
        let executor = Executor::new(Arc::clone(&store));
        let clock = StoreTime(Arc::clone(&store));
        let driver = SagaDriver::new(executor, participants, clock, Actor::anonymous());
        a.open("alice", "none").await;
        let paid_in = a.posting("alice", "credits", "1000.00").await;
        assert_eq!(paid_in.status, 201);
        b.open("bob", "none").await;
        Self {
            a,
            b,
            outside,
            store,
            driver,
        }
    }

    fn order(&self, to: &str, amount: &str) -> TransferOrder {
        let place = |api: &Api, account: &str| Place {
            book: api.databases.book.clone(),
            account: account.parse().unwrap(),
        };
        TransferOrder {
            from: place(&self.a, "alice"),
            to: place(&self.b, to),
            amount: Amount::parse(amount, Currency::from_code("EUR").unwrap()).unwrap(),
            into: None,
            reverses: None,
        }
    }

    async fn ends(&self, id: &str) -> SagaEnd {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.driver.drive(id).await {
                Ok(Driven::Ended(end)) => return end,
                Ok(Driven::Waits(_)) => sleep(Duration::from_millis(20)).await,
                Ok(Driven::Foreign) => panic!("{id} is foreign"),
                Err(error) => panic!("{id}: {error:?}"),
            }
            assert!(Instant::now() < deadline, "{id}: {:?}", self.log(id).await);
        }
    }

    async fn transfers(&self, id: &str, order: TransferOrder) -> SagaEnd {
        self.driver.begin(id, order).await.unwrap();
        self.ends(id).await
    }

    async fn log(&self, id: &str) -> Log {
        log_of(&self.store, id).await
    }

    async fn turned(&self, id: &str) -> Option<Turned> {
        let saga: SagaLog<Transfer> = self.driver.look(id).await.unwrap().unwrap();
        saga.turned
    }

    /// What alice has and may spend, what bob has, and what is on its way, in both books together.
    async fn money(&self) -> [String; 4] {
        let reads = Reads::over(&[&self.a, &self.b]).await;
        assert!(reads.caught_up(PATIENCE).await);
        let alice = reads.get("/v1/accounts/alice/balance").await;
        let bob = reads.get("/v1/accounts/bob/balance").await;
        let accounts = reads.get("/v1/trial-balance/accounts?limit=1000").await;
        let eur = Currency::from_code("EUR").unwrap();
        let mut clearing = folio_core::Money::zero(eur);
        for account in accounts.body["accounts"].as_array().unwrap() {
            if account["account_id"]
                .as_str()
                .unwrap()
                .starts_with("contra.clearing-")
            {
                let net = account["net"].as_str().unwrap();
                let net = folio_core::Money::parse(net, eur).unwrap();
                clearing = clearing.checked_add(net).unwrap();
            }
        }
        let all = reads.get("/v1/trial-balance").await;
        assert_eq!(all.body["currencies"][0]["net"], "0.00", "{all:?}");
        reads.stop().await;
        [
            alice.text("balance"),
            alice.text("available"),
            bob.text("balance"),
            clearing.amount_text(),
        ]
    }

    async fn stop(self) {
        self.a.stop().await;
        self.b.stop().await;
    }
}

async fn log_of(store: &PostgresStore, id: &str) -> Log {
    let stream = StreamId::new("transfer", id).unwrap();
    let size = BatchSize::default();
    let events = store.read_stream(&stream, Version::NONE, size).await;
    let events = events.unwrap();
    let decoded = events.iter().flat_map(|event| event.decode().unwrap());
    decoded.collect()
}

#[tokio::test]
async fn a_transfer_goes_from_book_to_book_by_way_of_clearing() {
    let system = System::start().await;
    let order = system.order("bob", "250.00");
    assert_eq!(
        system.transfers("t1", order.clone()).await,
        SagaEnd::Completed
    );
    assert_eq!(system.money().await, ["750.00", "750.00", "250.00", "0.00"]);
    // In each book a leg has its name.
    for (api, entry, clearing, side) in [
        (&system.a, "t1.captured", &system.b, "credit"),
        (&system.b, "t1.credited", &system.a, "debit"),
    ] {
        let entry = api.get(&format!("/v1/journal-entries/{entry}")).await;
        let name = format!("contra.clearing-{}.EUR", clearing.databases.book);
        let leg = json!({"account_id": name, "side": side, "amount": "250.00", "currency": "EUR"});
        let legs: &Vec<Value> = entry.body["legs"].as_array().unwrap();
        assert!(legs.contains(&leg), "{entry:?}");
    }
    // Ordered again it is the same one.
    assert_eq!(system.transfers("t1", order).await, SagaEnd::Completed);
    assert_eq!(system.money().await, ["750.00", "750.00", "250.00", "0.00"]);
    system.stop().await;
}

#[tokio::test]
async fn a_transfer_that_is_refused_anywhere_leaves_nothing_behind() {
    let system = System::start().await;
    system.b.open("blocked-bob", "none").await;
    system.b.open("closed-bob", "none").await;
    let closed = system
        .b
        .post("/v1/accounts/closed-bob/close", &Value::Null)
        .await;
    assert_eq!(closed.status, 200, "{closed:?}");
    for (id, to, amount, step, code) in [
        ("t1", "bob", "1000.01", "hold", "insufficient_funds"),
        ("t2", "blocked-bob", "10.00", "screen", "fraud_suspected"),
        ("t3", "closed-bob", "10.00", "expect", "account_closed"),
        ("t4", "nobody", "10.00", "expect", "account_not_found"),
    ] {
        let order = system.order(to, amount);
        assert_eq!(system.transfers(id, order).await, SagaEnd::Undone, "{id}");
        let turned = Turned::Refused {
            step: step.to_owned(),
            code: code.to_owned(),
        };
        assert_eq!(system.turned(id).await, Some(turned), "{id}");
    }
    assert_eq!(system.money().await, ["1000.00", "1000.00", "0.00", "0.00"]);
    system.stop().await;
}

/// Whether it was declined, or nobody could be asked, is in the log.
#[tokio::test]
async fn a_transfer_waits_for_a_screen_that_is_down_and_says_so() {
    let system = System::start().await;
    system
        .outside
        .fails("fraud", json!({"kind": "refuse"}), 1_000)
        .await;
    system
        .driver
        .begin("t1", system.order("bob", "10.00"))
        .await
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let is_parked = |event: &SagaEvent<_, _>| matches!(event, SagaEvent::Parked { .. });
    while !system.log("t1").await.iter().any(is_parked) {
        assert!(Instant::now() < deadline, "{:?}", system.log("t1").await);
        let driven = system.driver.drive("t1").await.unwrap();
        assert!(matches!(driven, Driven::Waits(_)), "{driven:?}");
        sleep(Duration::from_millis(20)).await;
    }
    // The money is set aside meanwhile, and nowhere else.
    assert_eq!(system.money().await, ["1000.00", "990.00", "0.00", "0.00"]);
    system.outside.works("fraud").await;
    assert_eq!(system.ends("t1").await, SagaEnd::Completed);
    assert_eq!(system.money().await, ["990.00", "990.00", "10.00", "0.00"]);
    system.stop().await;
}

/// After the pivot the second book goes away: what is on its way has a name until it is back.
#[tokio::test]
async fn what_is_captured_is_on_its_way_until_the_other_book_is_back() {
    let address = free_address().await;
    let b = Api::at(postgres::book().await, &address).await;
    let mut system = System::on(Api::start().await, b).await;
    let order = system.order("bob", "10.00");
    system.driver.begin("t1", order).await.unwrap();
    // Up to the pivot with both books, and no further.
    let is_done = |log: Log, name: &str| {
        log.iter()
            .any(|event| matches!(event, SagaEvent::StepDone { step, .. } if step == name))
    };
    let (driver, store) = (system.driver.clone(), Arc::clone(&system.store));
    let drives = driver.clone();
    let driving = tokio::spawn(async move { drives.drive("t1").await });
    let deadline = Instant::now() + PATIENCE;
    while !is_done(system.log("t1").await, "expect") {
        assert!(Instant::now() < deadline);
    }
    driving.abort();
    let databases = system.b.stop().await;
    // What was asked by then may be done or not; it is driven on to where the other book is needed.
    while !is_done(log_of(&store, "t1").await, "capture") {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            log_of(&store, "t1").await
        );
        let _ = driver.drive("t1").await;
    }
    system.b = Api::at(databases, &address).await;
    assert_eq!(system.ends("t1").await, SagaEnd::Completed);
    assert_eq!(system.money().await, ["990.00", "990.00", "10.00", "0.00"]);
    system.stop().await;
}

/// Many at once, with drivers that are dropped in the midst and a screen that fails in all ways.
#[tokio::test]
async fn transfers_in_any_turmoil_create_and_lose_nothing() {
    const TRANSFERS: usize = 40;
    let system = System::start().await;
    let mut completed = 0_i64;
    let faults = ["refuse", "error", "error_body", "lose_answer"];
    let driving = (0..TRANSFERS).map(|number| {
        let system = &system;
        async move {
            let id = format!("t{number}");
            let order = system.order("bob", "30.00");
            system.driver.begin(&id, order).await.unwrap();
            for round in 0_u64..3 {
                // Dropped wherever it is by then, as if its process had died.
                let short =
                    Duration::from_millis(3 + 7 * round + u64::try_from(number % 11).unwrap());
                let _ = tokio::time::timeout(short, system.driver.drive(&id)).await;
            }
            if number % 5 == 0 {
                let fault = json!({"kind": faults[number / 5 % faults.len()]});
                system.outside.fails("fraud", fault, 2).await;
            }
            system.ends(&id).await
        }
    });
    for end in futures_util::future::join_all(driving).await {
        completed += i64::from(end == SagaEnd::Completed);
    }
    // There is money for 33 of them: a hold that comes too late for the last cent is refused.
    assert!((1..=33).contains(&completed), "{completed}");
    let cents = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
    let (left, paid) = (cents(100_000 - 3_000 * completed), cents(3_000 * completed));
    assert_eq!(
        system.money().await,
        [left.clone(), left, paid, "0.00".to_owned()]
    );
    for api in [&system.a, &system.b] {
        let invariants = api.get("/v1/invariants").await;
        assert_eq!(invariants.body["hold"], true, "{invariants:?}");
    }
    eprintln!("{completed} of {TRANSFERS} transfers were carried out");
    system.stop().await;
}

/// By what a book is asked to post the entry of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// The step's own, however often it is asked.
    OfTheStep,
    /// Another one each time.
    NewEachTime,
}

/// Both books, which post what they are asked for; the first answer to each step is lost.
struct Forgetful {
    ids: Ids,
    a: Client,
    b: Client,
    lost: Mutex<BTreeSet<String>>,
}

/// A book's own client.
struct Client {
    http: reqwest::Client,
    url: String,
    peer: String,
}

impl Client {
    fn of(api: &Api, peer: &Api) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: api.url.clone(),
            peer: format!("contra.clearing-{}.EUR", peer.databases.book),
        }
    }
}

impl Participants<Transfer> for Forgetful {
    async fn ask(&self, call: StepCall<'_, Transfer>) -> Said<TransferAnswer> {
        let (book, debited, credited, name) = match call.step {
            "capture" => (&self.a, "alice", self.a.peer.as_str(), "captured"),
            "credit" => (&self.b, self.b.peer.as_str(), "bob", "credited"),
            _ => return Heard::Done(TransferAnswer::SameCurrency).into(),
        };
        let (id, key) = match self.ids {
            Ids::OfTheStep => (
                format!("{}.{name}", call.id.saga),
                call.id.command().to_string(),
            ),
            Ids::NewEachTime => (Uuid::now_v7().to_string(), Uuid::now_v7().to_string()),
        };
        let leg = |account: &str, side: &str| json!({"account_id": account, "side": side, "amount": "10.00", "currency": "EUR"});
        let body = json!({"id": id, "legs": [leg(debited, "debit"), leg(credited, "credit")]});
        let cause = PositionToken::of(call.cause.store_id, call.cause.position);
        let request = book.http.post(format!("{}/v1/journal-entries", book.url));
        let request = request
            .header("Idempotency-Key", key)
            .header("Folio-Cause", cause.encode());
        let posted = answer(request.json(&body)).await;
        assert_eq!(posted.status, 201, "{posted:?}");
        if self.lost.lock().unwrap().insert(call.id.to_string()) {
            let failure = "the answer is lost".to_owned();
            return Heard::Unknown { failure }.into();
        }
        Said {
            heard: Heard::Done(TransferAnswer::Captured(id.parse().unwrap())),
            by: PositionToken::decode(posted.token()).unwrap().cause(),
        }
    }

    async fn undo(&self, _: StepCall<'_, Transfer>) -> Said<TransferAnswer> {
        Heard::Undone.into()
    }
}

/// With the steps' own ids a lost answer does nothing; without them money is made, and whoever reconciles the books finds it.
#[tokio::test]
async fn without_ids_of_steps_money_is_made_and_found() {
    for ids in [Ids::OfTheStep, Ids::NewEachTime] {
        let system = System::start().await;
        let forgetful = Forgetful {
            ids,
            a: Client::of(&system.a, &system.b),
            b: Client::of(&system.b, &system.a),
            lost: Mutex::default(),
        };
        let executor = Executor::new(Arc::clone(&system.store));
        let clock = StoreTime(Arc::clone(&system.store));
        let driver = SagaDriver::new(executor, forgetful, clock, Actor::anonymous());
        driver
            .begin("t1", system.order("bob", "10.00"))
            .await
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while driver.drive("t1").await.unwrap() != Driven::Ended(SagaEnd::Completed) {
            assert!(Instant::now() < deadline);
            sleep(Duration::from_millis(20)).await;
        }
        let mut followed = Vec::new();
        for api in [&system.a, &system.b] {
            let store = PostgresStore::open(&api.databases.accounts.events, 2).await;
            let owner = Owner::Book(api.databases.book.clone());
            let source = StoreSource::new(Arc::new(store.unwrap()));
            followed.push(Followed { owner, source });
        }
        let (owner, source) = (Owner::Sagas, StoreSource::new(Arc::clone(&system.store)));
        followed.push(Followed { owner, source });
        let report = reconcile(followed, |_, _| {}).await.unwrap();
        match ids {
            Ids::OfTheStep => assert!(report.holds(), "{report:#?}"),
            Ids::NewEachTime => {
                assert!(!report.holds() && report.found > 0, "{report:#?}");
                // Once too often out of the one, and into the other.
                let reads = Reads::over(&[&system.a, &system.b]).await;
                assert!(reads.caught_up(PATIENCE).await);
                for (account, balance) in [("alice", "980.00"), ("bob", "20.00")] {
                    let found = reads.get(&format!("/v1/accounts/{account}/balance")).await;
                    assert_eq!(found.text("balance"), balance);
                }
                reads.stop().await;
            }
        }
        system.stop().await;
    }
}
