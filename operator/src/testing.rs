//! Stores for unit tests, with events that say what the test is about.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use folio_core::{
    Actor, Append, CausationId, Cause, CommandContext, CommandId, CorrelationId, EventStore,
    ExpectedVersion, Fingerprint, InMemoryStore, NewEvent, StoreId, StreamId, StreamWrite,
    Timestamp,
};
use uuid::Uuid;

/// A command with one event, as it is to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) micros: i64,
    pub(crate) stream: (&'static str, String),
    pub(crate) event_type: &'static str,
    pub(crate) payload: String,
    pub(crate) actor: String,
    pub(crate) correlation: u128,
    pub(crate) causation: Option<CausationId>,
    pub(crate) cause: Option<Cause>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            micros: 0,
            stream: ("account", "1".to_owned()),
            event_type: "Opened",
            payload: "{}".to_owned(),
            actor: "ann".to_owned(),
            correlation: 1,
            causation: None,
            cause: None,
        }
    }
}

/// A store that holds these events, in this order. The command at position n has the id n.
pub(crate) async fn store_of(id: u128, written: &[Written]) -> InMemoryStore {
    let clock = Arc::new(AtomicI64::new(0));
    let tells = Arc::clone(&clock);
    let store = InMemoryStore::new(StoreId::from_uuid(Uuid::from_u128(id)), move || {
        Timestamp::from_micros(tells.load(Ordering::SeqCst))
    });
    for (number, one) in (1..).zip(written) {
        clock.store(one.micros, Ordering::SeqCst);
        record(&store, number, one).await;
    }
    store
}

/// Records one more.
pub(crate) async fn record(store: &InMemoryStore, number: u128, written: &Written) {
    let (category, id) = written.stream.clone();
    let context = CommandContext {
        correlation_id: CorrelationId::from_uuid(Uuid::from_u128(written.correlation)),
        causation_id: written.causation,
        cause: written.cause,
        ..CommandContext::new(
            CommandId::from_uuid(Uuid::from_u128(number)),
            Actor::new(&*written.actor).unwrap(),
        )
    };
    let event = NewEvent {
        event_type: written.event_type.to_owned(),
        schema_version: 1,
        payload: written.payload.clone().into_bytes(),
    };
    let write = StreamWrite {
        stream: StreamId::new(category, id).unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event],
    };
    let append = Append::events(context, Fingerprint::of(&[b"test"]), vec![write]);
    store.append(append).await.unwrap();
}
