//! The registry of services, on a real database.

use std::sync::Arc;
use std::time::Duration;

use folio_mesh::discovery::{
    Instance, NewInstance, Registration, Registry, RegistrySettings, Snapshot, Status,
};
use folio_mesh::{Discovery as _, ServiceName, Watch};
use folio_postgres::{Database, Role};
use folio_tests::postgres;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;

mod faults;
mod leases;

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long that nothing of a test waits for it.
const NEVER: Duration = Duration::from_secs(3_600);
/// How soon a hint is followed, on a machine that has much else to do. Usually it is a few milliseconds.
const SOON: Duration = Duration::from_secs(5);

async fn prepared() -> Database {
    let server = postgres::server().await;
    let database = Registry::prepare(&server, &postgres::unique("registry")).await;
    database.unwrap()
}

/// Everything within a second.
fn quick() -> RegistrySettings {
    RegistrySettings {
        term: Duration::from_secs(1),
        heartbeat: Duration::from_millis(200),
        poll: Duration::from_millis(200),
        ..RegistrySettings::default()
    }
}

/// Nothing happens but by a hint.
fn hints_alone() -> RegistrySettings {
    RegistrySettings {
        term: NEVER,
        heartbeat: NEVER / 2,
        poll: NEVER,
        answer: PATIENCE,
        ..RegistrySettings::default()
    }
}

async fn open(database: &Database, settings: RegistrySettings) -> Registry {
    Registry::open(database, settings).await.unwrap()
}

fn accounts() -> ServiceName {
    "accounts".parse().unwrap()
}

fn new(id: &str) -> NewInstance {
    NewInstance {
        service: accounts(),
        id: id.parse().unwrap(),
        address: "127.0.0.1:8081".parse().unwrap(),
        status: Status::Serving,
    }
}

async fn register(registry: &Registry, id: &str) -> Registration {
    registry.register(new(id)).await.unwrap()
}

async fn sees(watch: &Watch, what: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let mut watch = watch.clone();
    let seen = timeout(PATIENCE, async {
        loop {
            let snapshot = watch.current();
            if what(&snapshot) {
                return snapshot;
            }
            watch.changed().await;
        }
    });
    let seen = seen.await.ok();
    seen.unwrap_or_else(|| panic!("{:?}", watch.current()))
}

/// Waits until the only instance is such a one.
async fn sees_one(watch: &Watch, what: impl Fn(&Instance) -> bool) -> Arc<Snapshot> {
    sees(watch, |it| matches!(&*it.instances, [one] if what(one))).await
}

async fn sees_none(watch: &Watch) {
    sees(watch, |it| it.instances.is_empty()).await;
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn instances_are_seen_to_come_to_change_and_to_go() {
    let database = prepared().await;
    let (here, there) = (
        open(&database, hints_alone()).await,
        open(&database, hints_alone()).await,
    );
    let watch = there.watch(&accounts());
    // Until it listens, nothing but the time would show what follows.
    until("it listens", async || watch.age().is_some()).await;
    let listens = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'folio registry listener' AND query LIKE '%LISTEN%'";
    let owner = postgres::superuser(&database).await;
    until("both listen", async || {
        let row = owner.query_one(listens, &[]).await.unwrap();
        row.get::<_, i64>(0) == 2
    })
    .await;
    let mut starting = new("a-1");
    starting.status = Status::Starting;

    let began = Instant::now();
    let registration = here.register(starting.clone()).await.unwrap();
    let came = sees_one(&watch, |it| it.status == Status::Starting).await;
    let seen_after = began.elapsed();
    assert_eq!(came.instances[0].address, starting.address);
    assert_eq!(came.instances[0].incarnation, registration.incarnation());
    registration.set_status(Status::Serving).await.unwrap();
    let changed = sees_one(&watch, |it| it.status == Status::Serving).await;
    assert!(changed.revision > came.revision);
    registration.deregister().await.unwrap();
    sees_none(&watch).await;
    // One that is dropped goes as well, and its id comes back as another one.
    let again = register(&here, "a-1").await;
    let back = sees_one(&watch, |_| true).await;
    assert!(back.instances[0].incarnation > came.instances[0].incarnation);
    drop(again);
    sees_none(&watch).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    eprintln!("an instance that registers is seen after {seen_after:?}");
}

#[tokio::test]
async fn a_registry_that_is_stopped_leaves_nothing_behind_and_what_was_seen_stays() {
    let database = prepared().await;
    let registry = open(&database, quick()).await;
    let watch = registry.watch(&accounts());
    let registration = register(&registry, "a-1").await;
    sees_one(&watch, |_| true).await;
    let owner = postgres::superuser(&database).await;
    let sessions = async || {
        let count = "SELECT count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name LIKE 'folio %'";
        owner.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    until("it watches and listens", async || sessions().await >= 3).await;
    registry.stop().await;
    // Whoever is registered stays so, over a connection of its own.
    until("it neither watches nor listens", async || {
        sessions().await == 1
    })
    .await;
    let stays = registration.set_status(Status::Draining).await;
    stays.unwrap();
    sees_one(&watch, |it| it.status == Status::Serving).await;
    drop(registration);
    until("nobody is connected", async || sessions().await == 0).await;
    let row = owner
        .query_one("SELECT status FROM registry.instances", &[])
        .await;
    assert_eq!(row.unwrap().get::<_, &str>(0), "gone");
}

#[tokio::test]
async fn a_service_changes_the_registry_by_its_functions_alone() {
    let database = prepared().await;
    let service = database.connect(Role::Projector).await.unwrap();
    for forbidden in [
        "DELETE FROM registry.instances",
        "UPDATE registry.instances SET held_until = now()",
        "UPDATE registry.services SET revision = 0",
        "SELECT registry.count_up('accounts', 0)",
    ] {
        let refused = service.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{forbidden}"
        );
    }
}
