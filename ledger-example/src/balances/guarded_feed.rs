//! A book's events over HTTP, behind a circuit breaker.

use std::sync::Arc;

use async_trait::async_trait;
use folio_core::breaker::{BreakerSettings, CallOutcome, InvalidSettings};
use folio_core::{BatchSize, Filter, Page, Position, ReadError, StoreId};
use folio_mesh::CircuitBreaker;
use folio_projections::Source;
use folio_projections::feed::{FeedSource, Present};
use tokio::sync::watch;
use tokio::time::Duration;

/// How long a breaker keeps away from a feed at most. What has come back is followed again after that long.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// A feed that is not asked while it does not answer.
///
/// All that the service asks of the feed goes through one breaker: what the projection reads, what
/// measures its lag, and what requests want to know. The wait for news does not, since it is a call that is
/// meant to be held back, and gives way by itself.
#[derive(Debug, Clone)]
pub struct GuardedFeed {
    feed: Arc<FeedSource>,
    breaker: CircuitBreaker,
}

impl GuardedFeed {
    /// `feed`, behind a breaker that has this name.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`], which would be a mistake in here.
    pub fn new(name: String, feed: Arc<FeedSource>) -> Result<Self, InvalidSettings> {
        let settings = BreakerSettings {
            consecutive_failures: Some(5),
            open_max: OPEN_MAX,
            ..BreakerSettings::default()
        };
        Ok(Self {
            feed,
            breaker: CircuitBreaker::new(name, settings)?,
        })
    }

    /// The breaker.
    #[must_use]
    pub const fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    /// How far the store is, as its feed tells now.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; at once while the breaker is open.
    pub async fn present(&self) -> Result<Present, ReadError> {
        self.guarded(self.feed.present()).await
    }

    async fn guarded<T>(
        &self,
        call: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        let permit = self.breaker.ask();
        let permit = permit.map_err(|refused| ReadError::Unavailable(Box::new(refused)))?;
        let answer = call.await;
        permit.record(match &answer {
            Ok(_) => CallOutcome::Success,
            Err(_) => CallOutcome::Failure,
        });
        answer
    }
}

#[async_trait]
impl Source for GuardedFeed {
    async fn identify(&self) -> Result<StoreId, ReadError> {
        // Most often it is known, and nobody is asked.
        self.guarded(self.feed.identify()).await
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        self.guarded(self.feed.read(filter, after, limit)).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.guarded(self.feed.head()).await
    }

    fn appended(&self) -> watch::Receiver<Position> {
        self.feed.appended()
    }

    fn connections_opened(&self) -> u64 {
        self.feed.connections_opened()
    }
}
