//! A feed of another service as the source of a projection.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use folio_core::{BatchSize, Filter, Page, Position, ReadError, StoreId, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::feed::client::FeedClient;
use crate::feed::error::InvalidFeedUrl;
use crate::feed::guard::FeedGuard;
use crate::feed::page::PAGE_EVENTS_MAX;
use crate::feed::request::FeedRequest;
use crate::feed::watcher::watch_head;
use crate::source::Source;

/// How a feed is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedSettings {
    /// How long a request may take, to the last byte of its answer.
    pub timeout: Duration,
    /// How long the feed is asked to hold an answer back until there is something new.
    pub wait: Duration,
    /// First wait of the watcher after a failure; it doubles with each further one, up to 64 times
    /// this, and part of it is left to chance.
    pub backoff: Duration,
    /// Longest answer that is taken.
    pub bytes_max: usize,
}

impl Default for FeedSettings {
    /// 10 s, 20 s, 100 ms; 32 MiB hold any page, and any event that has one alone and is in reason.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            wait: Duration::from_secs(20),
            backoff: Duration::from_millis(100),
            bytes_max: 32 * 1024 * 1024,
        }
    }
}

/// How far a store is, and since when it is certain that nothing before is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// The position of its last event.
    pub head: Position,
    /// Whatever was recorded by then, by the store's clock, is up to `head`; none where its feed does not
    /// tell the time.
    pub told_at: Option<Timestamp>,
}

/// Another service's events, read from its feed; see [`feed`](crate::feed).
///
/// Nothing is read ahead: the feed is asked when the projection asks.
///
/// From the first call of [`appended`](Source::appended) on, which has to come from within a runtime
/// of tokio, a task waits at the feed for what is new. It ends with the source.
pub struct FeedSource {
    client: Arc<FeedClient>,
    head: watch::Sender<Position>,
    watcher: OnceLock<AbortHandle>,
}

impl FeedSource {
    /// The feed at `url`, which is without the parameters. It is not asked yet.
    ///
    /// # Errors
    ///
    /// [`InvalidFeedUrl`].
    pub fn new(url: &str) -> Result<Arc<Self>, InvalidFeedUrl> {
        Self::with_settings(url, FeedSettings::default())
    }

    /// The same, with settings of one's own.
    ///
    /// # Errors
    ///
    /// [`InvalidFeedUrl`].
    pub fn with_settings(url: &str, settings: FeedSettings) -> Result<Arc<Self>, InvalidFeedUrl> {
        Self::of(url, settings, None)
    }

    /// The same, with `guard` between it and the feed.
    ///
    /// # Errors
    ///
    /// [`InvalidFeedUrl`].
    pub fn guarded(
        url: &str,
        settings: FeedSettings,
        guard: Arc<dyn FeedGuard>,
    ) -> Result<Arc<Self>, InvalidFeedUrl> {
        Self::of(url, settings, Some(guard))
    }

    fn of(
        url: &str,
        settings: FeedSettings,
        guard: Option<Arc<dyn FeedGuard>>,
    ) -> Result<Arc<Self>, InvalidFeedUrl> {
        Ok(Arc::new(Self {
            client: Arc::new(FeedClient::new(url, settings, guard)?),
            head: watch::Sender::new(Position::START),
            watcher: OnceLock::new(),
        }))
    }

    /// How far the store is, as its feed tells now.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn present(&self) -> Result<Present, ReadError> {
        let store_id = self.identify().await?;
        let page = self.client.ask(&FeedRequest::head(Some(store_id))).await?;
        Ok(Present {
            head: page.head,
            told_at: page.told_at_us.map(Timestamp::from_micros),
        })
    }
}

#[async_trait]
impl Source for FeedSource {
    /// The feed is asked once, and again after it has turned out to be another store's.
    async fn identify(&self) -> Result<StoreId, ReadError> {
        match self.client.store_id() {
            Some(store_id) => Ok(store_id),
            None => Ok(self.client.ask(&FeedRequest::head(None)).await?.store_id),
        }
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        let limit = u16::try_from(limit.events())
            .map_or(PAGE_EVENTS_MAX, |events| events.min(PAGE_EVENTS_MAX));
        let request = FeedRequest {
            after,
            store_id: Some(self.identify().await?),
            limit: BatchSize::new(limit).unwrap_or(BatchSize::ONE),
            filter: filter.clone(),
            wait: Duration::ZERO,
        };
        let page = self.client.ask(&request).await?;
        if page.head < after {
            // The end, and before where somebody has been: it will be found out why.
            self.client.doubt();
            return Ok(Page {
                events: Vec::new(),
                through: after,
            });
        }
        page.checked(&request).inspect_err(|_| self.client.doubt())
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.present().await?.head)
    }

    fn appended(&self) -> watch::Receiver<Position> {
        if let Ok(runtime) = Handle::try_current() {
            self.watcher.get_or_init(|| {
                let watching = watch_head(Arc::clone(&self.client), self.head.clone());
                runtime.spawn(watching).abort_handle()
            });
        }
        self.head.subscribe()
    }

    /// No count of connections, which HTTP opens as it likes, but of whatever may mean another past:
    /// requests that failed, answers with another [`history`](crate::feed::FeedPage::history), and
    /// stores that end too early.
    fn connections_opened(&self) -> u64 {
        self.client.doubts()
    }
}

impl fmt::Debug for FeedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedSource")
            .field("url", &self.client.url().as_str())
            .finish_non_exhaustive()
    }
}

impl Drop for FeedSource {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.abort();
        }
    }
}
