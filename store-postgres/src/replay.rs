//! Reading a store from a position on as fast as it goes: the next page is on its way while the last
//! one is worked on.

use std::collections::VecDeque;

use folio_core::store::{EventStore, ReadError};
use folio_core::{BatchSize, Position, RecordedEvent};
use tokio::task::JoinHandle;

use crate::sqlstate::boxed;

/// The events of a store between two positions, in pages.
///
/// Positions have no gaps, so where the next page begins is known before this one is there. Each
/// page is a read of its own: no snapshot is held over the whole history, which would keep the
/// server from cleaning up.
///
/// ```
/// # use std::sync::Arc;
/// # use folio_core::{BatchSize, EventStore, InMemoryStore, Position};
/// # use folio_postgres::Replay;
/// # async fn count(store: Arc<InMemoryStore>) -> Result<usize, folio_core::ReadError> {
/// let head = store.head().await?;
/// let mut replay = Replay::new(store, Position::START, head, BatchSize::default());
/// let mut events = 0;
/// while let Some(page) = replay.next().await? {
///     events += page.len();
/// }
/// # Ok(events)
/// # }
/// ```
#[derive(Debug)]
pub struct Replay<S> {
    store: S,
    page: BatchSize,
    /// Where the page after those that are ahead begins.
    next: Position,
    until: Position,
    // A task of its own, so that it comes to an end and gives its connection back whatever the
    // reader does meanwhile. A future that waits to be polled would keep the connection from others,
    // and from the reader itself.
    ahead: VecDeque<JoinHandle<Result<Vec<RecordedEvent>, ReadError>>>,
}

/// Pages on their way: one that the server works on, and one that is taken in.
const AHEAD: usize = 2;

impl<S: EventStore + Clone> Replay<S> {
    /// The events of `store` after `after`, up to and including `until`, in pages of `page` events.
    /// At most three pages are in memory.
    #[must_use]
    pub const fn new(store: S, after: Position, until: Position, page: BatchSize) -> Self {
        Self {
            store,
            page,
            next: after,
            until,
            ahead: VecDeque::new(),
        }
    }

    /// The next page; none when all was read.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; a hole in the store is one. An error is never taken for the end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the page that it waits for. Begin again where the last one ended.
    pub async fn next(&mut self) -> Result<Option<Vec<RecordedEvent>>, ReadError> {
        let page = self.ahead.pop_front().or_else(|| self.start());
        let Some(page) = page else {
            return Ok(None);
        };
        while self.ahead.len() < AHEAD
            && let Some(next) = self.start()
        {
            self.ahead.push_back(next);
        }
        page.await
            .map_err(|error| ReadError::Failed(boxed(error)))?
            .map(Some)
    }

    fn start(&mut self) -> Option<JoinHandle<Result<Vec<RecordedEvent>, ReadError>>> {
        let left = self.until.events_since(self.next);
        if left == 0 {
            return None;
        }
        let after = self.next;
        // What is left of the last page is below the size of a page, which is 16 bits.
        let events = u16::try_from(left.min(self.page.events())).unwrap_or(u16::MAX);
        self.next = after.plus(i64::from(events));
        let (store, expected) = (self.store.clone(), self.next);
        let limit = BatchSize::new(events)?;
        Some(tokio::spawn(async move {
            let events = store.read_all(after, limit).await?;
            let last = events.last().map_or(after, |event| event.position);
            if last == expected {
                Ok(events)
            } else {
                Err(ReadError::Corrupt {
                    position: last.plus(1),
                    what: "it is missing".to_owned(),
                })
            }
        }))
    }
}

impl<S> Drop for Replay<S> {
    fn drop(&mut self) {
        for ahead in &self.ahead {
            ahead.abort();
        }
    }
}
