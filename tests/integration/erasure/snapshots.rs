//! A state that is kept between events has what the events have: sealed texts.

use std::sync::Arc;

use folio_core::{Actor, Aggregate, CommandContext, CommandId, Event, Snapshots};
use folio_erasure::{Personal, Sealed, Vault};
use folio_postgres::PostgresStore;
use folio_runtime::{CacheBytes, Executor};
use folio_tests::postgres;
use serde::{Deserialize, Serialize};

use super::canary::places;

/// A person, as an app of one's own may record one: the name sealed, and beside it what is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Person {
    name: Sealed,
    notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
struct Describe {
    name: Sealed,
    note: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum PersonEvent {
    Described { name: Sealed, note: String },
}
impl Event for PersonEvent {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum Never {}

impl Aggregate for Person {
    const CATEGORY: &'static str = "person";
    type Command = Describe;
    type Event = PersonEvent;
    type Refusal = Never;

    fn decide(_: Option<&Self>, command: Describe) -> Result<Vec<PersonEvent>, Never> {
        let Describe { name, note } = command;
        Ok(vec![PersonEvent::Described { name, note }])
    }

    fn evolve(state: Option<Self>, event: &PersonEvent) -> Option<Self> {
        let PersonEvent::Described { name, note } = event.clone();
        let mut notes = state.map_or_else(Vec::new, |person| person.notes);
        notes.push(note);
        Some(Self { name, notes })
    }

    fn snapshots() -> Option<Snapshots<Self>> {
        Some(Snapshots::json(1, 2))
    }
}

#[tokio::test]
async fn a_snapshot_holds_no_personal_text() {
    let database = postgres::store_database().await;
    let store = Arc::new(PostgresStore::open(&database, 2).await.unwrap());
    let name = postgres::unique("vault");
    let server = postgres::server().await;
    let vault = folio_erasure::prepare(&server, &name).await.unwrap();
    let vault = Vault::new(&vault).unwrap();
    let subject = "c-1".parse().unwrap();
    let (text, note) = ("CanaryNameXyzzy", "CanaryNoteInTheClearXyzzy");

    let executor = Executor::new(Arc::clone(&store)).with_cache(CacheBytes(0));
    for number in 0..5 {
        let id = CommandId::derived(&["describe", &number.to_string()]);
        let key = vault.key_to_seal(&subject).await.unwrap();
        let personal: Personal = text.to_owned().try_into().unwrap();
        let command = Describe {
            name: key.seal("name", id, &personal).unwrap(),
            note: note.to_owned(),
        };
        let context = CommandContext::new(id, Actor::anonymous());
        let reply = executor.execute::<Person>("1", command, context);
        reply.await.unwrap();
    }

    let databases = [database];
    assert_eq!(places(&databases, &[text.to_owned()]).await, [""; 0]);
    // The control: what is not sealed is in the snapshot too.
    let found = places(&databases, &[note.to_owned()]).await;
    let snapshots = |found: &String| found.ends_with("store.snapshots");
    assert!(found.iter().any(snapshots), "{found:?}");
}
