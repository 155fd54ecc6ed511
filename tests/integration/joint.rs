//! Commands over several aggregates: what they begin, and what their reply tells.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use folio_core::joint::{Caused, JointCommand, Participant, States};
use folio_core::store::{Append, AppendError, AppendStatus, Appended, Outcome, ReadError};
use folio_core::{
    Actor, Aggregate, BatchSize, CommandContext, CommandId, Event, EventStore, Filter,
    InMemoryStore, Page, Position, RecordedEvent, Reuse, StoreId, StreamId, Version,
};
use folio_postgres::PostgresStore;
use folio_runtime::{CacheBytes, Executor, JointReply, JointVerdict};
use folio_tests::postgres;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How many seats there are left.
#[derive(Debug, Clone, PartialEq)]
struct Hall(u32);

/// A seat that is taken, and by whom.
#[derive(Debug, Clone, PartialEq)]
struct Ticket(String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum HallEvent {
    Opened(u32),
    SeatTaken,
}
impl Event for HallEvent {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum TicketEvent {
    Issued(String),
}
impl Event for TicketEvent {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Refused {
    TakenBy(String),
    NoSeat,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
impl std::error::Error for Refused {}

impl Aggregate for Hall {
    const CATEGORY: &'static str = "hall";
    type Command = u32;
    type Event = HallEvent;
    type Refusal = Refused;

    fn decide(_: Option<&Self>, seats: u32) -> Result<Vec<HallEvent>, Refused> {
        Ok(vec![HallEvent::Opened(seats)])
    }

    fn evolve(state: Option<Self>, event: &HallEvent) -> Option<Self> {
        match event {
            HallEvent::Opened(seats) => Some(Self(*seats)),
            HallEvent::SeatTaken => state.map(|hall| Self(hall.0 - 1)),
        }
    }
}

impl Aggregate for Ticket {
    const CATEGORY: &'static str = "ticket";
    type Command = ();
    type Event = TicketEvent;
    type Refusal = Refused;

    fn decide(_: Option<&Self>, (): ()) -> Result<Vec<TicketEvent>, Refused> {
        Ok(Vec::new())
    }

    fn evolve(_: Option<Self>, TicketEvent::Issued(to): &TicketEvent) -> Option<Self> {
        Some(Self(to.clone()))
    }
}

/// What is torn off a ticket, and nobody looks at again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stub(String);

impl Aggregate for Stub {
    const CATEGORY: &'static str = "stub";
    const REUSE: Reuse = Reuse::Unlikely;
    type Command = ();
    type Event = TicketEvent;
    type Refusal = Refused;

    fn decide(_: Option<&Self>, (): ()) -> Result<Vec<TicketEvent>, Refused> {
        Ok(Vec::new())
    }

    fn evolve(_: Option<Self>, TicketEvent::Issued(to): &TicketEvent) -> Option<Self> {
        Some(Self(to.clone()))
    }
}

#[derive(Debug, Clone, Serialize)]
struct Tear {
    seat: String,
    from: String,
}

impl JointCommand for Tear {
    const NAME: &'static str = "tear";
    type Refusal = Refused;

    fn participants(&self) -> Vec<Participant> {
        vec![Participant::create::<Stub>(&self.seat)]
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, Refused> {
        if let Some(Stub(from)) = states.of::<Stub>(&self.seat) {
            return Err(Refused::TakenBy(from.clone()));
        }
        let torn = TicketEvent::Issued(self.from.clone());
        Ok(vec![Caused::on::<Stub>(&self.seat, torn)])
    }
}

/// A ticket for a seat, which is begun, and one seat less in the hall.
#[derive(Debug, Clone, Serialize)]
struct Issue {
    seat: &'static str,
    to: String,
}

impl JointCommand for Issue {
    const NAME: &'static str = "issue";
    type Refusal = Refused;

    fn participants(&self) -> Vec<Participant> {
        vec![
            Participant::create::<Ticket>(self.seat),
            Participant::read::<Hall>("1"),
        ]
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, Refused> {
        if let Some(Ticket(to)) = states.of::<Ticket>(self.seat) {
            return Err(Refused::TakenBy(to.clone()));
        }
        if states.of::<Hall>("1").is_none_or(|hall| hall.0 == 0) {
            return Err(Refused::NoSeat);
        }
        Ok(vec![
            Caused::on::<Ticket>(self.seat, TicketEvent::Issued(self.to.clone())),
            Caused::on::<Hall>("1", HallEvent::SeatTaken),
        ])
    }
}

fn context(name: &str) -> CommandContext {
    CommandContext::new(CommandId::derived(&[name]), Actor::anonymous())
}

async fn open<S: EventStore>(executor: &Executor<S>, seats: u32) {
    executor
        .execute::<Hall>("1", seats, context("open"))
        .await
        .unwrap();
}

async fn issue<S: EventStore>(
    executor: &Executor<S>,
    seat: &'static str,
    to: &str,
) -> JointReply<Refused> {
    let command = Issue {
        seat,
        to: to.to_owned(),
    };
    let context = context(&format!("{seat} to {to}"));
    executor.execute_jointly(&command, context).await.unwrap()
}

fn taken_by(reply: &JointReply<Refused>) -> Option<&str> {
    match &reply.verdict {
        JointVerdict::Refused(Refused::TakenBy(to)) => Some(to),
        JointVerdict::Refused(Refused::NoSeat) => panic!("no seat"),
        JointVerdict::Accepted { .. } => None,
    }
}

/// Seats left and the hall's version, as a reply tells them.
fn hall(reply: &JointReply<Refused>) -> (u32, i64) {
    let JointVerdict::Accepted { states, .. } = &reply.verdict else {
        panic!("refused")
    };
    let (hall, version) = states.of::<Hall>("1").unwrap();
    (hall.0, version.number())
}

#[tokio::test]
async fn what_a_command_begins_is_not_looked_for() {
    let store = Counting::default();
    let executor = Executor::new(store.clone());
    open(&executor, 10).await;
    let reads = store.reads.load(Ordering::Relaxed);
    assert_eq!(taken_by(&issue(&executor, "A1", "ada").await), None);
    assert_eq!(store.reads.load(Ordering::Relaxed), reads);
    // With nothing in memory the hall is loaded, and the ticket only once it turns out to be there.
    let other = Executor::new(store.clone());
    let refused = issue(&other, "A1", "eve").await;
    assert_eq!(taken_by(&refused), Some("ada"));
    assert!(store.reads.load(Ordering::Relaxed) > reads + 1);
}

#[tokio::test]
async fn what_a_command_begins_and_is_there_already_is_decided_on_as_it_is() {
    let database = postgres::store_database().await;
    let mut executors = Vec::new();
    for _ in 0..3 {
        let store = Arc::new(PostgresStore::open(&database, 2).await.unwrap());
        executors.push(Executor::new(store));
    }
    open(&executors[0], 1_000).await;
    for (round, seat) in ["A1", "A2", "A3", "A4", "A5", "A6"].iter().enumerate() {
        let names: Vec<String> = (0..24).map(|number| format!("visitor {number}")).collect();
        let replies = join_all(names.iter().enumerate().map(|(number, name)| {
            let executor = &executors[(number + round) % executors.len()];
            issue(executor, seat, name)
        }));
        let replies = replies.await;
        let winners: Vec<&String> = names
            .iter()
            .zip(&replies)
            .filter(|(_, reply)| taken_by(reply).is_none())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(winners.len(), 1);
        for reply in &replies {
            assert!(taken_by(reply).is_none_or(|to| to == winners[0]));
        }
    }
    let seen = executors[0].replay_until::<Hall>("1", |_| true);
    assert_eq!(seen.await.unwrap().0, Some(Hall(994)));
}

#[tokio::test]
async fn a_joint_reply_tells_the_states_right_after_it_to_repeats_too() {
    for cache in [CacheBytes::default(), CacheBytes(0)] {
        let executor = Executor::new(InMemoryStore::default()).with_cache(cache);
        open(&executor, 10).await;
        let first = issue(&executor, "A1", "ada").await;
        assert_eq!(hall(&first), (9, 2));
        assert_eq!(hall(&issue(&executor, "A2", "bob").await), (8, 3));
        let again = issue(&executor, "A1", "ada").await;
        assert_eq!(again.status, AppendStatus::AlreadyApplied);
        assert_eq!(hall(&again), (9, 2));
        let JointVerdict::Accepted { states, .. } = &again.verdict else {
            panic!("refused")
        };
        assert_eq!(
            states.of::<Ticket>("A1").unwrap().0,
            &Ticket("ada".to_owned())
        );
        assert!(states.of::<Ticket>("A2").is_none());
    }
}

/// Counts how often a stream is read.
#[derive(Debug, Clone, Default)]
struct Counting {
    store: Arc<InMemoryStore>,
    reads: Arc<AtomicUsize>,
}

#[async_trait]
impl EventStore for Counting {
    fn store_id(&self) -> StoreId {
        self.store.store_id()
    }

    async fn append(&self, request: Append) -> Result<Appended, AppendError> {
        self.store.append(request).await
    }

    async fn outcome(&self, command: CommandId) -> Result<Option<Outcome>, ReadError> {
        self.store.outcome(command).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.read_stream(stream, after, limit).await
    }

    async fn read_stream_backwards(
        &self,
        stream: &StreamId,
        before: Version,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.store
            .read_stream_backwards(stream, before, limit)
            .await
    }

    async fn read_all(
        &self,
        after: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.store.read_all(after, limit).await
    }

    async fn read_all_backwards(
        &self,
        before: Position,
        limit: BatchSize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.store.read_all_backwards(before, limit).await
    }

    async fn read_filtered(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        self.store.read_filtered(filter, after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.store.head().await
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        state_version: u16,
    ) -> Result<Option<folio_core::Snapshot>, ReadError> {
        self.store.snapshot(stream, state_version).await
    }

    fn appended(&self) -> watch::Receiver<Position> {
        self.store.appended()
    }
}

/// Ledgers have many more entries than accounts: they would push the accounts out of memory, for nothing.
#[tokio::test]
async fn what_is_unlikely_to_be_asked_for_again_leaves_memory_once_it_is_recorded() {
    let executor = Executor::new(InMemoryStore::default());
    open(&executor, 10).await;
    let hall = executor.cached_bytes();
    let tear = async |seat: &str, from: &str| {
        let (seat, from) = (seat.to_owned(), from.to_owned());
        let context = context(&format!("tear {seat} from {from}"));
        let command = Tear { seat, from };
        let torn = executor.execute_jointly(&command, context).await;
        torn.unwrap().verdict
    };
    for seat in ["a", "b", "c"] {
        let torn = tear(seat, "x").await;
        assert!(matches!(torn, JointVerdict::Accepted { .. }), "{torn:?}");
        assert_eq!(executor.cached_bytes(), hall);
    }
    // It is there for who asks all the same, and is let go of again.
    let twice = tear("a", "y").await;
    let JointVerdict::Refused(Refused::TakenBy(from)) = twice else {
        panic!("{twice:?}");
    };
    assert_eq!((from.as_str(), executor.cached_bytes()), ("x", hall));

    // The control: others stay.
    issue(&executor, "d", "x").await;
    assert!(executor.cached_bytes() > hall);
}
