//! Reading a store from a position on as fast as it goes: the next page is on its way while the last
//! one is worked on.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use folio_core::store::{EventStore, ReadError};
use folio_core::{BatchSize, Position, RecordedEvent};

type Page<'s> = Pin<Box<dyn Future<Output = Result<Vec<RecordedEvent>, ReadError>> + Send + 's>>;

/// The events of a store between two positions, in pages.
///
/// Positions have no gaps, so where the next page begins is known before this one is there. Each
/// page is a read of its own: no snapshot is held over the whole history, which would keep the
/// server from cleaning up.
///
/// ```
/// # use folio_core::{BatchSize, EventStore, InMemoryStore, Position};
/// # use folio_postgres::Replay;
/// # async fn count(store: &impl EventStore) -> Result<usize, folio_core::ReadError> {
/// let mut replay = Replay::new(store, Position::START, store.head().await?, BatchSize::default());
/// let mut events = 0;
/// while let Some(page) = replay.next().await? {
///     events += page.len();
/// }
/// # Ok(events)
/// # }
/// ```
pub struct Replay<'s, S> {
    store: &'s S,
    page: BatchSize,
    /// Where the page after the one that is ahead begins.
    next: Position,
    until: Position,
    ahead: Option<Page<'s>>,
}

impl<'s, S: EventStore> Replay<'s, S> {
    /// The events of `store` after `after`, up to and including `until`, in pages of `page` events.
    /// At most two pages are in memory.
    #[must_use]
    pub const fn new(store: &'s S, after: Position, until: Position, page: BatchSize) -> Self {
        Self {
            store,
            page,
            next: after,
            until,
            ahead: None,
        }
    }

    /// The next page; none when all was read.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; a hole in the store is one. An error is never taken for the end.
    pub async fn next(&mut self) -> Result<Option<Vec<RecordedEvent>>, ReadError> {
        let Some(page) = self.ahead.take().or_else(|| self.start()) else {
            return Ok(None);
        };
        self.ahead = self.start();
        if let Some(ahead) = &mut self.ahead {
            // Polled once, its question is sent. What it answers waits until it is polled again.
            let answered = poll_fn(|task| Poll::Ready(ahead.as_mut().poll(task))).await;
            if let Poll::Ready(events) = answered {
                self.ahead = Some(Box::pin(std::future::ready(events)));
            }
        }
        page.await.map(Some)
    }

    fn start(&mut self) -> Option<Page<'s>> {
        let left = self.until.events_since(self.next);
        if left == 0 {
            return None;
        }
        let after = self.next;
        // What is left of the last page is below the size of a page, which is 16 bits.
        let events = u16::try_from(left.min(self.page.events())).unwrap_or(u16::MAX);
        self.next = after.plus(i64::from(events));
        let (store, expected) = (self.store, self.next);
        let limit = BatchSize::new(events)?;
        Some(Box::pin(async move {
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

impl<S> std::fmt::Debug for Replay<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("next", &self.next)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
