//! Folio's circuit breaker beside three others: what a call costs behind it, and what each does in cases that
//! matter. `cargo run --release --manifest-path tests/outside/breakers/Cargo.toml`

use std::future::{pending, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use failsafe::{CircuitBreaker as _, backoff, failure_policy};
use folio_core::breaker::{BreakerSettings, CallOutcome, Latest, Phase};
use folio_mesh::{BreakerLayer, CircuitBreaker};
use recloser::{AsyncRecloser, Recloser};
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, CircuitState};

const CALLS: u32 = 2_000_000;
const RUNS: usize = 5;
const MS: Duration = Duration::from_millis(1);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    costs().await;
    outage_after_successes().await;
    late_success().await;
    hung_calls().await;
    half_open_flood().await;
}

fn ours(settings: BreakerSettings) -> CircuitBreaker {
    CircuitBreaker::new("compared", settings).unwrap()
}

/// Opens after three in a row, for 25 to 50 ms.
fn three_in_a_row() -> BreakerSettings {
    BreakerSettings {
        failed: None,
        slow: None,
        consecutive_failures: Some(3),
        slow_after: MS,
        open_first: 50 * MS,
        ..BreakerSettings::default()
    }
}

fn resilience() -> tower_resilience_circuitbreaker::CircuitBreakerConfigBuilder<
    tower_resilience_circuitbreaker::DefaultClassifier,
> {
    CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(100)
        .minimum_number_of_calls(100)
        .wait_duration_in_open(Duration::from_secs(60))
}

/// The best of a few runs, in ns a call: what else the machine does only adds to it.
fn best(mut run: impl FnMut()) -> u128 {
    (0..RUNS)
        .map(|_| {
            let began = Instant::now();
            run();
            began.elapsed().as_nanos() / u128::from(CALLS)
        })
        .min()
        .unwrap_or_default()
}

/// Polls a service that answers at once.
fn call<S: Service<()>>(service: &mut S) {
    use std::pin::pin;
    use std::task::{Context, Waker};
    let mut task = Context::from_waker(Waker::noop());
    let _ = black_box(service.poll_ready(&mut task));
    let _ = black_box(pin!(service.call(())).poll(&mut task));
}

async fn costs() {
    println!("ns a call that answers at once, best of {RUNS} runs of {CALLS}:");
    let answers = || service_fn(|()| ready(Ok::<(), &str>(())));
    let many = |service: &mut dyn FnMut()| {
        for _ in 0..CALLS {
            service();
        }
    };
    let mut bare = answers();
    let bare = best(|| many(&mut || call(&mut bare)));
    println!("  no breaker                     {bare:>6}");

    let settings = BreakerSettings::default();
    let breaker = ours(settings);
    let mut service = BreakerLayer::new(breaker.clone()).layer(answers());
    let closed = best(|| many(&mut || call(&mut service)));
    let allocated = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            call(&mut service);
        }
    });
    let by_count = BreakerSettings {
        latest: Latest::Calls(100),
        ..settings
    };
    let mut counting = BreakerLayer::new(ours(by_count)).layer(answers());
    let counted = best(|| many(&mut || call(&mut counting)));
    let open = ours(BreakerSettings {
        open_first: Duration::from_secs(3_600),
        open_max: Duration::from_secs(3_600),
        ..three_in_a_row()
    });
    for _ in 0..3 {
        open.ask().unwrap().record(CallOutcome::Failure);
    }
    let mut service = BreakerLayer::new(open).layer(answers());
    let refused = best(|| many(&mut || call(&mut service)));
    let allocated_refused = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            call(&mut service);
        }
    });
    println!(
        "  Folio, closed                  {closed:>6}   (latest 100 calls: {counted}; {} allocations in 1,000 calls)",
        allocated.count_total
    );
    println!(
        "  Folio, open                    {refused:>6}   ({} allocations)",
        allocated_refused.count_total
    );

    let layer = resilience().build().unwrap();
    let mut service = layer.layer(answers());
    let closed = best(|| many(&mut || call(&mut service)));
    println!("  tower-resilience 0.13, closed  {closed:>6}");

    let breaker = failsafe::Config::new()
        .failure_policy(failure_policy::consecutive_failures(
            3,
            backoff::constant(Duration::from_secs(3_600)),
        ))
        .build();
    let closed = best(|| {
        for _ in 0..CALLS {
            let _ = black_box(breaker.call(|| Ok::<(), &str>(())));
        }
    });
    for _ in 0..3 {
        let _ = breaker.call(|| Err::<(), &str>("down"));
    }
    let refused = best(|| {
        for _ in 0..CALLS {
            let _ = black_box(breaker.call(|| Ok::<(), &str>(())));
        }
    });
    println!("  failsafe 1.3, closed, a closure {closed:>5}   (open: {refused})");

    let breaker = Recloser::custom().closed_len(100).build();
    let closed = best(|| {
        for _ in 0..CALLS {
            let _ = black_box(breaker.call(|| Ok::<(), &str>(())));
        }
    });
    println!("  recloser 1.4, closed, a closure {closed:>5}");
}

async fn outage_after_successes() {
    println!("\nfailures until it opens, after so many successes (half of the latest 100 calls):");
    for healthy in [0, 100, 1_000, 10_000] {
        let breaker = ours(BreakerSettings {
            latest: Latest::Calls(100),
            calls_min: 100,
            slow: None,
            consecutive_failures: None,
            ..BreakerSettings::default()
        });
        for _ in 0..healthy {
            breaker.ask().unwrap().record(CallOutcome::Success);
        }
        let mut folio = 0;
        while breaker.phase() == Phase::Closed {
            breaker.ask().unwrap().record(CallOutcome::Failure);
            folio += 1;
        }
        let layer = resilience().build().unwrap();
        let mut service = layer.layer(service_fn(|ok: bool| {
            ready(if ok { Ok::<(), &str>(()) } else { Err("down") })
        }));
        for _ in 0..healthy {
            let _ = service.ready().await.unwrap().call(true).await;
        }
        let mut resilience = 0;
        while service.state_sync() == CircuitState::Closed {
            let _ = service.ready().await.unwrap().call(false).await;
            resilience += 1;
        }
        let breaker = Recloser::custom().error_rate(0.5).closed_len(100).build();
        for _ in 0..healthy {
            let _ = breaker.call(|| Ok::<(), &str>(()));
        }
        let mut recloser = 0;
        while !matches!(
            breaker.call(|| Err::<(), &str>("down")),
            Err(recloser::Error::Rejected)
        ) {
            recloser += 1;
        }
        println!(
            "  {healthy:>6}   Folio {folio}   tower-resilience {resilience}   recloser {recloser}"
        );
    }
}

/// A call that was let through before it opened succeeds while a probe is under way.
async fn late_success() {
    let answers = |ms: u64, ok: bool| async move {
        sleep(ms as u32 * MS).await;
        if ok { Ok::<(), &str>(()) } else { Err("down") }
    };
    let breaker = ours(three_in_a_row());
    let layer = BreakerLayer::new(breaker.clone());
    let service = layer.layer(service_fn(move |(ms, ok)| answers(ms, ok)));
    let early = tokio::spawn(service.clone().oneshot((150, true)));
    sleep(5 * MS).await;
    for _ in 0..3 {
        let _ = service.clone().oneshot((0, false)).await;
    }
    sleep(60 * MS).await;
    let probe = tokio::spawn(service.oneshot((500, false)));
    early.await.unwrap().unwrap();
    println!("\na success of before it opened arrives while a probe is under way; then it is");
    println!("  Folio              {:?}", breaker.phase());
    let _ = probe.await;

    let layer = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(2)
        .minimum_number_of_calls(2)
        .wait_duration_in_open(50 * MS)
        .permitted_calls_in_half_open(1)
        .build()
        .unwrap();
    let service = layer.layer(service_fn(move |(ms, ok)| answers(ms, ok)));
    let (mut first, mut second) = (service.clone(), service.clone());
    let early = tokio::spawn(async move { first.ready().await.unwrap().call((150, true)).await });
    sleep(5 * MS).await;
    for _ in 0..2 {
        let mut failing = service.clone();
        let _ = failing.ready().await.unwrap().call((0, false)).await;
    }
    sleep(60 * MS).await;
    let probe = tokio::spawn(async move { second.ready().await.unwrap().call((500, false)).await });
    let _ = early.await;
    println!("  tower-resilience   {:?}", service.state_sync());
    let _ = probe.await;
}

/// Twenty calls that hang, each cut by a timeout that is outside of the breaker; three in a row open it.
async fn hung_calls() {
    println!("\nafter 20 calls that hang and are cut from outside it is");
    let breaker = ours(three_in_a_row());
    let service =
        BreakerLayer::new(breaker.clone()).layer(service_fn(|()| pending::<Result<(), &str>>()));
    for _ in 0..20 {
        let _ = timeout(2 * MS, service.clone().oneshot(())).await;
        if breaker.phase() == Phase::Open {
            break;
        }
    }
    println!("  Folio              {:?}", breaker.phase());

    let layer = CircuitBreakerLayer::builder()
        .consecutive_failures(3)
        .build()
        .unwrap();
    let service = layer.layer(service_fn(|()| pending::<Result<(), &str>>()));
    for _ in 0..20 {
        let mut service = service.clone();
        let _ = timeout(2 * MS, async {
            service.ready().await.unwrap().call(()).await
        })
        .await;
    }
    println!("  tower-resilience   {:?}", service.state_sync());

    let policy = failure_policy::consecutive_failures(3, backoff::constant(50 * MS));
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    for _ in 0..20 {
        let hangs =
            failsafe::futures::CircuitBreaker::call(&breaker, pending::<Result<(), &str>>());
        let _ = timeout(2 * MS, hangs).await;
    }
    let state = if breaker.is_call_permitted() {
        "Closed"
    } else {
        "Open"
    };
    println!("  failsafe           {state}");
}

/// Fifty callers when its time is over: how many reach what is called.
async fn half_open_flood() {
    println!("\nof 50 callers when its time is over, so many reach what is called:");
    let reached = Arc::new(AtomicU32::new(0));
    let failing = |reached: &Arc<AtomicU32>| {
        let reached = Arc::clone(reached);
        async move {
            reached.fetch_add(1, Ordering::SeqCst);
            sleep(20 * MS).await;
            Err::<(), &str>("down")
        }
    };
    let breaker = ours(three_in_a_row());
    for _ in 0..3 {
        breaker.ask().unwrap().record(CallOutcome::Failure);
    }
    sleep(60 * MS).await;
    let callers = (0..50).map(|_| {
        let (breaker, call) = (breaker.clone(), failing(&reached));
        tokio::spawn(async move {
            if let Ok(permit) = breaker.ask() {
                let _ = call.await;
                permit.record(CallOutcome::Failure);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    println!("  Folio              {}", reached.swap(0, Ordering::SeqCst));

    let policy = failure_policy::consecutive_failures(3, backoff::constant(50 * MS));
    let breaker = Arc::new(failsafe::Config::new().failure_policy(policy).build());
    for _ in 0..3 {
        let _ =
            failsafe::futures::CircuitBreaker::call(&*breaker, ready(Err::<(), _>("down"))).await;
    }
    sleep(60 * MS).await;
    let callers = (0..50).map(|_| {
        let (breaker, call) = (Arc::clone(&breaker), failing(&reached));
        tokio::spawn(async move {
            let _ = failsafe::futures::CircuitBreaker::call(&*breaker, call).await;
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    println!("  failsafe           {}", reached.swap(0, Ordering::SeqCst));

    let breaker = Recloser::custom()
        .error_rate(0.5)
        .closed_len(4)
        .half_open_len(2)
        .open_wait(50 * MS)
        .build();
    let breaker = Arc::new(AsyncRecloser::from(breaker));
    for _ in 0..6 {
        let _ = breaker.call(ready(Err::<(), _>("down"))).await;
    }
    sleep(60 * MS).await;
    let callers = (0..50).map(|_| {
        let (breaker, call) = (Arc::clone(&breaker), failing(&reached));
        tokio::spawn(async move {
            let _ = breaker.call(call).await;
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    println!("  recloser           {}", reached.swap(0, Ordering::SeqCst));
}
