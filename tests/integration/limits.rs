//! One limit that several gateways keep together, over a real database.

use std::sync::Arc;
use std::time::Duration;

use folio_tests::postgres;
use futures_util::future::join_all;
use gateway_example::limits::{
    LimitPolicy, Limits, LimitsConfig, LimitsDatabase, OnUnavailable, SqlBuckets,
};
use tokio::time::{Instant, sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const GATEWAYS: usize = 3;
const CALLERS: usize = 64;

/// When a request that was admitted had been sent, and when it was answered.
type Admitted = (Instant, Instant);

async fn database() -> LimitsDatabase {
    let name = postgres::unique("limits");
    LimitsDatabase::prepare(&postgres::server().await, &name)
        .await
        .unwrap()
}

fn limits(database: &LimitsDatabase, policy: &LimitPolicy) -> Arc<Limits> {
    let limits = Limits::new(LimitsConfig {
        per_address: LimitPolicy::new("address", 1, Duration::from_secs(1), 1).unwrap(),
        per_principal: policy.clone(),
        keys_max: LimitsConfig::KEYS_MAX,
        shared: Some(database.clone()),
    });
    Arc::new(limits.unwrap())
}

fn statements(gateways: &[Arc<Limits>]) -> u64 {
    let of = |limits: &Arc<Limits>| limits.shared().unwrap().statements();
    gateways.iter().map(of).sum()
}

/// Asks for one principal by all gateways as fast as it goes, for so long. Answers with what was admitted.
async fn hammer(gateways: &[Arc<Limits>], time: Duration) -> Vec<Admitted> {
    let until = Instant::now() + time;
    let callers = (0..CALLERS).map(|number| {
        let limits = Arc::clone(&gateways[number % gateways.len()]);
        tokio::spawn(async move {
            let mut admitted = Vec::new();
            loop {
                let sent = Instant::now();
                if sent >= until {
                    return admitted;
                }
                match limits.check_principal("alice", OnUnavailable::Closed).await {
                    Ok(_) => admitted.push((sent, Instant::now())),
                    Err(limited) => {
                        assert_eq!(limited.code(), "rate_limited");
                        sleep(Duration::from_millis(2)).await;
                    }
                }
            }
        })
    });
    let admitted = join_all(callers).await.into_iter().map(Result::unwrap);
    admitted.flatten().collect()
}

/// The most that were sent and answered within one window, whenever it begins.
fn most_within(mut admitted: Vec<Admitted>, window: Duration) -> usize {
    admitted.sort_unstable();
    let since = |(number, (begin, _)): (usize, &Admitted)| {
        let end = *begin + window;
        let within = admitted[number..]
            .iter()
            .filter(|(_, answered)| *answered <= end);
        within.count()
    };
    admitted
        .iter()
        .enumerate()
        .map(since)
        .max()
        .unwrap_or_default()
}

fn most(policy: &LimitPolicy, time: Duration) -> f64 {
    let (quota, burst) = (policy.quota().get(), policy.burst().get());
    f64::from(burst) + f64::from(quota) * time.as_secs_f64() / policy.window().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_together_admit_no_more_than_one_limit_and_little_less() {
    let window = Duration::from_secs(2);
    let policy = LimitPolicy::new("large", 2_000, window, 800).unwrap();
    let database = database().await;
    let gateways: Vec<_> = (0..GATEWAYS).map(|_| limits(&database, &policy)).collect();
    let began = Instant::now();
    let admitted = hammer(&gateways, Duration::from_secs(5)).await;
    let time = began.elapsed();

    let all = u32::try_from(admitted.len()).unwrap();
    let statements = statements(&gateways);
    let seen = format!("{all} in {time:?}, {statements} statements");
    let allowed = most(&policy, time);
    assert!(f64::from(all) <= allowed, "{seen}: more than {allowed}");
    assert!(
        f64::from(all) >= 0.9 * allowed,
        "{seen}: too few of {allowed}"
    );
    let within = most_within(admitted, window);
    assert!(within <= 2_800, "{seen}: {within} within a window");
    assert!(statements * 4 <= u64::from(all), "{seen}: too many");
    eprintln!("{seen}, {within} within a window");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_limit_is_one_for_all_gateways_and_for_each_key() {
    let window = Duration::from_secs(3_600);
    let policy = LimitPolicy::new("small", 5, window, 5).unwrap();
    let database = database().await;
    let gateways: Vec<_> = (0..GATEWAYS).map(|_| limits(&database, &policy)).collect();
    let admitted = hammer(&gateways, Duration::from_millis(500)).await;
    assert_eq!(admitted.len(), 5);
    // What is refused is refused without asking, and by a gateway that has begun since then.
    assert!(statements(&gateways) <= 5 + 2 * GATEWAYS as u64);
    let late = limits(&database, &policy);
    let limited = late
        .check_principal("alice", OnUnavailable::Open)
        .await
        .unwrap_err();
    let retry_after = limited.retry_after();
    let interval = window / 5;
    assert!(
        retry_after <= interval && retry_after > interval - PATIENCE,
        "{retry_after:?}"
    );
    for name in ["Alice", "alice ", "bob"] {
        assert!(
            late.check_principal(name, OnUnavailable::Closed)
                .await
                .is_ok(),
            "{name}"
        );
    }
}

/// Whoever asks seldom takes one at a time, so that nothing it may have is lost in blocks.
#[tokio::test]
async fn tokens_that_are_not_needed_are_not_taken() {
    let policy = LimitPolicy::new("large", 10_000, Duration::from_secs(3_600), 1_000).unwrap();
    let database = database().await;
    let gateway = limits(&database, &policy);
    let decision = gateway
        .check_principal("alice", OnUnavailable::Closed)
        .await
        .unwrap();
    let before = decision.standing.remaining;
    assert!(before >= 875, "{before}");
    let other = limits(&database, &policy);
    let decision = other
        .check_principal("alice", OnUnavailable::Closed)
        .await
        .unwrap();
    assert!(before - decision.standing.remaining <= 1, "{decision:?}");
}

/// Whatever is wrong with the clock of the server, or was another policy before: nobody waits for longer than a burst takes
/// to come back. And what says nothing any more is removed.
#[tokio::test]
async fn a_row_from_the_future_heals_and_an_old_one_is_removed() {
    let policy = LimitPolicy::new("large", 100, Duration::from_secs(60), 20).unwrap();
    let database = database().await;
    let gateway = limits(&database, &policy);
    for name in ["alice", "bob"] {
        let decision = gateway.check_principal(name, OnUnavailable::Closed).await;
        assert!(decision.is_ok(), "{name}");
    }
    let owner = postgres::superuser(&database.database).await;
    let change = "UPDATE limits.buckets SET tat = now() + \
         CASE key WHEN 'alice' THEN interval '100 years' ELSE interval '-25 hours' END";
    assert_eq!(owner.execute(change, &[]).await.unwrap(), 2);
    let late = limits(&database, &policy);
    let limited = late
        .check_principal("alice", OnUnavailable::Closed)
        .await
        .unwrap_err();
    assert!(limited.retry_after() <= policy.time_of(20), "{limited:?}");
    SqlBuckets::new(&database).unwrap().forget().await.unwrap();
    let rows = owner.query(
        "SELECT key, tat < now() + interval '12 s' FROM limits.buckets",
        &[],
    );
    let rows: Vec<(String, bool)> = rows
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    assert_eq!(rows, [("alice".to_owned(), true)]);
}

#[tokio::test]
async fn without_its_database_a_limit_is_closed_or_open_as_the_route_says_and_works_again() {
    let policy = LimitPolicy::new("large", 1_000, Duration::from_secs(1), 500).unwrap();
    let database = database().await;
    let gateway = limits(&database, &policy);
    let ask = async |name: &'static str, on| {
        let began = Instant::now();
        let answer = gateway.check_principal(name, on).await;
        (answer.map_err(|limited| limited.code()), began.elapsed())
    };
    let (answer, _) = ask("alice", OnUnavailable::Closed).await;
    assert!(answer.is_ok(), "{answer:?}");

    let owner = postgres::superuser(&postgres::store_database().await).await;
    let name = database.database.name();
    let allow = async |allow: &str| {
        let alter = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allow}");
        owner.batch_execute(&alter).await.unwrap();
    };
    allow("false").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    owner.execute(end, &[&name]).await.unwrap();
    // A name of its own each: nobody has tokens left over.
    for name in ["b", "c", "d"] {
        let (answer, time) = ask(name, OnUnavailable::Closed).await;
        assert_eq!(answer.err(), Some("limits_unavailable"));
        assert!(time < Duration::from_millis(300), "{time:?}");
    }
    let (answer, time) = ask("e", OnUnavailable::Closed).await;
    assert_eq!(answer.err(), Some("limits_unavailable"));
    assert!(time < Duration::from_millis(20), "{time:?}");
    let (answer, _) = ask("f", OnUnavailable::Open).await;
    assert_eq!(answer.unwrap().standing.remaining, 499);
    // By what this gateway counts alone.
    let mut admitted = 1;
    while ask("f", OnUnavailable::Open).await.0.is_ok() {
        admitted += 1;
    }
    assert!(admitted >= 500, "{admitted}");

    allow("true").await;
    let deadline = Instant::now() + PATIENCE;
    while ask("g", OnUnavailable::Closed).await.0.is_err() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(20)).await;
    }
}

/// A statement that waits for a lock for ever keeps nobody for longer than its patience.
#[tokio::test]
async fn a_database_that_hangs_is_waited_for_briefly() {
    let policy = LimitPolicy::new("large", 1_000, Duration::from_secs(1), 500).unwrap();
    let database = database().await;
    let gateway = limits(&database, &policy);
    assert!(
        gateway
            .check_principal("alice", OnUnavailable::Closed)
            .await
            .is_ok()
    );
    let owner = postgres::superuser(&database.database).await;
    owner
        .batch_execute("BEGIN; LOCK TABLE limits.buckets")
        .await
        .unwrap();
    let asked = (0..CALLERS).map(|number| {
        let gateway = Arc::clone(&gateway);
        async move {
            let name = format!("p{}", number % 8);
            gateway.check_principal(&name, OnUnavailable::Closed).await
        }
    });
    let answers = timeout(Duration::from_millis(1_500), join_all(asked))
        .await
        .unwrap();
    for answer in answers {
        assert_eq!(answer.unwrap_err().code(), "limits_unavailable");
    }
    owner.batch_execute("COMMIT").await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while gateway
        .check_principal("bob", OnUnavailable::Closed)
        .await
        .is_err()
    {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(20)).await;
    }
}
