//! What takes longer: bulk loading, the way into a projection, growth, memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use folio_core::store::{Append, EventStore, StreamWrite};
use folio_core::{
    BatchSize, ExpectedVersion, Fingerprint, NewEvent, Position, RecordedEvent, StreamId,
};
use folio_postgres::{Database, PostgresStore, Replay, Role, migrate, provision};
use folio_projections::{
    ModelTransaction, Projection, ProjectionName, Projector, ProjectorError, Settings, StoreSource,
};
use folio_runtime::Executor;
use tokio::sync::watch;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::account::{Account, AccountCommand, AccountEvent, Posting};
use crate::measure::{Measured, median, runs, seconds, setting};
use crate::report::Report;
use crate::{AGGREGATES, Bench, METADATA, next, ours, raw};

/// Loading many events: 1,000 a request over 100 streams, beside COPY into the same columns and
/// indexes. Each request is one statement, and holds the store's lock for as long as that takes.
pub(crate) async fn import(server: &tokio_postgres::Config, report: &mut Report) {
    let events = setting("FOLIO_BENCH_IMPORT", 500_000);
    let (mut copied, mut appended) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        let bench = Bench::new(server).await;
        let started = Instant::now();
        copy_in(&bench.database, events).await;
        copied.push(Measured::rate(events, started.elapsed()));
        let started = Instant::now();
        let mut longest = Duration::ZERO;
        for _ in 0..events / 1_000 {
            let event = NewEvent::encode(&AccountEvent::Credited(Posting::sample())).unwrap();
            let writes = (0..100)
                .map(|stream| StreamWrite {
                    stream: StreamId::new("account", stream.to_string()).unwrap(),
                    expected: ExpectedVersion::Any,
                    events: vec![event.clone(); 10],
                })
                .collect();
            let request = Append::events(ours::context(), Fingerprint::of(&[]), writes);
            let call = Instant::now();
            bench.store.append(request).await.unwrap();
            longest = longest.max(call.elapsed());
        }
        let mut run = Measured::rate(events, started.elapsed());
        run.calls_us = vec![u32::try_from(longest.as_micros()).unwrap()];
        appended.push(run);
    }
    report.line(
        "import, 1,000 a request (raw: COPY in)",
        &median(copied),
        &median(appended),
        Some(70),
    );
}

async fn copy_in(database: &Database, events: u64) {
    let client = database.connect(Role::Appender).await.unwrap();
    let sink = client
        .copy_in(
            "COPY public.raw (version, recorded_at, event_id, command_id, schema_version, \
             category, stream_id, event_type, payload, metadata) FROM STDIN (FORMAT binary)",
        )
        .await
        .unwrap();
    let types = [
        Type::INT8,
        Type::INT8,
        Type::UUID,
        Type::UUID,
        Type::INT4,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::BYTEA,
        Type::BYTEA,
    ];
    let writer = BinaryCopyInWriter::new(sink, &types);
    futures_util::pin_mut!(writer);
    let payload = raw::payload();
    for number in 0..i64::try_from(events).unwrap() {
        let stream = (number % 100).to_string();
        writer
            .as_mut()
            .write(&[
                &(number / 100 + 1),
                &0_i64,
                &Uuid::now_v7(),
                &Uuid::now_v7(),
                &1_i32,
                &"account",
                &stream,
                &"Credited",
                &payload,
                &METADATA,
            ])
            .await
            .unwrap();
    }
    writer.finish().await.unwrap();
}

/// Counts events in a table of its own.
struct Count;

#[async_trait]
impl Projector for Count {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("count", 1)
    }

    fn tables(&self) -> &str {
        "CREATE TABLE seen (id int PRIMARY KEY, position bigint)"
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let last = events.last().map_or(0, |event| event.position.number());
        let upsert = model.prepare_cached(UPSERT).await?;
        model.execute(&upsert, &[&last]).await?;
        Ok(())
    }
}

const UPSERT: &str = "INSERT INTO seen VALUES (1, $1) \
     ON CONFLICT (id) DO UPDATE SET position = excluded.position";

/// From an acknowledged append to its row in a projection, 200 times a second.
pub(crate) async fn w6(server: &tokio_postgres::Config, report: &mut Report) {
    let bench = Bench::new(server).await;
    let models = models(server).await;
    let source = StoreSource::new(Arc::clone(&bench.store));
    let projection = Projection::open(Count, source, &models, Settings::default())
        .await
        .unwrap();
    let progress = projection.progress().clone();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { projection.run(stopped).await });
    let mut projected = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..1_000 {
        ticks.tick().await;
        let request = ours::request("live".to_owned(), 1);
        let appended = bench.store.append(request).await.unwrap();
        let folio_core::Outcome::Committed(events) = appended.outcome else {
            panic!()
        };
        let acknowledged = Instant::now();
        progress
            .wait_for(events[0].position, Duration::from_secs(5))
            .await
            .unwrap();
        projected.push(u32::try_from(acknowledged.elapsed().as_micros()).unwrap());
    }
    stop.send_replace(true);
    running.await.unwrap();
    let upserted = notified(&bench.database, &models).await;
    let measured = |mut calls_us: Vec<u32>| {
        calls_us.sort_unstable();
        Measured {
            rate: 200,
            calls_us,
        }
    };
    report.line(
        "W6 append to projection (ms; lower is better)",
        &measured(upserted),
        &measured(projected),
        None,
    );
}

/// The yardstick: insert, NOTIFY after the commit, and an upsert by whoever listens.
async fn notified(database: &Database, models: &Database) -> Vec<u32> {
    let (client, mut connection) = database
        .config(Role::Appender)
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    let (heard, mut notifications) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut poll = move |context: &mut std::task::Context<'_>| connection.poll_message(context);
        while let Some(Ok(message)) = std::future::poll_fn(&mut poll).await {
            if let tokio_postgres::AsyncMessage::Notification(_) = message {
                let _ = heard.send(());
            }
        }
    });
    client.batch_execute("LISTEN raw").await.unwrap();
    let (done, mut upserted) = tokio::sync::mpsc::unbounded_channel();
    let projector = models.connect(Role::Projector).await.unwrap();
    tokio::spawn(async move {
        let upsert = projector.prepare(UPSERT).await.unwrap();
        while notifications.recv().await.is_some() {
            projector.execute(&upsert, &[&1_i64]).await.unwrap();
            let _ = done.send(());
        }
    });
    let writer = database.connect(Role::Appender).await.unwrap();
    let mut calls_us = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    for number in 0..1_000_i64 {
        ticks.tick().await;
        writer
            .execute(
                "INSERT INTO public.raw (version, recorded_at, event_id, command_id, \
                 schema_version, category, stream_id, event_type, payload, metadata) VALUES \
                 ($1, 0, gen_random_uuid(), gen_random_uuid(), 1, 'a', 'live', 'C', $2, $3)",
                &[&(number + 1), &raw::payload(), &METADATA],
            )
            .await
            .unwrap();
        let acknowledged = Instant::now();
        writer.batch_execute("NOTIFY raw").await.unwrap();
        upserted.recv().await.unwrap();
        calls_us.push(u32::try_from(acknowledged.elapsed().as_micros()).unwrap());
    }
    calls_us
}

async fn models(server: &tokio_postgres::Config) -> Database {
    let roles = [Role::Projector, Role::Reader];
    let name = format!("models_{}", next());
    let database = provision(server, &name, &roles).await.unwrap();
    migrate(&database, folio_projections::migrations())
        .await
        .unwrap();
    let owner = database.connect(Role::Owner).await.unwrap();
    owner
        .batch_execute(&format!(
            "CREATE TABLE public.seen (id int PRIMARY KEY, position bigint); \
             GRANT ALL ON public.seen TO {}",
            Role::Projector.name(database.name())
        ))
        .await
        .unwrap();
    database
}

/// The command path in a store with many events, beside an empty one.
pub(crate) async fn growth(server: &tokio_postgres::Config, report: &mut Report) {
    let events = i64::try_from(setting("FOLIO_BENCH_GROWTH", 10_000_000)).unwrap();
    let (empty, grown) = (Bench::new(server).await, Bench::new(server).await);
    let mut config = server.clone();
    config.dbname(grown.database.name());
    let (superuser, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for chunk in 0..events / 100_000 {
        superuser
            .execute(
                "INSERT INTO store.events SELECT n, (n - 1) / 100000 + 1, 0, gen_random_uuid(), \
                 gen_random_uuid(), 1, 1, 'account', 'grown-' || n % 100000, 'Credited', \
                 decode(repeat('00', 32), 'hex'), $3, $4 FROM generate_series($1::bigint, $2) n",
                &[
                    &(chunk * 100_000 + 1),
                    &((chunk + 1) * 100_000),
                    &raw::payload(),
                    &METADATA,
                ],
            )
            .await
            .unwrap();
    }
    superuser
        .batch_execute("ANALYZE store.events; CHECKPOINT")
        .await
        .unwrap();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        before.push(ours::commands(&empty.executor, 64, 1_000).await);
        after.push(ours::commands(&grown.executor, 64, 1_000).await);
    }
    let what = format!("W1, 64 callers, {events} events (raw: empty)");
    report.line(&what, &median(before), &median(after), Some(90));
}

/// Memory while a store is replayed, and with many states in the cache.
pub(crate) async fn memory(server: &tokio_postgres::Config) {
    let bench = Bench::new(server).await;
    let events = setting("FOLIO_BENCH_MEMORY", 1_000_000);
    for number in 0..events / 1_000 {
        let request = ours::request(number.to_string(), 1_000);
        bench.store.append(request).await.unwrap();
    }
    let page = BatchSize::new(5_000).unwrap();
    let head = bench.store.head().await.unwrap();
    let mut replay = Replay::new(Arc::clone(&bench.store), Position::START, head, page);
    let (mut seen, mut tenth, mut most) = (0, 0, 0);
    while let Some(events) = replay.next().await.unwrap() {
        seen += events.len();
        most = most.max(resident_kib());
        if tenth == 0 && seen * 10 >= usize::try_from(head.number()).unwrap() {
            tenth = most;
        }
    }
    println!("replay of {seen} events: {tenth} KiB resident after a tenth, {most} KiB at most");
    let before = resident_kib();
    for number in 0..100_000_u64 {
        let executor: &Executor<Arc<PostgresStore>> = &bench.executor;
        let command = AccountCommand::Credit(Posting::sample());
        // Many at a time, so that it is over soon.
        let many = (0..50).map(|part| {
            let (id, command) = ((number * 50 + part).to_string(), command.clone());
            async move {
                executor
                    .execute::<Account>(&id, command, ours::context())
                    .await
                    .unwrap()
            }
        });
        futures_util::future::join_all(many).await;
        if number == 1_999 {
            break;
        }
    }
    println!(
        "100,000 states in the cache: {} KiB by their weight, {} KiB more resident",
        bench.executor.cached_bytes() / 1_024,
        resident_kib().saturating_sub(before)
    );
}

/// What an event takes: bytes on the disk with its share of the indexes, and bytes of the log that
/// the server writes first. One event a command from 64 callers, and 100 a request.
pub(crate) async fn disk(server: &tokio_postgres::Config, report: &mut Report) {
    let bench = Bench::new(server).await;
    let mut config = server.clone();
    config.dbname(bench.database.name());
    let (superuser, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let weigh = async |table: &str, log_before: i64| {
        let row = superuser
            .query_one(
                &format!(
                    "SELECT pg_total_relation_size('{table}') / count(*), \
                            ((pg_current_wal_insert_lsn() - '0/0')::bigint - {log_before}) / count(*) \
                     FROM {table}"
                ),
                &[],
            )
            .await
            .unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let now = async || -> i64 {
        let row = superuser
            .query_one("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint", &[])
            .await
            .unwrap();
        row.get(0)
    };
    for events in [1, 100] {
        let clear = "ALTER TABLE store.events DISABLE TRIGGER ALL; TRUNCATE store.events, public.raw; \
                     ALTER TABLE store.events ENABLE ALWAYS TRIGGER append_only; CHECKPOINT";
        superuser.batch_execute(clear).await.unwrap();
        let start = now().await;
        if events == 1 {
            raw::commands(&bench.database, 64, AGGREGATES).await;
        } else {
            raw::inserts(&bench.database, 4, 4, events).await;
        }
        let (raw_row, raw_log) = weigh("public.raw", start).await;
        superuser.batch_execute("CHECKPOINT").await.unwrap();
        let start = now().await;
        if events == 1 {
            ours::commands(&bench.executor, 64, AGGREGATES).await;
        } else {
            ours::appends(&bench.store, 4, events).await;
        }
        let (our_row, our_log) = weigh("store.events", start).await;
        report.note(&format!(
            "{events} event(s) a request: bytes a row {raw_row} raw, {our_row} Folio; \
             bytes of log an event {raw_log} raw, {our_log} Folio"
        ));
    }
}

/// The command path beside a snapshot that is held open, as a backup holds one, and without: the last
/// quarter of the time, when what cannot be cleaned up has gathered.
pub(crate) async fn snapshot(server: &tokio_postgres::Config, report: &mut Report) {
    let quarters = setting("FOLIO_BENCH_SNAPSHOT", 120) / seconds().as_secs().max(1);
    let mut last_quarters = Vec::new();
    for is_held in [false, true] {
        let bench = Bench::new(server).await;
        let mut holder = bench.database.connect(Role::Reader).await.unwrap();
        let transaction = if is_held {
            let transaction = holder
                .build_transaction()
                .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
                .start()
                .await
                .unwrap();
            transaction
                .query_one("SELECT count(*) FROM store.events", &[])
                .await
                .unwrap();
            Some(transaction)
        } else {
            None
        };
        let mut rates = Vec::new();
        for _ in 0..quarters {
            rates.push(ours::commands(&bench.executor, 64, AGGREGATES).await);
        }
        drop(transaction);
        let last = rates.split_off(rates.len() - rates.len().div_ceil(4));
        last_quarters.push(median(last));
    }
    let held = last_quarters.pop().unwrap();
    let free = last_quarters.pop().unwrap();
    report.line(
        "W1, 64 callers, beside a snapshot (raw: without)",
        &free,
        &held,
        Some(75),
    );
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}
