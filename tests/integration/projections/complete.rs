//! It is proven that each event was taken in once, and found where that is not so.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use folio_core::{
    BatchSize, EventHash, EventStore, Filter, InMemoryStore, Page, Position, ReadError,
    RecordedEvent, StoreId, StreamId,
};
use folio_operator::projections::{self, ProveArgs};
use folio_operator::{Desk, Finding, Format, ProjectionsArgs, ProjectionsCommand};
use folio_postgres::PostgresStore;
use folio_projections::feed::FeedSource;
use folio_projections::{
    Filling, FlawKind, ModelTransaction, Poison, Projection, ProjectionName, Projector,
    ProjectorError, Proof, ProveError, Settings, Source, StoreSource,
};
use folio_tests::api::Api;
use folio_tests::postgres;
use ledger_example::balances::open_balances;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::kit::{
    How, Models, Positions, Running, SETTINGS, append, append_over, append_to, at, one_to, operator,
};

/// Batches large enough for some thousand events.
const LARGE: Settings = Settings {
    batch: match BatchSize::new(300) {
        Some(size) => size,
        None => BatchSize::ONE,
    },
    ..SETTINGS
};

async fn proof(projection: &Projection, build: i32) -> Proof {
    projection.prove(build, 20, |_, _| {}).await.unwrap()
}

/// Of each flaw: the range, and what is wrong.
fn flaws(proof: &Proof) -> Vec<(i64, i64, FlawKind)> {
    let flaws = proof.flaws.iter();
    flaws
        .map(|flaw| (flaw.first.number(), flaw.last.number(), flaw.kind))
        .collect()
}

fn missing(position: i64) -> FlawKind {
    FlawKind::Missing {
        events: 1,
        event: Some(at(position)),
    }
}

/// It changes hands, is shared out anew, rebuilt, swapped and gone back from, while its hosts die.
#[tokio::test]
async fn a_model_filled_under_kills_and_takeovers_is_proven() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append_over(&store, 20, 4_000).await;
    let start = async || {
        let store = Arc::clone(&store);
        Running::start_with(Positions::default(), store, &models, LARGE).await
    };
    let mut hosts = vec![start().await, start().await];
    let projection = hosts[0].projection.clone();
    let mut head = 4_000;
    for partitions in [3, 1, 2] {
        let shared_out = async {
            while projection
                .repartition(1, partitions, &operator())
                .await
                .is_err()
            {}
        };
        tokio::join!(shared_out, append_over(&store, 20, 60));
        head += 60;
        hosts.remove(0).kill().await;
        hosts.push(start().await);
        for host in &hosts {
            host.reaches(head).await;
        }
        let proof = proof(&projection, 1).await;
        assert_eq!(flaws(&proof), []);
        assert_eq!((proof.wanted, proof.taken), (head, head));
        assert!(proof.is_whole() && proof.store_id.is_some());
    }
    let filling = Filling {
        partitions: 2,
        events_per_second: None,
    };
    projection.rebuild(filling, &operator()).await.unwrap();
    for swap in [2, 1] {
        while projection.swap(swap, &operator()).await.is_err() {}
        append_over(&store, 20, 60).await;
        head += 60;
        hosts[1].reaches(head).await;
    }
    assert_eq!(models.positions().await, one_to(head));
    // The kept one may come behind.
    for build in [1, 2] {
        let proof = proof(&projection, build).await;
        assert_eq!(flaws(&proof), [], "build {build}");
        assert!(proof.wanted > head - 61 && proof.taken == proof.wanted);
    }
    // What begins again has nothing of before on record.
    projection.rebuild(filling, &operator()).await.unwrap();
    projection.restart(3, &operator()).await.unwrap();
    let filled = async {
        while projection.builds().await.unwrap()[2].position() < at(head) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::kit::PATIENCE, filled)
        .await
        .unwrap();
    let proof = proof(&projection, 3).await;
    assert_eq!((flaws(&proof), proof.taken), (Vec::new(), head));
    for host in hosts {
        host.stop().await;
    }
}

/// A model without a key: what comes twice is not refused, and what is missing is not missed.
struct Keyless;

#[async_trait]
impl Projector for Keyless {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("positions", 1)
    }

    fn tables(&self) -> &str {
        "CREATE TABLE positions (position bigint)"
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let positions: Vec<i64> = events.iter().map(|e| e.position.number()).collect();
        let rows = model.insert("positions").key("position", &positions);
        rows.execute().await
    }
}

/// What a faulty source does with the event at a position.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Skips(i64),
    Repeats(i64),
}

struct Faulty {
    store: Arc<InMemoryStore>,
    fault: Fault,
}

#[async_trait]
impl Source for Faulty {
    async fn identify(&self) -> Result<StoreId, ReadError> {
        Ok(self.store.store_id())
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        let mut page = self.store.read_filtered(filter, after, limit).await?;
        // One event alone is read to compare a checkpoint, and not for the model.
        if limit == BatchSize::ONE {
            return Ok(page);
        }
        let events = std::mem::take(&mut page.events).into_iter();
        page.events = events
            .flat_map(|event| {
                let times = match self.fault {
                    Fault::Skips(position) if event.position == at(position) => 0,
                    Fault::Repeats(position) if event.position == at(position) => 2,
                    Fault::Skips(_) | Fault::Repeats(_) => 1,
                };
                std::iter::repeat_n(event, times)
            })
            .collect();
        Ok(page)
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.store.head().await
    }

    fn appended(&self) -> watch::Receiver<Position> {
        self.store.appended()
    }
}

#[tokio::test]
async fn an_event_that_a_source_skips_or_repeats_is_found_and_its_range_is_named() {
    let twice = |position| FlawKind::Surplus {
        events: 1,
        event: Some(at(position)),
    };
    for (fault, expected) in [
        (Fault::Skips(4_500), Some((4_097, 5_000, missing(4_500)))),
        (Fault::Repeats(77), Some((1, 4_096, twice(77)))),
        // The control.
        (Fault::Skips(0), None),
    ] {
        let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
        append(&store, 5_000).await;
        let source = Arc::new(Faulty {
            store: Arc::clone(&store),
            fault,
        });
        let running = Running::from(Keyless, source, &models, LARGE).await;
        running.reaches(5_000).await;
        running.stop().await;
        // As the model is. The checkpoint says nothing of it.
        assert_eq!(models.checkpoint().await, 5_000);
        let whole = StoreSource::new(Arc::clone(&store));
        let projection = Projection::open(Keyless, whole, models.database(), LARGE)
            .await
            .unwrap();
        let proof = proof(&projection, 1).await;
        let found = flaws(&proof);
        assert_eq!(found, Vec::from_iter(expected), "{fault:?}");
        // Whoever compares with what has the hole is not fooled either.
        if let Fault::Skips(position @ 1..) = fault {
            let source = Arc::new(Faulty { store, fault });
            let beside = Projection::open(Keyless, source, models.database(), LARGE)
                .await
                .unwrap();
            let refused = beside.prove(1, 20, |_, _| {}).await.unwrap_err();
            assert!(
                matches!(refused, ProveError::Hole { position: at } if at.number() == position),
                "{refused:?}"
            );
        }
    }
}

/// What a fault of the record, or of the checkpoint beside it, comes to. Each is mended again.
#[tokio::test]
async fn a_record_and_a_checkpoint_that_do_not_fit_are_found() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 5_000).await;
    let source = Arc::clone(&store);
    let running = Running::start_with(Positions::default(), source, &models, LARGE).await;
    running.reaches(5_000).await;
    let projection = running.projection.clone();
    running.stop().await;
    append(&store, 10).await;
    let ahead = store.read_all(at(5_002), BatchSize::ONE).await.unwrap();
    let hash: String = EventHash::of(&ahead[0])
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    models
        .execute(
            "CREATE SCHEMA kept; CREATE TABLE kept.taken AS TABLE projections.taken; \
                  CREATE TABLE kept.checkpoints AS TABLE projections.checkpoints",
        )
        .await;
    let gone = |events| FlawKind::Missing {
        events,
        event: None,
    };
    let moved =
        format!("UPDATE projections.checkpoints SET position = 5003, event_hash = '\\x{hash}'");
    for (fault, expected) in [
        // A batch that was never given to the projector.
        (moved.as_str(), (4_097, 5_003, gone(3))),
        (
            "DELETE FROM projections.taken WHERE range = 0",
            (1, 4_096, gone(4_096)),
        ),
        (
            "UPDATE projections.taken SET sums[3] = sums[3] + 1 WHERE range = 0",
            (1, 4_096, FlawKind::Others),
        ),
        (
            "UPDATE projections.taken SET events = events + 2 WHERE range = 1",
            (
                4_097,
                5_000,
                FlawKind::Surplus {
                    events: 2,
                    event: None,
                },
            ),
        ),
        (
            "UPDATE projections.taken SET disordered = 1 WHERE range = 1",
            (4_097, 5_000, FlawKind::OutOfOrder { events: 1 }),
        ),
        (
            "UPDATE projections.taken SET parked = 1 WHERE range = 1",
            (
                4_097,
                5_000,
                FlawKind::Letters {
                    parked: 1,
                    known: 0,
                },
            ),
        ),
    ] {
        models.execute(fault).await;
        let found = proof(&projection, 1).await;
        assert_eq!(flaws(&found), [expected], "{fault}");
        models
            .execute(
                "DELETE FROM projections.taken; INSERT INTO projections.taken TABLE kept.taken; \
                 UPDATE projections.checkpoints c SET position = k.position, event_hash = k.event_hash \
                 FROM kept.checkpoints k",
            )
            .await;
        assert!(proof(&projection, 1).await.holds());
    }
    // What an app's command says, and its exit code.
    let (finding, said) = prove(&projection).await;
    assert_eq!(finding, Finding::Clean);
    assert_eq!(
        (&said[0]["is_proven"], &said[0]["taken"]),
        (&json!(true), &json!(5_000))
    );
    models
        .execute("DELETE FROM projections.taken WHERE range = 1")
        .await;
    let (finding, said) = prove(&projection).await;
    assert_eq!(finding, Finding::NotWell);
    let flaw = &said[0]["flaws"][0];
    assert_eq!(
        (&flaw["kind"], &flaw["first"]),
        (&json!("missing"), &json!(4_097))
    );
    // Of what was filled before there was a record, nothing is claimed.
    models
        .execute(
            "ALTER TABLE projections.taken DROP CONSTRAINT taken_projection_build_since_fkey; \
             UPDATE projections.sharings SET since = 4096; \
             UPDATE projections.taken SET since = 4096",
        )
        .await;
    let proof = proof(&projection, 1).await;
    assert_eq!((proof.from, proof.is_whole()), (at(4_097), false));
    assert_eq!(flaws(&proof), [(4_097, 5_000, gone(904))]);
}

async fn prove(projection: &Projection) -> (Finding, Value) {
    let (_stop, stop) = watch::channel(false);
    let mut out = Vec::new();
    let mut desk = Desk {
        projections: std::slice::from_ref(projection),
        by: operator(),
        stop,
        out: &mut out,
    };
    let arguments = ProjectionsArgs {
        actor: None,
        command: ProjectionsCommand::Prove(ProveArgs {
            name: None,
            build: None,
            most: 20,
            format: Format::Json,
        }),
    };
    let finding = Box::pin(projections::run(arguments, &mut desk)).await;
    (finding.unwrap(), serde_json::from_slice(&out).unwrap())
}

/// An event is parked with its stream, which is shared out anew meanwhile; it is skipped for a reason, and
/// what waited behind it is taken in late.
#[tokio::test]
async fn what_is_parked_and_skipped_is_accounted_for() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    for number in 0..12 {
        let stream = ["a", "b", "c"][number % 3];
        append_to(&store, stream, 1, &postgres::unique("served")).await;
    }
    let settings = Settings {
        poison: Poison::Park,
        ..SETTINGS
    };
    let projector = Positions::poisoned(5, How::Error);
    let store = Arc::clone(&store);
    let running =
        Running::start_with(projector.clone(), Arc::clone(&store), &models, settings).await;
    running.reaches(12).await;
    let projection = &running.projection;
    let figures = |proof: &Proof| {
        assert_eq!(flaws(proof), []);
        (
            proof.wanted,
            proof.taken,
            proof.late,
            proof.parked,
            proof.skipped.len(),
        )
    };
    assert_eq!(figures(&proof(projection, 1).await), (12, 9, 0, 3, 0));

    while projection.repartition(1, 3, &operator()).await.is_err() {}
    append_to(&store, "b", 1, &postgres::unique("served")).await;
    running.reaches(13).await;
    assert_eq!(figures(&proof(projection, 1).await), (13, 9, 0, 4, 0));
    let stream = StreamId::new("test", "b").unwrap();
    // It fails again, and nothing is recorded of that.
    assert!(projection.retry(1, &stream, &operator()).await.is_err());
    assert_eq!(figures(&proof(projection, 1).await), (13, 9, 0, 4, 0));

    projection
        .skip(1, at(5), &operator(), "served twice by mistake")
        .await
        .unwrap();
    projector.poison.store(0, Ordering::SeqCst);
    assert_eq!(projection.retry(1, &stream, &operator()).await.unwrap(), 3);
    append_to(&store, "b", 1, &postgres::unique("served")).await;
    running.reaches(14).await;
    let proven = proof(projection, 1).await;
    assert_eq!(figures(&proven), (14, 13, 3, 0, 1));
    let skipped = &proven.skipped[0];
    assert_eq!(
        (
            skipped.position,
            skipped.by.as_str(),
            skipped.reason.as_str()
        ),
        (at(5), "operator", "served twice by mistake")
    );

    // Without the letter it would be an event that nobody has seen.
    models
        .execute("DELETE FROM projections.dead_letters WHERE position = 5")
        .await;
    assert_eq!(flaws(&proof(projection, 1).await), [(1, 12, missing(5))]);
    running.stop().await;
}

/// The balances service has its models in a database of its own, and the events over HTTP.
#[tokio::test]
async fn what_is_fed_over_http_is_proven_by_the_feed_and_by_the_store() {
    let api = Api::start().await;
    for account in ["1", "2"] {
        api.open(account, "unlimited").await;
    }
    let mut last = None;
    for amount in 1..=5 {
        last = Some(api.posting("1", "credits", &amount.to_string()).await);
    }
    api.balance("1", last.unwrap().token()).await;
    let feed = FeedSource::new(&format!("{}/v1/feed", api.url)).unwrap();
    let events = &api.databases.accounts.events;
    let store = Arc::new(PostgresStore::open(events, 2).await.unwrap());
    let head = store.head().await.unwrap().number();
    let store: Arc<dyn Source> = StoreSource::new(store);
    for source in [feed as Arc<dyn Source>, store] {
        let databases = &api.databases;
        let balances = open_balances(&databases.book, source, &databases.balances, 2)
            .await
            .unwrap();
        let proof = proof(&balances, 1).await;
        assert_eq!((flaws(&proof), proof.position), (Vec::new(), at(head)));
        assert!(proof.taken == proof.wanted && proof.taken >= 7, "{proof:?}");
    }
    api.stop().await;
}
