//! Real faults on a real server: crashes, cut connections, stragglers. What was acknowledged is there
//! once, whatever was hurt; what was said to be refused is not there.

mod connections;
mod crashes;
mod disk;
mod doubt;
mod errors;
mod freeze;
pub(crate) mod held;
mod leaving;
mod proxy;
mod replay;
mod stragglers;

use std::collections::HashMap;
use std::time::Duration;

use folio_core::store::{Append, EventStore, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, ExpectedVersion, Fingerprint, NewEvent, Position,
    RecordedEvent, StreamId,
};
use folio_postgres::{Database, Role, migrate, provision};
use folio_tests::postgres;
use tokio_postgres::{Client, Config, NoTls};

/// How long anything here may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request of `events` events that no other call has made.
pub(crate) fn request(stream: &str, events: usize) -> Append {
    let command = CommandId::derived(&["faults", &postgres::unique("command")]);
    let event = NewEvent {
        event_type: "Happened".to_owned(),
        schema_version: 1,
        payload: b"{}".to_vec(),
    };
    let write = StreamWrite {
        stream: StreamId::new("fault", stream).unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event; events],
    };
    let context = CommandContext::new(command, Actor::anonymous());
    Append::events(context, Fingerprint::of(&[]), vec![write])
}

/// A database with an empty store on a server of its own.
pub(crate) async fn store_database(server: &Config) -> Database {
    let roles = [Role::Appender, Role::Reader];
    let database = provision(server, &postgres::unique("faults"), &roles)
        .await
        .unwrap();
    migrate(&database, folio_postgres::migrate::store_migrations())
        .await
        .unwrap();
    database
}

/// A session as the user who owns the server of this database.
async fn superuser(server: &Config, database: &Database) -> Client {
    let mut config = server.clone();
    config.dbname(database.name());
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}

pub(crate) async fn read_all(store: &impl EventStore) -> Vec<RecordedEvent> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    loop {
        let after = events.last().map_or(Position::START, |last| last.position);
        let page = store.read_all(after, BatchSize::default()).await.unwrap();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

/// How many events each command has, after making sure that positions and versions have no holes.
pub(crate) fn events_by_command(events: &[RecordedEvent]) -> HashMap<CommandId, usize> {
    let mut versions: HashMap<&StreamId, i64> = HashMap::new();
    let mut commands = HashMap::new();
    for (position, event) in (1..).zip(events) {
        assert_eq!(event.position.number(), position);
        let version = versions.entry(&event.stream).or_default();
        *version += 1;
        assert_eq!(event.version.number(), *version, "{}", event.stream);
        *commands.entry(event.command_id).or_default() += 1;
    }
    commands
}
