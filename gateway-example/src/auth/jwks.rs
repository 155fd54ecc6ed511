//! The keys of an issuer, kept fresh in the background.
//!
//! One task fetches, so however many ask there is one request under way. What it is answered replaces what was there
//! only if it is a set of keys; until then the old one is good, for a bounded time. An id that is in no set may be
//! a new key's, so it makes the task fetch, but not more often than once a minute: anybody can make up ids.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use folio_mesh::identity::{KeyId, PublicKey, PublicKeys};
use metrics::Gauge;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::key_source::{FetchError, KeySource};

/// How often the age of the keys is told.
const REPORTED: Duration = Duration::from_secs(15);

/// How fresh keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySetSettings {
    /// How often they are fetched.
    pub interval: Duration,
    /// How soon again after that failed.
    pub retry: Duration,
    /// How long one try may take.
    pub timeout: Duration,
    /// How old they may become.
    pub stale_max: Duration,
    /// How often an unknown id makes them be fetched, at most.
    pub unknown_each: Duration,
}

impl Default for KeySetSettings {
    /// Every 5 minutes, 10 s after a failure; 2 s a try; good for an hour; once a minute for unknown ids.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(300),
            retry: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            stale_max: Duration::from_secs(3_600),
            unknown_each: Duration::from_secs(60),
        }
    }
}

/// The keys of an issuer. Clones are the same set; with the last one the fetching ends.
#[derive(Debug, Clone)]
pub struct KeySet(Arc<Fetching>);

#[derive(Debug)]
struct Fetching {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    settings: KeySetSettings,
    state: watch::Sender<State>,
    wanted: Notify,
    wish: Mutex<Option<Wish>>,
    age: Gauge,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// With the time when they were asked for.
    keys: Option<(Arc<PublicKeys>, Instant)>,
    /// How many fetches have begun, and how many of them have ended, in whatever way.
    begun: u64,
    ended: u64,
}

/// Somebody met an id that is in no set.
#[derive(Debug, Clone, Copy)]
struct Wish {
    at: Instant,
    /// The fetch that will know.
    fetch: u64,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoKey {
    /// There are keys, and none of this id.
    #[error("no key has this id")]
    Unknown,
    /// There are none, or they are too old.
    #[error("no keys are known that are fresh enough")]
    Unavailable,
}

impl KeySet {
    /// Begins to fetch. It has to be called within a runtime.
    #[must_use]
    pub fn start(source: KeySource, settings: KeySetSettings) -> Self {
        let shared = Arc::new(Shared {
            settings,
            state: watch::Sender::default(),
            wanted: Notify::new(),
            wish: Mutex::default(),
            age: metrics::gauge!("folio_gateway_jwks_age_seconds"),
        });
        let task = tokio::spawn(keep_fresh(source, Arc::clone(&shared)));
        Self(Arc::new(Fetching { shared, task }))
    }

    /// The key of this id. An unknown one is waited for, if it may be fetched for at all.
    ///
    /// # Errors
    ///
    /// [`NoKey`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what is being fetched will be there.
    pub async fn key(&self, id: &KeyId) -> Result<PublicKey, NoKey> {
        let found = self.0.shared.find(id);
        let Err(NoKey::Unknown) = found else {
            return found;
        };
        let Some(fetch) = self.0.shared.wish() else {
            return found;
        };
        self.0.shared.has_ended(fetch).await;
        self.0.shared.find(id)
    }

    /// Fetches them now, and waits until that has ended, in whichever way.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: they are fetched all the same.
    pub async fn refresh(&self) {
        let begun = self.0.shared.state.borrow().begun;
        self.0.shared.wanted.notify_one();
        self.0.shared.has_ended(begun.saturating_add(1)).await;
    }

    /// Waits until there are keys.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn ready(&self) {
        let mut state = self.0.shared.state.subscribe();
        // It fails only when the sender is gone, and that is held here.
        let _ = state.wait_for(|state| state.keys.is_some()).await;
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn find(&self, id: &KeyId) -> Result<PublicKey, NoKey> {
        let state = self.state.borrow();
        let (keys, fetched) = state.keys.as_ref().ok_or(NoKey::Unavailable)?;
        if fetched.elapsed() > self.settings.stale_max {
            return Err(NoKey::Unavailable);
        }
        keys.key(id).cloned().ok_or(NoKey::Unknown)
    }

    /// Which fetch to wait for: one that begins after now. None when there was one for unknown ids just before.
    fn wish(&self) -> Option<u64> {
        let mut wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, ended) = {
            let state = self.state.borrow();
            (state.begun, state.ended)
        };
        match *wish {
            Some(made) if ended < made.fetch => Some(made.fetch),
            Some(made) if made.at.elapsed() < self.settings.unknown_each => None,
            Some(_) | None => {
                let (at, fetch) = (Instant::now(), begun.saturating_add(1));
                *wish = Some(Wish { at, fetch });
                self.wanted.notify_one();
                Some(fetch)
            }
        }
    }

    /// Waits for a fetch, and for one that is under way before it.
    async fn has_ended(&self, fetch: u64) {
        let mut state = self.state.subscribe();
        let ended = state.wait_for(|state| state.ended >= fetch);
        // Whichever way it ends, what is there then is looked at.
        let _ = timeout(self.settings.timeout.saturating_mul(2), ended).await;
    }

    async fn fetch(&self, source: &KeySource) -> Result<PublicKeys, FetchError> {
        match timeout(self.settings.timeout, source.fetch()).await {
            Ok(fetched) => fetched,
            Err(_) => Err(FetchError::TooSlow {
                limit: self.settings.timeout,
            }),
        }
    }

    fn report_age(&self) {
        if let Some((_, fetched)) = &self.state.borrow().keys {
            self.age.set(fetched.elapsed().as_secs_f64());
        }
    }
}

async fn keep_fresh(source: KeySource, shared: Arc<Shared>) {
    loop {
        let began = Instant::now();
        shared
            .state
            .send_modify(|state| state.begun = state.begun.saturating_add(1));
        let fetched = shared.fetch(&source).await;
        let pause = match &fetched {
            Ok(_) => shared.settings.interval,
            Err(error) => {
                tracing::warn!(%source, cause = folio_core::error_chain(error), "the keys of the issuer were not fetched");
                shared.settings.retry.min(shared.settings.interval)
            }
        };
        shared.state.send_modify(|state| {
            state.ended = state.ended.saturating_add(1);
            if let Ok(keys) = fetched {
                state.keys = Some((Arc::new(keys), began));
            }
        });
        let next = Instant::now() + pause;
        while Instant::now() < next {
            shared.report_age();
            tokio::select! {
                () = sleep_until(next.min(Instant::now() + REPORTED)) => {}
                () = shared.wanted.notified() => break,
            }
        }
    }
}

#[cfg(test)]
mod tests;
