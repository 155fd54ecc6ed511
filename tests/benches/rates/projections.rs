//! Projections beside the best that is written by hand: catching up, live, and rebuilt in partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use folio_core::store::{Append, StreamWrite};
use folio_core::{
    Actor, Amount, BatchSize, Currency, EventStore, ExpectedVersion, Fingerprint, NewEvent,
    Outcome, Position, RecordedEvent, StreamId,
};
use folio_postgres::{Database, PostgresStore, Role, migrate, provision};
use folio_projections::{
    Filling, ModelTransaction, Projection, ProjectionName, Projector, ProjectorError, Settings,
    StoreSource, Wanted,
};
use futures_util::future::join;
use futures_util::{StreamExt, stream};
use ledger_example::account::{AccountEvent as LedgerEvent, ContraAccount, Opening, Posting};
use ledger_example::balances::open_balances;
use ledger_example::service::open_invariants;
use tokio::sync::watch;
use tokio_postgres::types::ToSql;

use crate::account::AccountEvent;
use crate::measure::{Measured, median, runs, setting};
use crate::report::Report;
use crate::{Bench, METADATA, next, ours, raw};

const ACCOUNTS: u64 = 1_000;
const BATCH: BatchSize = match BatchSize::new(1_000) {
    Some(size) => size,
    None => BatchSize::ONE,
};
const TABLE: &str = "CREATE TABLE balances (account text PRIMARY KEY, cents bigint NOT NULL)";

/// A balance of every account.
struct Balances;

#[async_trait]
impl Projector for Balances {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("balances", 1)
    }

    fn wants(&self) -> Wanted {
        Wanted::all()
    }

    fn tables(&self) -> &str {
        TABLE
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let mut changes = BTreeMap::<&str, i64>::new();
        for recorded in events {
            for AccountEvent::Credited(posting) in recorded.decode()? {
                *changes.entry(recorded.stream.id()).or_default() += cents(&posting.amount);
            }
        }
        let (accounts, cents) = changes.into_iter().unzip();
        let rows = model.upsert("balances").key("account", &accounts);
        rows.add("cents", &cents).execute().await
    }
}

fn cents(amount: &str) -> i64 {
    amount.parse().unwrap()
}

/// A store of so many events, ten at a time on each account in turn.
async fn filled(server: &tokio_postgres::Config, events: u64) -> Bench {
    let bench = Bench::new(server).await;
    stream::iter(0..events / 10)
        .for_each_concurrent(64, |number| {
            let request = ours::request((number % ACCOUNTS).to_string(), 10);
            let store = &bench.store;
            async move {
                store.append(request).await.unwrap();
            }
        })
        .await;
    bench
}

pub(crate) async fn models(server: &tokio_postgres::Config) -> Database {
    let roles = [Role::Projector, Role::Reader];
    let name = format!("models_{}", next());
    let database = provision(server, &name, &roles).await.unwrap();
    migrate(&database, folio_projections::migrations())
        .await
        .unwrap();
    let owner = database.connect(Role::Owner).await.unwrap();
    owner
        .batch_execute(&format!(
            "CREATE SCHEMA raw; SET search_path = raw; {TABLE}; \
             CREATE TABLE checkpoint (id int PRIMARY KEY, position bigint NOT NULL); \
             INSERT INTO checkpoint VALUES (1, 0); \
             GRANT USAGE ON SCHEMA raw TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA raw TO {role}",
            role = Role::Projector.name(database.name())
        ))
        .await
        .unwrap();
    database
}

/// Catching up on what there is.
pub(crate) async fn catch_up(server: &tokio_postgres::Config, report: &mut Report) {
    let events = setting("FOLIO_BENCH_REPLAY", 500_000);
    let bench = filled(server, events).await;
    let (mut by_hand, mut by_folio) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        let database = models(server).await;
        let started = Instant::now();
        let raw = hand_written(&bench.database, &database, events).await;
        by_hand.push(Measured::rate(events, started.elapsed()));

        let projection = open(&bench, &database).await;
        let started = Instant::now();
        run_to(&projection, events).await;
        by_folio.push(Measured::rate(events, started.elapsed()));
        let total = "SELECT sum(cents)::bigint FROM balances_1.balances";
        assert_eq!(ask(&database, total).await, raw);
    }
    report.line(
        "projection catching up, hand-written SQL",
        &median(by_hand),
        &median(by_folio),
        Some(70),
    );
}

/// A rebuild of the ledger's own read model, accounts and statements, in two partitions beside one in
/// one.
pub(crate) async fn rebuild(server: &tokio_postgres::Config, report: &mut Report) {
    let events = setting("FOLIO_BENCH_REBUILD", 200_000);
    let bench = posted(server, events).await;
    let (mut one, mut two, mut watched) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs() {
        let database = models(server).await;
        let projection = open_invariants(&bench.store, &database, 4).await.unwrap();
        let started = Instant::now();
        run_to(&projection, events).await;
        watched.push(Measured::rate(events, started.elapsed()));
        let book = "bench".parse().unwrap();
        let source = StoreSource::new(Arc::clone(&bench.store));
        let projection = open_balances(&book, source, &database, 4).await.unwrap();
        run_to(&projection, events).await;
        for (partitions, measured) in [(1, &mut one), (2, &mut two)] {
            let filling = Filling {
                partitions,
                events_per_second: None,
            };
            let by = Actor::anonymous();
            let begun = projection.rebuild(filling, &by).await.unwrap();
            let build = begun.build().build;
            let (stop, stopped) = watch::channel(false);
            let running = tokio::spawn({
                let projection = projection.clone();
                async move { projection.run(stopped).await }
            });
            let started = Instant::now();
            while position_of(&projection, build).await < events {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            measured.push(Measured::rate(events, started.elapsed()));
            stop.send_replace(true);
            running.await.unwrap();
            projection.drop_build(build, &by).await.unwrap();
        }
    }
    report.line(
        "invariants watched (raw: balances in one partition)",
        &median(one.clone()),
        &median(watched),
        None,
    );
    report.line(
        "rebuild in 2 partitions (raw: in one)",
        &median(one),
        &median(two),
        Some(130),
    );
}

/// A store of so many events: accounts, and postings of the ledger's first version to each.
pub(crate) async fn posted(server: &tokio_postgres::Config, events: u64) -> Bench {
    let bench = Bench::new(server).await;
    stream::iter(0..ACCOUNTS)
        .for_each_concurrent(64, |account| {
            let (store, postings) = (&bench.store, events / ACCOUNTS - 1);
            async move { post(store, &account.to_string(), postings).await }
        })
        .await;
    bench
}

/// Opens an account, and posts to it ten at a time.
async fn post(store: &PostgresStore, account: &str, postings: u64) {
    let currency = Currency::from_code("EUR").unwrap();
    let opened = LedgerEvent::AccountOpened(Opening::new(currency));
    let credited = LedgerEvent::AccountCredited(Posting {
        amount: Amount::parse("12.50", currency).unwrap(),
        contra: ContraAccount::Cash,
        effective_date: None,
        reference: None,
        description: None,
    });
    let mut events = vec![NewEvent::encode(&opened).unwrap()];
    let posting = NewEvent::encode(&credited).unwrap();
    events.extend((0..postings).map(|_| posting.clone()));
    for events in events.chunks(10) {
        let write = StreamWrite {
            stream: StreamId::new("account", account).unwrap(),
            expected: ExpectedVersion::Any,
            events: events.to_vec(),
        };
        let request = Append::events(ours::context(), Fingerprint::of(&[]), vec![write]);
        store.append(request).await.unwrap();
    }
}

/// A thousand events a second: from each one's acknowledgement to its row.
///
/// Beside two programs that are written by hand: one that does the same job (it is woken by the same
/// store, reads the event, and writes row and checkpoint in one transaction), and one that is told all
/// that it needs in a notification, and writes a row without a checkpoint.
pub(crate) async fn live(server: &tokio_postgres::Config, report: &mut Report) {
    let (mut bare, mut by_hand, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs() {
        let (bench, database) = (Bench::new(server).await, models(server).await);
        ours.push(live_by_folio(&bench, &database).await);
        bare.push(live_by_notification(&bench.database, &database).await);
        let (bench, database) = (Bench::new(server).await, models(server).await);
        by_hand.push(live_by_hand(&bench, &database).await);
    }
    // The run whose slow calls are in the middle.
    let middle = |mut runs: Vec<Measured>| {
        runs.sort_by_key(|run| run.percentile_us(99));
        runs.swap_remove(runs.len() / 2)
    };
    let ours = middle(ours);
    report.line(
        "live at 1,000/s, same job (ms; lower is better)",
        &middle(by_hand),
        &ours,
        None,
    );
    report.line(
        "live at 1,000/s, row alone (ms; lower is better)",
        &middle(bare),
        &ours,
        None,
    );
}

const LIVE_EVENTS: u64 = 5_000;

async fn live_by_folio(bench: &Bench, database: &Database) -> Measured {
    let projection = open(bench, database).await;
    let progress = projection.progress().clone();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { projection.run(stopped).await });
    progress
        .wait_for(Position::START, Duration::from_secs(5))
        .await
        .unwrap();
    let measured = append_and_see(bench, move |position| {
        let progress = progress.clone();
        async move {
            let patience = Duration::from_secs(5);
            progress.wait_for(position, patience).await.unwrap();
        }
    });
    let measured = measured.await;
    stop.send_replace(true);
    running.await.unwrap();
    measured
}

async fn live_by_hand(bench: &Bench, database: &Database) -> Measured {
    let mut by_hand = ByHand::new(&bench.database, database).await;
    let mut appended = bench.store.appended();
    let (done, seen) = watch::channel(0);
    let running = tokio::spawn(async move {
        while appended.changed().await.is_ok() {
            loop {
                let rows = by_hand.page(by_hand.after).await;
                if rows.is_empty() {
                    break;
                }
                by_hand.write(&rows).await;
                done.send_replace(by_hand.after);
            }
        }
    });
    let measured = append_and_see(bench, move |position| {
        let mut seen = seen.clone();
        async move {
            let is_there = |last: &i64| *last >= position.number();
            seen.wait_for(is_there).await.unwrap();
        }
    });
    let measured = measured.await;
    running.abort();
    measured
}

/// Appends events at a steady rate, and takes the time from each acknowledgement until `see` ends.
async fn append_and_see<F>(
    bench: &Bench,
    see: impl Fn(Position) -> F + Clone + Send + 'static,
) -> Measured
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut calls = Vec::new();
    for number in 0..LIVE_EVENTS {
        ticks.tick().await;
        let (store, see) = (Arc::clone(&bench.store), see.clone());
        calls.push(tokio::spawn(async move {
            let request = ours::request((number % ACCOUNTS).to_string(), 1);
            let appended = store.append(request).await.unwrap();
            let Outcome::Committed(events) = appended.outcome else {
                panic!()
            };
            let acknowledged = Instant::now();
            see(events[0].position).await;
            u32::try_from(acknowledged.elapsed().as_micros()).unwrap()
        }));
    }
    collected(calls).await
}

/// Whoever listens writes everything that has come until then in one upsert.
async fn live_by_notification(store: &Database, database: &Database) -> Measured {
    let (client, mut connection) = store
        .config(Role::Appender)
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    let (heard, mut notifications) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut poll = move |context: &mut std::task::Context<'_>| connection.poll_message(context);
        while let Some(Ok(message)) = std::future::poll_fn(&mut poll).await {
            if let tokio_postgres::AsyncMessage::Notification(told) = message {
                let _ = heard.send(told.payload().parse::<u64>().unwrap());
            }
        }
    });
    client.batch_execute("LISTEN raw").await.unwrap();
    let (done, upserted) = watch::channel(0_u64);
    let projector = database.connect(Role::Projector).await.unwrap();
    tokio::spawn(async move {
        let upsert = projector.prepare(UPSERT).await.unwrap();
        let mut all = Vec::new();
        while notifications.recv_many(&mut all, 1_000).await > 0 {
            let last = all.drain(..).max().unwrap_or(0);
            let accounts: Vec<String> = vec![(last % ACCOUNTS).to_string()];
            projector
                .execute(&upsert, &[&accounts, &vec![1_250_i64]])
                .await
                .unwrap();
            done.send_replace(last);
        }
    });
    let pool = store.pool(Role::Appender, 4).unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut calls = Vec::new();
    for number in 1..=LIVE_EVENTS {
        ticks.tick().await;
        let (pool, mut upserted) = (pool.clone(), upserted.clone());
        calls.push(tokio::spawn(async move {
            let mut writer = pool.get().await.unwrap();
            let insert = writer.prepare_cached(INSERT).await.unwrap();
            let version = i64::try_from(number).unwrap();
            writer
                .execute(&insert, &[&version, &raw::payload(), &METADATA])
                .await
                .unwrap();
            let acknowledged = Instant::now();
            writer
                .batch_execute(&format!("NOTIFY raw, '{number}'"))
                .await
                .unwrap();
            writer.finished();
            drop(writer);
            upserted.wait_for(|last| *last >= number).await.unwrap();
            u32::try_from(acknowledged.elapsed().as_micros()).unwrap()
        }));
    }
    collected(calls).await
}

const INSERT: &str = "INSERT INTO public.raw (version, recorded_at, event_id, command_id, \
     schema_version, category, stream_id, event_type, payload, metadata) VALUES \
     ($1, 0, gen_random_uuid(), gen_random_uuid(), 1, 'a', 'live', 'C', $2, $3)";

async fn collected(calls: Vec<tokio::task::JoinHandle<u32>>) -> Measured {
    let mut calls_us = Vec::new();
    for call in calls {
        calls_us.push(call.await.unwrap());
    }
    calls_us.sort_unstable();
    Measured {
        rate: 1_000,
        calls_us,
    }
}

const UPSERT: &str = "INSERT INTO raw.balances AS b SELECT * FROM unnest($1::text[], $2::bigint[]) \
     ON CONFLICT (account) DO UPDATE SET cents = b.cents + excluded.cents";

/// The same rows by a program that knows its one table: it reads what it needs of an event, and the
/// next batch while it writes one.
async fn hand_written(store: &Database, database: &Database, events: u64) -> i64 {
    let mut by_hand = ByHand::new(store, database).await;
    let mut total = 0;
    let mut rows = by_hand.page(0).await;
    while !rows.is_empty() {
        let last = by_hand.after + i64::try_from(rows.len()).unwrap();
        let next = by_hand.page(last);
        let (sum, next) = join(by_hand.write(&rows), next).await;
        total += sum;
        rows = next;
    }
    assert_eq!(u64::try_from(by_hand.after).unwrap(), events);
    total
}

/// A projection of balances without a framework.
struct ByHand {
    pages: Pages,
    writer: tokio_postgres::Client,
    upsert: tokio_postgres::Statement,
    moved: tokio_postgres::Statement,
    after: i64,
}

/// Reads the store beside the writing.
#[derive(Clone)]
struct Pages {
    reader: Arc<tokio_postgres::Client>,
    read: tokio_postgres::Statement,
}

impl Pages {
    async fn after(self, position: i64) -> Vec<tokio_postgres::Row> {
        let until = position + BATCH.events();
        let range: [&(dyn ToSql + Sync); 2] = [&position, &until];
        self.reader.query(&self.read, &range).await.unwrap()
    }
}

impl ByHand {
    async fn new(store: &Database, database: &Database) -> Self {
        let reader = store.connect(Role::Reader).await.unwrap();
        let read = reader
            .prepare(
                "SELECT stream_id, payload FROM store.events \
                 WHERE position > $1 AND position <= $2 ORDER BY position",
            )
            .await
            .unwrap();
        let writer = database.connect(Role::Projector).await.unwrap();
        let upsert = writer.prepare(UPSERT).await.unwrap();
        let moved = writer
            .prepare("UPDATE raw.checkpoint SET position = $2 WHERE id = 1 AND position = $1")
            .await
            .unwrap();
        Self {
            pages: Pages {
                reader: Arc::new(reader),
                read,
            },
            writer,
            upsert,
            moved,
            after: 0,
        }
    }

    fn page(&self, after: i64) -> impl Future<Output = Vec<tokio_postgres::Row>> + use<> {
        self.pages.clone().after(after)
    }

    /// Writes rows and checkpoint, and answers with what the events add up to.
    async fn write(&mut self, rows: &[tokio_postgres::Row]) -> i64 {
        let last = self.after + i64::try_from(rows.len()).unwrap();
        let mut changes = BTreeMap::<&str, i64>::new();
        for row in rows {
            let AccountEvent::Credited(posting) = raw::decode(row.get(1));
            *changes.entry(row.get(0)).or_default() += cents(&posting.amount);
        }
        let (accounts, cents): (Vec<&str>, Vec<i64>) = changes.into_iter().unzip();
        let transaction = self.writer.transaction().await.unwrap();
        let checkpoint: [&(dyn ToSql + Sync); 2] = [&self.after, &last];
        transaction.execute(&self.moved, &checkpoint).await.unwrap();
        let row: [&(dyn ToSql + Sync); 2] = [&accounts, &cents];
        transaction.execute(&self.upsert, &row).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "by hand")]
        transaction.commit().await.unwrap();
        self.after = last;
        cents.iter().sum()
    }
}

async fn open(bench: &Bench, database: &Database) -> Projection {
    let settings = Settings {
        batch: BATCH,
        ..Settings::default()
    };
    let source = StoreSource::new(Arc::clone(&bench.store));
    Projection::open(Balances, source, database, settings)
        .await
        .unwrap()
}

pub(crate) async fn run_to(projection: &Projection, events: u64) {
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn({
        let projection = projection.clone();
        async move { projection.run(stopped).await }
    });
    let last = Position::new(i64::try_from(events).unwrap()).unwrap();
    let patience = Duration::from_secs(600);
    projection
        .progress()
        .wait_for(last, patience)
        .await
        .unwrap();
    stop.send_replace(true);
    running.await.unwrap();
}

async fn position_of(projection: &Projection, build: i32) -> u64 {
    let builds = projection.builds().await.unwrap();
    let found = builds.iter().find(|found| found.name.build == build);
    u64::try_from(found.unwrap().position().number()).unwrap()
}

async fn ask(database: &Database, statement: &str) -> i64 {
    let client = database.connect(Role::Projector).await.unwrap();
    client.query_one(statement, &[]).await.unwrap().get(0)
}
