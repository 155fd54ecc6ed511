//! Behind a new connection may be another past, whenever it is opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use folio_core::{
    BatchSize, EventStore, Filter, InMemoryStore, Page, Position, ReadError, StoreId,
};
use folio_projections::{Source, StoreSource};
use tokio::sync::watch;

use super::kit::{Models, Positions, Running, SETTINGS, append_as, one_to};

/// Is connected to another server as soon as it was compared with.
struct Switches {
    before: Arc<dyn Source>,
    after: Arc<dyn Source>,
    opened: AtomicU64,
}

impl Switches {
    fn now(&self) -> &dyn Source {
        match self.opened.load(Ordering::SeqCst) {
            0 => &*self.before,
            _ => &*self.after,
        }
    }
}

#[async_trait]
impl Source for Switches {
    async fn identify(&self) -> Result<StoreId, ReadError> {
        self.now().identify().await
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        let page = self.now().read(filter, after, limit).await;
        // What a comparison reads.
        if limit == BatchSize::ONE {
            self.opened.store(1, Ordering::SeqCst);
        }
        page
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.now().head().await
    }

    fn appended(&self) -> watch::Receiver<Position> {
        self.before.appended()
    }

    fn connections_opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }
}

async fn store(events: usize, name: &str) -> Arc<InMemoryStore> {
    let store = Arc::new(InMemoryStore::default());
    append_as(&store, events, name).await;
    store
}

/// The connections were counted after the checkpoint had been compared, so one that was opened right
/// after the comparison was taken for one of those that it had been compared over.
#[tokio::test]
async fn g13_a_connection_that_is_opened_right_after_the_comparison_is_compared_too() {
    for (after, expected) in [("new", "the store was forked: at position 10"), ("old", "")] {
        let models = Models::new().await;
        let before = store(10, "old").await;
        let running = Running::start(Positions::default(), before.clone(), &models).await;
        running.reaches(10).await;
        running.stop().await;

        let restored = store(10, after).await;
        append_as(&restored, 5, "more").await;
        assert_eq!(restored.head().await.unwrap().number(), 15);
        let source = Arc::new(Switches {
            before: StoreSource::new(before),
            after: StoreSource::new(restored),
            opened: AtomicU64::new(0),
        });
        let running = Running::from(Positions::default(), source, &models, SETTINGS).await;
        if expected.is_empty() {
            running.reaches(15).await;
        } else {
            let error = running.fails().await;
            assert!(error.contains(expected), "{error}");
            assert_eq!(models.positions().await, one_to(10));
        }
        running.stop().await;
    }
}
