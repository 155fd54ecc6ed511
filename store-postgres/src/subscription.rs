//! Following a store: first what is there, then what comes.

use std::time::Duration;

use folio_core::store::{EventStore, ReadError};
use folio_core::{BatchSize, Checkpoint, EventHash, Filter, HistoryError, Page, Position};
use thiserror::Error;
use tokio::sync::watch;

/// What a subscription follows, and how.
#[derive(Debug, Clone)]
pub struct SubscriptionSettings {
    /// Its name in metrics.
    pub name: &'static str,
    /// Which events are wanted.
    pub filter: Filter,
    /// Most events at a time. No more than these are ever held for a reader that does not ask.
    pub batch: BatchSize,
    /// Longest wait before the store is asked again, whatever wakes the subscription in between.
    pub poll: Duration,
}

impl Default for SubscriptionSettings {
    /// All events, a thousand at a time, asked for at least four times a second.
    fn default() -> Self {
        Self {
            name: "unnamed",
            filter: Filter::all(),
            batch: BatchSize::default(),
            poll: Duration::from_millis(250),
        }
    }
}

/// The events of a store from a position on, for as long as they are asked for.
///
/// It is asked, and does not push: a reader that is busy holds up nothing and nothing piles up for
/// it. Wake-ups are hints. What is read next is decided by the position alone, and positions have no
/// gaps and appear in order, so nothing is passed over and nothing has to be waited for.
#[derive(Debug)]
pub struct Subscription<S> {
    store: S,
    settings: SubscriptionSettings,
    /// Up to where everything was handed over.
    at: Checkpoint,
    appended: watch::Receiver<Position>,
    /// How many connections had been opened when the store was found to have what was read. Behind
    /// a new one may be a restored server, also when nothing has failed: the one before it may have
    /// ended while nobody used it. None at the start and after a failure.
    verified: Option<u64>,
}

impl<S: EventStore> Subscription<S> {
    /// The events of `store` after `from`. Nothing is read before it is asked for.
    #[must_use]
    pub fn new(store: S, from: Checkpoint, settings: SubscriptionSettings) -> Self {
        let appended = store.appended();
        Self {
            store,
            settings,
            at: from,
            appended,
            verified: None,
        }
    }

    /// The next events, as soon as there are any.
    ///
    /// The page may be empty of events where none of those looked through is wanted; its
    /// [`through`](Page::through) has moved on all the same.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`]. After one that [is transient](SubscriptionError::is_transient) it can
    /// be asked again and goes on where it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the position moves only when a page is handed over.
    pub async fn next(&mut self) -> Result<Page, SubscriptionError> {
        let page = self.look().await;
        if page.is_err() {
            self.verified = None;
        }
        page
    }

    /// Up to which position everything that is wanted was handed over.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.at.position
    }

    /// Where it stands, to go on from later: the position with the hash of the event there.
    #[must_use]
    pub const fn checkpoint(&self) -> Checkpoint {
        self.at
    }

    #[tracing::instrument(level = "debug", name = "subscription", skip_all, fields(
        subscription = self.settings.name,
        position = self.position().number(),
    ))]
    async fn look(&mut self) -> Result<Page, SubscriptionError> {
        loop {
            let opened = self.store.connections_opened();
            if self.verified != Some(opened) {
                self.at.verify(&self.store).await?;
                self.verified = Some(opened);
            }
            // Before the read: an append that comes after it must still wake us.
            self.appended.mark_unchanged();
            let page = self
                .store
                .read_filtered(&self.settings.filter, self.at.position, self.settings.batch)
                .await?;
            let at = self.after(&page).await?;
            if self.store.connections_opened() != opened {
                // What was read may be another store's. It is compared, and read again.
                continue;
            }
            let lag = self.appended.borrow().events_since(page.through);
            metrics::gauge!("folio_subscription_lag_events", "subscription" => self.settings.name)
                .set(f64::from(u32::try_from(lag).unwrap_or(u32::MAX)));
            if page.through > self.at.position {
                self.at = at;
                return Ok(page);
            }
            // Timed out, or woken, or the store is gone: the next read decides.
            let woken = tokio::time::timeout(self.settings.poll, self.appended.changed()).await;
            if let Ok(Err(_)) = woken {
                tokio::time::sleep(self.settings.poll).await;
            }
        }
    }

    /// The checkpoint when `page` was handed over.
    async fn after(&self, page: &Page) -> Result<Checkpoint, SubscriptionError> {
        if page.through == self.at.position {
            return Ok(self.at);
        }
        if let Some(last) = page.events.last()
            && last.position == page.through
        {
            return Ok(self.at.after(last));
        }
        // The last event that was looked through is not wanted, and so not in the page.
        let before = Position::START.plus(page.through.number().saturating_sub(1));
        let events = self.store.read_all(before, BatchSize::ONE).await?;
        match events.first() {
            Some(event) => Ok(self.at.after(event)),
            None => Err(SubscriptionError::History(HistoryError::WentBack {
                checkpoint: Checkpoint {
                    position: page.through,
                    event: EventHash::NONE,
                    ..self.at
                },
                head: self.store.head().await?,
            })),
        }
    }
}

/// Why a subscription has no next events.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// The store cannot be read.
    #[error("the subscription's store cannot be read")]
    Read(#[from] ReadError),
    /// The store is not, or not any more, the one that was read.
    #[error("the subscription cannot go on")]
    History(#[from] HistoryError),
}

impl SubscriptionError {
    /// Whether asking again may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Read(error) | Self::History(HistoryError::Read(error)) => {
                !matches!(error, ReadError::Corrupt { .. })
            }
            Self::History(_) => false,
        }
    }
}
