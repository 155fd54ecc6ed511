//! Reading what was written, and never less without saying so; and how far a model is behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use folio_core::{
    BatchSize, EventStore, Filter, InMemoryStore, Page, Position, ReadError, StoreId, StreamId,
};
use folio_projections::{
    Alarm, DeadLetterError, Detector, DetectorSettings, Filling, OperationError, ReadModelError,
    Settings, Source, Status, StoreSource,
};
use folio_tests::scale;
use tokio::sync::watch;

use super::kit::{
    Models, PATIENCE, Positions, Running, SETTINGS, append, at, one_to, operator, wait_until,
};

/// A source that answers no more once it is told not to.
struct Faucet {
    source: Arc<dyn Source>,
    /// The last position that it gives.
    until: AtomicI64,
    read: AtomicU64,
}

impl Faucet {
    fn new(store: Arc<InMemoryStore>, until: i64) -> Arc<Self> {
        Arc::new(Self {
            source: StoreSource::new(store),
            until: AtomicI64::new(until),
            read: AtomicU64::new(0),
        })
    }
}

#[async_trait]
impl Source for Faucet {
    async fn identify(&self) -> Result<StoreId, ReadError> {
        self.source.identify().await
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        let mut page = self.source.read(filter, after, limit).await?;
        let until = at(self.until.load(Ordering::SeqCst));
        page.events.retain(|event| event.position <= until);
        page.through = page.through.min(until).max(after);
        self.read
            .fetch_add(page.events.len().try_into().unwrap(), Ordering::SeqCst);
        Ok(page)
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.source.head().await
    }

    fn appended(&self) -> watch::Receiver<Position> {
        self.source.appended()
    }
}

/// A model that lags is waited for, or it is said how far it is; whoever asks is never given less.
#[tokio::test]
async fn a_read_at_a_position_is_never_older_than_it() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 100).await;
    let faucet = Faucet::new(Arc::clone(&store), 40);
    let source: Arc<dyn Source> = faucet.clone();
    let running = Running::from(Positions::default(), source, &models, SETTINGS).await;
    running.reaches(40).await;
    // In this process, and in one that does not run the projection.
    let readers = [running.projection.reader(1).unwrap(), models.reader()];
    for reader in &readers {
        let refused = reader.read_at(at(100), Duration::from_millis(50)).await;
        let Err(ReadModelError::NotReached(error)) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((error.wanted, error.reached), (at(100), at(40)));
        // An old one is given to those who ask for no position, and says so.
        let reading = reader.read().await.unwrap();
        assert_eq!(reading.position(), at(40));
        reading.close().await.unwrap();
        let reading = reader.read_at(at(40), Duration::ZERO).await.unwrap();
        reading.close().await.unwrap();
    }
    let [here, there] = &readers;
    let opened = async {
        faucet.until.store(100, Ordering::SeqCst);
        append(&store, 1).await;
    };
    let (here, there, ()) = tokio::join!(
        here.read_at(at(100), PATIENCE),
        there.read_at(at(100), PATIENCE),
        opened
    );
    for reading in [here.unwrap(), there.unwrap()] {
        assert_eq!(reading.position(), at(100));
        reading.close().await.unwrap();
    }
    running.stop().await;
}

/// Somebody goes back to a build that is behind while readers wait: none gets the older one for the
/// newer.
#[tokio::test]
async fn a_read_at_a_position_is_not_fooled_by_a_swap() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 60).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    running.reaches(60).await;
    let (projection, by) = (&running.projection, operator());
    let begun = projection.rebuild(Filling::default(), &by).await.unwrap();
    let reader = projection.reader(2).unwrap();
    let reads = async {
        let mut head = 60;
        for _ in 0..150 {
            append(&store, 1).await;
            head += 1;
            let reading = reader.read_at(at(head), PATIENCE).await.unwrap();
            let all = "SELECT ARRAY(SELECT position FROM positions ORDER BY position)";
            let positions: Vec<i64> = reading.query_one(all, &[]).await.unwrap().get(0);
            assert_eq!(positions, one_to(reading.position().number()));
            assert!(reading.position() >= at(head));
            reading.close().await.unwrap();
        }
    };
    let swaps = async {
        for round in 0..6 {
            let to = if round % 2 == 0 {
                begun.build().build
            } else {
                1
            };
            while projection.swap(to, &by).await.is_err() {}
        }
    };
    tokio::join!(reads, swaps);
    running.stop().await;
}

/// Lag is told by the databases. So a projection that nobody runs shows, and so does a detector that
/// has come to a stop itself.
#[tokio::test]
async fn a_dead_runner_and_a_stalled_detector_are_both_noticed() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 10).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    running.reaches(10).await;
    let settings = DetectorSettings {
        every: Duration::from_millis(10),
        stalled_after: Duration::from_millis(500),
        age_max: Duration::from_secs(3_600),
    };
    let source: Arc<dyn Source> = StoreSource::new(Arc::clone(&store));
    let mut detector = Detector::start("positions", source, models.database(), settings).unwrap();
    assert_eq!(detector.check(), Err(Alarm::NotMeasured));
    detector.next().await;
    // On a busy machine the next one may be late, and says so until it is there.
    wait_until(|| detector.check() == Ok(())).await;

    // The store's clock stands at zero, so what waits has been waiting since 1970.
    running.kill().await;
    append(&store, 5).await;
    wait_until(|| matches!(detector.check(), Err(Alarm::Behind { events: 5, .. }))).await;
    let (_, measured) = detector.last().unwrap();
    assert_eq!(
        (measured.head, measured.live().unwrap().events),
        (at(15), 5)
    );
    // A restart mends it.
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    wait_until(|| detector.check() == Ok(())).await;

    // The models' database hangs: what was measured last is not said to be so now.
    let hangs = models.execute("BEGIN; LOCK TABLE projections.builds; SELECT pg_sleep(3); COMMIT");
    let is_stalled = wait_until(|| matches!(detector.check(), Err(Alarm::Stalled { .. })));
    tokio::join!(hangs, is_stalled);
    wait_until(|| detector.check() == Ok(())).await;
    running.stop().await;
}

/// Paused, nothing is written any more when the call returns; resumed, it goes on.
#[tokio::test]
async fn a_paused_projection_stands_still_in_every_process() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let start = async || Running::start(Positions::default(), Arc::clone(&store), &models).await;
    let (one, two) = (start().await, start().await);
    append(&store, 30).await;
    one.reaches(30).await;
    let by = operator();
    assert!(one.projection.pause(&by, " ").await.is_err());
    for round in 1..=5 {
        append(&store, 50).await;
        one.projection.pause(&by, "the bank asked").await.unwrap();
        let at_pause = models.positions_and_checkpoint().await;
        append(&store, 50).await;
        wait_until(|| {
            one.progress.status() == Status::Paused && two.progress.status() == Status::Paused
        })
        .await;
        assert_eq!(models.positions_and_checkpoint().await, at_pause);
        // Also for a process that is started meanwhile.
        let three = start().await;
        wait_until(|| three.progress.status() == Status::Paused).await;
        three.stop().await;
        assert_eq!(models.positions_and_checkpoint().await, at_pause);
        // And for people who have not heard of it.
        let shared_out = one.projection.repartition(1, 2, &by).await;
        assert!(
            matches!(shared_out, Err(OperationError::Paused { .. })),
            "{shared_out:?}"
        );
        let stream = StreamId::new("test", "stream").unwrap();
        let retried = one.projection.retry(1, &stream, &by).await;
        assert!(
            matches!(retried, Err(DeadLetterError::Paused { .. })),
            "{retried:?}"
        );
        if round == 5 {
            // And for a build that is begun meanwhile.
            let begun = two
                .projection
                .rebuild(Filling::default(), &by)
                .await
                .unwrap();
            let builds = two.projection.builds().await.unwrap();
            let build = builds
                .iter()
                .find(|build| build.name == *begun.build())
                .unwrap();
            assert_eq!(build.pause.as_ref().unwrap().reason, "the bank asked");
            assert_eq!(build.position(), at(0));
        }
        two.projection.resume(&by).await.unwrap();
        two.reaches(30 + round * 100).await;
    }
    assert_eq!(models.positions().await, one_to(530));
    one.stop().await;
    two.stop().await;
}

/// A consumer that is slower than its source holds a few batches, however much there is, and none of
/// its transactions lasts longer than a batch, so it keeps the server from cleaning up nothing.
#[tokio::test]
async fn a_slow_consumer_holds_a_few_batches_and_no_old_snapshot() {
    let seconds = 3 * u64::try_from(scale()).unwrap();
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 20_000).await;
    let faucet = Faucet::new(Arc::clone(&store), i64::MAX);
    let source: Arc<dyn Source> = faucet.clone();
    let slow = Slow(Positions::default());
    let settings = Settings {
        batch: BatchSize::new(20).unwrap(),
        ..SETTINGS
    };
    let running = Running::from(slow, source, &models, settings).await;
    let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
    let mut most = 0;
    while tokio::time::Instant::now() < until {
        append(&store, 100).await;
        let position = running.progress.position().map_or(0, Position::number);
        // The checkpoint is verified by reading one event more, at the start and now and then.
        let read = i64::try_from(faucet.read.load(Ordering::SeqCst)).unwrap();
        most = most.max(read - position);
        // Of clients alone: the server cleans up on its own account, and takes its time. And by the
        // clock: in what number of transactions a snapshot is old, other tests decide.
        let old = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid() \
                     AND backend_type = 'client backend' AND now() - xact_start > interval '2 s'";
        assert_eq!(models.ask(old).await, [0]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let head = store.head().await.unwrap().number();
    let position = running.progress.position().unwrap().number();
    assert!(
        position < head - 10_000,
        "{position} of {head}: it is not slow"
    );
    assert!(most <= 20 * 3, "{most} events were read ahead");
    running.stop().await;
}

struct Slow(Positions);

#[async_trait]
impl folio_projections::Projector for Slow {
    fn name(&self) -> folio_projections::ProjectionName {
        self.0.name()
    }

    fn tables(&self) -> &str {
        self.0.tables()
    }

    async fn handle(
        &self,
        events: &[folio_core::RecordedEvent],
        model: &mut folio_projections::ModelTransaction,
    ) -> Result<(), folio_projections::ProjectorError> {
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.0.handle(events, model).await
    }
}
