//! The books that are read here.

use std::time::Duration;

use folio_core::error_chain;
use folio_core::{ReadError, StoreId};
use folio_projections::{Detector, Projection, Source, Status};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::balances::{BookName, GuardedFeed};
use crate::read_model::{Balances, BalancesQueries};
use crate::transit::InTransit;

/// The books whose models a service has, in the order of their names.
#[derive(Debug)]
pub struct Shelf {
    books: Vec<ShelvedBook>,
    /// What is on its way between them, where that is followed.
    pub(crate) in_transit: Option<InTransit>,
    pub(crate) metrics: Option<PrometheusHandle>,
}

/// A book as it is read: its model, and what fills it.
#[derive(Debug)]
pub struct ShelvedBook {
    pub(crate) name: BookName,
    pub(crate) feed: GuardedFeed,
    pub(crate) queries: BalancesQueries,
    pub(crate) projection: Projection,
    pub(crate) detector: Detector,
}

impl Shelf {
    pub(super) fn new(
        mut books: Vec<ShelvedBook>,
        in_transit: Option<InTransit>,
        metrics: Option<PrometheusHandle>,
    ) -> Self {
        books.sort_by(|one, other| one.name.cmp(&other.name));
        Self {
            books,
            in_transit,
            metrics,
        }
    }

    /// All of them.
    #[must_use]
    pub fn books(&self) -> &[ShelvedBook] {
        &self.books
    }

    /// Waits until each model has every event that its store has by now, for at most `patience`. Answers
    /// whether they have.
    pub async fn caught_up(&self, patience: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + patience;
        for book in &self.books {
            if tokio::time::timeout_at(deadline, book.catches_up())
                .await
                .is_err()
            {
                return false;
            }
        }
        true
    }
}

impl ShelvedBook {
    /// By what it is asked for.
    #[must_use]
    pub const fn name(&self) -> &BookName {
        &self.name
    }

    /// The projection that fills its model.
    #[must_use]
    pub const fn projection(&self) -> &Projection {
        &self.projection
    }

    /// What its events come from.
    #[must_use]
    pub const fn feed(&self) -> &GuardedFeed {
        &self.feed
    }

    /// How old what the model says may be: what was recorded longer ago than this is in it. None where
    /// that was not measured yet.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let (since, measured) = self.detector.last()?;
        Some(since.saturating_add(measured.live()?.age))
    }

    /// What keeps the model from following its store, if anything does.
    pub(crate) fn hindrance(&self) -> Option<String> {
        let hindered = match self.projection.progress().status() {
            Status::Running | Status::Standby => None,
            Status::Starting => Some("the projection is starting".to_owned()),
            Status::Retrying { error } => Some(error),
            Status::Paused => Some("the projection is paused".to_owned()),
            Status::OtherRevision { live } => {
                Some(format!("the live read model is of revision {live}"))
            }
            Status::Stopped { error } => Some(error.unwrap_or_default()),
        };
        // What the runner tells is not enough: what has died or hangs tells nothing.
        let late = || self.detector.check().err().map(|alarm| alarm.to_string());
        hindered.or_else(late)
    }

    /// The store that a reading is of: the model knows, once it has an event.
    pub(crate) async fn store_id(&self, model: &Balances) -> Result<StoreId, ReadError> {
        match model.store_id() {
            Some(store_id) => Ok(store_id),
            None => self.feed.identify().await,
        }
    }

    async fn catches_up(&self) {
        loop {
            match self.feed.head().await {
                Ok(head) => {
                    let progress = self.projection.progress();
                    if progress
                        .wait_for(head, Duration::from_secs(1))
                        .await
                        .is_ok()
                    {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(book = %self.name, error = error_chain(&error), "a feed does not answer yet");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
