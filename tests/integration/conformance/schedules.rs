//! The schedules of the contract, with writers that hold their transactions open as no appender of
//! ours does.

use async_trait::async_trait;
use folio_core::EventStore;
use folio_core::testing::contract::schedules::{Step, TransactionalStore, Writer};
use folio_postgres::{Database, PostgresStore};
use folio_tests::postgres;
use tokio_postgres::Client;

folio_core::event_store_schedules!(Stage::over(postgres::store_database().await).await);

/// A store whose writers are plain sessions.
pub(crate) struct Stage {
    database: Database,
    store: PostgresStore,
    superuser: Client,
}

impl Stage {
    pub(crate) async fn over(database: Database) -> Self {
        let store = PostgresStore::open(&database, 2).await.unwrap();
        let superuser = postgres::superuser(&database).await;
        superuser
            .batch_execute("CREATE TABLE elsewhere (written timestamptz)")
            .await
            .unwrap();
        Self {
            database,
            store,
            superuser,
        }
    }
}

#[async_trait]
impl TransactionalStore for Stage {
    type Writer = Session;

    fn store(&self) -> &dyn EventStore {
        &self.store
    }

    async fn writer(&self) -> Session {
        Session(postgres::superuser(&self.database).await)
    }

    async fn waiting_writers(&self) -> usize {
        // Asked of the table of locks: what a session shows of itself may be of a moment ago.
        let waiting: i64 = self
            .superuser
            .query_one(
                "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pg_blocking_pids(pid) <> '{}'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        usize::try_from(waiting).unwrap()
    }
}

/// A session of the superuser.
pub(crate) struct Session(Client);

#[async_trait]
impl Writer for Session {
    async fn take(&mut self, step: Step) {
        let statement = match step {
            Step::Begin => "BEGIN",
            Step::WriteElsewhere => "INSERT INTO elsewhere VALUES (now())",
            Step::Savepoint => "SAVEPOINT here",
            Step::RollBackToSavepoint => "ROLLBACK TO SAVEPOINT here",
            Step::Commit => "COMMIT",
            Step::RollBack => "ROLLBACK",
            Step::Append(stream, payload) => {
                let (category, id) = (stream.category(), stream.id());
                let append = postgres::append_by_sql(category, id, &payload);
                return self.0.batch_execute(&append).await.unwrap();
            }
        };
        self.0.batch_execute(statement).await.unwrap();
    }
}
