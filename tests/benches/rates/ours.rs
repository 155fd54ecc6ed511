//! The same work through Folio.

use std::sync::Arc;

use folio_core::store::{Append, EventStore, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, ExpectedVersion, Fingerprint, NewEvent, Position,
    StreamId,
};
use folio_postgres::{PostgresStore, Replay};
use folio_runtime::Executor;
use uuid::Uuid;

use crate::account::{Account, AccountCommand, AccountEvent, Posting};
use crate::measure::{Measured, run};
use crate::next;

pub(crate) fn context() -> CommandContext {
    let command = CommandId::from_uuid(Uuid::now_v7());
    CommandContext::new(command, Actor::new("import").unwrap())
}

/// Commands over `aggregates` aggregates.
pub(crate) async fn commands(
    executor: &Executor<Arc<PostgresStore>>,
    callers: usize,
    aggregates: usize,
) -> Measured {
    let executor = executor.clone();
    let prefix = next();
    run(callers, move |caller| {
        let executor = executor.clone();
        async move {
            let number = usize::try_from(next()).unwrap();
            let id = format!("{prefix}-{}", (number * 7_919 + caller) % aggregates);
            let command = AccountCommand::Credit(Posting::sample());
            executor
                .execute::<Account>(&id, command, context())
                .await
                .unwrap();
            1
        }
    })
    .await
}

pub(crate) fn request(stream: String, events: usize) -> Append {
    let event = NewEvent::encode(&AccountEvent::Credited(Posting::sample())).unwrap();
    let write = StreamWrite {
        stream: StreamId::new("account", stream).unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event; events],
    };
    Append::events(context(), Fingerprint::of(&[]), vec![write])
}

/// Requests of `events` events each, past the executor.
pub(crate) async fn appends(store: &Arc<PostgresStore>, callers: usize, events: usize) -> Measured {
    let store = Arc::clone(store);
    run(callers, move |caller| {
        let store = Arc::clone(&store);
        async move {
            // A new stream now and then, as accounts are.
            let stream = format!("{caller}-{}", next() / 4_096);
            store.append(request(stream, events)).await.unwrap();
            u64::try_from(events).unwrap()
        }
    })
    .await
}

/// Reads the whole store in pages, and decodes it.
pub(crate) async fn replay(store: &Arc<PostgresStore>, page: BatchSize) -> u64 {
    let head = store.head().await.unwrap();
    let mut replay = Replay::new(Arc::clone(store), Position::START, head, page);
    let mut count = 0;
    while let Some(events) = replay.next().await.unwrap() {
        for event in &events {
            std::hint::black_box(event.decode::<AccountEvent>().unwrap());
            count += 1;
        }
    }
    count
}
