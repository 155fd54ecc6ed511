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
    from: Checkpoint,
    position: Position,
    appended: watch::Receiver<Position>,
    trust: Trust,
}

/// Whether the store is known to have the history that was read.
#[derive(Debug, PartialEq, Eq)]
enum Trust {
    Verified,
    /// At the start, and after a failure: behind a new connection may be a restored server.
    ToVerify,
}

impl<S: EventStore> Subscription<S> {
    /// The events of `store` after `from`. Nothing is read before it is asked for.
    #[must_use]
    pub fn new(store: S, from: Checkpoint, settings: SubscriptionSettings) -> Self {
        let appended = store.appended();
        Self {
            store,
            settings,
            position: from.position,
            from,
            appended,
            trust: Trust::ToVerify,
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
            self.trust = Trust::ToVerify;
        }
        page
    }

    /// Up to which position everything that is wanted was handed over.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Where it stands, to go on from later: the position with the hash of the event there.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`] when the store cannot be asked.
    pub async fn checkpoint(&self) -> Result<Checkpoint, SubscriptionError> {
        if self.position == self.from.position {
            return Ok(self.from);
        }
        let before = Position::START.plus(self.position.number().saturating_sub(1));
        let events = self.store.read_all(before, BatchSize::ONE).await?;
        match events.first() {
            Some(event) => Ok(self.from.after(event)),
            None => Err(SubscriptionError::History(HistoryError::WentBack {
                checkpoint: Checkpoint {
                    position: self.position,
                    event: EventHash::NONE,
                    ..self.from
                },
                head: self.store.head().await?,
            })),
        }
    }

    #[tracing::instrument(level = "debug", name = "subscription", skip_all, fields(
        subscription = self.settings.name,
        position = self.position.number(),
    ))]
    async fn look(&mut self) -> Result<Page, SubscriptionError> {
        if self.trust == Trust::ToVerify {
            self.from.verify(&self.store).await?;
            self.from = self.checkpoint().await?;
            self.trust = Trust::Verified;
        }
        loop {
            // Before the read: an append that comes after it must still wake us.
            self.appended.mark_unchanged();
            let page = self
                .store
                .read_filtered(&self.settings.filter, self.position, self.settings.batch)
                .await?;
            let lag = self.appended.borrow().events_since(page.through);
            metrics::gauge!("folio_subscription_lag_events", "subscription" => self.settings.name)
                .set(f64::from(u32::try_from(lag).unwrap_or(u32::MAX)));
            if page.through > self.position {
                self.position = page.through;
                return Ok(page);
            }
            // Timed out, or woken, or the store is gone: the next read decides.
            let woken = tokio::time::timeout(self.settings.poll, self.appended.changed()).await;
            if let Ok(Err(_)) = woken {
                tokio::time::sleep(self.settings.poll).await;
            }
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
