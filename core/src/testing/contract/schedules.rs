//! Schedules of several writers in open transactions, step by step, with a reader that looks after
//! each of them.
//!
//! What a store makes of a schedule is its own affair: it may let a writer wait for another one, or
//! let it go on and hold its events back from readers. It may not show a reader a position and a
//! smaller one later, nor lose an event that was committed, nor show one that was not.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use futures_util::poll;

use crate::event::RecordedEvent;
use crate::store::EventStore;
use crate::stream::{BatchSize, Position, StreamId};

/// A store whose writers can be held in the middle of a transaction.
#[async_trait]
pub trait TransactionalStore: Send + Sync {
    /// One of its writers, on a connection of its own.
    type Writer: Writer;

    /// The store as its readers know it.
    fn store(&self) -> &dyn EventStore;

    /// A new writer.
    async fn writer(&self) -> Self::Writer;

    /// How many writers wait at this moment for what another one holds, and holds still.
    async fn waiting_writers(&self) -> usize;
}

/// Somebody who appends step by step.
#[async_trait]
pub trait Writer: Send + 'static {
    /// Takes one step. May have to wait for another writer.
    async fn take(&mut self, step: Step);
}

/// One step of a writer.
#[derive(Debug, Clone)]
pub enum Step {
    /// Opens a transaction.
    Begin,
    /// Writes a row that is not the store's, whereby the transaction becomes one that writes.
    WriteElsewhere,
    /// Appends one event with this payload to a stream, at whatever version.
    Append(StreamId, Vec<u8>),
    /// Sets a savepoint.
    Savepoint,
    /// Undoes what it did since its savepoint.
    RollBackToSavepoint,
    /// Commits.
    Commit,
    /// Rolls back.
    RollBack,
}

/// Makes a test module of all schedules.
///
/// The expression is evaluated in async code, once for each run, and must give a
/// [`TransactionalStore`] over a new, empty store. The calling crate needs tokio with `macros` and
/// `rt`.
#[macro_export]
macro_rules! event_store_schedules {
    ($store:expr) => {
        $crate::event_store_schedules!(
            @cases $store;
            g1_a_later_append_that_is_committed_first_hides_no_earlier_one,
            g2_an_append_that_is_rolled_back_holds_nothing_up,
            g3_slow_transactions_may_end_in_any_order,
            g4_a_savepoint_that_is_rolled_back_leaves_no_gap,
            g5_a_transaction_that_began_earlier_keeps_the_order_of_the_stream,
        );
    };
    (@cases $store:expr; $($case:ident,)+) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::testing::contract::schedules::$case(|| async { $store }).await;
            }
        )+
    };
}

/// T1 appends and stays open; T2 appends after it and wants to commit first.
pub async fn g1_a_later_append_that_is_committed_first_hides_no_earlier_one<S, F>(
    new_store: impl Fn() -> F,
) where
    S: TransactionalStore,
    F: Future<Output = S>,
{
    let schedule = "1 begin, 1 append a, 2 begin, 2 append b, 2 commit, 1 commit";
    assert_eq!(run(&new_store().await, schedule).await, ["a 1.1", "b 2.1"]);
    let schedule = "1 begin, 2 begin, 2 append b, 1 append a, 1 commit, 2 commit";
    assert_eq!(run(&new_store().await, schedule).await, ["a 1.1", "b 2.1"]);
}

/// The same with T1 rolled back.
pub async fn g2_an_append_that_is_rolled_back_holds_nothing_up<S, F>(new_store: impl Fn() -> F)
where
    S: TransactionalStore,
    F: Future<Output = S>,
{
    let schedule = "1 begin, 1 append a, 2 begin, 2 append b, 2 commit, 1 roll back, \
                    1 begin, 1 append c, 1 commit";
    assert_eq!(run(&new_store().await, schedule).await, ["b 2.1", "c 1.2"]);
    let schedule = "1 begin, 1 append a, 1 append a, 2 begin, 2 append b, 2 commit, 1 roll back";
    assert_eq!(run(&new_store().await, schedule).await, ["b 2.1"]);
}

/// Three transactions, every order of their ends, every choice of who rolls back.
pub async fn g3_slow_transactions_may_end_in_any_order<S, F>(new_store: impl Fn() -> F)
where
    S: TransactionalStore,
    F: Future<Output = S>,
{
    const ORDERS: [[usize; 3]; 6] = [
        [1, 2, 3],
        [1, 3, 2],
        [2, 1, 3],
        [2, 3, 1],
        [3, 1, 2],
        [3, 2, 1],
    ];
    let store = new_store().await;
    let mut committed = Vec::new();
    let mut number = 0;
    for order in ORDERS {
        for rolled_back in 0..8_usize {
            number += 1;
            let ends = order.map(|writer| {
                let rolls_back = rolled_back >> (writer - 1) & 1 == 1;
                let end = if rolls_back { "roll back" } else { "commit" };
                if !rolls_back {
                    committed.push(format!("s{writer} {number}.{writer}"));
                }
                format!("{writer} {end}")
            });
            let schedule = format!(
                "1 begin, 2 begin, 3 begin, 1 append s1, 2 append s2, 3 append s3, {}",
                ends.join(", ")
            );
            let all = run_labelled(&store, &schedule, |writer, _| format!("{number}.{writer}"));
            let mut all = all.await;
            all.sort_unstable();
            committed.sort_unstable();
            assert_eq!(all, committed, "{schedule}");
        }
    }
}

/// T1 undoes an append and goes on with another one.
pub async fn g4_a_savepoint_that_is_rolled_back_leaves_no_gap<S, F>(new_store: impl Fn() -> F)
where
    S: TransactionalStore,
    F: Future<Output = S>,
{
    let schedule = "1 begin, 1 savepoint, 1 append a, 1 roll back to savepoint, \
                    2 begin, 2 append b, 2 commit, 1 append c, 1 commit";
    assert_eq!(run(&new_store().await, schedule).await, ["b 2.1", "c 1.2"]);
    let schedule = "1 begin, 1 append a, 1 savepoint, 1 append b, 1 roll back to savepoint, \
                    2 begin, 2 append c, 1 append d, 1 commit, 2 commit";
    assert_eq!(
        run(&new_store().await, schedule).await,
        ["a 1.1", "c 2.1", "d 1.3"]
    );
}

/// T1 is the older transaction, by its beginning and by its first write, and appends second.
pub async fn g5_a_transaction_that_began_earlier_keeps_the_order_of_the_stream<S, F>(
    new_store: impl Fn() -> F,
) where
    S: TransactionalStore,
    F: Future<Output = S>,
{
    let schedule = "1 begin, 1 write elsewhere, 2 begin, 2 append a, 2 commit, \
                    1 append a, 1 commit, 2 begin, 2 append a, 2 commit";
    let store = new_store().await;
    let mut all = run(&store, schedule).await;
    all.sort_unstable();
    assert_eq!(all, ["a 1.1", "a 2.1", "a 2.2"]);
    let events = read_on(store.store(), Position::START).await;
    let order: Vec<&[u8]> = events.iter().map(|event| &event.payload[..]).collect();
    assert_eq!(order, [&b"\"2.1\""[..], b"\"1.1\"", b"\"2.2\""]);
}

/// Runs a schedule and gives what is committed in the end as `stream writer.append`, sorted.
///
/// # Panics
///
/// When the reader, who looks after every step, saw something else than what is there in the end.
async fn run(store: &impl TransactionalStore, schedule: &str) -> Vec<String> {
    run_labelled(store, schedule, |writer, append| {
        format!("{writer}.{append}")
    })
    .await
}

type Turn<W> = Pin<Box<dyn Future<Output = W> + Send>>;

/// A writer between two steps, or in one.
enum At<W: Writer> {
    Rest(W),
    Step(Turn<W>),
}

/// A writer and the steps that are before it.
struct Actor<W: Writer> {
    /// None only while it is moved from one to the other.
    at: Option<At<W>>,
    steps: VecDeque<Step>,
}

async fn run_labelled<S: TransactionalStore>(
    stage: &S,
    schedule: &str,
    label: impl Fn(usize, usize) -> String,
) -> Vec<String> {
    let mut writers: BTreeMap<usize, Actor<S::Writer>> = BTreeMap::new();
    let mut appends: BTreeMap<usize, usize> = BTreeMap::new();
    let mut seen = read_on(stage.store(), Position::START).await;
    for line in schedule.split(", ") {
        let (number, step) = line.split_once(' ').unwrap();
        let number: usize = number.parse().unwrap();
        let step = parse(step.trim(), || {
            let append = appends.entry(number).or_default();
            *append += 1;
            label(number, *append)
        });
        let writer = match writers.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Actor {
                at: Some(At::Rest(stage.writer().await)),
                steps: VecDeque::new(),
            }),
        };
        writer.steps.push_back(step);
        go_on(stage, &mut writers).await;
        look(stage, &mut seen).await;
    }
    let stuck = writers
        .values()
        .any(|writer| matches!(writer.at, Some(At::Step(_))));
    assert!(!stuck, "writers wait for each other for ever: {schedule}");
    assert_eq!(seen, read_on(stage.store(), Position::START).await);
    let mut all: Vec<String> = seen
        .iter()
        .map(|event| {
            let payload = String::from_utf8(event.payload.to_vec()).unwrap();
            format!("{} {}", event.stream.id(), payload.trim_matches('"'))
        })
        .collect();
    all.sort_unstable();
    all
}

fn parse(step: &str, label: impl FnOnce() -> String) -> Step {
    match step {
        "begin" => Step::Begin,
        "write elsewhere" => Step::WriteElsewhere,
        "savepoint" => Step::Savepoint,
        "roll back to savepoint" => Step::RollBackToSavepoint,
        "commit" => Step::Commit,
        "roll back" => Step::RollBack,
        other => {
            let stream = other.strip_prefix("append ").expect("a step");
            let stream = StreamId::new("schedule", stream).unwrap();
            Step::Append(stream, format!("\"{}\"", label()).into_bytes())
        }
    }
}

/// Lets every writer go as far as it can: until it has no step left, or waits for another one.
async fn go_on<S: TransactionalStore>(stage: &S, writers: &mut BTreeMap<usize, Actor<S::Writer>>) {
    loop {
        let mut in_step = 0;
        for Actor { at, steps } in writers.values_mut() {
            loop {
                *at = match (at.take().expect("a writer"), steps.pop_front()) {
                    (At::Rest(mut writer), Some(step)) => {
                        let turn = async move {
                            writer.take(step).await;
                            writer
                        };
                        Some(At::Step(Box::pin(turn)))
                    }
                    (At::Rest(writer), None) => {
                        *at = Some(At::Rest(writer));
                        break;
                    }
                    (At::Step(mut turn), next) => {
                        if let Some(step) = next {
                            steps.push_front(step);
                        }
                        match poll!(turn.as_mut()) {
                            std::task::Poll::Ready(writer) => Some(At::Rest(writer)),
                            std::task::Poll::Pending => {
                                *at = Some(At::Step(turn));
                                in_step += 1;
                                break;
                            }
                        }
                    }
                };
            }
        }
        if in_step == 0 || stage.waiting_writers().await == in_step {
            return;
        }
    }
}

/// The reader: what is new comes after what was there, without a gap.
async fn look(stage: &impl TransactionalStore, seen: &mut Vec<RecordedEvent>) {
    let after = seen.last().map_or(Position::START, |last| last.position);
    seen.extend(read_on(stage.store(), after).await);
    let mut versions: BTreeMap<&StreamId, i64> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for (position, event) in (1..).zip(&*seen) {
        assert_eq!(event.position.number(), position);
        let version = versions.entry(&event.stream).or_default();
        *version += 1;
        assert_eq!(event.version.number(), *version, "{}", event.stream);
        assert!(ids.insert(event.event_id), "{} twice", event.event_id);
    }
}

async fn read_on(store: &dyn EventStore, after: Position) -> Vec<RecordedEvent> {
    store.read_all(after, BatchSize::default()).await.unwrap()
}
