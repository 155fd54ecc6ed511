//! Events that a projection cannot take in: their stream waits, the others go on, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use folio_core::store::{Append, StreamWrite};
use folio_core::{
    Actor, CommandContext, CommandId, EventStore, ExpectedVersion, Fingerprint, InMemoryStore,
    NewEvent, Position, RecordedEvent, StreamId,
};
use folio_postgres::Role;
use folio_projections::{
    DeadLetterError, Poison, ProjectionName, Projector, ProjectorError, Runner, Settings,
    dead_letters, retry, skip,
};
use folio_tests::postgres;
use tokio::sync::watch;

use crate::projections::{Models, SETTINGS, one_to};

/// Writes the positions that it is given, but for one that it cannot take in.
#[derive(Clone, Default)]
struct Choosy(Arc<AtomicI64>);

#[async_trait]
impl Projector for Choosy {
    fn name(&self) -> ProjectionName {
        ProjectionName {
            name: "choosy",
            version: 1,
        }
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &Transaction<'_>,
    ) -> Result<(), ProjectorError> {
        for event in events {
            let position = event.position.number();
            transaction
                .execute("INSERT INTO public.positions VALUES ($1)", &[&position])
                .await?;
            if position == self.0.load(Ordering::SeqCst) {
                return Err(ProjectorError::Contradiction("it tastes bad".to_owned()));
            }
        }
        Ok(())
    }

    async fn reset(&self, _: &Transaction<'_>) -> Result<(), ProjectorError> {
        Ok(())
    }
}

/// A store of three streams in turn, and a runner that could not take in the fifth event, which is
/// the second of `b`.
struct Parked {
    store: Arc<InMemoryStore>,
    models: Models,
    projector: Choosy,
}

impl Parked {
    async fn new() -> Self {
        let parked = Self {
            store: Arc::new(InMemoryStore::default()),
            models: Models::new().await,
            projector: Choosy::default(),
        };
        parked.append(12).await;
        parked.projector.0.store(5, Ordering::SeqCst);
        parked.run_to(12).await;
        parked
    }

    async fn append(&self, events: usize) {
        for _ in 0..events {
            let head = self.store.head().await.unwrap().number();
            let name = ["a", "b", "c"][usize::try_from(head % 3).unwrap()];
            let write = StreamWrite {
                stream: stream(name),
                expected: ExpectedVersion::Any,
                events: vec![NewEvent {
                    event_type: "Served".to_owned(),
                    schema_version: 1,
                    payload: b"{}".to_vec(),
                }],
            };
            let command = CommandId::derived(&["dead letters", &head.to_string()]);
            let context = CommandContext::new(command, Actor::anonymous());
            let request = Append::events(context, Fingerprint::of(&[]), vec![write]);
            self.store.append(request).await.unwrap();
        }
    }

    /// Runs the projection until its checkpoint is at `position`.
    async fn run_to(&self, position: i64) {
        let settings = Settings {
            poison: Poison::Park,
            ..SETTINGS
        };
        let (store, models) = (Arc::clone(&self.store), self.models.pool());
        let (runner, progress) = Runner::new(self.projector.clone(), store, models, settings);
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(runner.run(stopped));
        let position = Position::new(position).unwrap();
        let patience = std::time::Duration::from_secs(30);
        progress.wait_for(position, patience).await.unwrap();
        stop.send_replace(true);
        running.await.unwrap().unwrap();
    }

    /// Position, error and attempts of every open letter.
    async fn letters(&self) -> Vec<(i64, Option<String>, i32)> {
        let client = postgres::superuser(self.models.database()).await;
        let letters = dead_letters(&client, self.projector.name()).await.unwrap();
        letters
            .into_iter()
            .map(|letter| {
                assert_eq!(letter.stream, stream("b"));
                (letter.position.number(), letter.error, letter.attempts)
            })
            .collect()
    }

    async fn retry(&self) -> Result<usize, DeadLetterError> {
        self.retry_from(&self.store).await
    }

    async fn retry_from(&self, store: &impl EventStore) -> Result<usize, DeadLetterError> {
        let pool = self.models.database().pool(Role::Projector, 1).unwrap();
        let by = Actor::new("operator").unwrap();
        retry(&self.projector, store, &pool, &stream("b"), &by).await
    }
}

fn stream(name: &str) -> StreamId {
    StreamId::new("guest", name).unwrap()
}

fn failed() -> Option<String> {
    Some("the read model contradicts the events: it tastes bad".to_owned())
}

#[tokio::test]
async fn an_event_that_cannot_be_taken_in_parks_its_stream_and_no_other() {
    let parked = Parked::new().await;
    // Nothing of the failed event is in the model, though it had written before it failed.
    assert_eq!(
        parked.models.positions().await,
        [1, 2, 3, 4, 6, 7, 9, 10, 12]
    );
    let expected = [(5, failed(), 1), (8, None, 0), (11, None, 0)];
    assert_eq!(parked.letters().await, expected);

    // It stays so for another runner, and for what comes later.
    parked.append(3).await;
    parked.run_to(15).await;
    assert_eq!(parked.letters().await.len(), 4);

    // Still wrong: nothing changes but the count.
    let again = parked.retry().await.unwrap_err();
    assert!(
        matches!(&again, DeadLetterError::StillFails { position, .. } if position.number() == 5),
        "{again:?}"
    );
    assert_eq!(parked.letters().await[0], (5, failed(), 2));

    // A store without the event is not the one that it came from.
    let elsewhere = parked.retry_from(&InMemoryStore::default()).await;
    assert!(matches!(elsewhere, Err(DeadLetterError::Gone { .. })));

    // Mended: all of the stream in order, and what comes then is not parked.
    parked.projector.0.store(0, Ordering::SeqCst);
    assert_eq!(parked.retry().await.unwrap(), 4);
    assert_eq!(parked.letters().await, []);
    assert_eq!(parked.models.positions().await, one_to(15));
    parked.append(3).await;
    parked.run_to(18).await;
    assert_eq!(parked.models.positions().await, one_to(18));
}

#[tokio::test]
async fn an_event_is_passed_over_for_a_reason_that_is_recorded() {
    let parked = Parked::new().await;
    let client = postgres::superuser(parked.models.database()).await;
    let by = Actor::new("operator").unwrap();
    let name = parked.projector.name();
    let at = |position| Position::new(position).unwrap();
    let nothing = skip(&client, name, at(5), &by, " ").await;
    assert!(matches!(nothing, Err(DeadLetterError::NoReason)));
    let taken_in = skip(&client, name, at(6), &by, "why not").await;
    assert!(matches!(taken_in, Err(DeadLetterError::NotParked { .. })));

    skip(&client, name, at(5), &by, "served twice by mistake")
        .await
        .unwrap();
    assert_eq!(parked.letters().await, [(8, None, 0), (11, None, 0)]);
    assert_eq!(parked.retry().await.unwrap(), 2);
    let all: Vec<i64> = one_to(12).into_iter().filter(|at| *at != 5).collect();
    assert_eq!(parked.models.positions().await, all);
    let again = skip(&client, name, at(5), &by, "again").await;
    assert!(matches!(again, Err(DeadLetterError::NotParked { .. })));

    let rows = client
        .query(
            "SELECT position, resolution, resolved_by, reason FROM projections.dead_letters \
             WHERE resolved_at IS NOT NULL ORDER BY position",
            &[],
        )
        .await
        .unwrap();
    let record: Vec<(i64, &str, &str, Option<&str>)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect();
    let reason = Some("served twice by mistake");
    assert_eq!(
        record,
        [
            (5, "skipped", "operator", reason),
            (8, "projected", "operator", None),
            (11, "projected", "operator", None),
        ]
    );
}
