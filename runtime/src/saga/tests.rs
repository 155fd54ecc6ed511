//! Drivers that die anywhere, and several of them at one saga.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use folio_core::saga::{SagaDefinition, Step};
use folio_core::{BatchSize, InMemoryStore, StreamId};
use tokio::sync::Notify;

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Transfer;

static DEFINITION: LazyLock<SagaDefinition> = LazyLock::new(|| {
    let steps = vec![
        Step::compensatable("hold", "release"),
        Step::question("screen"),
        Step::pivot("capture"),
        Step::retriable("credit"),
    ];
    SagaDefinition::new(1, Duration::from_secs(60), steps).unwrap()
});

impl Saga for Transfer {
    const CATEGORY: &'static str = "transfer";
    const NEWEST: u32 = 1;
    type Order = i64;
    type Answer = String;

    fn definition(version: u32) -> Option<&'static SagaDefinition> {
        (version == 1).then_some(&*DEFINITION)
    }
}

/// Money in accounts, and what was asked under which id.
#[derive(Default)]
struct Bank {
    known: Mutex<BTreeMap<String, Heard<String>>>,
    held: AtomicI64,
    paid: AtomicI64,
    calls: AtomicUsize,
    /// At this call whoever drives dies, after what was asked was done.
    dies_at: Option<usize>,
    dies: Notify,
    declines: bool,
}

impl Bank {
    async fn answers(&self, heard: Heard<String>) -> Said<String> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.dies_at == Some(call) {
            self.dies.notify_one();
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        heard.into()
    }

    fn once(&self, call: &StepCall<'_, Transfer>) -> Heard<String> {
        let mut known = self.known.lock().unwrap();
        if let Some(answer) = known.get(&call.id.to_string()) {
            return answer.clone();
        }
        let amount = call.saga.order;
        let heard = match call.step {
            "screen" if self.declines => Heard::Refused {
                code: "declined".to_owned(),
            },
            "hold" => {
                self.held.fetch_add(amount, Ordering::SeqCst);
                Heard::Done("held".to_owned())
            }
            "capture" => {
                self.held.fetch_sub(amount, Ordering::SeqCst);
                Heard::Done("captured".to_owned())
            }
            "credit" => {
                // What was captured is known here.
                assert_eq!(call.saga.answer("capture").unwrap(), "captured");
                self.paid.fetch_add(amount, Ordering::SeqCst);
                Heard::Done("credited".to_owned())
            }
            _ => Heard::Done("fine".to_owned()),
        };
        known.insert(call.id.to_string(), heard.clone());
        heard
    }
}

impl Participants<Transfer> for Arc<Bank> {
    async fn ask(&self, call: StepCall<'_, Transfer>) -> Said<String> {
        let heard = self.once(&call);
        self.answers(heard).await
    }

    async fn undo(&self, call: StepCall<'_, Transfer>) -> Said<String> {
        {
            let mut known = self.known.lock().unwrap();
            let undone = known.insert(call.id.to_string(), Heard::Undone).is_some();
            let held = StepId {
                step: "hold",
                ..call.id
            };
            let code = "released".to_owned();
            let was = known.insert(held.to_string(), Heard::Refused { code });
            if !undone && matches!(was, Some(Heard::Done(_))) {
                self.held.fetch_sub(call.saga.order, Ordering::SeqCst);
            }
        }
        self.answers(Heard::Undone).await
    }
}

/// Goes on by a second each time somebody looks.
#[derive(Default)]
struct Ticking(AtomicI64);

impl SagaClock for Arc<Ticking> {
    async fn now(&self) -> Result<Timestamp, ReadError> {
        let ticks = self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Timestamp::from_micros(ticks * 1_000))
    }
}

type Driver = SagaDriver<Transfer, Arc<InMemoryStore>, Arc<Bank>, Arc<Ticking>>;

fn driver(store: &Arc<InMemoryStore>, bank: &Arc<Bank>) -> Driver {
    let executor = Executor::new(Arc::clone(store));
    let clock = Arc::new(Ticking::default());
    SagaDriver::new(executor, Arc::clone(bank), clock, Actor::anonymous())
}

fn money(bank: &Bank) -> (i64, i64) {
    let of = |counter: &AtomicI64| counter.load(Ordering::SeqCst);
    (of(&bank.held), of(&bank.paid))
}

async fn log_of(store: &InMemoryStore) -> Vec<String> {
    let stream = StreamId::new("transfer", "t").unwrap();
    let events = store.read_stream(&stream, Version::NONE, BatchSize::default());
    let events = events.await.unwrap();
    events
        .iter()
        .map(|event| event.event_type.to_string())
        .collect()
}

/// Wherever whoever drives it dies, the next one brings it to the same end.
#[tokio::test]
async fn a_saga_is_driven_on_after_each_death_of_its_driver() {
    for declines in [false, true] {
        let calls = if declines { 3 } else { 4 };
        for dies_at in 0..calls {
            let store = Arc::new(InMemoryStore::default());
            let bank = Arc::new(Bank {
                dies_at: Some(dies_at),
                declines,
                ..Bank::default()
            });
            let first = driver(&store, &bank);
            first.begin("t", 100).await.unwrap();
            tokio::select! {
                ended = first.drive("t") => panic!("{ended:?}"),
                () = bank.dies.notified() => {}
            }
            let second = driver(&store, &bank);
            let end = if declines {
                SagaEnd::Undone
            } else {
                SagaEnd::Completed
            };
            assert_eq!(second.drive("t").await.unwrap(), Driven::Ended(end));
            let expected = if declines { (0, 0) } else { (0, 100) };
            assert_eq!(money(&bank), expected, "died at call {dies_at}");
        }
    }
}

#[tokio::test]
async fn drivers_of_one_saga_do_each_step_once() {
    let (store, bank) = (
        Arc::new(InMemoryStore::default()),
        Arc::new(Bank::default()),
    );
    let drivers = [(); 4].map(|()| driver(&store, &bank));
    drivers[0].begin("t", 100).await.unwrap();
    let [a, b, c, d] = &drivers;
    let ended = tokio::join!(a.drive("t"), b.drive("t"), c.drive("t"), d.drive("t"));
    for driven in [ended.0, ended.1, ended.2, ended.3] {
        assert_eq!(driven.unwrap(), Driven::Ended(SagaEnd::Completed));
    }
    assert_eq!(money(&bank), (0, 100));
    let log = log_of(&store).await;
    let once = |what: &str, times| {
        let found = log.iter().filter(|event| *event == what).count();
        assert_eq!(found, times, "{log:?}");
    };
    for (what, times) in [
        ("SagaBegun", 1),
        ("StepAsked", 4),
        ("StepDone", 4),
        ("SagaCompleted", 1),
    ] {
        once(what, times);
    }
}

#[tokio::test]
async fn a_saga_is_begun_once_and_cancelled_before_its_pivot() {
    let (store, bank) = (
        Arc::new(InMemoryStore::default()),
        Arc::new(Bank::default()),
    );
    let driver = driver(&store, &bank);
    let ann = Actor::new("ann").unwrap();
    let none = driver.drive("t").await.unwrap_err();
    assert!(
        matches!(none, SagaError::Refused(SagaRefusal::NotBegun)),
        "{none:?}"
    );
    driver.begin("t", 100).await.unwrap();
    driver.begin("t", 100).await.unwrap();
    let other = driver.begin("t", 200).await.unwrap_err();
    assert!(
        matches!(other, SagaError::Refused(SagaRefusal::OtherOrder)),
        "{other:?}"
    );
    driver.cancel("t", &ann, "a mistake").await.unwrap();
    let driven = driver.drive("t").await.unwrap();
    assert_eq!(driven, Driven::Ended(SagaEnd::Undone));
    assert_eq!(money(&bank), (0, 0));
    let late = driver.cancel("t", &ann, "again").await.unwrap_err();
    assert!(
        matches!(late, SagaError::Refused(SagaRefusal::Ended)),
        "{late:?}"
    );
    assert_eq!(
        log_of(&store).await,
        ["SagaBegun", "UndoingBegun", "SagaUndone"]
    );
}
