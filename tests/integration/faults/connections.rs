//! Connections are cut in the moment of the commit. The outcome is found out, and is right.

use std::sync::Arc;

use folio_core::store::{AppendError, AppendStatus, EventStore};
use folio_core::{CommandId, StreamId};
use folio_postgres::{Database, PostgresStore};
use folio_tests::{postgres, scale};
use tokio::task::JoinSet;

use super::proxy::Proxy;
use super::{events_by_command, read_all, request, store_database};

const CUTS: usize = 1_000;
const WRITERS: usize = 8;

/// What a writer was told.
enum Told {
    Recorded(CommandId, AppendStatus),
    NotRecorded(CommandId),
}

#[tokio::test(flavor = "multi_thread")]
async fn every_append_cut_at_its_commit_is_resolved_rightly() {
    let server = postgres::server().await;
    let direct = store_database(&server).await;
    let proxy = Arc::new(Proxy::start(&server, 3));
    let through = Database::new(proxy.config(), direct.name());
    let store = Arc::new(PostgresStore::open(&through, 2).await.unwrap());
    let cuts = CUTS * scale();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, proxy) = (Arc::clone(&store), Arc::clone(&proxy));
        writers.spawn(async move {
            let mut told = Vec::new();
            while proxy.cuts() < cuts {
                let request = request(&writer.to_string(), 2);
                let command = request.context.id;
                told.push(match store.append(request).await {
                    Ok(appended) => Told::Recorded(command, appended.status),
                    Err(AppendError::Unavailable(_)) => Told::NotRecorded(command),
                    Err(error) => panic!("{error:?}"),
                });
            }
            told
        });
    }
    let told: Vec<Told> = writers.join_all().await.into_iter().flatten().collect();
    drop(store);

    let reopened = PostgresStore::open(&direct, 1).await.unwrap();
    let events = events_by_command(&read_all(&reopened).await);
    let (mut recorded, mut found) = (0, 0);
    for told in &told {
        match told {
            Told::Recorded(command, status) => {
                recorded += 1;
                found += usize::from(*status == AppendStatus::AlreadyApplied);
                assert_eq!(events.get(command), Some(&2), "{command}");
            }
            Told::NotRecorded(command) => assert_eq!(events.get(command), None, "{command}"),
        }
    }
    assert_eq!(recorded, events.len());
    // Two cuts in three come when the server has the append: there it was found, not repeated.
    assert!(found > cuts / 3, "{found} were found on record");
    assert!(
        recorded > cuts / 2,
        "hardly anything was appended: {recorded}"
    );
}

/// A connection on which a read was left half-way is closed and not handed to the next reader.
#[tokio::test]
async fn a_connection_that_was_left_in_mid_use_is_closed() {
    let database = postgres::store_database().await;
    let pool = database.pool(folio_postgres::Role::Reader, 1).unwrap();
    let process = async || -> i32 {
        let mut client = pool.get().await.unwrap();
        let row = client
            .query_one("SELECT pg_backend_pid()", &[])
            .await
            .unwrap();
        client.finished();
        row.get(0)
    };
    let first = process().await;
    assert_eq!(process().await, first);
    // Left in a transaction whose BEGIN was sent, and no more is known.
    {
        let mut client = pool.get().await.unwrap();
        let mut begin = Box::pin(client.transaction());
        assert!(futures_util::poll!(begin.as_mut()).is_pending());
    }
    assert_ne!(process().await, first);

    let store = PostgresStore::open(&database, 1).await.unwrap();
    let stream = StreamId::new("fault", "left").unwrap();
    let before = || {
        store.read_stream(
            &stream,
            folio_core::Version::NONE,
            folio_core::BatchSize::default(),
        )
    };
    for polls in 0..10 {
        let mut read = Box::pin(before());
        for _ in 0..polls {
            if futures_util::poll!(read.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(read);
        assert!(before().await.unwrap().is_empty());
    }
}

/// In the pool it would be open until somebody asked for just this connection, and with it the transaction: whoever asks
/// gets the one that has waited longest, and then waits for what the other one has locked.
#[tokio::test]
async fn what_a_connection_left_in_mid_use_has_locked_is_free_at_once() {
    let database = postgres::store_database().await;
    let pool = database.pool(folio_postgres::Role::Appender, 2).unwrap();
    let mut waiting = pool.get().await.unwrap();
    let left = pool.get().await.unwrap();
    let locks = "SELECT pg_advisory_xact_lock(1)";
    left.batch_execute(&format!("BEGIN; {locks}"))
        .await
        .unwrap();
    waiting.finished();
    drop(waiting);
    drop(left);

    let mut next = pool.get().await.unwrap();
    let waits_at_most = "SET lock_timeout = '10s'";
    next.batch_execute(&format!("{waits_at_most}; {locks}"))
        .await
        .unwrap();
    next.finished();
}
