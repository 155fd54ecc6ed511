//! A source as it is served to others.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use folio_core::{BatchSize, Filter, Page, Position, ReadError, RecordedEvent, StoreId};
use uuid::Uuid;

use crate::feed::event::FeedEvent;
use crate::feed::page::{FeedPage, PAGE_BYTES_MAX};
use crate::source::Source;

/// How often a waiting request looks whether there is something new, beside being woken.
const POLL: Duration = Duration::from_millis(250);

/// What an event takes on a page beside its payload and metadata.
const ENVELOPE_BYTES: usize = 512;

/// Answers the readers of a feed from a source, in most cases a
/// [`StoreSource`](crate::StoreSource). It keeps nothing of a reader.
pub struct ServedFeed {
    source: Arc<dyn Source>,
    // A source that is opened anew may be opened on another past.
    opened: Uuid,
}

impl ServedFeed {
    /// The feed of `source`.
    #[must_use]
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self {
            source,
            opened: Uuid::now_v7(),
        }
    }

    /// The store that it is of.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the source does not say.
    pub async fn store_id(&self) -> Result<StoreId, ReadError> {
        self.source.identify().await
    }

    /// The events with positions above `after` that `filter` admits: at most `limit`, and fewer where
    /// they are large. [`PAGE_BYTES_MAX`] says what is large.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn page(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<FeedPage, ReadError> {
        let store_id = self.source.identify().await?;
        // Asked first. Else a page that was empty a moment ago would come with a head beyond it, and
        // seem to leave out what is between.
        let head = self.source.head().await?;
        let page = if after < head {
            cut(self.source.read(filter, after, limit).await?)
        } else {
            let events = Vec::new();
            Page {
                events,
                through: head,
            }
        };
        Ok(FeedPage {
            store_id,
            // Asked last, so that it tells of a connection that was opened for this page.
            history: format!("{}-{}", self.opened, self.source.connections_opened()),
            head: head.max(page.through),
            through: page.through,
            events: page.events.into_iter().map(FeedEvent::from).collect(),
            told_at_us: None,
        })
    }

    /// Waits until the source ends elsewhere than at `after`, for at most `patience`: beyond it there
    /// is something to read, before it something to find out.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait(&self, after: Position, patience: Duration) -> Result<(), ReadError> {
        if patience.is_zero() {
            return Ok(());
        }
        let waiting = async {
            let mut appended = self.source.appended();
            loop {
                // Before the question: an append that comes after it must still wake us.
                appended.mark_unchanged();
                if self.source.head().await? != after {
                    return Ok(());
                }
                if let Ok(Err(_)) = tokio::time::timeout(POLL, appended.changed()).await {
                    tokio::time::sleep(POLL).await;
                }
            }
        };
        tokio::time::timeout(patience, waiting)
            .await
            .unwrap_or(Ok(()))
    }
}

impl fmt::Debug for ServedFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedFeed")
            .field("opened", &self.opened)
            .finish_non_exhaustive()
    }
}

/// Leaves out what would make the page too large, but for its first event.
fn cut(mut page: Page) -> Page {
    let mut bytes = 0_usize;
    let fits = |event: &&RecordedEvent| {
        let is_first = bytes == 0;
        let of_event = event.payload.len().saturating_add(event.metadata.len());
        bytes = bytes.saturating_add(of_event.saturating_add(ENVELOPE_BYTES));
        is_first || bytes <= PAGE_BYTES_MAX
    };
    let kept = page.events.iter().take_while(fits).count();
    if kept < page.events.len() {
        page.events.truncate(kept);
        page.through = page
            .events
            .last()
            .map_or(page.through, |last| last.position);
    }
    page
}

#[cfg(test)]
mod tests {
    use folio_core::store::{Append, StreamWrite};
    use folio_core::{
        Actor, CommandContext, CommandId, EventStore, ExpectedVersion, Fingerprint, InMemoryStore,
        NewEvent, StreamId,
    };

    use super::*;
    use crate::source::StoreSource;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Appends an event with a payload of so many bytes.
    async fn append(store: &InMemoryStore, category: &str, bytes: usize) {
        let number = store.head().await.unwrap().to_string();
        let context = CommandContext::new(CommandId::derived(&[&number]), Actor::anonymous());
        let write = StreamWrite {
            stream: StreamId::new(category, "1").unwrap(),
            expected: ExpectedVersion::Any,
            events: vec![NewEvent {
                event_type: "Happened".to_owned(),
                schema_version: 1,
                payload: vec![b'7'; bytes],
            }],
        };
        let append = Append::events(context, Fingerprint::of(&[]), vec![write]);
        store.append(append).await.unwrap();
    }

    fn feed() -> (Arc<InMemoryStore>, ServedFeed) {
        let store = Arc::new(InMemoryStore::default());
        let feed = ServedFeed::new(StoreSource::new(Arc::clone(&store)));
        (store, feed)
    }

    fn at(number: i64) -> Position {
        Position::new(number).unwrap()
    }

    /// The positions on the page after `after`, how far it goes, and the head.
    async fn page(feed: &ServedFeed, filter: &Filter, after: i64) -> (Vec<i64>, i64, i64) {
        let limit = BatchSize::new(5).unwrap();
        let page = feed.page(filter, at(after), limit).await.unwrap();
        let positions = page.events.iter().map(|event| event.position().number());
        (
            positions.collect(),
            page.through.number(),
            page.head.number(),
        )
    }

    #[tokio::test]
    async fn large_events_make_short_pages_and_each_is_served() {
        let (store, feed) = feed();
        for bytes in [1, 3, 2, 9, 1].map(|mib: usize| mib * 1024 * 1024 - 1024) {
            append(&store, "account", bytes).await;
        }
        let all = Filter::all();
        assert_eq!(page(&feed, &all, 0).await, (vec![1, 2], 2, 5));
        assert_eq!(page(&feed, &all, 2).await, (vec![3], 3, 5));
        assert_eq!(page(&feed, &all, 3).await, (vec![4], 4, 5));
        assert_eq!(page(&feed, &all, 4).await, (vec![5], 5, 5));
    }

    #[tokio::test]
    async fn what_is_not_wanted_is_passed_and_what_went_back_shows() {
        let (store, feed) = feed();
        assert_eq!(page(&feed, &Filter::all(), 0).await, (vec![], 0, 0));
        for category in ["account", "transfer", "account"] {
            append(&store, category, 1).await;
        }
        let transfers = Filter::category("transfer");
        assert_eq!(page(&feed, &transfers, 0).await, (vec![2], 3, 3));
        assert_eq!(page(&feed, &transfers, 2).await, (vec![], 3, 3));
        assert_eq!(page(&feed, &transfers, 3).await, (vec![], 3, 3));
        assert_eq!(page(&feed, &transfers, 9).await, (vec![], 3, 3));
    }

    #[tokio::test]
    async fn a_wait_ends_with_an_append_and_is_none_where_the_end_is_elsewhere() {
        let (store, feed) = feed();
        let begun = tokio::time::Instant::now();
        let (waited, ()) = tokio::join!(feed.wait(at(0), PATIENCE), append(&store, "account", 1));
        waited.unwrap();
        feed.wait(at(0), PATIENCE).await.unwrap();
        feed.wait(at(9), PATIENCE).await.unwrap();
        assert!(begun.elapsed() < PATIENCE);
        // The control: at the end, all of the time is over.
        let short = Duration::from_millis(30);
        let begun = tokio::time::Instant::now();
        feed.wait(at(1), short).await.unwrap();
        assert!(begun.elapsed() >= short);
    }

    #[tokio::test]
    async fn a_feed_that_is_opened_anew_has_another_history() {
        let (store, feed) = feed();
        let history = async |feed: &ServedFeed| {
            let page = feed.page(&Filter::all(), at(0), BatchSize::ONE).await;
            page.unwrap().history
        };
        let again = ServedFeed::new(StoreSource::new(store));
        assert_eq!(history(&feed).await, history(&feed).await);
        assert_ne!(history(&feed).await, history(&again).await);
    }
}
