//! Commands on PostgreSQL: conflicts, repeats, frozen refusals.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use folio_core::joint::{Caused, JointCommand, Participant, States};
use folio_core::{
    Actor, Aggregate, AppendStatus, CommandContext, CommandId, Event, EventHash, EventStore,
    InMemoryStore, Snapshots, StreamId, Version,
};
use folio_postgres::PostgresStore;
use folio_runtime::{CacheBytes, ExecuteError, Executor, JointVerdict, Reply, Retries, Verdict};
use folio_tests::postgres;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

/// A till that never goes below zero.
#[derive(Debug, Clone, PartialEq)]
struct Till(i64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum TillEvent {
    Added(i64),
    Taken(i64),
}
impl Event for TillEvent {}

#[derive(Debug, Clone, Serialize)]
enum TillCommand {
    Add(i64),
    Take(i64),
    /// Accepted, and causes nothing.
    Look,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TooLittle(i64);

impl fmt::Display for TooLittle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are {} in the till", self.0)
    }
}
impl std::error::Error for TooLittle {}

impl Aggregate for Till {
    const CATEGORY: &'static str = "till";
    type Command = TillCommand;
    type Event = TillEvent;
    type Refusal = TooLittle;

    fn decide(state: Option<&Self>, command: TillCommand) -> Result<Vec<TillEvent>, TooLittle> {
        let held = state.map_or(0, |till| till.0);
        match command {
            TillCommand::Add(amount) => Ok(vec![TillEvent::Added(amount)]),
            TillCommand::Take(amount) if amount <= held => Ok(vec![TillEvent::Taken(amount)]),
            TillCommand::Take(_) => Err(TooLittle(held)),
            TillCommand::Look => Ok(Vec::new()),
        }
    }

    fn evolve(state: Option<Self>, event: &TillEvent) -> Option<Self> {
        let held = state.map_or(0, |till| till.0);
        Some(Self(match event {
            TillEvent::Added(amount) => held + amount,
            TillEvent::Taken(amount) => held - amount,
        }))
    }
}

type Tills = Executor<Arc<dyn EventStore>>;

fn executor(store: impl EventStore) -> Tills {
    Executor::new(Arc::new(store))
}

async fn execute(tills: &Tills, name: &str, command: TillCommand) -> Reply<Till> {
    try_execute(tills, name, command).await.unwrap()
}

fn context(name: &str) -> CommandContext {
    CommandContext::new(CommandId::derived(&[name]), Actor::anonymous())
}

async fn try_execute(
    tills: &Tills,
    name: &str,
    command: TillCommand,
) -> Result<Reply<Till>, ExecuteError> {
    tills.execute::<Till>("1", command, context(name)).await
}

fn held(reply: &Reply<Till>) -> i64 {
    match &reply.verdict {
        Verdict::Accepted { state, .. } => state.as_ref().map_or(0, |till| till.0),
        Verdict::Refused(refusal) => panic!("{refusal}"),
    }
}

async fn on_both_stores<F: Future<Output = ()>>(case: impl Fn(Tills) -> F) {
    case(executor(InMemoryStore::default())).await;
    case(executor(postgres::store().await)).await;
}

#[tokio::test]
async fn deposits_are_applied_once_each() {
    on_both_stores(|tills| async move {
        for number in 0..3 {
            execute(&tills, &format!("add {number}"), TillCommand::Add(100)).await;
        }
        let reply = execute(&tills, "look", TillCommand::Look).await;
        assert_eq!(held(&reply), 300);
    })
    .await;
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_though_the_state_has_moved_on() {
    on_both_stores(|tills| async move {
        let first = execute(&tills, "a", TillCommand::Add(5)).await;
        execute(&tills, "b", TillCommand::Add(7)).await;
        let again = execute(&tills, "a", TillCommand::Add(5)).await;
        assert_eq!((first.status, held(&first)), (AppendStatus::Executed, 5));
        assert_eq!(
            (again.status, held(&again)),
            (AppendStatus::AlreadyApplied, 5)
        );
        let error = try_execute(&tills, "a", TillCommand::Add(6))
            .await
            .unwrap_err();
        assert!(
            matches!(error, ExecuteError::CommandReused { .. }),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_refusal_stays_though_the_command_could_succeed_by_now() {
    on_both_stores(|tills| async move {
        let first = execute(&tills, "take", TillCommand::Take(5)).await;
        assert!(matches!(first.verdict, Verdict::Refused(TooLittle(0))));
        execute(&tills, "add", TillCommand::Add(50)).await;
        let again = execute(&tills, "take", TillCommand::Take(5)).await;
        assert_eq!(again.status, AppendStatus::AlreadyApplied);
        assert!(matches!(again.verdict, Verdict::Refused(TooLittle(0))));
        let other = execute(&tills, "take later", TillCommand::Take(5)).await;
        assert_eq!(held(&other), 45);
    })
    .await;
}

/// Each of them could be afforded alone. Without the version check all would be.
#[tokio::test]
async fn takers_that_race_cannot_take_more_than_there_is() {
    let tills = executor(postgres::store().await);
    execute(&tills, "add", TillCommand::Add(10)).await;
    let racers = (0..30).map(|number| {
        let tills = tills.clone();
        tokio::spawn(async move {
            let reply = execute(&tills, &format!("take {number}"), TillCommand::Take(1)).await;
            matches!(reply.verdict, Verdict::Accepted { .. })
        })
    });
    let mut taken = 0;
    for racer in racers.collect::<Vec<_>>() {
        taken += usize::from(racer.await.unwrap());
    }
    assert_eq!(taken, 10);
    let reply = execute(&tills, "look", TillCommand::Look).await;
    assert_eq!(held(&reply), 0);
}

#[tokio::test]
async fn without_a_budget_a_conflict_is_told() {
    let store: Arc<dyn EventStore> = Arc::new(postgres::store().await);
    // Each with states of its own, as processes have: within one, a command is decided on what was
    // decided before and does not conflict.
    let tills = || Executor::new(Arc::clone(&store)).with_retries(Retries(0));
    let racers = (0..20).map(|number| {
        let tills = tills();
        tokio::spawn(async move {
            try_execute(&tills, &format!("add {number}"), TillCommand::Add(1)).await
        })
    });
    let (mut added, mut contended) = (0, 0);
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(_) => added += 1,
            Err(ExecuteError::Contended { .. }) => contended += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(
        contended > 0,
        "nobody met a conflict, so this shows nothing"
    );
    let reply = execute(&tills(), "look", TillCommand::Look).await;
    assert_eq!(held(&reply), added);
}

/// Credit through one process, debit through the other at once. A state in memory that knows nothing
/// of the credit would refuse the debit; the refusal is confirmed by the store before it is answered.
#[tokio::test]
async fn a_second_process_refuses_nothing_that_the_first_has_made_possible() {
    let database = postgres::store_database().await;
    let mut processes = Vec::new();
    for _ in 0..2 {
        let store = PostgresStore::open(&database, 2).await.unwrap();
        processes.push(executor(store));
    }
    for round in 0..1_000 {
        let (one, two) = (&processes[round % 2], &processes[(round + 1) % 2]);
        execute(one, &format!("add {round}"), TillCommand::Add(7)).await;
        let taken = execute(two, &format!("take {round}"), TillCommand::Take(7)).await;
        assert_eq!(held(&taken), 0, "round {round}");
    }
}

/// Many at once on one aggregate: each is decided on those before it, though none of them is
/// committed yet. What cannot be afforded is refused, and no conflict shows.
#[tokio::test]
async fn waiting_commands_are_decided_in_turn_and_appended_together() {
    on_both_stores(|tills| async move {
        execute(&tills, "add", TillCommand::Add(100)).await;
        let commands = (0..300).map(|number| {
            let tills = tills.clone();
            tokio::spawn(async move {
                let name = format!("take {number}");
                execute(&tills, &name, TillCommand::Take(1)).await.verdict
            })
        });
        let mut taken = 0;
        for command in commands.collect::<Vec<_>>() {
            taken += usize::from(matches!(command.await.unwrap(), Verdict::Accepted { .. }));
        }
        assert_eq!(taken, 100);
    })
    .await;
}

/// The client's key was used before, for something else, and this process has not heard of it. Until the store says so
/// it decides on what it took the command to do, and the version is as it expects. So the event's id must not be.
#[tokio::test]
async fn nothing_is_decided_on_what_a_reused_key_would_have_done() {
    let database = postgres::store_database().await;
    for round in 0..20 {
        let ours = executor(PostgresStore::open(&database, 2).await.unwrap());
        let theirs = executor(PostgresStore::open(&database, 2).await.unwrap());
        let till = format!("reused {round}");
        let run = async |tills: &Tills, name: &str, command| {
            let context = context(&format!("{name} {round}"));
            tills.execute::<Till>(&till, command, context).await
        };
        run(&ours, "add", TillCommand::Add(1_000)).await.unwrap();
        run(&theirs, "key", TillCommand::Add(1)).await.unwrap();
        let (reused, taken) = tokio::join!(
            run(&ours, "key", TillCommand::Add(1_000)),
            run(&ours, "take", TillCommand::Take(1_500)),
        );
        assert!(
            matches!(reused, Err(ExecuteError::CommandReused { .. })),
            "{reused:?}"
        );
        let taken = taken.unwrap().verdict;
        assert!(
            matches!(taken, Verdict::Refused(TooLittle(1_001))),
            "round {round}: {taken:?}"
        );
    }
}

/// A repeated command causes the same event at the same version, and what was before it is not what this process took
/// it to be.
#[tokio::test]
async fn an_event_s_id_tells_what_was_before_it() {
    let database = postgres::store_database().await;
    for round in 0..20 {
        let ours = executor(PostgresStore::open(&database, 2).await.unwrap());
        let theirs = executor(PostgresStore::open(&database, 2).await.unwrap());
        let till = format!("before {round}");
        let run = async |tills: &Tills, name: &str, command| {
            let context = context(&format!("{name} {round}"));
            let reply = tills.execute::<Till>(&till, command, context).await;
            reply.unwrap().verdict
        };
        run(&ours, "add", TillCommand::Add(100)).await;
        run(&theirs, "empty", TillCommand::Take(100)).await;
        run(&theirs, "key", TillCommand::Add(1)).await;
        let (_, _, taken) = tokio::join!(
            run(&ours, "more", TillCommand::Add(5)),
            run(&ours, "key", TillCommand::Add(1)),
            run(&ours, "take", TillCommand::Take(50)),
        );
        assert!(
            matches!(taken, Verdict::Refused(TooLittle(1 | 6))),
            "round {round}: {taken:?}"
        );
    }
}

/// What a command that causes nothing is answered again with is on record. Here another of this process is on its way,
/// on a state that is no longer so, and comes to nothing.
#[tokio::test]
async fn a_repeat_of_a_command_without_events_tells_what_is_recorded() {
    let database = postgres::store_database().await;
    let ours = executor(PostgresStore::open(&database, 2).await.unwrap());
    let theirs = executor(PostgresStore::open(&database, 2).await.unwrap());
    execute(&ours, "add", TillCommand::Add(100)).await;
    execute(&ours, "look", TillCommand::Look).await;
    execute(&theirs, "theirs", TillCommand::Take(100)).await;
    let (taken, again) = tokio::join!(
        execute(&ours, "take", TillCommand::Take(50)),
        execute(&ours, "look", TillCommand::Look),
    );
    assert!(
        matches!(taken.verdict, Verdict::Refused(TooLittle(0))),
        "{taken:?}"
    );
    assert_eq!(
        (again.status, held(&again)),
        (AppendStatus::AlreadyApplied, 0)
    );
}

/// Another process takes the version that a decision of ours was to have. The decisions that were
/// built on ours must not be recorded: the number fits them, the history does not.
#[tokio::test]
async fn decisions_built_on_a_decision_that_failed_are_made_again() {
    let database = postgres::store_database().await;
    let ours = executor(PostgresStore::open(&database, 2).await.unwrap());
    let theirs = executor(PostgresStore::open(&database, 2).await.unwrap());
    execute(&ours, "add", TillCommand::Add(1_000)).await;
    let mut left = 1_000;
    for round in 0..100 {
        // Fills the cache of ours, and makes it stale.
        let name = format!("theirs {round}");
        let theirs_took = execute(&theirs, &name, TillCommand::Take(1));
        let ours_took = join_all((0..5).map(|number| {
            let ours = ours.clone();
            async move {
                let name = format!("ours {round} {number}");
                execute(&ours, &name, TillCommand::Take(1)).await
            }
        }));
        let (_, replies) = tokio::join!(theirs_took, ours_took);
        left -= 6;
        assert_eq!(replies.len(), 5);
        let look = execute(&theirs, &format!("look {round}"), TillCommand::Look).await;
        assert_eq!(held(&look), left, "round {round}");
    }
}

#[tokio::test]
async fn states_in_memory_stay_within_their_bound() {
    let store: Arc<dyn EventStore> = Arc::new(InMemoryStore::default());
    let bound = 100_000;
    let tills = Executor::new(store).with_cache(CacheBytes(bound));
    for number in 0..1_000 {
        let context = context(&number.to_string());
        tills
            .execute::<Till>(&number.to_string(), TillCommand::Add(number), context)
            .await
            .unwrap();
        assert!(tills.cached_bytes() <= bound);
    }
    assert!(tills.cached_bytes() > bound / 2);
    // Those that were pushed out are loaded again, and with no room at all each time.
    let none = tills.clone().with_cache(CacheBytes(0));
    for tills in [tills, none] {
        let name = format!("again {}", tills.cached_bytes());
        let reply = tills
            .execute::<Till>("3", TillCommand::Look, context(&name))
            .await
            .unwrap();
        assert_eq!(held(&reply), 3);
    }
}

/// Moves from one till into another, unless a third has something in it.
#[derive(Debug, Clone, Serialize)]
struct Move(i64);

impl JointCommand for Move {
    const NAME: &'static str = "move";
    type Refusal = TooLittle;

    fn participants(&self) -> Vec<Participant> {
        ["from", "to", "guard"]
            .map(Participant::read::<Till>)
            .to_vec()
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, TooLittle> {
        let held = |id| states.of::<Till>(id).map_or(0, |till| till.0);
        if held("from") < self.0 || held("guard") > 0 {
            return Err(TooLittle(held("from")));
        }
        Ok(vec![
            Caused::on::<Till>("from", TillEvent::Taken(self.0)),
            Caused::on::<Till>("to", TillEvent::Added(self.0)),
        ])
    }
}

#[tokio::test]
async fn a_command_over_several_aggregates_is_recorded_on_all_or_none() {
    on_both_stores(|tills| async move {
        let on = async |id: &str, name: &str, command| {
            let context = context(name);
            tills.execute::<Till>(id, command, context).await.unwrap()
        };
        let moved = async |name: &str| {
            let reply = tills
                .execute_jointly(&Move(1), context(name))
                .await
                .unwrap();
            matches!(reply.verdict, JointVerdict::Accepted { .. })
        };
        on("from", "add", TillCommand::Add(50)).await;
        // At once with commands on each of them.
        let names: Vec<String> = (0..40).map(|number| format!("move {number}")).collect();
        let others: Vec<String> = (0..40).map(|number| format!("add {number}")).collect();
        let moves = join_all(names.iter().map(|name| moved(name)));
        let adds = join_all(
            others
                .iter()
                .map(|name| on("to", name, TillCommand::Add(1))),
        );
        let (accepted, _) = tokio::join!(moves, adds);
        assert!(accepted.into_iter().all(|accepted| accepted));
        assert_eq!(held(&on("from", "look 1", TillCommand::Look).await), 10);
        assert_eq!(held(&on("to", "look 2", TillCommand::Look).await), 80);
        // Repeated, it is not carried out again, though by now it would be refused.
        on("guard", "block", TillCommand::Add(1)).await;
        assert!(moved("move 7").await);
        assert!(!moved("refused").await);
        assert_eq!(held(&on("from", "look 3", TillCommand::Look).await), 10);
    })
    .await;
}

/// The condition is on a stream that the command does not write to.
#[tokio::test]
async fn a_joint_decision_is_made_again_when_an_aggregate_it_only_read_has_moved_on() {
    let database = postgres::store_database().await;
    let ours = executor(PostgresStore::open(&database, 2).await.unwrap());
    let theirs = executor(PostgresStore::open(&database, 2).await.unwrap());
    let add = async |tills: &Tills, id: &str, name: &str| {
        let context = context(name);
        let added = tills
            .execute::<Till>(id, TillCommand::Add(5), context)
            .await;
        added.unwrap();
    };
    add(&ours, "from", "add").await;
    let first = ours.execute_jointly(&Move(1), context("1")).await.unwrap();
    assert!(matches!(first.verdict, JointVerdict::Accepted { .. }));
    add(&theirs, "guard", "block").await;
    // Ours still has the guard as empty in memory.
    let second = ours.execute_jointly(&Move(1), context("2")).await.unwrap();
    assert!(matches!(
        second.verdict,
        JointVerdict::Refused(TooLittle(4))
    ));
}

/// A till whose states are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptTill(i64);

impl Aggregate for KeptTill {
    const CATEGORY: &'static str = "till";
    type Command = TillCommand;
    type Event = TillEvent;
    type Refusal = TooLittle;

    fn decide(state: Option<&Self>, command: TillCommand) -> Result<Vec<TillEvent>, TooLittle> {
        Till::decide(state.map(|till| Till(till.0)).as_ref(), command)
    }

    fn evolve(state: Option<Self>, event: &TillEvent) -> Option<Self> {
        Till::evolve(state.map(|till| Till(till.0)), event).map(|till| Self(till.0))
    }

    fn snapshots() -> Option<Snapshots<Self>> {
        Some(Snapshots::json(1, 10))
    }
}

/// Whatever a snapshot says, the state is the one that the events lead to.
#[tokio::test]
async fn a_snapshot_that_does_not_fit_its_stream_is_passed_over() {
    let database = postgres::store_database().await;
    let store = Arc::new(PostgresStore::open(&database, 2).await.unwrap());
    let tills = || Executor::new(Arc::clone(&store));
    let writing = tills();
    for number in 0..35 {
        let context = context(&number.to_string());
        let added = writing.execute::<KeptTill>("1", TillCommand::Add(1), context);
        added.await.unwrap();
    }
    let stream = StreamId::new("till", "1").unwrap();
    let kept = store.snapshot(&stream, 1).await.unwrap().unwrap();
    assert_eq!(
        (kept.version.number(), kept.state.as_slice()),
        (30, b"30".as_slice())
    );

    let held_now = async |name: &str| {
        let context = context(name);
        let reply = tills()
            .execute::<KeptTill>("1", TillCommand::Look, context)
            .await
            .unwrap();
        match reply.verdict {
            Verdict::Accepted { state, .. } => state.unwrap().0,
            Verdict::Refused(refusal) => panic!("{refusal}"),
        }
    };
    assert_eq!(held_now("with").await, 35);
    // That it is used: a state that is not what the events lead to, with the right event, is believed.
    let mut other = kept.clone();
    other.state = b"1030".to_vec();
    store.keep_snapshot(&stream, other).await.unwrap();
    assert_eq!(held_now("believed").await, 1_035);

    let mut corrupt = kept.clone();
    corrupt.state = b"{".to_vec();
    let mut another_history = kept.clone();
    another_history.event = EventHash::NONE;
    another_history.state = b"77".to_vec();
    let mut beyond = kept.clone();
    beyond.version = Version::new(99).unwrap();
    let mut another_shape = kept.clone();
    another_shape.state_version = 2;
    for (name, snapshot) in [
        ("corrupt", corrupt),
        ("another history", another_history),
        ("beyond", beyond),
    ] {
        store.keep_snapshot(&stream, snapshot).await.unwrap();
        assert_eq!(held_now(name).await, 35, "{name}");
    }
    store.keep_snapshot(&stream, another_shape).await.unwrap();
    assert_eq!(held_now("another shape").await, 35);
    postgres::superuser(&database)
        .await
        .batch_execute("DELETE FROM store.snapshots")
        .await
        .unwrap();
    assert_eq!(held_now("none").await, 35);
}

#[tokio::test]
async fn a_long_history_is_loaded_in_pages() {
    let tills = executor(InMemoryStore::default());
    for number in 0..2_500 {
        let context = CommandContext::new(
            CommandId::derived(&[&number.to_string()]),
            Actor::anonymous(),
        );
        tills
            .execute::<Till>("1", TillCommand::Add(1), context)
            .await
            .unwrap();
    }
    let (state, version) = tills
        .replay_until::<Till>("1", |event| event.version.number() <= 1_700)
        .await
        .unwrap();
    assert_eq!((state, version.number()), (Some(Till(1_700)), 1_700));
}

/// One connection for all reads, and a flood on one till: the others are not kept waiting for it.
#[tokio::test]
async fn a_hot_aggregate_leaves_the_others_their_turn() {
    let store = PostgresStore::open(&postgres::store_database().await, 1)
        .await
        .unwrap();
    let tills = executor(store);
    let is_over = AtomicBool::new(false);
    let flood = join_all((0..256).map(|caller| {
        let (tills, is_over) = (&tills, &is_over);
        async move {
            let mut turn = 0;
            while !is_over.load(Ordering::Relaxed) {
                turn += 1;
                let command = context(&format!("flood {caller} {turn}"));
                tills
                    .execute::<Till>("hot", TillCommand::Add(1), command)
                    .await
                    .unwrap();
            }
            turn
        }
    }));
    let others = async {
        for number in 0..100 {
            // A till of its own each: it has to be loaded, which takes the connection.
            let name = format!("other {number}");
            let one = tills.execute::<Till>(&name, TillCommand::Add(1), context(&name));
            let reply = tokio::time::timeout(Duration::from_secs(10), one).await;
            assert_eq!(held(&reply.expect("its turn").unwrap()), 1);
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (turns, ()) = futures_util::future::join(flood, others).await;
    assert!(turns.iter().all(|turns| *turns > 0));
}
