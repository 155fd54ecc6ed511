//! A registry that is down, emptied, or says that all are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use folio_mesh::discovery::{
    OpenRegistryError, RegisterError, RegistrationError, Registry, RegistrySettings, Snapshot,
    Status,
};
use folio_mesh::{Discovery as _, StaticList, Watch};
use folio_postgres::Database;
use folio_tests::postgres;
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;

use crate::faults::held::Held;

use super::{
    PATIENCE, SOON, accounts, new, open, prepared, quick, register, sees, sees_one, until,
};

/// Lists six instances that send no heartbeats, at once.
async fn list_six(owner: &Client) {
    let six = "SELECT registry.register('accounts', 'a-' || n, gen_random_uuid(), '127.0.0.1:80', \
               'serving', 3600000, NULL) FROM generate_series(1, 6) n";
    owner.query(six, &[]).await.unwrap();
}

/// How many there are each time that it changes, until there are `last`.
async fn counts_down(watch: &Watch, last: usize) -> Vec<usize> {
    let mut watch = watch.clone();
    let mut counts = vec![watch.current().instances.len()];
    while counts.last() != Some(&last) {
        let changed = timeout(PATIENCE, watch.changed()).await;
        changed.unwrap_or_else(|_| panic!("{counts:?}"));
        let count = watch.current().instances.len();
        if counts.last() != Some(&count) {
            counts.push(count);
        }
    }
    counts
}

/// Lets nobody into the database any more, and ends who is there.
async fn take_down(database: &Database) {
    allow_connections(database, "false").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    let server = postgres::superuser(&Database::new(postgres::server().await, "postgres")).await;
    server.query(end, &[&database.name()]).await.unwrap();
}

async fn bring_up(database: &Database) {
    allow_connections(database, "true").await;
}

async fn allow_connections(database: &Database, allow: &str) {
    let server = postgres::superuser(&Database::new(postgres::server().await, "postgres")).await;
    let name = database.name();
    let alter = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allow}");
    server.batch_execute(&alter).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_is_down_keeps_who_was_there() {
    let database = prepared().await;
    let registry = open(&database, quick()).await;
    let watch = registry.watch(&accounts());
    let registration = register(&registry, "a-1").await;
    let first = registration.incarnation();
    let before = sees_one(&watch, |_| true).await;

    take_down(&database).await;
    // Until every lease has ended.
    let old = quick().term + quick().poll;
    until("it gets old", async || watch.age() > Some(old)).await;
    assert_eq!(watch.current(), before);
    let refused = registry.register(new("a-2")).await;
    assert!(
        matches!(refused, Err(RegisterError::Unreachable { .. })),
        "{refused:?}"
    );
    // It is told when the registry is back.
    let untold = registration.set_status(Status::Draining).await;
    assert!(
        matches!(untold, Err(RegistrationError::Unreachable { .. })),
        "{untold:?}"
    );

    bring_up(&database).await;
    sees_one(&watch, |it| {
        it.incarnation > first && it.status == Status::Draining
    })
    .await;
    until("it is young again", async || {
        watch.age() < Some(quick().term)
    })
    .await;
    let other = register(&registry, "a-2").await;
    sees(&watch, |it| it.instances.len() == 2).await;
    other.deregister().await.unwrap();
}

#[tokio::test]
async fn what_was_not_heard_is_seen_when_it_is_time() {
    let database = prepared().await;
    let registry = open(&database, RegistrySettings::default()).await;
    let watch = registry.watch(&accounts());
    until("it is seen that there is nobody", async || {
        watch.age().is_some()
    })
    .await;
    let owner = postgres::superuser(&database).await;
    // Nobody is told of this one.
    let silently = "INSERT INTO registry.services (service, revision) VALUES ('accounts', 1); \
                    INSERT INTO registry.instances VALUES ('accounts', 'a-1', 1, gen_random_uuid(), \
                        '127.0.0.1:80', 'serving', now() + interval '1 hour')";
    let changed = Instant::now();
    owner.batch_execute(silently).await.unwrap();
    sees_one(&watch, |_| true).await;
    assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());
    // Of this one it is told while nobody listens.
    let deaf = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'folio registry listener'; \
                SELECT registry.register('accounts', 'a-2', gen_random_uuid(), '127.0.0.1:80', \
                    'serving', 3600000, NULL)";
    let changed = Instant::now();
    owner.batch_execute(deaf).await.unwrap();
    sees(&watch, |it| it.instances.len() == 2).await;
    assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());
    // And what it is told of later, it hears again.
    let registration = register(&registry, "a-3").await;
    sees(&watch, |it| it.instances.len() == 3).await;
    registration.deregister().await.unwrap();
    sees(&watch, |it| it.instances.len() == 2).await;
    // Nothing comes on the listener's connection any more, and nobody says so.
    let listener = "SELECT pid FROM pg_stat_activity \
                    WHERE datname = current_database() AND application_name = 'folio registry listener'";
    let listener: i32 = owner.query_one(listener, &[]).await.unwrap().get(0);
    let held = Held::process(listener).await;
    let changed = Instant::now();
    let registration = register(&registry, "a-4").await;
    sees(&watch, |it| it.instances.len() == 3).await;
    assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());
    drop(held);
    registration.deregister().await.unwrap();
}

#[tokio::test]
async fn a_table_that_is_emptied_takes_nobody_off_that_is_alive() {
    let database = prepared().await;
    let registry = open(&database, quick()).await;
    let mut watch = registry.watch(&accounts());
    let mut registrations = Vec::new();
    for id in ["a-1", "a-2", "a-3", "a-4", "a-5", "a-6"] {
        registrations.push(register(&registry, id).await);
    }
    let before = sees(&watch, |it| it.instances.len() == 6).await;
    let owner = postgres::superuser(&database).await;
    owner
        .batch_execute("DELETE FROM registry.instances")
        .await
        .unwrap();
    let all_anew = |snapshot: &Snapshot| {
        let newest = before.instances.iter().map(|it| it.incarnation).max();
        let anew = snapshot
            .instances
            .iter()
            .filter(|it| Some(it.incarnation) > newest);
        anew.count() == 6
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let snapshot = watch.current();
        // A machine that has much else to do may be late with a heartbeat; but never are all of them gone.
        assert!(!snapshot.instances.is_empty());
        if all_anew(&snapshot) {
            break;
        }
        assert!(Instant::now() < deadline, "{snapshot:?}");
        let _ = timeout(PATIENCE, watch.changed()).await;
    }
}

#[tokio::test]
async fn of_those_that_vanish_from_the_table_a_third_goes_at_each_look() {
    let database = prepared().await;
    let owner = postgres::superuser(&database).await;
    list_six(&owner).await;
    let settings = RegistrySettings {
        poll: Duration::from_secs(1),
        ..quick()
    };
    let registry = open(&database, settings).await;
    let watch = registry.watch(&accounts());
    sees(&watch, |it| it.instances.len() == 6).await;
    owner
        .batch_execute("DELETE FROM registry.instances")
        .await
        .unwrap();
    // Hints are no looks.
    owner
        .batch_execute("NOTIFY folio_registry, 'accounts'")
        .await
        .unwrap();
    assert_eq!(counts_down(&watch, 3).await, [6, 4, 3]);
}

#[tokio::test]
async fn of_those_whose_leases_end_at_once_a_third_goes_within_a_term() {
    let database = prepared().await;
    let owner = postgres::superuser(&database).await;
    list_six(&owner).await;
    // However many take them off.
    let registries = [
        open(&database, quick()).await,
        open(&database, quick()).await,
        open(&database, quick()).await,
    ];
    let watch = registries[0].watch(&accounts());
    sees(&watch, |it| it.instances.len() == 6).await;
    let end = "UPDATE registry.instances SET held_until = '-infinity'";
    owner.execute(end, &[]).await.unwrap();
    let began = Instant::now();
    assert_eq!(counts_down(&watch, 2).await, [6, 4, 3, 2]);
    assert!(began.elapsed() > quick().term * 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn seeds_are_who_is_there_until_the_registry_answers() {
    let database = prepared().await;
    take_down(&database).await;
    let refused = Registry::open(&database, quick()).await;
    assert!(
        matches!(refused, Err(OpenRegistryError::Unreachable { .. })),
        "{refused:?}"
    );
    let seeds = BTreeMap::from([(accounts(), vec!["127.0.0.1:9".parse().unwrap()])]);
    let registry = Registry::open_with_seeds(&database, quick(), StaticList::new(seeds)).unwrap();
    let watch = registry.watch(&accounts());
    let refused = registry.register(new("a-1")).await;
    assert!(
        matches!(refused, Err(RegisterError::Unreachable { .. })),
        "{refused:?}"
    );
    sees_one(&watch, |it| it.id.as_str() == "static-1").await;
    assert_eq!(watch.age(), None);

    bring_up(&database).await;
    let mut registration = None;
    until("it registers", async || {
        registration = registry.register(new("a-1")).await.ok();
        registration.is_some()
    })
    .await;
    sees_one(&watch, |it| it.id.as_str() == "a-1").await;
    assert!(watch.age().is_some());
}

#[tokio::test]
async fn a_row_that_makes_no_sense_hides_nobody_else() {
    let database = prepared().await;
    let owner = postgres::superuser(&database).await;
    list_six(&owner).await;
    let poison = "UPDATE registry.instances SET address = 'nowhere' WHERE instance_id = 'a-2'";
    owner.execute(poison, &[]).await.unwrap();
    let registry = open(&database, quick()).await;
    let watch = registry.watch(&accounts());
    let seen = sees(&watch, |it| !it.instances.is_empty()).await;
    let ids: Vec<&str> = seen.instances.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["a-1", "a-3", "a-4", "a-5", "a-6"]);
}
