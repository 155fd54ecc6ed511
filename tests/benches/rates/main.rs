//! Folio beside raw SQL on the same durable cluster, in the same run.
//!
//! `cargo bench -p folio-tests` runs all; names after `--` choose, such as `-- w1 w3`. The ratios are
//! the claim, the rates depend on the machine. `FOLIO_BENCH_SECONDS` is the time for each run,
//! `FOLIO_BENCH_RUNS` how many runs the median is of, and `FOLIO_BENCH_CALLERS` leaves out the rows of W1, entries and seals that
//! have another number of callers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking, and prints"
)]

mod account;
mod feed;
mod ledger;
mod long;
mod measure;
mod ours;
mod projections;
mod raw;
mod report;
mod seals;
mod transfers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use folio_core::BatchSize;
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{Database, PostgresStore, Role, migrate, provision};
use folio_runtime::Executor;

use crate::account::Account;
use crate::measure::{Measured, are_wanted, median, runs};
use crate::report::Report;

// As in the program.
#[global_allocator]
static ALLOCATOR: ::ledger::Allocator = ::ledger::Allocator;

const METADATA: &[u8] =
    br#"{"actor":"import","correlation_id":"01a20503-a24b-7188-b6d5-98c0d235ea58"}"#;
const AGGREGATES: usize = 1_000;

/// A number that nobody else of this run gets.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::main]
async fn main() {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|choice| choice == name);
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let server = cluster.connection_config();
    let mut report = Report::new();
    if wanted("w1") {
        w1(&server, &mut report).await;
    }
    if wanted("w2") {
        w2(&server, &mut report).await;
    }
    if wanted("w3") {
        w3(&server, &mut report).await;
    }
    if wanted("w4") {
        w4(&server, &mut report).await;
    }
    if wanted("w5") {
        w5(&server, &mut report).await;
    }
    if wanted("w6") {
        long::w6(&server, &mut report).await;
    }
    if wanted("entries") {
        ledger::entries(&server, &mut report).await;
    }
    if wanted("catchup") {
        projections::catch_up(&server, &mut report).await;
    }
    if wanted("live") {
        projections::live(&server, &mut report).await;
    }
    if wanted("rebuild") {
        projections::rebuild(&server, &mut report).await;
    }
    if wanted("feed") {
        feed::feed(&server, &mut report).await;
    }
    if wanted("transfers") {
        transfers::transfers(&server, &mut report).await;
    }
    if wanted("seals") {
        seals::seals(&server, &mut report).await;
    }
    if wanted("import") {
        long::import(&server, &mut report).await;
    }
    if wanted("memory") {
        long::memory(&server).await;
    }
    if wanted("disk") {
        long::disk(&server, &mut report).await;
    }
    // These take minutes, so they have to be asked for.
    if chosen.iter().any(|choice| choice == "snapshot") {
        long::snapshot(&server, &mut report).await;
    }
    if chosen.iter().any(|choice| choice == "growth") {
        long::growth(&server, &mut report).await;
    }
    cluster.remove().await.unwrap();
    println!("picture: {}", report.picture().display());
}

struct Bench {
    database: Database,
    store: Arc<PostgresStore>,
    executor: Executor<Arc<PostgresStore>>,
}

impl Bench {
    /// A new store, and a raw table beside it.
    async fn new(server: &tokio_postgres::Config) -> Self {
        let roles = [Role::Appender, Role::Reader];
        let name = format!("bench_{}", next());
        let database = provision(server, &name, &roles).await.unwrap();
        migrate(&database, folio_postgres::migrate::store_migrations())
            .await
            .unwrap();
        raw::table(&database).await;
        let store = Arc::new(PostgresStore::open(&database, 4).await.unwrap());
        let executor = Executor::new(Arc::clone(&store));
        Self {
            database,
            store,
            executor,
        }
    }
}

/// The command path: load, decide, append one event.
async fn w1(server: &tokio_postgres::Config, report: &mut Report) {
    for (callers, goal) in [
        (1, Some(90)),
        (16, None),
        (64, Some(250)),
        (256, None),
        (1_024, Some(400)),
    ] {
        if !are_wanted(callers) {
            continue;
        }
        let bench = Bench::new(server).await;
        let (mut raw, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..runs() {
            // More callers than 64 only queue for the raw side's connections.
            raw.push(raw::commands(&bench.database, callers.min(64), AGGREGATES).await);
            ours.push(ours::commands(&bench.executor, callers, AGGREGATES).await);
        }
        let what = format!("W1 commands, {callers} callers");
        report.line(&what, &median(raw), &median(ours), goal);
    }
}

/// Bulk.
async fn w2(server: &tokio_postgres::Config, report: &mut Report) {
    let bench = Bench::new(server).await;
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        raw.push(raw::inserts(&bench.database, 4, 4, 100).await);
        ours.push(ours::appends(&bench.store, 4, 100).await);
    }
    report.line(
        "W2 100 events a request, 4 callers",
        &median(raw),
        &median(ours),
        Some(80),
    );
}

/// One hot aggregate, beside Folio's own rate over many.
async fn w3(server: &tokio_postgres::Config, report: &mut Report) {
    for callers in [16, 64, 256] {
        let bench = Bench::new(server).await;
        let (mut many, mut one) = (Vec::new(), Vec::new());
        for _ in 0..runs() {
            many.push(ours::commands(&bench.executor, callers, AGGREGATES).await);
            one.push(ours::commands(&bench.executor, callers, 1).await);
        }
        let what = format!("W3 one aggregate, {callers} callers (raw: W1)");
        report.line(&what, &median(many), &median(one), Some(100));
    }
}

/// Rehydrating one aggregate.
async fn w4(server: &tokio_postgres::Config, report: &mut Report) {
    const EVENTS: usize = 10_000;
    let bench = Bench::new(server).await;
    for _ in 0..10 {
        let request = ours::request("long".to_owned(), EVENTS / 10);
        folio_core::EventStore::append(&bench.store, request)
            .await
            .unwrap();
    }
    let readers = bench.database.pool(Role::Reader, 1).unwrap();
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..runs().max(9) {
        let started = Instant::now();
        let balance = raw::rehydrate(&readers, "long").await;
        raw.push(Measured::rate(10_000, started.elapsed()));
        let started = Instant::now();
        let (state, _) = bench
            .executor
            .replay_until::<Account>("long", |_| true)
            .await
            .unwrap();
        ours.push(Measured::rate(10_000, started.elapsed()));
        assert_eq!(state.map(|account| account.balance), Some(balance));
    }
    report.line(
        "W4 rehydrate 10,000 events",
        &median(raw),
        &median(ours),
        Some(90),
    );
}

/// Replaying the store.
async fn w5(server: &tokio_postgres::Config, report: &mut Report) {
    let events = measure::setting("FOLIO_BENCH_REPLAY", 500_000);
    let bench = Bench::new(server).await;
    for number in 0..events / 1_000 {
        let request = ours::request(number.to_string(), 1_000);
        folio_core::EventStore::append(&bench.store, request)
            .await
            .unwrap();
    }
    let readers = bench.database.pool(Role::Reader, 1).unwrap();
    let page = BatchSize::new(5_000).unwrap();
    let (mut copy, mut pages, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs() {
        let started = Instant::now();
        assert_eq!(raw::copy_out(&readers).await, events);
        copy.push(Measured::rate(events, started.elapsed()));
        let started = Instant::now();
        assert_eq!(raw::pages(&readers, page).await, events);
        pages.push(Measured::rate(events, started.elapsed()));
        let started = Instant::now();
        assert_eq!(ours::replay(&bench.store, page).await, events);
        ours.push(Measured::rate(events, started.elapsed()));
    }
    let ours = median(ours);
    report.line("W5 replay, raw COPY out", &median(copy), &ours, Some(90));
    report.line("W5 replay, raw pages of 5,000", &median(pages), &ours, None);
}
