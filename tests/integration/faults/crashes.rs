//! Every process of the server is killed at once, under load, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use folio_core::CommandId;
use folio_core::store::EventStore;
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{Database, PostgresStore};
use folio_tests::scale;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::held::Held;
use super::{events_by_command, read_all, request, store_database, superuser};

const WRITERS: usize = 48;
const CYCLES: usize = 20;
/// Acknowledged appends in each cycle, before the kill.
const APPENDS: usize = 2_500;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_append_is_lost_in_a_crash() {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let database = store_database(&cluster.connection_config()).await;
    let cycles = CYCLES * scale();
    let (acknowledged, lost) = crash(&cluster, &database, cycles, APPENDS).await;
    assert!(acknowledged >= cycles * APPENDS);
    assert_eq!(lost, 0, "of {acknowledged} acknowledged appends");
    cluster.remove().await.unwrap();
}

/// The control: the same crashes, with commits that are acknowledged before they are on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn without_synchronous_commit_a_crash_loses_acknowledged_appends() {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let database = store_database(&cluster.connection_config()).await;
    let superuser = superuser(&cluster.connection_config(), &database).await;
    // In every transaction that appends, whichever statement it does so by.
    superuser
        .batch_execute(
            "CREATE FUNCTION public.forget() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM set_config('synchronous_commit', 'off', true); RETURN NULL; END $$;
             CREATE TRIGGER forget BEFORE INSERT ON store.events EXECUTE FUNCTION public.forget()",
        )
        .await
        .unwrap();
    // This process would write each page of the log as soon as that is full, so that only what stands in the
    // last one is lost, which may be nothing.
    let held = Held::writer_of_the_log(&superuser).await;
    let (acknowledged, lost) = crash(&cluster, &database, 1, 1_000).await;
    drop(held);
    assert!(
        lost > 0,
        "none of {acknowledged}: this suite would see nothing"
    );
    cluster.remove().await.unwrap();
}

/// Appends from many writers and kills the server after every `appends` of them. Answers how many
/// were acknowledged, and how many of those are not there once.
async fn crash(
    cluster: &ThrowawayCluster,
    database: &Database,
    cycles: usize,
    appends: usize,
) -> (usize, usize) {
    let store = Arc::new(PostgresStore::open(database, 2).await.unwrap());
    let (acknowledge, mut acknowledged) = mpsc::unbounded_channel::<CommandId>();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, acknowledge, stop) =
            (Arc::clone(&store), acknowledge.clone(), Arc::clone(&stop));
        writers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let request = request(&format!("{}", writer % 7), 1);
                let command = request.context.id;
                if store.append(request).await.is_ok() {
                    acknowledge.send(command).unwrap();
                } else {
                    // The server is away. Whether it was recorded is not claimed either way.
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
        });
    }
    drop(acknowledge);
    let mut commands = Vec::new();
    for cycle in 1..=cycles {
        while commands.len() < cycle * appends {
            commands.push(acknowledged.recv().await.unwrap());
        }
        cluster.kill_all().await.unwrap();
        cluster.restart().await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    writers.join_all().await;
    while let Some(command) = acknowledged.recv().await {
        commands.push(command);
    }
    let reopened = PostgresStore::open(database, 1).await.unwrap();
    let events = events_by_command(&read_all(&reopened).await);
    assert!(
        events.values().all(|count| *count == 1),
        "an append is there twice"
    );
    let lost = commands
        .iter()
        .filter(|command| !events.contains_key(command))
        .count();
    (commands.len(), lost)
}
