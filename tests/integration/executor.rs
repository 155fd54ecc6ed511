//! Commands on PostgreSQL: conflicts, repeats, frozen refusals.

use std::fmt;
use std::sync::Arc;

use folio_core::{
    Actor, Aggregate, AppendStatus, CommandContext, CommandId, Event, EventStore, InMemoryStore,
};
use folio_runtime::{ExecuteError, Executor, Reply, Retries, Verdict};
use folio_tests::postgres;
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

async fn try_execute(
    tills: &Tills,
    name: &str,
    command: TillCommand,
) -> Result<Reply<Till>, ExecuteError> {
    let context = CommandContext::new(CommandId::derived(&[name]), Actor::anonymous());
    tills.execute::<Till>("1", command, context).await
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
