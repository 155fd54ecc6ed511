//! What becomes of events that a projector cannot take in, however it fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use folio_core::{Event, InMemoryStore, NewEvent, RecordedEvent, StreamId};
use folio_projections::{
    ModelTransaction, Poison, ProjectionName, Projector, ProjectorError, Settings, Wanted,
};
use serde::{Deserialize, Serialize};

use super::kit::{
    How, Models, Positions, Running, SETTINGS, append_events, append_over, append_to, one_to,
    operator,
};

/// An error, a panic, a call that never returns, and a statement that never does: each parks the
/// stream, says why, and holds up nobody else; mended, it is taken in.
#[tokio::test]
async fn however_an_event_fails_its_stream_is_parked_and_no_other() {
    for (how, said) in [
        (How::Error, "position 5 is poison"),
        (How::Panic, "the projector panicked: position 5 is poison"),
        (How::Hangs, "did not return within 300 ms"),
        (How::HangsInTheServer, "did not return within 300 ms"),
    ] {
        let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
        // The fifth is the second of stream 1, and so is the eighth the third.
        append_over(&store, 3, 12).await;
        let settings = Settings {
            poison: Poison::Park,
            handle_timeout: Duration::from_millis(300),
            ..SETTINGS
        };
        let projector = Positions::poisoned(5, how);
        let running =
            Running::start_with(projector.clone(), Arc::clone(&store), &models, settings).await;
        running.reaches(12).await;
        let expected = [1, 2, 3, 4, 6, 7, 9, 10, 12];
        assert_eq!(models.positions().await, expected, "{how:?}");
        let letters = running.projection.dead_letters(1).await.unwrap();
        let positions: Vec<i64> = letters.iter().map(|l| l.position.number()).collect();
        assert_eq!(positions, [5, 8, 11], "{how:?}");
        let error = letters[0].error.as_deref().unwrap();
        assert!(error.contains(said), "{how:?}: {error}");
        assert_eq!(
            running.projection.builds().await.unwrap()[0].dead_letters,
            3
        );

        projector.poison.store(0, Ordering::SeqCst);
        let parked = StreamId::new("test", "1").unwrap();
        let retried = running.projection.retry(1, &parked, &operator()).await;
        assert_eq!(retried.unwrap(), 3, "{how:?}");
        append_over(&store, 3, 3).await;
        running.reaches(15).await;
        assert_eq!(models.positions().await, one_to(15), "{how:?}");
        running.stop().await;
    }
}

/// In the other policy it stops in front of the event, and says so.
#[tokio::test]
async fn however_an_event_fails_a_projection_that_shall_stop_stops_before_it() {
    for how in [How::Error, How::Panic, How::Hangs, How::HangsInTheServer] {
        let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
        append_over(&store, 3, 12).await;
        let settings = Settings {
            handle_timeout: Duration::from_millis(300),
            ..SETTINGS
        };
        let projector = Positions::poisoned(9, how);
        let running = Running::start_with(projector, Arc::clone(&store), &models, settings).await;
        let error = running.fails().await;
        assert!(error.starts_with("the projector failed"), "{error}");
        assert_eq!(
            models.positions_and_checkpoint().await,
            (one_to(7), 7),
            "{how:?}"
        );
        running.stop().await;
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Known {
    Opened,
    Closed,
}
impl Event for Known {}

/// Counts the events that it can read, of the types that it says it wants.
#[derive(Clone)]
struct Counts(Wanted);

#[async_trait]
impl Projector for Counts {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("counts", 1)
    }

    fn wants(&self) -> Wanted {
        self.0.clone()
    }

    fn tables(&self) -> &str {
        "CREATE TABLE counts (stream text PRIMARY KEY, events bigint NOT NULL)"
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        for event in events {
            event.decode::<Known>()?;
            let (streams, one) = (vec![event.stream.id()], vec![1_i64]);
            let row = model.upsert("counts").key("stream", &streams);
            row.add("events", &one).execute().await?;
        }
        Ok(())
    }
}

/// An event type that the program does not know, and a schema that is newer than the program, are
/// poison: recorded, and never passed over. What a projector says that it does not want is.
#[tokio::test]
async fn an_unknown_type_and_a_newer_schema_are_parked_and_not_skipped() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let newer = NewEvent {
        schema_version: 2,
        ..NewEvent::encode(&Known::Closed).unwrap()
    };
    append_to(&store, "unknown", 2, "unknown").await;
    append_events(&store, "newer", vec![newer], "newer").await;
    let known = vec![NewEvent::encode(&Known::Opened).unwrap(); 3];
    append_events(&store, "known", known, "known").await;
    let settings = Settings {
        poison: Poison::Park,
        ..SETTINGS
    };
    let everything = Counts(Wanted::category("test"));
    let running = Running::start_with(everything, Arc::clone(&store), &models, settings).await;
    running.reaches(6).await;
    let counted = "SELECT events FROM counts_1.counts WHERE stream = 'known'";
    assert_eq!(models.ask(counted).await, [3]);
    let letters = running.projection.dead_letters(1).await.unwrap();
    let told: Vec<(i64, bool)> = letters
        .iter()
        .map(|letter| (letter.position.number(), letter.error.is_some()))
        .collect();
    assert_eq!(told, [(1, true), (2, false), (3, true)]);
    let errors: Vec<&str> = letters.iter().filter_map(|l| l.error.as_deref()).collect();
    assert!(
        errors[0].contains("unknown variant `Happened`"),
        "{errors:?}"
    );
    assert!(
        errors[1].contains("it is not in today's shape"),
        "{errors:?}"
    );
    running.stop().await;

    let models = Models::new().await;
    let few = Counts(Wanted::category("test").of_types(["Opened"]));
    let running = Running::start(few, Arc::clone(&store), &models).await;
    running.reaches(6).await;
    assert_eq!(models.ask("SELECT events FROM counts_1.counts").await, [3]);
    let other = Counts(Wanted::category("other"));
    running.stop().await;
    let models = Models::new().await;
    let running = Running::start(other, Arc::clone(&store), &models).await;
    running.reaches(6).await;
    assert_eq!(
        models.ask("SELECT count(*) FROM counts_1.counts").await,
        [0]
    );
    running.stop().await;
}
