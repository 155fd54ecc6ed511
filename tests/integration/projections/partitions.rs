//! A build filled by several runners at once.

use std::sync::Arc;

use async_trait::async_trait;
use folio_core::{Event, InMemoryStore, NewEvent, RecordedEvent};
use folio_projections::{
    Filling, ModelTransaction, Projection, ProjectionName, Projector, ProjectorError, Settings,
    Sharing,
};
use serde::{Deserialize, Serialize};

use super::kit::{
    Models, Positions, Running, SETTINGS, append_events, append_over, one_to, operator,
};

fn filling(partitions: u16) -> Filling {
    Filling {
        partitions,
        events_per_second: None,
    }
}

async fn owners(models: &Models) -> i64 {
    let owners = "SELECT count(DISTINCT epoch) FROM projections.checkpoints \
                  WHERE held_until > now() AND build = 1";
    models.ask(owners).await[0]
}

/// The number of partitions changes again and again while events come in, over three hosts of which one
/// dies each time.
#[tokio::test]
async fn a_build_is_shared_out_anew_without_loss() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let start = async || Running::start(Positions::default(), Arc::clone(&store), &models).await;
    let mut hosts = vec![start().await, start().await];
    let mut head = 0;
    for partitions in [4, 3, 8, 1, 2] {
        append_over(&store, 20, 100).await;
        head += 100;
        let projection = hosts[0].projection.clone();
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
        let builds = projection.builds().await.unwrap();
        assert_eq!(builds[0].size(), partitions);
        assert_eq!(models.positions().await, one_to(head));
    }
    assert!(owners(&models).await >= 1);
    let none = hosts[0].projection.repartition(1, 0, &operator()).await;
    assert!(none.unwrap_err().to_string().contains("between 1 and"));
    for host in hosts {
        host.stop().await;
    }
}

/// Positions that are told to nobody but one runner.
struct Undivided(Positions);

#[async_trait]
impl Projector for Undivided {
    fn name(&self) -> ProjectionName {
        self.0.name()
    }

    fn sharing(&self) -> Sharing {
        Sharing::Undivided
    }

    fn tables(&self) -> &str {
        self.0.tables()
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        self.0.handle(events, model).await
    }
}

#[tokio::test]
async fn what_cannot_be_shared_out_is_filled_by_one_runner() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let undivided = Undivided(Positions::default());
    let running = Running::start(undivided, Arc::clone(&store), &models).await;
    let shared_out = running.projection.repartition(1, 2, &operator()).await;
    let begun = running.projection.rebuild(filling(2), &operator()).await;
    for refused in [
        shared_out.unwrap_err().to_string(),
        begun.unwrap_err().to_string(),
    ] {
        assert_eq!(
            refused,
            "the events of projection positions cannot be shared out among 2 partitions; it has one"
        );
    }
    append_over(&store, 20, 100).await;
    running.reaches(100).await;
    assert_eq!(models.positions().await, one_to(100));
    running.stop().await;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Moved {
    In { cents: i64 },
    Out { cents: i64 },
}
impl Event for Moved {}

/// A balance, a count and the last version of each stream.
#[derive(Clone, Copy)]
struct Balances;

#[async_trait]
impl Projector for Balances {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("totals", 1)
    }

    fn tables(&self) -> &str {
        "CREATE TABLE totals (stream text PRIMARY KEY, cents bigint NOT NULL, events bigint NOT NULL, \
                              version bigint NOT NULL)"
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let mut changes = std::collections::BTreeMap::<&str, (i64, i64, i64)>::new();
        for recorded in events {
            let change = changes.entry(recorded.stream.id()).or_default();
            for event in recorded.decode()? {
                change.0 += match event {
                    Moved::In { cents } => cents,
                    Moved::Out { cents } => -cents,
                };
            }
            change.1 += 1;
            change.2 = recorded.version.number();
        }
        let streams: Vec<&str> = changes.keys().copied().collect();
        let cents: Vec<i64> = changes.values().map(|change| change.0).collect();
        let counts: Vec<i64> = changes.values().map(|change| change.1).collect();
        let versions: Vec<i64> = changes.values().map(|change| change.2).collect();
        model
            .upsert("totals")
            .key("stream", &streams)
            .add("cents", &cents)
            .add("events", &counts)
            .set("version", &versions)
            .execute()
            .await
    }
}

/// A million events, filled by one runner and by eight.
#[tokio::test]
async fn one_runner_and_eight_make_the_same_model_byte_for_byte() {
    let events: i64 = 1_000_000;
    let streams: i64 = 1_000;
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    for round in 0..events / streams / 10 {
        for stream in 0..streams {
            let batch: Vec<NewEvent> = (0..10)
                .map(|number| {
                    let cents = (round * 31 + stream * 17 + number * 7) % 1_000 + 1;
                    let event = if number % 3 == 0 {
                        Moved::Out { cents }
                    } else {
                        Moved::In { cents }
                    };
                    NewEvent::encode(&event).unwrap()
                })
                .collect();
            append_events(
                &store,
                &stream.to_string(),
                batch,
                &format!("{round}/{stream}"),
            )
            .await;
        }
    }
    let settings = Settings {
        batch: folio_core::BatchSize::default(),
        lease: std::time::Duration::from_secs(3),
        ..SETTINGS
    };
    let running = Running::start_with(Balances, Arc::clone(&store), &models, settings).await;
    let reached = running.progress.wait_for(
        folio_core::Position::new(events).unwrap(),
        std::time::Duration::from_secs(300),
    );
    reached.await.unwrap();
    let projection: &Projection = &running.projection;
    projection.rebuild(filling(8), &operator()).await.unwrap();
    let filled = async {
        while projection.builds().await.unwrap()[1].position().number() < events {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(300), filled)
        .await
        .unwrap();
    let digest = |build: i32| {
        format!(
            "SELECT ('x' || substr(md5(string_agg(t::text, E'\\n' ORDER BY stream)), 1, 15))::bit(60)::bigint \
             FROM totals_{build}.totals t"
        )
    };
    assert_eq!(models.ask(&digest(1)).await, models.ask(&digest(2)).await);
    let sums = "SELECT sum(events)::bigint FROM totals_2.totals";
    assert_eq!(models.ask(sums).await, [events]);
    running.stop().await;
}
