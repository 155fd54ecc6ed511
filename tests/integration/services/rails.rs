//! The world outside, as real servers that fail in each of their ways, and the client that is made for it.

use std::time::Duration;

use folio_core::breaker::{BreakerSettings, Phase};
use folio_core::{Aggregate, Amount, BatchSize, Currency, EventStore, Filter, Position};
use folio_mesh::Deadline;
use folio_postgres::{Database, PostgresStore};
use folio_tests::postgres;
use ledger_example::account::BoundedText;
use ledger_example::http;
use ledger_example::http::outside::{OutsideError, OutsideSettings};
use ledger_example::http::rails::client::RailsClient;
use ledger_example::rails::{
    Decision, Direction, Payment, PaymentOrder, PaymentState, RailsService, RequestId,
    ScreeningRequest, prepare_rails,
};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// What a try may take here: long for what answers, short for what never does.
const EACH: Duration = Duration::from_millis(400);

pub(crate) struct Outside {
    pub(crate) url: String,
    pub(crate) database: Database,
    http: Client,
}

impl Outside {
    pub(crate) async fn start() -> Self {
        let name = postgres::unique("rails");
        let database = prepare_rails(&postgres::server().await, &name).await;
        Self::on(database.unwrap()).await
    }

    /// It ends with the test's runtime, as if it were killed.
    async fn on(database: Database) -> Self {
        let service = RailsService::start(&database, None).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = http::rails_router(service.rails());
        tokio::spawn(http::serve(listener, router, std::future::pending()));
        Self {
            url,
            database,
            http: Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) fn client(&self, change: impl FnOnce(&mut OutsideSettings)) -> RailsClient {
        let mut settings = OutsideSettings {
            each: EACH,
            backoff: Duration::from_millis(5),
            breaker: BreakerSettings {
                consecutive_failures: Some(6),
                ..BreakerSettings::default()
            },
            ..OutsideSettings::default()
        };
        change(&mut settings);
        RailsClient::new(&self.url, settings).unwrap()
    }

    pub(crate) async fn works(&self, outsider: &str) {
        let url = format!("{}/v1/faults/{outsider}", self.url);
        self.http.delete(url).send().await.unwrap();
    }

    /// How many payments the network has accepted.
    pub(crate) async fn payments(&self) -> u64 {
        let store = PostgresStore::open(&self.database, 2).await.unwrap();
        let filter = Filter::category(Payment::CATEGORY);
        let (mut after, mut accepted) = (Position::START, 0);
        loop {
            let page = store.read_filtered(&filter, after, BatchSize::default());
            let page = page.await.unwrap();
            let events = page.events.iter();
            accepted += events
                .filter(|event| &*event.event_type == "PaymentAccepted")
                .count() as u64;
            if page.through <= after {
                return accepted;
            }
            after = page.through;
        }
    }

    pub(crate) async fn faults(&self) -> Value {
        let answer = self.http.get(format!("{}/v1/faults", self.url)).send();
        answer.await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn fails(&self, outsider: &str, fault: Value, requests: u32) {
        let body = json!({"fault": fault, "requests": requests});
        let url = format!("{}/v1/faults/{outsider}", self.url);
        let set = self.http.put(url).json(&body).send().await.unwrap();
        assert_eq!(set.status(), 200, "{fault}");
    }
}

fn id(text: &str) -> RequestId {
    text.parse().unwrap()
}

fn text(text: &str) -> BoundedText<64> {
    BoundedText::try_from(text.to_owned()).unwrap()
}

fn eur(amount: &str) -> Amount {
    Amount::parse(amount, Currency::from_code("EUR").unwrap()).unwrap()
}

fn order(payee: &str, amount: &str) -> PaymentOrder {
    PaymentOrder {
        direction: Direction::Out,
        payee: text(payee),
        amount: eur(amount),
    }
}

fn screening(payee: &str) -> ScreeningRequest {
    ScreeningRequest {
        payer: text("alice"),
        payee: text(payee),
        amount: eur("5.00"),
    }
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(20))
}

#[tokio::test]
async fn the_outside_decides_and_says_the_same_again() {
    let outside = Outside::start().await;
    let client = outside.client(|_| {});
    for (payee, decision) in [
        ("bob", Decision::Accept),
        ("blocked-bob", Decision::Decline),
    ] {
        for _ in 0..2 {
            let screened = client.screen(&id(payee), &screening(payee), soon()).await;
            assert_eq!(screened.unwrap(), decision, "{payee}");
        }
    }
    let usd = Currency::from_code("USD").unwrap();
    let first = client
        .quote(&id("q"), eur("100.00"), usd, soon())
        .await
        .unwrap();
    assert_eq!(first.bought.amount_text(), "108.14");
    let again = client
        .quote(&id("q"), eur("100.00"), usd, soon())
        .await
        .unwrap();
    assert_eq!(again, first, "it stands by what it has said, until then");
    for (reference, payee, state) in [
        ("p1", "bob", PaymentState::Accepted),
        ("p2", "closed-bob", PaymentState::Declined),
    ] {
        let paid = client
            .submit(&id(reference), &order(payee, "5.00"), soon())
            .await;
        assert_eq!(paid.unwrap(), state);
    }
    // For something else under a reference that was used: refused for good, and no failure of the outside.
    for _ in 0..10 {
        let other = client
            .submit(&id("p1"), &order("bob", "6.00"), soon())
            .await;
        let refused = other.unwrap_err();
        assert!(
            matches!(&refused, OutsideError::Refused { status: 422, code, .. } if code == "request_id_reused"),
            "{refused:?}"
        );
    }
    assert_eq!(client.payment(&id("never"), soon()).await.unwrap(), None);
    for breaker in client.breakers() {
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    // Another process on the same database knows it all.
    let outside = Outside::on(outside.database).await;
    let client = outside.client(|_| {});
    let paid = client.payment(&id("p1"), soon()).await.unwrap();
    assert_eq!(paid, Some(PaymentState::Accepted));
}

/// However one request fails, the next one under the same reference finds out what became of it, and the payment
/// is made once.
#[tokio::test]
async fn a_request_that_fails_in_any_way_is_sent_again_and_done_once() {
    let outside = Outside::start().await;
    let client = outside.client(|_| {});
    for (number, fault) in [
        json!({"kind": "delay", "ms": 20}),
        json!({"kind": "hang"}),
        json!({"kind": "refuse"}),
        json!({"kind": "error"}),
        json!({"kind": "error_body"}),
        json!({"kind": "late", "ms": 1_000}),
        json!({"kind": "lose_answer"}),
    ]
    .into_iter()
    .enumerate()
    {
        outside.fails("payments", fault.clone(), 1).await;
        let reference = id(&format!("p{number}"));
        let paid = client
            .submit(&reference, &order("bob", "5.00"), soon())
            .await;
        assert_eq!(paid.unwrap(), PaymentState::Accepted, "{fault}");
    }
    // Seven payments: an event each, whatever was sent how often.
    let store = folio_postgres::PostgresStore::open(&outside.database, 1)
        .await
        .unwrap();
    let head = folio_core::EventStore::head(&store).await.unwrap();
    assert_eq!(head.number(), 7);
}

#[tokio::test]
async fn what_was_accepted_may_come_back() {
    let outside = Outside::start().await;
    let client = outside.client(|_| {});
    outside
        .fails("payments", json!({"kind": "accept_then_deny"}), 1)
        .await;
    let paid = client.submit(&id("p"), &order("bob", "5.00"), soon()).await;
    assert_eq!(paid.unwrap(), PaymentState::Accepted);
    let later = client.payment(&id("p"), soon()).await.unwrap();
    assert_eq!(later, Some(PaymentState::Returned));
}

/// One that does not work is not asked any more, and whoever wants to is told at once and when to come back. The
/// others are not concerned.
#[tokio::test]
async fn what_is_down_is_left_alone_and_takes_nobody_with_it() {
    let outside = Outside::start().await;
    for fault in ["refuse", "error", "error_body"] {
        let client = outside.client(|_| {});
        outside.fails("fraud", json!({"kind": fault}), 1_000).await;
        let [fraud, ..] = client.breakers();
        for number in 0..2 {
            let screened = client
                .screen(&id(&format!("{fault}{number}")), &screening("bob"), soon())
                .await;
            let unknown = screened.unwrap_err();
            assert!(
                matches!(unknown, OutsideError::Unknown { .. }),
                "{unknown:?}"
            );
        }
        // Two requests, sent three times each.
        assert_eq!(fraud.phase(), Phase::Open, "{fault}");
        let refused = client.screen(&id("x"), &screening("bob"), soon()).await;
        let OutsideError::Open { name, retry_after } = refused.unwrap_err() else {
            panic!("it was asked");
        };
        assert_eq!(name, "fraud");
        assert!(retry_after > Some(Duration::ZERO));
        let usd = Currency::from_code("USD").unwrap();
        let quoted = client.quote(&id(fault), eur("1.00"), usd, soon()).await;
        assert!(quoted.is_ok(), "{quoted:?}");

        // When it works again that is found out, by one that is let through.
        outside.works("fraud").await;
        let deadline = Instant::now() + Duration::from_secs(30);
        while client
            .screen(&id("y"), &screening("bob"), soon())
            .await
            .is_err()
        {
            assert!(Instant::now() < deadline, "it is not asked again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(fraud.phase(), Phase::Closed);
    }
}

#[tokio::test]
async fn calls_that_hang_fill_their_own_places_and_end_with_their_deadline() {
    let outside = Outside::start().await;
    let client = outside.client(|settings| {
        settings.at_once = 2;
        settings.each = Duration::from_secs(10);
    });
    outside.fails("fraud", json!({"kind": "hang"}), 1_000).await;
    let hanging = |number: u32| {
        let client = client.clone();
        tokio::spawn(async move {
            let short = Deadline::within(Duration::from_millis(1_500));
            let id = id(&format!("h{number}"));
            client.screen(&id, &screening("bob"), short).await
        })
    };
    let began = Instant::now();
    let calls = [hanging(1), hanging(2)];
    // Both have come in, by what the fault is still for.
    let deadline = Instant::now() + Duration::from_secs(1);
    while outside.faults().await["faults"]["fraud"]["requests"] != 998 {
        assert!(Instant::now() < deadline, "they are not under way");
    }
    let third = client.screen(&id("third"), &screening("bob"), soon()).await;
    let full = third.unwrap_err();
    assert!(matches!(full, OutsideError::Full { .. }), "{full:?}");
    let usd = Currency::from_code("USD").unwrap();
    assert!(
        client
            .quote(&id("q"), eur("1.00"), usd, soon())
            .await
            .is_ok()
    );
    for call in calls {
        let unknown = call.await.unwrap().unwrap_err();
        assert!(
            matches!(unknown, OutsideError::Unknown { .. }),
            "{unknown:?}"
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "longer than its deadline"
    );
}

#[tokio::test]
async fn faults_are_set_seen_and_cleared() {
    let outside = Outside::start().await;
    outside
        .fails("fx", json!({"kind": "late", "ms": 5}), 3)
        .await;
    let set = json!({"faults": {"fx": {"fault": {"kind": "late", "ms": 5}, "requests": 3}}});
    assert_eq!(outside.faults().await, set);
    for (outsider, body) in [
        ("weather", json!({"fault": {"kind": "hang"}, "requests": 1})),
        ("fx", json!({"fault": {"kind": "sulk"}, "requests": 1})),
        (
            "fx",
            json!({"fault": {"kind": "delay", "ms": 600_001}, "requests": 1}),
        ),
        ("fx", json!({"fault": {"kind": "hang"}})),
    ] {
        let url = format!("{}/v1/faults/{outsider}", outside.url);
        let refused = outside.http.put(url).json(&body).send().await.unwrap();
        assert_eq!(refused.status(), 422, "{outsider} {body}");
    }
    assert_eq!(
        outside.faults().await,
        set,
        "what is refused changes nothing"
    );
    outside.works("fx").await;
    assert_eq!(outside.faults().await, json!({"faults": {}}));
}
