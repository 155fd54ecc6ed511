//! Leases that are kept, end, and are taken over.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use folio_mesh::Discovery as _;
use folio_mesh::discovery::{Registration, RegistrationError, Registry, RegistrySettings, Status};
use folio_postgres::Database;
use folio_tests::postgres;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::{
    PATIENCE, accounts, hints_alone, new, open, prepared, quick, register, sees_none, sees_one,
    until,
};

/// Instances that are killed: nobody says that they go.
struct Elsewhere {
    runtime: Option<Runtime>,
    _registry: Registry,
    _registrations: Vec<Registration>,
}

impl Elsewhere {
    async fn start(database: &Database, settings: RegistrySettings, ids: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (database, new): (_, Vec<_>) =
            (database.clone(), ids.iter().map(|id| new(id)).collect());
        let listed = runtime.spawn(async move {
            let registry = open(&database, settings).await;
            let mut registrations = Vec::new();
            for instance in new {
                registrations.push(registry.register(instance).await.unwrap());
            }
            (registry, registrations)
        });
        let (registry, registrations) = listed.await.unwrap();
        Self {
            runtime: Some(runtime),
            _registry: registry,
            _registrations: registrations,
        }
    }

    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Counts what is told, for as long as the session is kept.
async fn listen(database: &Database, heard: Arc<AtomicUsize>) -> Client {
    let mut config = postgres::server().await;
    config.dbname(database.name());
    let (client, mut connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message {
                heard.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    client.batch_execute("LISTEN folio_registry").await.unwrap();
    client
}

#[tokio::test]
async fn an_instance_that_is_killed_is_gone_after_its_lease() {
    let database = prepared().await;
    let registry = open(&database, quick()).await;
    let watch = registry.watch(&accounts());
    let mut elsewhere = Elsewhere::start(&database, quick(), &["a-1"]).await;
    sees_one(&watch, |_| true).await;
    let killed = Instant::now();
    elsewhere.kill();
    sees_none(&watch).await;
    // Its last heartbeat was a moment before, and with one more it would have been longer.
    assert!(killed.elapsed() > quick().term - 2 * quick().heartbeat);
    let owner = postgres::superuser(&database).await;
    let row = owner
        .query_one("SELECT status FROM registry.instances", &[])
        .await;
    assert_eq!(row.unwrap().get::<_, &str>(0), "expired");
}

#[tokio::test]
async fn of_two_with_one_id_the_first_is_told_and_does_not_come_back() {
    let database = prepared().await;
    let (here, there) = (
        open(&database, quick()).await,
        open(&database, quick()).await,
    );
    let watch = there.watch(&accounts());
    let first = register(&here, "a-1").await;
    let second = register(&there, "a-1").await;
    assert!(second.incarnation() > first.incarnation());
    timeout(PATIENCE, first.lost()).await.unwrap();
    let refused = first.set_status(Status::Draining).await;
    assert!(
        matches!(refused, Err(RegistrationError::Lost { .. })),
        "{refused:?}"
    );
    drop(first);
    // Longer than the lease of either, and than any heartbeat of the first.
    let over = Instant::now() + quick().term * 2;
    while Instant::now() < over {
        sees_one(&watch, |it| it.incarnation == second.incarnation()).await;
        sleep(Duration::from_millis(50)).await;
    }
    let lost = timeout(Duration::ZERO, second.lost()).await;
    assert!(lost.is_err());
}

/// It slept through it all, and knows nothing of it.
#[tokio::test]
async fn whoever_was_taken_over_is_lost_also_when_the_other_has_gone_since() {
    let database = prepared().await;
    let sleeps = open(&database, hints_alone()).await;
    let watch = sleeps.watch(&accounts());
    let zombie = register(&sleeps, "a-1").await;
    let there = open(&database, quick()).await;
    let other = register(&there, "a-1").await;
    other.deregister().await.unwrap();
    let refused = zombie.set_status(Status::Serving).await;
    assert!(
        matches!(refused, Err(RegistrationError::Lost { .. })),
        "{refused:?}"
    );
    timeout(PATIENCE, zombie.lost()).await.unwrap();
    sees_none(&watch).await;
}

#[tokio::test]
async fn whose_lease_has_ended_comes_back_as_another_one() {
    let database = prepared().await;
    let registry = open(&database, quick()).await;
    let watch = registry.watch(&accounts());
    let registration = register(&registry, "a-1").await;
    let first = registration.incarnation();
    sees_one(&watch, |it| it.incarnation == first).await;
    let owner = postgres::superuser(&database).await;
    let end = "UPDATE registry.instances SET held_until = '-infinity'";
    owner.execute(end, &[]).await.unwrap();
    let back = sees_one(&watch, |it| it.incarnation > first).await;
    // Who watches may hear of it before the answer that tells the instance itself.
    until("it knows what it is", async || {
        registration.incarnation() == back.instances[0].incarnation
    })
    .await;
    registration.deregister().await.unwrap();
}

/// It registered again, and the connection broke before it was told.
#[tokio::test]
async fn whoever_lost_an_answer_is_not_taken_for_another_one() {
    let database = prepared().await;
    let registry = open(&database, quick()).await;
    let watch = registry.watch(&accounts());
    let registration = register(&registry, "a-1").await;
    let owner = postgres::superuser(&database).await;
    let again = "SELECT registry.register(service, instance_id, holder, address, status, 1000, \
                 incarnation) FROM registry.instances";
    let untold: i64 = owner.query_one(again, &[]).await.unwrap().get(0);
    assert!(untold > registration.incarnation().number());
    sees_one(&watch, |it| it.incarnation.number() > untold).await;
    until("it knows what it is", async || {
        registration.incarnation().number() > untold
    })
    .await;
    assert!(timeout(Duration::ZERO, registration.lost()).await.is_err());
}

#[tokio::test]
async fn heartbeats_tell_nobody_and_write_beside_what_was() {
    let database = prepared().await;
    let settings = RegistrySettings {
        heartbeat: Duration::from_millis(20),
        ..quick()
    };
    let registry = open(&database, settings).await;
    let registration = register(&registry, "a-1").await;
    let heard = Arc::new(AtomicUsize::new(0));
    let listener = listen(&database, Arc::clone(&heard)).await;
    let owner = postgres::superuser(&database).await;
    let revision = async || {
        let row = owner
            .query_one("SELECT revision FROM registry.services", &[])
            .await;
        row.unwrap().get::<_, i64>(0)
    };
    let before = revision().await;
    let written = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
                   WHERE schemaname = 'registry' AND relname = 'instances'";
    // More than one page holds, were they not cleaned up on the way.
    until("heartbeats are counted", async || {
        let row = owner.query_one(written, &[]).await.unwrap();
        let (all, hot): (i64, i64) = (row.get(0), row.get(1));
        // A snapshot that somebody has open elsewhere in the cluster, for a replica say, keeps some from being cleaned up. With
        // an index on what they write there would be none.
        assert!(all < 150 || hot >= 100, "{hot} of {all}");
        all >= 150
    })
    .await;
    assert_eq!(
        (revision().await, heard.load(Ordering::SeqCst)),
        (before, 0)
    );
    // The control: it would have been heard.
    registration.set_status(Status::Draining).await.unwrap();
    until("it is heard", async || heard.load(Ordering::SeqCst) == 1).await;
    assert_eq!(revision().await, before + 1);
    drop(listener);
}
