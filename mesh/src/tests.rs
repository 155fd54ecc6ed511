//! The layers, in paused time.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use folio_core::breaker::{BreakerSettings, CallOutcome, Cause, Mode, Phase};
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt as _, service_fn};
use tower_layer::Layer as _;

use crate::{BreakerError, BreakerLayer, CircuitBreaker, FallbackLayer, GateLayer};

const SECOND: Duration = Duration::from_secs(1);

fn three_in_a_row() -> CircuitBreaker {
    let settings = BreakerSettings {
        failed: None,
        slow: None,
        consecutive_failures: Some(3),
        slow_after: SECOND / 10,
        open_max: SECOND,
        ..BreakerSettings::default()
    };
    CircuitBreaker::new("test", settings).unwrap()
}

async fn opened() -> CircuitBreaker {
    let breaker = three_in_a_row();
    for _ in 0..3 {
        breaker.ask().unwrap().record(CallOutcome::Failure);
    }
    breaker
}

/// The defect of breakers that count answers alone: the timeout of whoever calls is around them.
#[tokio::test(start_paused = true)]
async fn what_hangs_opens_it_wherever_the_timeout_is() {
    let breaker = three_in_a_row();
    let hangs = service_fn(|()| pending::<Result<(), &str>>());
    let service = BreakerLayer::new(breaker.clone()).layer(hangs);
    for _ in 0..3 {
        let cut = timeout(SECOND, service.clone().oneshot(())).await;
        assert!(cut.is_err());
    }
    assert_eq!(breaker.phase(), Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn callers_that_hang_up_open_nothing() {
    let breaker = three_in_a_row();
    let hangs = service_fn(|()| pending::<Result<(), &str>>());
    let service = BreakerLayer::new(breaker.clone()).layer(hangs);
    for _ in 0..1_000 {
        let left = timeout(SECOND / 1_000, service.clone().oneshot(())).await;
        assert!(left.is_err());
    }
    assert_eq!(
        (breaker.phase(), breaker.counts().calls),
        (Phase::Closed, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_at_once_send_one_probe() {
    let breaker = opened().await;
    let mut transitions = breaker.transitions();
    let reached = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&reached);
    let service = BreakerLayer::new(breaker.clone()).layer(service_fn(move |()| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            sleep(SECOND / 20).await;
            Ok::<_, &str>(())
        }
    }));
    sleep(SECOND).await;
    let callers = (0..1_000).map(|_| tokio::spawn(service.clone().oneshot(())));
    let mut refused = 0;
    for caller in callers.collect::<Vec<_>>() {
        match caller.await.unwrap() {
            Ok(()) => {}
            Err(BreakerError::Open(open)) => {
                assert!(open.retry_after.is_some());
                refused += 1;
            }
            Err(BreakerError::Inner(error)) => panic!("{error}"),
        }
    }
    assert_eq!((reached.load(Ordering::SeqCst), refused), (1, 999));
    assert_eq!(breaker.phase(), Phase::Closed);
    let told: Vec<Cause> = std::iter::from_fn(|| transitions.try_recv().ok())
        .map(|transition| transition.cause)
        .collect();
    assert_eq!(told, [Cause::TimeIsUp, Cause::ProbesSucceeded]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_or_panics_gives_its_place_back() {
    let breaker = opened().await;
    sleep(SECOND).await;
    drop(breaker.ask().unwrap());
    let probe = breaker.ask().unwrap();
    assert!(breaker.ask().is_err());
    let panics = tokio::spawn(async move {
        let _probe = probe;
        panic!("as it is told to");
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert_eq!(breaker.phase(), Phase::Open);
    sleep(SECOND).await;
    breaker.ask().unwrap().record(CallOutcome::Success);
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_fault_of_the_service_opens_nothing() {
    let breaker = three_in_a_row();
    let layer =
        BreakerLayer::new(breaker.clone()).classified_by(|answer: &Result<u16, _>| match answer {
            Ok(500..) | Err("gone") => CallOutcome::Failure,
            Ok(400..) | Err(_) => CallOutcome::Ignored,
            Ok(_) => CallOutcome::Success,
        });
    let service = layer.layer(service_fn(|status: u16| ready(Ok::<_, &str>(status))));
    for _ in 0..100 {
        assert_eq!(service.clone().oneshot(422).await, Ok(422));
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    for _ in 0..3 {
        assert_eq!(service.clone().oneshot(503).await, Ok(503));
    }
    let refused = service.oneshot(200).await;
    assert!(matches!(refused, Err(BreakerError::Open(_))));
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_ready_when_its_breaker_lets_calls_through() {
    let breaker = opened().await;
    let began = Instant::now();
    let gate =
        GateLayer::new(breaker.clone()).layer(service_fn(|()| ready(Ok::<_, Infallible>(()))));
    let mut first = gate.clone();
    first.ready().await.unwrap();
    let waited = began.elapsed();
    assert!(
        waited > SECOND / 2 && waited <= SECOND + SECOND / 100,
        "{waited:?}"
    );
    // It has the only place. Another one is ready as soon as the probe has succeeded, not when its time is
    // over.
    let mut second = gate.clone();
    let probed = async {
        sleep(SECOND / 100).await;
        first.call(()).await.unwrap();
    };
    let ((), waited) = tokio::join!(probed, async {
        let began = Instant::now();
        second.ready().await.unwrap();
        began.elapsed()
    });
    assert!(waited < SECOND / 10, "{waited:?}");

    breaker.set_mode(Mode::ForcedOpen);
    let mut third = gate.clone();
    let waits = timeout(100 * SECOND, third.ready()).await;
    assert!(waits.is_err());
    // Who holds a place of before may still call.
    second.call(()).await.unwrap();
    breaker.set_mode(Mode::Automatic);
    third.ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_is_answered_otherwise_and_a_write_never() {
    let breaker = opened().await;
    breaker.set_mode(Mode::ForcedOpen);
    let fails = service_fn(|_: &str| ready(Err::<&str, _>("no connection")));
    let service = FallbackLayer::new(
        |request: &&'static str| {
            let request = *request;
            request.starts_with("GET").then_some(async move {
                match request {
                    "GET slow" => pending().await,
                    "GET gone" => Err(BreakerError::Inner("nothing is known")),
                    _ => Ok("last known"),
                }
            })
        },
        SECOND,
    )
    .layer(BreakerLayer::new(breaker).layer(fails));
    let ask = |request: &'static str| service.clone().oneshot(request);
    assert_eq!(ask("GET").await, Ok("last known"));
    for request in ["POST", "GET gone", "GET slow"] {
        let began = Instant::now();
        let answer = ask(request).await;
        assert!(matches!(answer, Err(BreakerError::Open(_))), "{answer:?}");
        assert!(began.elapsed() <= SECOND + SECOND / 100);
    }
}
