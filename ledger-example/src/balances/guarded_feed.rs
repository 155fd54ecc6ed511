//! A book's events over HTTP, behind circuit breakers.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use folio_core::breaker::{BreakerSettings, CallOutcome, InvalidSettings};
use folio_core::{BatchSize, Filter, Page, Position, ReadError, StoreId};
use folio_mesh::balance::InstanceCall;
use folio_mesh::{CallPermit, CircuitBreaker, Pick, ServiceName};
use folio_projections::Source;
use folio_projections::feed::{
    FeedCall, FeedGuard, FeedOutcome, FeedPermit, FeedSettings, FeedSource, InvalidFeedUrl, Present,
};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Duration;

use crate::http::address::ServiceAddress;

/// How long a breaker keeps away from a feed at most. What has come back is followed again after that long.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// A feed that is not asked while it does not answer.
///
/// What the projection reads, what measures its lag and what requests want to know goes through one breaker;
/// the waiting for news through another, since to be held back is what such a call is for, and no failure.
#[derive(Debug, Clone)]
pub struct GuardedFeed {
    feed: Arc<FeedSource>,
    breakers: Arc<Breakers>,
}

#[derive(Debug)]
struct Breakers {
    reads: CircuitBreaker,
    waits: CircuitBreaker,
    address: ServiceAddress,
}

struct Permitted {
    permit: CallPermit,
    instance: Option<InstanceCall>,
    at: Option<SocketAddr>,
}

/// Why a feed cannot be followed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GuardedFeedError {
    /// Its address is none.
    #[error(transparent)]
    Url(#[from] InvalidFeedUrl),
    /// A breaker cannot work.
    #[error(transparent)]
    Breaker(#[from] InvalidSettings),
}

impl GuardedFeed {
    /// The feed that a service has at `path`, behind breakers that are called `name` and `name`, `-news`.
    ///
    /// # Errors
    ///
    /// [`GuardedFeedError`].
    pub fn new(
        name: &str,
        address: impl Into<ServiceAddress>,
        path: &str,
    ) -> Result<Self, GuardedFeedError> {
        let address = address.into();
        let base = address.base().map(|mut base| {
            base.set_path(path);
            base.to_string()
        });
        let url = base.unwrap_or_else(|| address.text());
        let settings = FeedSettings::default();
        let reads = BreakerSettings {
            consecutive_failures: Some(5),
            open_max: OPEN_MAX,
            ..BreakerSettings::default()
        };
        let waits = BreakerSettings {
            slow: None,
            slow_after: settings.wait.saturating_add(settings.timeout),
            probe_within: settings.wait.saturating_add(settings.timeout),
            ..reads
        };
        let breakers = Arc::new(Breakers {
            reads: CircuitBreaker::new(name, reads)?,
            waits: CircuitBreaker::new(format!("{name}-news"), waits)?,
            address,
        });
        let guard = Arc::clone(&breakers) as Arc<dyn FeedGuard>;
        Ok(Self {
            feed: FeedSource::guarded(&url, settings, guard)?,
            breakers,
        })
    }

    /// The breaker of what is read.
    #[must_use]
    pub fn breaker(&self) -> &CircuitBreaker {
        &self.breakers.reads
    }

    /// The service whose feed it is, where its instances are looked up by name.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceName> {
        self.breakers.address.service()
    }

    /// How far the store is, as its feed tells now.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; at once while the breaker is open.
    pub async fn present(&self) -> Result<Present, ReadError> {
        self.feed.present().await
    }
}

impl FeedGuard for Breakers {
    fn admit(&self, call: FeedCall) -> Result<Box<dyn FeedPermit>, Box<dyn Error + Send + Sync>> {
        let breaker = match call {
            FeedCall::Read => &self.reads,
            FeedCall::Wait => &self.waits,
        };
        let permit = breaker.ask()?;
        let instance = match &self.address {
            ServiceAddress::Url(_) => None,
            // The same one each time: another one may tell of the store under another name, which has the reader compare.
            ServiceAddress::Instances(balancer) => {
                let key = Pick::Key(balancer.service().as_str().as_bytes());
                Some(balancer.pick_now(key, &[])?)
            }
        };
        Ok(Box::new(Permitted {
            permit,
            at: instance.as_ref().map(|call| call.instance().address),
            // To be held back is no sign of load.
            instance: instance.filter(|_| call == FeedCall::Read),
        }))
    }
}

impl FeedPermit for Permitted {
    fn address(&self) -> Option<SocketAddr> {
        self.at
    }

    fn record(self: Box<Self>, outcome: FeedOutcome) {
        let outcome = match outcome {
            FeedOutcome::Answered => CallOutcome::Success,
            FeedOutcome::Failed => CallOutcome::Failure,
        };
        if let Some(call) = self.instance {
            call.record(outcome);
        }
        self.permit.record(outcome);
    }
}

#[async_trait]
impl Source for GuardedFeed {
    async fn identify(&self) -> Result<StoreId, ReadError> {
        self.feed.identify().await
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Page, ReadError> {
        self.feed.read(filter, after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.feed.head().await
    }

    fn appended(&self) -> watch::Receiver<Position> {
        self.feed.appended()
    }

    fn connections_opened(&self) -> u64 {
        self.feed.connections_opened()
    }
}
