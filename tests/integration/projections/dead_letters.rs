//! Events that a projection cannot take in: their stream waits, the others go on, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use folio_core::{EventStore, InMemoryStore, StreamId};
use folio_projections::{DeadLetterError, Poison, Projection, Settings, StoreSource};
use folio_tests::postgres;

use super::kit::{How, Models, Positions, Running, SETTINGS, append_to, at, one_to, operator};

const SETTINGS_THAT_PARK: Settings = Settings {
    poison: Poison::Park,
    ..SETTINGS
};

/// A store of three streams in turn, and a runner that could not take in the fifth event, which is
/// the second of `b`.
struct Parked {
    store: Arc<InMemoryStore>,
    models: Models,
    projector: Positions,
}

impl Parked {
    async fn new() -> Self {
        let parked = Self {
            store: Arc::new(InMemoryStore::default()),
            models: Models::new().await,
            projector: Positions::poisoned(5, How::Error),
        };
        parked.append(12).await;
        parked.run_to(12).await;
        parked
    }

    async fn append(&self, events: usize) {
        for _ in 0..events {
            let head = self.store.head().await.unwrap().number();
            let name = ["a", "b", "c"][usize::try_from(head % 3).unwrap()];
            append_to(&self.store, name, 1, &postgres::unique("served")).await;
        }
    }

    /// Runs the projection until its checkpoint is at `position`.
    async fn run_to(&self, position: i64) {
        let running = Running::start_with(
            self.projector.clone(),
            Arc::clone(&self.store),
            &self.models,
            SETTINGS_THAT_PARK,
        )
        .await;
        running.reaches(position).await;
        running.stop().await;
    }

    /// Position, error and attempts of every open letter.
    async fn letters(&self) -> Vec<(i64, Option<String>, i32)> {
        let letters = self.projection(&self.store).await.dead_letters(1).await;
        letters
            .unwrap()
            .into_iter()
            .map(|letter| {
                assert_eq!(letter.stream, stream("b"));
                (letter.position.number(), letter.error, letter.attempts)
            })
            .collect()
    }

    async fn projection(&self, store: &Arc<InMemoryStore>) -> Projection {
        let source = StoreSource::new(Arc::clone(store));
        let database = self.models.database();
        Projection::open(self.projector.clone(), source, database, SETTINGS_THAT_PARK)
            .await
            .unwrap()
    }

    async fn retry(&self) -> Result<usize, DeadLetterError> {
        self.retry_from(&self.store).await
    }

    async fn retry_from(&self, store: &Arc<InMemoryStore>) -> Result<usize, DeadLetterError> {
        let projection = self.projection(store).await;
        projection.retry(1, &stream("b"), &operator()).await
    }
}

fn stream(name: &str) -> StreamId {
    StreamId::new("test", name).unwrap()
}

fn failed() -> Option<String> {
    Some("the read model contradicts the events: position 5 is poison".to_owned())
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
    let elsewhere = parked.retry_from(&Arc::default()).await;
    assert!(matches!(elsewhere, Err(DeadLetterError::Gone { .. })));

    // Mended: all of the stream in order, and what comes then is not parked.
    parked.projector.poison.store(0, Ordering::SeqCst);
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
    let projection = parked.projection(&parked.store).await;
    let skip = async |position, reason| projection.skip(1, at(position), &operator(), reason).await;
    let nothing = skip(5, " ").await;
    assert!(matches!(nothing, Err(DeadLetterError::NoReason)));
    let taken_in = skip(6, "why not").await;
    assert!(matches!(taken_in, Err(DeadLetterError::NotParked { .. })));

    skip(5, "served twice by mistake").await.unwrap();
    assert_eq!(parked.letters().await, [(8, None, 0), (11, None, 0)]);
    assert_eq!(parked.retry().await.unwrap(), 2);
    let all: Vec<i64> = one_to(12).into_iter().filter(|at| *at != 5).collect();
    assert_eq!(parked.models.positions().await, all);
    let again = skip(5, "again").await;
    assert!(matches!(again, Err(DeadLetterError::NotParked { .. })));

    let client = postgres::superuser(parked.models.database()).await;
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
