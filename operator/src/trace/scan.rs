//! What the stores hold of a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use folio_core::{
    BatchSize, CorrelationId, Metadata, Position, ReadError, RecordedEvent, StoreId, Timestamp,
};
use tokio::task::JoinSet;

use super::TraceError;
use crate::moment;
use crate::named_store::NamedStore;
use crate::progress::Progress;
use crate::screen::Screen;

/// Time between two looks at how far the reads are.
const EVERY: Duration = Duration::from_millis(200);

/// An event that a request caused.
#[derive(Debug, Clone)]
pub struct TracedEvent {
    /// The name of its store.
    pub service: Arc<str>,
    /// Its store.
    pub store_id: StoreId,
    /// The event.
    pub event: RecordedEvent,
    /// Who asked for it, and in the wake of what.
    pub metadata: Metadata,
}

/// How far a store was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// The name of the store.
    pub service: String,
    /// The store.
    pub store_id: StoreId,
    /// What is after this was read,
    pub after: Position,
    /// up to this: where the store ended.
    pub through: Position,
    /// How many events of the request are among it.
    pub found: usize,
}

/// What all stores hold of a request, and how far they were read, in the order of the stores.
pub(super) async fn find(
    stores: &[NamedStore],
    correlation: CorrelationId,
    since: Option<Timestamp>,
    screen: &Screen<'_>,
) -> Result<(Vec<TracedEvent>, Vec<Searched>), TraceError> {
    let counts = Arc::new(Counts::default());
    // They end with this future, whatever ends it.
    let mut scans = JoinSet::new();
    for (number, store) in stores.iter().enumerate() {
        let (store, counts) = (store.clone(), Arc::clone(&counts));
        scans.spawn(async move { (number, scan(&store, correlation, since, &counts).await) });
    }
    let mut progress = Progress::new("events");
    let mut all = Vec::new();
    let mut stop = screen.stop.clone();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Err(TraceError::Interrupted),
            scanned = scans.join_next() => match scanned {
                Some(scanned) => {
                    let (number, found) = scanned.map_err(TraceError::Lost)?;
                    all.push((number, found?));
                }
                None => break,
            },
            () = tokio::time::sleep(EVERY) => progress.at(
                counts.done.load(Ordering::Relaxed),
                counts.all.load(Ordering::Relaxed),
            ),
        }
    }
    all.sort_by_key(|(number, _)| *number);
    let (events, searched): (Vec<_>, Vec<_>) = all.into_iter().map(|(_, found)| found).unzip();
    Ok((events.into_iter().flatten().collect(), searched))
}

/// How many events are looked through, of how many.
#[derive(Default)]
struct Counts {
    done: AtomicI64,
    all: AtomicI64,
}

async fn scan(
    named: &NamedStore,
    correlation: CorrelationId,
    since: Option<Timestamp>,
    counts: &Counts,
) -> Result<(Vec<TracedEvent>, Searched), TraceError> {
    let unread = |source| TraceError::Read {
        store: named.name.clone(),
        source,
    };
    let store = &*named.store;
    let (service, store_id) = (Arc::from(&*named.name), store.store_id());
    let head = store.head().await.map_err(unread)?;
    let after = match since {
        Some(since) => moment::last_before(store, since, head)
            .await
            .map_err(unread)?,
        None => Position::START,
    };
    counts
        .all
        .fetch_add(head.events_since(after), Ordering::Relaxed);
    let mut found = Vec::new();
    let mut at = after;
    while at < head {
        let events = store.read_all(at, BatchSize::default()).await;
        let events = events.map_err(unread)?;
        let before = at;
        at = events.last().map_or(at, |event| event.position);
        if at == before {
            return Err(unread(ReadError::Corrupt {
                position: at.plus(1),
                what: "it is missing".to_owned(),
            }));
        }
        // What was recorded since is as far away as what comes after.
        at = at.min(head);
        for event in events
            .into_iter()
            .take_while(|event| event.position <= head)
        {
            let metadata = event.decode_metadata();
            let metadata = metadata.map_err(|source| TraceError::Metadata {
                store: named.name.clone(),
                source,
            })?;
            if metadata.correlation_id == correlation {
                found.push(TracedEvent {
                    service: Arc::clone(&service),
                    store_id,
                    event,
                    metadata,
                });
            }
        }
        counts
            .done
            .fetch_add(at.events_since(before), Ordering::Relaxed);
    }
    let searched = Searched {
        service: named.name.clone(),
        store_id,
        after,
        through: head,
        found: found.len(),
    };
    Ok((found, searched))
}
