//! A store that was dumped and restored on another server.

use std::time::Duration;

use folio_core::store::{Append, AppendError, AppendStatus, EventStore};
use folio_core::{Checkpoint, EventHash, Fingerprint, HistoryError, Position};
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::migrate::store_migrations;
use folio_postgres::{Database, PostgresStore, Role, SubscriptionError, migrate};
use folio_tests::postgres;
use tokio_postgres::error::SqlState;

use super::dumps::{dump, load};
use super::{follow, positions, shared_store, superuser};
use crate::faults::{read_all, request};
use crate::projections::kit::{Models, Positions, Running, one_to};

const POLL: Duration = Duration::from_millis(20);
/// Where the dump was taken.
const DUMPED: i64 = 40;

/// A subscriber and a projection that have come to a position of the store that was dumped.
struct Readers {
    at: i64,
    checkpoint: Checkpoint,
    models: Models,
}

impl Readers {
    async fn at(database: &Database, position: i64) -> Self {
        let open = async || PostgresStore::open(database, 2).await.unwrap();
        let models = Models::new().await;
        let running = Running::start(Positions::default(), open().await, &models).await;
        running.reaches(position).await;
        running.stop().await;
        assert_eq!(models.positions().await, one_to(position));
        let store = open().await;
        let last = read_all(&store).await.pop().unwrap();
        assert_eq!(last.position.number(), position);
        Self {
            at: position,
            checkpoint: Checkpoint::start(store.store_id()).after(&last),
            models,
        }
    }

    /// Both go on in `database` up to its head, and have each event once.
    async fn go_on(&self, database: &Database, head: i64) {
        let open = async || PostgresStore::open(database, 2).await.unwrap();
        let mut subscription = follow(open().await, self.checkpoint, POLL);
        let rest: Vec<i64> = (self.at + 1..=head).collect();
        assert_eq!(positions(&mut subscription, head).await, rest);
        let running = Running::start(Positions::default(), open().await, &self.models).await;
        running.reaches(head).await;
        running.stop().await;
        assert_eq!(self.models.positions().await, one_to(head));
    }

    /// Both are refused in `database`; answers what the subscriber was told.
    async fn are_refused(&self, database: &Database, because: &str) -> HistoryError {
        let open = async || PostgresStore::open(database, 2).await.unwrap();
        let running = Running::start(Positions::default(), open().await, &self.models).await;
        let error = running.fails().await;
        assert!(error.contains(because), "{error}");
        running.stop().await;
        assert_eq!(self.models.positions().await, one_to(self.at));
        let error = follow(open().await, self.checkpoint, POLL).next().await;
        let SubscriptionError::History(error) = error.unwrap_err() else {
            panic!("no word of another history")
        };
        error
    }
}

#[tokio::test]
async fn g11_a_restored_store_is_followed_or_refused() {
    let (database, store) = shared_store().await;
    let mut requests = Vec::new();
    let append = async |requests: &mut Vec<Append>, events: usize| {
        let request = request("a", events);
        store.append(request.clone()).await.unwrap();
        requests.push(request);
    };
    append(&mut requests, 25).await;
    let before = Readers::at(&database, 25).await;
    append(&mut requests, 15).await;
    let refusal = request("refused", 0).context;
    let refusal = Append::refusal(
        refusal,
        Fingerprint::of(&[]),
        Vec::new(),
        b"\"no\"".to_vec(),
    );
    store.append(refusal.clone()).await.unwrap();
    let at = Readers::at(&database, DUMPED).await;

    let cluster = ThrowawayCluster::start(Durability::UnsafeForTests)
        .await
        .unwrap();
    let restored = restore(&database, &cluster).await;
    append(&mut requests, 20).await;
    let beyond = Readers::at(&database, DUMPED + 20).await;

    // The same store, with the same history up to the dump.
    let there = PostgresStore::open(&restored, 2).await.unwrap();
    assert_eq!(there.store_id(), store.store_id());
    let mut original = read_all(&store).await;
    original.truncate(usize::try_from(DUMPED).unwrap());
    assert_eq!(read_all(&there).await, original);

    // What was read before the dump goes on; what was read after it is not there.
    before.go_on(&restored, DUMPED).await;
    at.go_on(&restored, DUMPED).await;
    let error = beyond
        .are_refused(
            &restored,
            "the store went back: the reader is at position 60, the store ends at 40",
        )
        .await;
    assert!(
        matches!(&error, HistoryError::WentBack { checkpoint, head }
            if checkpoint.position.number() == 60 && head.number() == DUMPED),
        "{error:?}"
    );

    // Commands of before the dump are on record, and no command stands for another request.
    for request in requests.iter().take(2).chain([&refusal]) {
        let again = there.append(request.clone()).await.unwrap();
        let first = store.append(request.clone()).await.unwrap();
        assert_eq!(again.status, AppendStatus::AlreadyApplied);
        assert_eq!(again.outcome, first.outcome);
        let mut other = request.clone();
        other.fingerprint = Fingerprint::of(&[b"other"]);
        let error = there.append(other).await.unwrap_err();
        assert!(
            matches!(error, AppendError::CommandReused { .. }),
            "{error:?}"
        );
    }
    refuses_change(&cluster, &restored).await;

    // It goes on from where the dump was taken, and readers with it.
    there.append(request("b", 5)).await.unwrap();
    at.go_on(&restored, DUMPED + 5).await;
    there.append(request("b", 20)).await.unwrap();
    let all = read_all(&there).await;
    let numbers: Vec<i64> = all.iter().map(|event| event.position.number()).collect();
    assert_eq!(numbers, one_to(DUMPED + 25));
    // Position 60 is there again, and is another event.
    let error = beyond
        .are_refused(&restored, "the store was forked: at position 60")
        .await;
    assert!(
        matches!(&error, HistoryError::Forked { checkpoint }
            if checkpoint.position.number() == 60),
        "{error:?}"
    );
    // The control: it is the hash that tells. A reader of the new history at 60 goes on.
    let mut forked = beyond.checkpoint;
    forked.event = EventHash::of(
        all.iter()
            .find(|event| event.position == position(60))
            .unwrap(),
    );
    let mut subscription = follow(there, forked, POLL);
    assert_eq!(positions(&mut subscription, 65).await, [61, 62, 63, 64, 65]);
    cluster.remove().await.unwrap();
}

fn position(number: i64) -> Position {
    Position::new(number).unwrap()
}

/// Dumps the database, and restores it under the same name on another server.
async fn restore(database: &Database, cluster: &ThrowawayCluster) -> Database {
    let (from, to) = (postgres::server().await, cluster.connection_config());
    let file = cluster.address().data_folder.join("dump.sql");
    dump(&from, database.name(), &file).await;
    let roles = [Role::Appender, Role::Reader];
    let restored = load(&file, &to, database.name(), &roles).await;
    migrate(&restored, store_migrations()).await.unwrap();
    restored
}

/// The triggers came along as they were: they fire for everybody, also in replica mode.
async fn refuses_change(cluster: &ThrowawayCluster, database: &Database) {
    let superuser = superuser(&cluster.connection_config(), database.name()).await;
    superuser
        .batch_execute("SET session_replication_role = replica")
        .await
        .unwrap();
    let owner = database.connect(Role::Owner).await.unwrap();
    for client in [&superuser, &owner] {
        for table in ["events", "outcomes", "identity"] {
            for statement in [
                format!("DELETE FROM store.{table}"),
                format!("TRUNCATE store.{table}"),
                match table {
                    "identity" => "UPDATE store.identity SET created_at = now()".to_owned(),
                    _ => format!("UPDATE store.{table} SET metadata = 'x'"),
                },
            ] {
                let error = client.batch_execute(&statement).await.unwrap_err();
                let code = error.code();
                assert_eq!(code, Some(&SqlState::RESTRICT_VIOLATION), "{statement}");
            }
        }
    }
}
