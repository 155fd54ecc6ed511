//! Errors that come late: after the first rows of an answer, or swallowed before a commit. Neither passes
//! for success.

use std::sync::Arc;

use async_trait::async_trait;
use folio_core::store::{AppendError, EventStore, ReadError};
use folio_core::{BatchSize, Filter, InMemoryStore, Position, RecordedEvent, StreamId, Version};
use folio_postgres::{CommitError, Database, PostgresStore, Replay, Role, Transaction, commit};
use folio_projections::{ModelTransaction, ProjectionName, Projector, ProjectorError};
use folio_tests::postgres;

use super::request;
use crate::projections::kit::{Models, Running};

/// What is done in a transaction before an error that nobody looks at.
const WRITE: &str = "INSERT INTO public.written VALUES (1)";
const FAIL: &str = "SELECT 1 / 0";

#[tokio::test]
async fn an_error_that_was_swallowed_does_not_pass_for_a_commit() {
    let database = written().await;
    let pool = database.pool(Role::Projector, 1).unwrap();

    let begin = async || {
        let transaction = Transaction::begin(pool.get().await.unwrap(), "")
            .await
            .unwrap();
        transaction.batch_execute(WRITE).await.unwrap();
        transaction
    };
    let transaction = begin().await;
    assert!(transaction.batch_execute(FAIL).await.is_err());
    let committed = commit(transaction).await;
    assert!(
        matches!(committed, Err(CommitError::RolledBack(_))),
        "{committed:?}"
    );
    assert_eq!(count(&database).await, 0);

    // The control: the server calls it success, and nothing is there.
    let transaction = begin().await;
    assert!(transaction.batch_execute(FAIL).await.is_err());
    transaction.batch_execute("COMMIT").await.unwrap();
    drop(transaction);
    assert_eq!(count(&database).await, 0);

    // An error that COMMIT itself comes upon.
    let transaction = begin().await;
    transaction.batch_execute(WRITE).await.unwrap();
    let committed = commit(transaction).await;
    assert!(
        matches!(committed, Err(CommitError::RolledBack(_))),
        "{committed:?}"
    );
    assert_eq!(count(&database).await, 0);

    commit(begin().await).await.unwrap();
    assert_eq!(count(&database).await, 1);
}

/// A session that is ended before its commit has committed nothing, and says so.
#[tokio::test]
async fn a_transaction_whose_session_was_ended_is_no_commit() {
    let database = written().await;
    let pool = database.pool(Role::Projector, 1).unwrap();
    let transaction = Transaction::begin(pool.get().await.unwrap(), "")
        .await
        .unwrap();
    transaction.batch_execute(WRITE).await.unwrap();
    postgres::end_all_sessions(&database).await;
    assert!(commit(transaction).await.is_err());
    assert_eq!(count(&database).await, 0);
}

/// A projector that ignores an error of the database moves no checkpoint.
#[tokio::test]
async fn a_projector_that_swallows_an_error_is_stopped() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    store.append(request("projected", 1)).await.unwrap();
    let running = Running::start(Swallowing, store, &models).await;
    let error = running.fails().await;
    assert!(error.contains("transaction is aborted"), "{error}");
    assert_eq!(running.progress.position(), Some(Position::START));
    let written = "SELECT count(*) FROM swallowing_1.written";
    assert_eq!(models.ask(written).await, [0]);
    running.stop().await;
}

struct Swallowing;

#[async_trait]
impl Projector for Swallowing {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("swallowing", 1)
    }

    fn tables(&self) -> &str {
        "CREATE TABLE written (number bigint)"
    }

    async fn handle(
        &self,
        _: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        model
            .batch_execute("INSERT INTO written VALUES (1)")
            .await?;
        let _ = model.batch_execute(FAIL).await;
        Ok(())
    }
}

/// A read model's database with a table whose key is checked at the commit.
async fn written() -> Database {
    let database = postgres::models_database().await;
    let superuser = postgres::superuser(&database).await;
    let projector = Role::Projector.name(database.name());
    superuser
        .batch_execute(&format!(
            "CREATE TABLE public.written (number bigint UNIQUE DEFERRABLE INITIALLY DEFERRED); \
             GRANT ALL ON public.written TO {projector}"
        ))
        .await
        .unwrap();
    database
}

async fn count(database: &Database) -> i64 {
    let superuser = postgres::superuser(database).await;
    let row = superuser.query_one("SELECT count(*) FROM public.written", &[]);
    row.await.unwrap().get(0)
}

/// Enough that the server sends rows before it comes to the one that fails.
const EVENTS: i64 = 2_000;
const FAILING: i64 = 1_500;

/// The server fails at a row, when it has already sent many.
#[tokio::test]
async fn an_error_after_the_first_rows_is_an_error() {
    let (database, store) = store_with_events().await;
    postgres::superuser(&database)
        .await
        .batch_execute(&format!(
            "ALTER TABLE store.events RENAME TO whole; \
             CREATE VIEW store.events AS \
                 SELECT position, version + 0 / (position - {FAILING}) AS version, recorded_at, \
                        event_id, command_id, command_events, schema_version, category, stream_id, \
                        event_type, fingerprint, payload, metadata \
                 FROM store.whole; \
             GRANT SELECT ON store.events TO {}",
            Role::Reader.name(database.name())
        ))
        .await
        .unwrap();
    let before = BatchSize::new(u16::try_from(FAILING - 1).unwrap()).unwrap();
    let page = store.read_all(Position::START, before).await.unwrap();
    assert_eq!(page.len(), usize::from(u16::try_from(FAILING - 1).unwrap()));
    for error in every_read(&store).await {
        assert!(matches!(error, ReadError::Failed(_)), "{error:?}");
    }
}

/// A row in the midst of others that cannot be an event.
#[tokio::test]
async fn a_row_that_is_no_event_is_an_error_that_names_it() {
    let (database, store) = store_with_events().await;
    // No grant and no function of ours could do this.
    postgres::superuser(&database)
        .await
        .batch_execute(&format!(
            "ALTER TABLE store.events DISABLE TRIGGER ALL; \
             UPDATE store.events SET schema_version = 70000 WHERE position = {FAILING}"
        ))
        .await
        .unwrap();
    for error in every_read(&store).await {
        let ReadError::Corrupt { position, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(position.number(), FAILING);
    }
}

/// What is on record and cannot be read is not said to be unrecorded: its caller would take it for a
/// failure, and make the same payment under another id.
#[tokio::test]
async fn a_repeat_whose_record_cannot_be_read_is_not_called_a_failure() {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 1).await.unwrap();
    let append = request("repeated", 1);
    store.append(append.clone()).await.unwrap();
    let superuser = postgres::superuser(&database).await;
    let reader = Role::Reader.name(database.name());
    let revoke = format!("REVOKE SELECT ON store.events FROM {reader}");
    superuser.batch_execute(&revoke).await.unwrap();
    let repeated = store.append(append.clone()).await;
    let told = matches!(&repeated, Err(AppendError::OutcomeUnknown { command, .. })
        if *command == append.context.id);
    assert!(told, "{repeated:?}");
}

async fn store_with_events() -> (Database, Arc<PostgresStore>) {
    let database = postgres::store_database().await;
    let store = PostgresStore::open(&database, 2).await.unwrap();
    let append = request("long", usize::try_from(EVENTS).unwrap());
    store.append(append).await.unwrap();
    // A plan that was made before the table is changed must be gone: this is about rows.
    drop(store);
    let store = PostgresStore::open(&database, 2).await.unwrap();
    (database, Arc::new(store))
}

/// The error of each read that would have to give the event that fails.
async fn every_read(store: &Arc<PostgresStore>) -> Vec<ReadError> {
    let limit = BatchSize::new(u16::try_from(EVENTS).unwrap()).unwrap();
    let stream = StreamId::new("fault", "long").unwrap();
    let in_pages = async {
        let until = Position::new(EVENTS).unwrap();
        let page = BatchSize::new(700).unwrap();
        let mut replay = Replay::new(Arc::clone(store), Position::START, until, page);
        let mut seen = 0;
        loop {
            match replay.next().await {
                Ok(Some(page)) => seen += page.len(),
                Ok(None) => panic!("a clean end after {seen}"),
                Err(error) => return error,
            }
        }
    };
    vec![
        store.read_all(Position::START, limit).await.unwrap_err(),
        store
            .read_stream(&stream, Version::NONE, limit)
            .await
            .unwrap_err(),
        store
            .read_filtered(&Filter::category("fault"), Position::START, limit)
            .await
            .unwrap_err(),
        in_pages.await,
    ]
}
