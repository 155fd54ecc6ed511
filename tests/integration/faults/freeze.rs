//! The server hangs: its connections stay open, and nobody answers on them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use folio_core::store::EventStore;
use folio_core::{BatchSize, CommandId, Position};
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{AppendSettings, PostgresStore};
use folio_tests::scale;
use tokio::task::JoinSet;

use super::held::Held;
use super::{
    PATIENCE, events_by_command, read_all, request, store_database, superuser, wait_until,
};

const CALLERS: usize = 48;
const READERS: usize = 4;
/// How long a caller waits for an answer.
const DEADLINE: Duration = Duration::from_millis(250);
const FREEZE: Duration = Duration::from_secs(3);
const BATCH: usize = 8;
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";

/// What callers have done so far.
#[derive(Default)]
struct Calls {
    recorded: AtomicUsize,
    timed_out: AtomicUsize,
    stop: AtomicBool,
}

impl Calls {
    async fn more(&self, appends: usize) {
        let goal = self.recorded.load(Ordering::Relaxed) + appends;
        wait_until("acknowledged appends", async || {
            self.recorded.load(Ordering::Relaxed) >= goal
        })
        .await;
    }
}

/// Callers who leave at their deadlines pile up neither sessions nor appends: what was not sent when
/// its caller left is not sent later.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_holds_up_no_caller_and_piles_nothing_up() {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let server = cluster.connection_config();
    let database = store_database(&server).await;
    let settings = AppendSettings {
        queue: 2 * BATCH,
        batch: BATCH,
        // Both pass during the freeze: the appender gives its session up, and does not get another.
        statement: DEADLINE * 2,
        resolve: DEADLINE * 2,
        ..AppendSettings::default()
    };
    let store = PostgresStore::open_with(&database, READERS, settings).await;
    let store = Arc::new(store.unwrap());
    let calls = Arc::new(Calls::default());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call(caller, Arc::clone(&store), Arc::clone(&calls)));
    }
    calls.more(500).await;
    let watching = superuser(&server, &database).await;
    let before: i64 = watching.query_one(SESSIONS, &[]).await.unwrap().get(0);

    let frozen = cluster.freeze().await.unwrap();
    let since = Instant::now();
    let timed_out = calls.timed_out.load(Ordering::Relaxed);
    let freeze = FREEZE * u32::try_from(scale()).unwrap();
    wait_until("the end of the freeze", async || since.elapsed() >= freeze).await;
    let timed_out = calls.timed_out.load(Ordering::Relaxed) - timed_out;
    let thawed = Instant::now();
    drop(frozen);

    // The sessions right after, when all that was asked for meanwhile is there at once.
    let mut most = 0;
    let goal = calls.recorded.load(Ordering::Relaxed) + 500;
    wait_until("acknowledged appends", async || {
        let sessions: i64 = watching.query_one(SESSIONS, &[]).await.unwrap().get(0);
        most = most.max(sessions);
        calls.recorded.load(Ordering::Relaxed) >= goal
    })
    .await;
    calls.stop.store(true, Ordering::Relaxed);
    // Whoever leaves at another time may leave an append that a slow machine is at work on.
    let frozen = since..thawed;
    let left = callers.join_all().await.into_iter().flatten();
    let left = left.filter(|left| frozen.contains(&left.at));
    let left: HashSet<CommandId> = left.map(|left| left.command).collect();
    eprintln!(
        "{timed_out} timed out, {before} sessions before, {most} after, {} left",
        left.len()
    );

    // Nobody waited much longer than his deadline: everybody gave up again and again.
    let each = usize::try_from(freeze.as_millis() / DEADLINE.as_millis()).unwrap();
    assert!(timed_out >= CALLERS * each / 2, "{timed_out} timed out");
    // One for each place in the pools, and one for each that is on its way out.
    let bound = 2 * (before + i64::try_from(READERS).unwrap());
    assert!(most <= bound, "{most} sessions, {before} before");
    wait_until("sessions as before", async || {
        let sessions: i64 = watching.query_one(SESSIONS, &[]).await.unwrap().get(0);
        sessions <= before + i64::try_from(READERS).unwrap()
    })
    .await;

    drop(store);
    let reopened = PostgresStore::open(&database, 1).await.unwrap();
    let events = events_by_command(&read_all(&reopened).await);
    assert!(events.values().all(|count| *count == 1));
    assert!(events.len() >= calls.recorded.load(Ordering::Relaxed));
    // Those that were on their way when the server froze, and when their callers left.
    let recorded = left.iter().filter(|id| events.contains_key(id)).count();
    assert!(recorded <= 2 * BATCH, "{recorded} that nobody waited for");
    cluster.remove().await.unwrap();
}

/// A command whose caller did not wait for its end.
struct Left {
    command: CommandId,
    at: Instant,
}

/// Appends and reads until told to stop. Answers the commands that it did not wait for.
async fn call(caller: usize, store: Arc<PostgresStore>, calls: Arc<Calls>) -> Vec<Left> {
    let mut left = Vec::new();
    while !calls.stop.load(Ordering::Relaxed) {
        let request = request(&caller.to_string(), 1);
        let command = request.context.id;
        let append = async {
            if caller.is_multiple_of(2) {
                let page = store.read_all(Position::START, BatchSize::new(10).unwrap());
                // It fails for a moment after the thaw, as the append may.
                let _ = page.await;
            }
            store.append(request).await.is_ok()
        };
        match tokio::time::timeout(DEADLINE, append).await {
            Ok(true) => _ = calls.recorded.fetch_add(1, Ordering::Relaxed),
            // As a client would: not again at once.
            Ok(false) => tokio::time::sleep(DEADLINE / 10).await,
            Err(_) => {
                calls.timed_out.fetch_add(1, Ordering::Relaxed);
                let at = Instant::now();
                left.push(Left { command, at });
            }
        }
    }
    left
}

/// Commits write the log themselves. The process that writes it for others is not needed.
#[tokio::test(flavor = "multi_thread")]
async fn appends_go_on_without_the_writer_of_the_log() {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let server = cluster.connection_config();
    let database = store_database(&server).await;
    let superuser = superuser(&server, &database).await;
    let store = PostgresStore::open(&database, 1).await.unwrap();
    let held = Held::writer_of_the_log(&superuser).await;
    let since = Instant::now();
    let appends = 200 * scale();
    for _ in 0..appends {
        let append = store.append(request("steady", 1));
        tokio::time::timeout(PATIENCE, append)
            .await
            .expect("an append goes on")
            .unwrap();
    }
    // The writer was due several times by then.
    wait_until("a second", async || since.elapsed() >= FREEZE / 3).await;
    store.append(request("steady", 1)).await.unwrap();
    drop(held);
    let events = events_by_command(&read_all(&store).await);
    assert_eq!(events.len(), appends + 1);
    cluster.remove().await.unwrap();
}
