//! Where a projection's events come from.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use folio_core::store::{EventStore, ReadError};
use folio_core::{BatchSize, Checkpoint, Filter, HistoryError, Page, Position, StoreId};
use tokio::sync::watch;

use crate::pages::SharedPages;

/// Events in position order: a store of this process, or another service's feed.
///
/// Positions have no gaps and appear in order, so a reader that has seen one never has to look back.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The identity of the store that the events are of.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when it cannot be asked.
    async fn identify(&self) -> Result<StoreId, ReadError>;

    /// The events with positions above `after` that `filter` admits, ascending, at most `limit`.
    ///
    /// [`Page::through`] says how far was looked. A page that was looked through no further than
    /// `after` is the end.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; a hole is one. An error is never taken for the end.
    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError>;

    /// The position of the last event, [`Position::START`] when there is none.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    async fn head(&self) -> Result<Position, ReadError>;

    /// A hint of the latest position, to wake readers with; see [`EventStore::appended`].
    fn appended(&self) -> watch::Receiver<Position>;

    /// How many connections were opened to read it; see [`EventStore::connections_opened`].
    fn connections_opened(&self) -> u64 {
        0
    }
}

/// A store of this process as a [`Source`].
pub struct StoreSource<S> {
    store: S,
    pages: SharedPages,
}

impl<S: EventStore> StoreSource<S> {
    /// `store`, to be shared by all that read from it.
    #[must_use]
    pub fn new(store: S) -> Arc<Self> {
        let pages = SharedPages::default();
        Arc::new(Self { store, pages })
    }
}

impl<S> fmt::Debug for StoreSource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSource").finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: EventStore> Source for StoreSource<S> {
    async fn identify(&self) -> Result<StoreId, ReadError> {
        Ok(self.store.store_id())
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        if let Some(page) = self.pages.read(self, filter, after, limit).await? {
            return Ok(page);
        }
        if *filter != Filter::all() {
            return self.store.read_filtered(filter, after, limit).await;
        }
        // One question where a filtered read takes two.
        let events = self.store.read_all(after, limit).await?;
        let through = events.last().map_or(after, |last| last.position);
        Ok(Page { events, through })
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.store.head().await
    }

    fn appended(&self) -> watch::Receiver<Position> {
        self.store.appended()
    }

    fn connections_opened(&self) -> u64 {
        self.store.connections_opened()
    }
}

/// Makes sure that `source` still has the history that `checkpoint` was taken in.
pub(crate) async fn verify(
    checkpoint: Checkpoint,
    source: &dyn Source,
) -> Result<(), HistoryError> {
    let store_id = source.identify().await?;
    if store_id != checkpoint.store_id {
        return Err(HistoryError::OtherStore {
            checkpoint,
            store_id,
        });
    }
    if checkpoint.position == Position::START {
        return Ok(());
    }
    let at = checkpoint_at(checkpoint, checkpoint.position, source).await?;
    match at {
        Some(found) if found == checkpoint => Ok(()),
        Some(_) => Err(HistoryError::Forked { checkpoint }),
        None => Err(HistoryError::WentBack {
            checkpoint,
            head: source.head().await?,
        }),
    }
}

/// The checkpoint right after the event at `position`, in the store of `earlier`. None where the store
/// ends before.
pub(crate) async fn checkpoint_at(
    earlier: Checkpoint,
    position: Position,
    source: &dyn Source,
) -> Result<Option<Checkpoint>, ReadError> {
    let before = Position::START.plus(position.number().saturating_sub(1));
    let page = source.read(&Filter::all(), before, BatchSize::ONE).await?;
    Ok(page.events.first().map(|event| earlier.after(event)))
}
