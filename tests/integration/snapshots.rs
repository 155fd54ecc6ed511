//! A snapshot changes nothing but time, whatever the interval.

use std::sync::Arc;

use folio_core::{
    Actor, Aggregate, CommandContext, CommandId, Event, EventStore, InMemoryStore, Snapshots,
    StreamId,
};
use folio_runtime::{CacheBytes, Executor};
use folio_tests::postgres;
use proptest::prelude::{Strategy as _, any};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde::{Deserialize, Serialize};

/// Remembers everything that was put into it. Kept after every `EVERY` events; never, with 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Jar<const EVERY: u32>(Vec<u8>);

#[derive(Debug, Clone, Serialize)]
enum JarCommand {
    /// Puts each of them in, as an event of its own.
    Fill(Vec<u8>),
    /// Takes the last one out, if there is one.
    TakeOut,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum JarEvent {
    PutIn(u8),
    TakenOut,
}
impl Event for JarEvent {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("the jar is empty")]
struct Empty;

impl<const EVERY: u32> Aggregate for Jar<EVERY> {
    const CATEGORY: &'static str = "jar";
    type Command = JarCommand;
    type Event = JarEvent;
    type Refusal = Empty;

    fn decide(state: Option<&Self>, command: JarCommand) -> Result<Vec<JarEvent>, Empty> {
        match command {
            JarCommand::Fill(with) => Ok(with.into_iter().map(JarEvent::PutIn).collect()),
            JarCommand::TakeOut if state.is_some_and(|jar| !jar.0.is_empty()) => {
                Ok(vec![JarEvent::TakenOut])
            }
            JarCommand::TakeOut => Err(Empty),
        }
    }

    fn evolve(state: Option<Self>, event: &JarEvent) -> Option<Self> {
        let mut jar = state.unwrap_or(Self(Vec::new()));
        match event {
            JarEvent::PutIn(what) => jar.0.push(*what),
            JarEvent::TakenOut => _ = jar.0.pop(),
        }
        Some(jar)
    }

    fn snapshots() -> Option<Snapshots<Self>> {
        (EVERY > 0).then(|| Snapshots::json(1, EVERY))
    }
}

#[tokio::test]
async fn snapshots_of_any_interval_lead_where_the_events_lead() {
    let mut runner = TestRunner::default();
    let command = proptest::prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..4).prop_map(JarCommand::Fill),
        1 => proptest::strategy::Just(JarCommand::TakeOut),
    ];
    let commands = proptest::collection::vec(command, 30..60);
    for _ in 0..3 {
        let commands = commands.new_tree(&mut runner).unwrap().current();
        let expected = held::<0>(Arc::new(InMemoryStore::default()), &commands).await;
        let postgres = async || Arc::new(postgres::store().await);
        assert_eq!(held::<0>(postgres().await, &commands).await, expected);
        assert_eq!(held::<1>(postgres().await, &commands).await, expected);
        assert_eq!(held::<2>(postgres().await, &commands).await, expected);
        assert_eq!(held::<7>(postgres().await, &commands).await, expected);
    }
}

/// What the jar holds after each command. Without a cache, so that every command loads what is kept.
async fn held<const EVERY: u32>(
    store: Arc<dyn EventStore>,
    commands: &[JarCommand],
) -> Vec<Option<Vec<u8>>> {
    let executor = Executor::new(Arc::clone(&store)).with_cache(CacheBytes(0));
    let mut held = Vec::new();
    for (number, command) in commands.iter().enumerate() {
        let id = CommandId::derived(&["jar", &number.to_string()]);
        let context = CommandContext::new(id, Actor::anonymous());
        executor
            .execute::<Jar<EVERY>>("1", command.clone(), context)
            .await
            .unwrap();
        let replayed = executor.replay_until::<Jar<EVERY>>("1", |_| true).await;
        held.push(replayed.unwrap().0.map(|jar| jar.0));
    }
    let stream = StreamId::new("jar", "1").unwrap();
    let kept = store.snapshot(&stream, 1).await.unwrap();
    assert_eq!(kept.is_some(), EVERY > 0);
    held
}
