//! Append, replay and import rates beside raw SQL on the same durable cluster, in the same run.
//!
//! `cargo bench -p folio-tests`. The ratios are the claim; the rates depend on the machine. The raw
//! side writes into a table with the same columns and indexes, without order, versions or command
//! ids: it is the limit, not an alternative. `FOLIO_BENCH_SECONDS` is the time for each line.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking, and prints"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use folio_core::store::{Append, EventStore, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, ExpectedVersion, Fingerprint, NewEvent, Position,
    StreamId,
};
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{Database, PostgresStore, Role, migrate, provision};
use ledger_example::account::AccountEvent;
use ledger_example::{AccountsDatabases, AccountsService, Connections, http};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

const PAYLOAD: &[u8] = br#"{"amount":{"amount":"1250.00","currency":"CZK"},"contra":"bank:AB","effective_date":"1993-04-12","reference":"1034217","description":"transfer_in"}"#;
const METADATA: &[u8] =
    br#"{"actor":"import","correlation_id":"01a20503-a24b-7188-b6d5-98c0d235ea58"}"#;
const POOL: usize = 16;

#[tokio::main]
async fn main() {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let server = cluster.connection_config();
    let roles = [Role::Appender, Role::Reader];
    let database = provision(&server, "bench", &roles).await.unwrap();
    migrate(&database, folio_postgres::migrate::store_migrations())
        .await
        .unwrap();
    raw_table(&database).await;
    let store = Arc::new(PostgresStore::open(&database, POOL).await.unwrap());

    println!(
        "{} s a line, durable, pool of {POOL}\n",
        seconds().as_secs()
    );
    println!(
        "{:<44}{:>12}{:>12}{:>8}",
        "", "raw SQL /s", "Folio /s", "ratio"
    );
    for callers in [1, 16, 64] {
        let raw = append_raw(&database, callers, 1).await;
        let ours = append(&store, callers, 1).await;
        line(&format!("append 1 event, {callers} callers"), raw, ours);
    }
    let raw = append_raw(&database, 1, 100).await;
    let ours = append(&store, 1, 100).await;
    line("append 100 events at once, 1 caller", raw, ours);

    let (raw, ours, typed) = replay(&database, &store).await;
    line("replay in pages of 5,000, bytes", raw, ours);
    line("replay in pages of 5,000, decoded", raw, typed);

    let raw = append_raw(&database, 1, 500).await;
    let ours = import(&server).await;
    line("import over HTTP, 500 postings a request", raw, ours);
    cluster.remove().await.unwrap();
}

fn seconds() -> Duration {
    let seconds = std::env::var("FOLIO_BENCH_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(3))
}

fn line(what: &str, raw: u64, ours: u64) {
    let percent = ours * 100 / raw.max(1);
    println!(
        "{what:<44}{raw:>12}{ours:>12}{:>5}.{:02}",
        percent / 100,
        percent % 100
    );
}

/// Runs `work` from several callers for the set time; its results are counts, and the answer is
/// their sum a second.
async fn rate<F: Future<Output = u64> + Send + 'static>(
    callers: usize,
    work: impl Fn(usize) -> F + Send + Sync + Clone + 'static,
) -> u64 {
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let work = work.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while started.elapsed() < seconds() {
                    done += work(caller).await;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    per_second(done, started.elapsed())
}

fn per_second(done: u64, elapsed: Duration) -> u64 {
    let rate = u128::from(done) * 1_000_000 / elapsed.as_micros().max(1);
    u64::try_from(rate).unwrap()
}

/// A number that nobody else of this run gets.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn append(store: &Arc<PostgresStore>, callers: usize, events: usize) -> u64 {
    let store = Arc::clone(store);
    rate(callers, move |caller| {
        let store = Arc::clone(&store);
        async move {
            let command = CommandId::from_uuid(Uuid::now_v7());
            let write = StreamWrite {
                // A new stream now and then, as accounts are.
                stream: StreamId::new("account", format!("{caller}-{}", next() / 4_096)).unwrap(),
                expected: ExpectedVersion::Any,
                events: vec![
                    NewEvent {
                        event_type: "AccountCredited".to_owned(),
                        schema_version: 1,
                        payload: PAYLOAD.to_vec(),
                    };
                    events
                ],
            };
            let context = CommandContext::new(command, Actor::new("import").unwrap());
            let request = Append::events(context, Fingerprint::of(&[PAYLOAD]), vec![write]);
            store.append(request).await.unwrap();
            u64::try_from(events).unwrap()
        }
    })
    .await
}

async fn raw_table(database: &Database) {
    let owner = database.connect(Role::Owner).await.unwrap();
    owner
        .batch_execute(&format!(
            "CREATE TABLE public.raw (LIKE store.events); \
             CREATE SEQUENCE public.raw_position; \
             ALTER TABLE public.raw ALTER position SET DEFAULT nextval('raw_position'); \
             ALTER TABLE public.raw ADD PRIMARY KEY (position); \
             CREATE UNIQUE INDEX ON public.raw (category, stream_id, version); \
             CREATE UNIQUE INDEX ON public.raw (command_id) WHERE command_events IS NOT NULL; \
             GRANT ALL ON public.raw, public.raw_position TO {}",
            Role::Appender.name(database.name())
        ))
        .await
        .unwrap();
}

async fn append_raw(database: &Database, callers: usize, events: usize) -> u64 {
    let pool = database.pool(Role::Appender, POOL).unwrap();
    rate(callers, move |caller| {
        let pool = pool.clone();
        async move {
            let client = pool.get().await.unwrap();
            let statement = client
                .prepare_cached(
                    "INSERT INTO public.raw (version, recorded_at, event_id, command_id, \
                     command_events, schema_version, category, stream_id, event_type, \
                     fingerprint, payload, metadata) \
                     SELECT version, 0, event_id, $3, NULLIF((ordinality = 1)::int, 0), 1, \
                     'account', $4, 'AccountCredited', NULL, $5, $6 \
                     FROM unnest($1::bigint[], $2::uuid[]) WITH ORDINALITY \
                     AS e (version, event_id, ordinality)",
                )
                .await
                .unwrap();
            let first = next() << 10;
            let versions: Vec<i64> = (0..events)
                .map(|index| i64::try_from(first).unwrap() + i64::try_from(index).unwrap())
                .collect();
            let ids: Vec<Uuid> = (0..events).map(|_| Uuid::now_v7()).collect();
            let (command, stream) = (Uuid::now_v7(), format!("{caller}-{}", first >> 22));
            let parameters: [&(dyn ToSql + Sync); 6] =
                [&versions, &ids, &command, &stream, &PAYLOAD, &METADATA];
            client.execute(&statement, &parameters).await.unwrap()
        }
    })
    .await
}

/// Reads the whole store: raw rows, then recorded events, then decoded ones.
async fn replay(database: &Database, store: &Arc<PostgresStore>) -> (u64, u64, u64) {
    let pool = database.pool(Role::Reader, 1).unwrap();
    let client = pool.get().await.unwrap();
    let statement = client
        .prepare_cached(
            "SELECT * FROM store.events WHERE position > $1 AND position <= $2 ORDER BY position",
        )
        .await
        .unwrap();
    let head = store.head().await.unwrap().number();
    let events = u64::try_from(head).unwrap();
    let started = Instant::now();
    let mut after = 0_i64;
    while after < head {
        let rows = client
            .query(&statement, &[&after, &(after + 5_000)])
            .await
            .unwrap();
        after += i64::try_from(rows.len()).unwrap();
    }
    let raw = per_second(events, started.elapsed());

    let page = BatchSize::new(5_000).unwrap();
    let mut rates = [0, 0];
    for (is_decoded, rate) in [false, true].into_iter().zip(&mut rates) {
        let started = Instant::now();
        let mut after = Position::START;
        while after.number() < head {
            let events = store.read_all(after, page).await.unwrap();
            after = events.last().unwrap().position;
            if is_decoded {
                for event in &events {
                    event.decode::<AccountEvent>().unwrap();
                }
            }
        }
        *rate = per_second(events, started.elapsed());
    }
    (raw, rates[0], rates[1])
}

/// Posts through the public API, as an import does, over 100 accounts.
async fn import(server: &tokio_postgres::Config) -> u64 {
    let databases = AccountsDatabases::prepare(server, "bench_book")
        .await
        .unwrap();
    let service = AccountsService::start(&databases, Connections::default(), None)
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = http::router(service.ledger());
    let serving = tokio::spawn(http::serve(listener, router, std::future::pending()));
    let client = reqwest::Client::new();
    let post = |path: &'static str, body: Value| {
        let request = client
            .post(format!("{url}{path}"))
            .header("Idempotency-Key", format!("bench-{}", next()))
            .json(&body);
        async move {
            let response = request.send().await.unwrap();
            assert!(
                response.status().is_success(),
                "{}",
                response.text().await.unwrap()
            );
        }
    };
    for account in 0..100 {
        post(
            "/v1/accounts",
            json!({"id": account.to_string(), "currency": "CZK"}),
        )
        .await;
    }
    let started = Instant::now();
    let mut posted = 0;
    while started.elapsed() < seconds() {
        let postings: Vec<Value> = (0..500)
            .map(|index| {
                json!({"key": format!("posting-{}", next()), "account_id": (index % 100).to_string(),
                    "side": "credit", "amount": "1250.00", "currency": "CZK", "contra": "bank:AB",
                    "effective_date": "1993-04-12", "reference": "1034217", "description": "transfer_in"})
            })
            .collect();
        post("/v1/postings/bulk", json!({"postings": postings})).await;
        posted += 500;
    }
    let rate = per_second(posted, started.elapsed());
    serving.abort();
    service.stop().await;
    rate
}
