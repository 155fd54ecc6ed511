//! A live model that is not as it should be is found, row by row, with the event since which it is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use folio_core::store::{Append, StreamWrite};
use folio_core::{
    Actor, CommandContext, CommandId, EventStore, ExpectedVersion, Fingerprint, InMemoryStore,
    NewEvent, RecordedEvent, StreamId,
};
use folio_operator::{Desk, DiffArgs, Finding, OperatorError, Style, diff};
use folio_postgres::PostgresStore;
use folio_projections::{
    ModelTransaction, Projection, ProjectionName, Projector, ProjectorError, Settings, StoreSource,
};
use folio_tests::api::Api;
use folio_tests::postgres;
use ledger_example::balances::open_balances;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::replaying::shadows;
use crate::projections::kit::{Models, Running};

#[tokio::test]
async fn a_row_that_was_altered_or_removed_is_told_from_one_that_fell_behind() {
    let api = Api::start().await;
    for id in ["1", "2", "3", "4"] {
        api.open(id, "none").await;
        api.posting(id, "credits", "50.00").await;
    }
    let last = api.posting("2", "debits", "10.00").await;
    api.balance("2", last.token()).await;
    let databases = api.stop().await;
    let store = PostgresStore::open(&databases.accounts.events, 2)
        .await
        .unwrap();
    let store = Arc::new(store);
    let source = StoreSource::new(Arc::clone(&store));
    let models = &databases.balances;
    let balances = open_balances(&databases.book, source, models, 4)
        .await
        .unwrap();

    let (finding, clean) = compared(&balances, 20).await;
    assert_eq!((finding, &clean["is_same"]), (Finding::Clean, &json!(true)));
    assert_eq!(clean["first"], Value::Null);

    let client = postgres::superuser(models).await;
    let change = "UPDATE balances_1.accounts SET credits_posted = credits_posted + 0.01, \
                      balance = balance + 0.01 WHERE account_id = '1'; \
         UPDATE balances_1.accounts SET balance = 50, debits_posted = 0, version = 2, \
                      position = (SELECT position FROM before), updated_at = (SELECT updated_at FROM before) \
                      WHERE account_id = '2'; \
         DELETE FROM balances_1.accounts WHERE account_id = '3'; \
         UPDATE balances_1.entries SET actor = 'nobody' WHERE position = \
                      (SELECT min(position) FROM balances_1.entries); \
         INSERT INTO balances_1.totals VALUES ('ghost', 0, 'EUR', 1, 1)";
    let before = store_event(&store, "account/2", 2).await;
    let before = format!(
        "CREATE TEMP TABLE before AS SELECT {}::bigint AS position, {}::bigint AS updated_at",
        before.position,
        before.recorded_at.micros()
    );
    client.batch_execute(&before).await.unwrap();
    client.batch_execute(&databases.sql(change)).await.unwrap();

    let (finding, found) = compared(&balances, 20).await;
    assert_eq!(
        (finding, &found["is_same"]),
        (Finding::NotWell, &json!(false))
    );
    let accounts = rows(&found, "accounts");
    let of = |id: &str| {
        let is_it = |row: &&Value| {
            [&row["live"], &row["right"]]
                .iter()
                .any(|row| row["account_id"] == id)
        };
        let row = accounts.iter().find(is_it).unwrap();
        (
            row["verdict"].as_str().unwrap(),
            row["event"]["stream"].clone(),
            row["event"]["version"].clone(),
        )
    };
    assert_eq!(of("1"), ("altered", json!("account/1"), json!(2)));
    assert_eq!(of("2"), ("behind", json!("account/2"), json!(3)));
    assert_eq!(of("3"), ("missing", json!("account/3"), json!(1)));
    assert_eq!(accounts.len(), 3);
    let entries = rows(&found, "entries");
    assert_eq!(
        (&entries[0]["verdict"], entries.len()),
        (&json!("altered"), 1)
    );
    assert_eq!(entries[0]["event"]["event_type"], "EntryPosted");
    let totals = rows(&found, "totals");
    assert_eq!(
        (&totals[0]["verdict"], &totals[0]["event"]),
        (&json!("unfounded"), &Value::Null)
    );
    let tables = found["tables"].as_array().unwrap().iter();
    let rows = tables.flat_map(|table| table["rows"].as_array().unwrap());
    let first = rows
        .filter_map(|row| row["event"]["position"].as_i64())
        .min();
    assert_eq!(found["first"]["position"].as_i64(), first);

    // Of each table one row is looked at; that there are more is told.
    let (_, fewer) = compared(&balances, 1).await;
    let accounts = &fewer["tables"].as_array().unwrap()[0];
    assert_eq!(
        (
            &accounts["differing"],
            accounts["rows"].as_array().unwrap().len()
        ),
        (&json!(3), 1)
    );
    assert_eq!(shadows(models).await, 0);
}

/// Negative controls of a projector that once passed an event over: it is named, whichever it was.
#[tokio::test]
async fn an_event_that_a_projector_passed_over_is_named() {
    // Positions of the events below, what the row of `sums` is found to be, and by which event.
    for (skipped, verdict, position) in [
        (1, "missing", 1),
        (2, "altered", 5),
        (5, "behind", 5),
        (7, "behind", 7),
        (3, "missing", 3),
    ] {
        let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
        for (id, event_type) in [
            ("a", "Opened"),
            ("a", "Added"),
            ("b", "Opened"),
            ("c", "Opened"),
            ("a", "Added"),
            ("b", "Added"),
            ("c", "Closed"),
        ] {
            append(&store, id, event_type).await;
        }
        let projector = Sums::default();
        projector.skipped.store(skipped, Ordering::SeqCst);
        let running = Running::start(projector.clone(), Arc::clone(&store), &models).await;
        running.reaches(7).await;
        let projection = running.projection.clone();
        running.stop().await;
        projector.skipped.store(0, Ordering::SeqCst);
        let (finding, found) = compared(&projection, 20).await;
        assert_eq!(finding, Finding::NotWell, "{skipped}");
        let rows = rows(&found, "sums");
        assert_eq!(rows.len(), 1, "{skipped}: {found}");
        assert_eq!(
            (&rows[0]["verdict"], &rows[0]["event"]["position"]),
            (&json!(verdict), &json!(position)),
            "{skipped}: {found}"
        );
        // Control: as it is right, nothing is found.
        let clean = Running::start(Sums::of_revision(2), store, &models).await;
        clean.reaches(7).await;
        let projection = clean.projection.clone();
        clean.stop().await;
        let (finding, found) = compared(&projection, 20).await;
        assert_eq!(finding, Finding::Clean, "{found}");
    }
}

#[tokio::test]
async fn a_comparison_that_is_interrupted_or_fails_leaves_nothing() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    for _ in 0..50 {
        append(&store, "a", "Opened").await;
    }
    let projector = Sums::default();
    let running = Running::start(projector.clone(), Arc::clone(&store), &models).await;
    running.reaches(50).await;
    let projection = running.projection.clone();
    running.stop().await;
    let (stop, stopped) = watch::channel(false);
    stop.send_replace(true);
    let error = run(&projection, 20, stopped).await.unwrap_err();
    assert!(matches!(error, OperatorError::Interrupted), "{error:?}");
    assert_eq!(shadows(models.database()).await, 0);

    projector.poison.store(30, Ordering::SeqCst);
    let (_stop, stopped) = watch::channel(false);
    let error = run(&projection, 20, stopped).await.unwrap_err();
    assert!(matches!(error, OperatorError::Shadow(_)), "{error:?}");
    assert_eq!(shadows(models.database()).await, 0);

    // Nobody's rows are taken for those of another comparison.
    let shadow = projection.shadow().await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    let error = run(&projection, 20, stopped).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("somebody else is replaying sums"),
        "{error}"
    );
    // A crash leaves the schema, and the next one removes it.
    drop(shadow);
    projector.poison.store(0, Ordering::SeqCst);
    let unlocked = "SELECT pg_sleep(0.01) FROM pg_locks WHERE locktype = 'advisory' \
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let client = postgres::superuser(models.database()).await;
    while !client.query(unlocked, &[]).await.unwrap().is_empty() {}
    assert_eq!(shadows(models.database()).await, 1);
    assert_eq!(compared(&projection, 20).await.0, Finding::Clean);
    assert_eq!(shadows(models.database()).await, 0);
}

/// How many events each stream has. A closed one has no row.
#[derive(Clone, Default)]
struct Sums {
    revision: i32,
    /// Passes this position over; 0 is none.
    skipped: Arc<AtomicI64>,
    /// Never takes in this position; 0 is none.
    poison: Arc<AtomicI64>,
}

impl Sums {
    fn of_revision(revision: i32) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }
}

#[async_trait]
impl Projector for Sums {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("sums", self.revision.max(1))
    }

    fn tables(&self) -> &str {
        "CREATE TABLE sums (id text PRIMARY KEY, events bigint NOT NULL, opened_at bigint NOT NULL)"
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        for event in events {
            let position = event.position.number();
            if position == self.poison.load(Ordering::SeqCst) {
                return Err(ProjectorError::Contradiction("poison".to_owned()));
            }
            if position == self.skipped.load(Ordering::SeqCst) {
                continue;
            }
            let id = event.stream.id();
            match &*event.event_type {
                "Opened" => {
                    let insert = "INSERT INTO sums VALUES ($1, 0, $2) ON CONFLICT DO NOTHING";
                    model.execute(insert, &[&id, &position]).await?;
                }
                "Closed" => {
                    model
                        .execute("DELETE FROM sums WHERE id = $1", &[&id])
                        .await?;
                }
                _ => {
                    // What is added depends on what came before, so that no order can be made up later.
                    let add = "UPDATE sums SET events = events * 10 + $2 WHERE id = $1";
                    model.execute(add, &[&id, &position]).await?;
                }
            }
        }
        Ok(())
    }
}

async fn append(store: &impl EventStore, id: &str, event_type: &str) {
    let context = CommandContext::new(
        CommandId::derived(&[&postgres::unique("summed")]),
        Actor::anonymous(),
    );
    let event = NewEvent {
        event_type: event_type.to_owned(),
        schema_version: 1,
        payload: b"null".to_vec(),
    };
    let write = StreamWrite {
        stream: StreamId::new("sum", id).unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event],
    };
    let request = Append::events(context, Fingerprint::of(&[]), vec![write]);
    store.append(request).await.unwrap();
}

async fn store_event(store: &PostgresStore, stream: &str, version: i64) -> RecordedEvent {
    let (category, id) = stream.split_once('/').unwrap();
    let stream = StreamId::new(category, id).unwrap();
    let events = store
        .read_stream(
            &stream,
            folio_core::Version::NONE,
            Settings::default().batch,
        )
        .await
        .unwrap();
    events
        .into_iter()
        .find(|event| event.version.number() == version)
        .unwrap()
}

fn rows(found: &Value, table: &str) -> Vec<Value> {
    let tables = found["tables"].as_array().unwrap();
    let table = tables.iter().find(|one| one["table"] == table).unwrap();
    table["rows"].as_array().unwrap().clone()
}

/// `ledger diff --format json`, and what it finds.
async fn compared(projection: &Projection, most: u16) -> (Finding, Value) {
    let (_stop, stop) = watch::channel(false);
    let (finding, text) = run(projection, most, stop).await.unwrap();
    (finding, serde_json::from_str(&text).unwrap())
}

async fn run(
    projection: &Projection,
    most: u16,
    stop: watch::Receiver<bool>,
) -> Result<(Finding, String), OperatorError> {
    let mut out = Vec::new();
    let mut desk = Desk {
        projections: std::slice::from_ref(projection),
        by: Actor::anonymous(),
        stop,
        out: &mut out,
    };
    let arguments = DiffArgs {
        name: projection.name().name.to_owned(),
        most,
        format: Style::Json,
    };
    let finding = Box::pin(diff::run(arguments, &mut desk)).await?;
    Ok((finding, String::from_utf8(out).unwrap()))
}
