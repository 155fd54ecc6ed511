//! One limit that several gateways keep together.

#[cfg(test)]
mod tests;

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use foldhash::fast::RandomState;
use folio_core::breaker::{BreakerSettings, CallOutcome, InvalidSettings, Percent, Refused};
use folio_core::error_chain;
use folio_mesh::{CallPermit, CircuitBreaker};
use lru::LruCache;
use metrics::Counter;
use thiserror::Error;
use tokio::time::{Instant, timeout};

pub use super::lease::Grant;

use super::key::LimitKey;
use super::lease::{Lease, Left, Spend, Terms};
use super::policy::LimitPolicy;

/// How long somebody waits for tokens, in the queue and for the answer together. Rather long: whoever would write is refused
/// after that, and a database that answers late is no reason. One that does not answer is not waited for a third time.
const PATIENCE: Duration = Duration::from_secs(1);
/// When to come again while nobody knows.
const AGAIN: Duration = Duration::from_secs(1);

/// Where tokens are taken from, by all gateways.
#[async_trait]
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// Takes as many as are wanted, or as many as there are.
    ///
    /// # Errors
    ///
    /// When it gives no answer.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, tokens may have been taken. They are lost then.
    async fn take(&self, asked: Asked<'_>) -> Result<Grant, SourceError>;
}

/// Why a source gave no answer; the log is told.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// What is asked of a source of tokens.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Of which limit.
    pub policy: &'a LimitPolicy,
    /// Whose.
    pub key: &'a str,
    /// How many can be had at once of all gateways together: the policy's burst, without what may be held by them.
    pub burst: u32,
    /// How many are wanted.
    pub wanted: NonZeroU32,
}

/// A limit for each key that all gateways over one [`TokenSource`] keep together. Clones are the same one.
///
/// A request is paid for with a token. Tokens are taken ahead in blocks, by one statement for many requests, as many as
/// this gateway is seen to spend; small limits are paid for one by one. Those who want tokens of the same key wait for
/// the one statement that is under way, for a second at most.
///
/// # How exact it is
///
/// All gateways together admit at most `burst + quota` in any window, however many they are: a token is counted when it
/// is taken, and can be spent for a short time only (a tenth of the window, or what an eighth of the burst takes to come
/// back, or two seconds, whichever is least). What comes back in that time is kept back from the burst, so of a large
/// limit at least seven eighths of the burst can be had at once. Only whom an answer reaches late, by a
/// second at most, is admitted as of the moment at which the source had counted it. Tokens that are not spent in time,
/// and those of a gateway that dies, are lost: fewer are admitted, and never more.
#[derive(Debug, Clone)]
pub struct SharedLimiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    policy: Arc<LimitPolicy>,
    terms: Terms,
    source: Arc<dyn TokenSource>,
    breaker: CircuitBreaker,
    keys: Mutex<LruCache<LimitKey, Arc<Bucket>, RandomState>>,
    keys_max: usize,
    statements: AtomicU64,
    counted: Counter,
}

#[derive(Debug, Default)]
struct Bucket {
    lease: Mutex<Lease>,
    /// Whoever has it asks.
    turn: Arc<tokio::sync::Mutex<()>>,
    waiting: AtomicU32,
}

/// One who waits, for as long as it does.
struct Waiting<'a>(&'a AtomicU32);

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SharedRefusal {
    /// The limit is reached.
    #[error("the shared limit is reached")]
    Exhausted {
        /// When there may be some again.
        retry_after: Duration,
    },
    /// Where tokens come from gives no answer.
    #[error("the shared limit cannot be asked for; see the log for what its database says")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

impl SharedLimiter {
    /// Of this policy, with tokens of at most `keys_max` keys in memory.
    ///
    /// # Errors
    ///
    /// Never with the settings it has.
    pub fn new(
        policy: Arc<LimitPolicy>,
        keys_max: NonZeroUsize,
        source: Arc<dyn TokenSource>,
    ) -> Result<Self, InvalidSettings> {
        let settings = BreakerSettings {
            failed: Percent::new(50),
            slow: None,
            consecutive_failures: Some(2),
            slow_after: PATIENCE,
            open_first: Duration::from_millis(500),
            open_max: Duration::from_secs(5),
            probe_within: AGAIN,
            ..BreakerSettings::default()
        };
        let name = policy.name().to_owned();
        let counted = metrics::counter!("folio_gateway_limit_statements_total", "policy" => name);
        let shared = Shared {
            terms: Terms::of(&policy),
            breaker: CircuitBreaker::new(format!("limits-{}", policy.name()), settings)?,
            policy,
            source,
            keys: Mutex::new(LruCache::unbounded_with_hasher(RandomState::default())),
            keys_max: keys_max.get(),
            statements: AtomicU64::new(0),
            counted,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Pays for one request of this key.
    ///
    /// # Errors
    ///
    /// [`SharedRefusal`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, one token may be lost. A statement that is under way goes on for those who wait for it.
    pub async fn take(&self, key: &LimitKey) -> Result<(u32, Duration), SharedRefusal> {
        let bucket = self.shared.bucket(key);
        let answer = match bucket.spend() {
            Some(answer) => answer,
            None => {
                let asked = self.ask(key, &bucket);
                let late = SharedRefusal::Unavailable { retry_after: AGAIN };
                timeout(PATIENCE, asked).await.unwrap_or(Err(late))
            }
        };
        answer.map(|left| (left.remaining, left.reset))
    }

    /// For how long this key has nothing to hope for, as far as is known without asking.
    #[must_use]
    pub fn refused_for(&self, key: &LimitKey) -> Option<Duration> {
        let known = self.shared.keys().peek(key).map(Arc::clone)?;
        known.lease().refused_for(Instant::now())
    }

    /// How often the source was asked.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.shared.statements.load(Ordering::Relaxed)
    }

    /// How many keys have tokens in memory, or had.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shared.keys().len()
    }

    async fn ask(&self, key: &LimitKey, bucket: &Arc<Bucket>) -> Result<Left, SharedRefusal> {
        let waiting = Waiting::begin(&bucket.waiting);
        let turn = Arc::clone(&bucket.turn).lock_owned().await;
        if let Some(answer) = bucket.spend() {
            return answer;
        }
        let permit = self.shared.breaker.ask()?;
        let (shared, key, bucket) = (Arc::clone(&self.shared), key.clone(), Arc::clone(bucket));
        // A task of its own: a client that hangs up takes neither the connection nor what others wait for with it.
        let asking = tokio::spawn(async move {
            let answer = shared.ask(&key, &bucket, permit).await;
            drop(turn);
            answer
        });
        let late = SharedRefusal::Unavailable { retry_after: AGAIN };
        let answer = asking.await.unwrap_or(Err(late));
        drop(waiting);
        answer
    }
}

impl Shared {
    fn bucket(&self, key: &LimitKey) -> Arc<Bucket> {
        let mut keys = self.keys();
        if let Some(known) = keys.get(key) {
            return Arc::clone(known);
        }
        if keys.len() >= self.keys_max {
            // Its tokens are lost.
            keys.pop_lru();
        }
        let bucket = Arc::<Bucket>::default();
        keys.put(key.clone(), Arc::clone(&bucket));
        bucket
    }

    fn keys(&self) -> MutexGuard<'_, LruCache<LimitKey, Arc<Bucket>, RandomState>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the source, and spends one token of what it grants.
    async fn ask(
        &self,
        key: &LimitKey,
        bucket: &Bucket,
        permit: CallPermit,
    ) -> Result<Left, SharedRefusal> {
        let sent = Instant::now();
        let waiting = bucket.waiting.load(Ordering::Relaxed);
        let wanted = bucket.lease().wanted(sent, waiting, self.terms.block);
        let wanted = NonZeroU32::new(wanted).unwrap_or(NonZeroU32::MIN);
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.counted.increment(1);
        let name = key.to_string();
        let asked = Asked {
            policy: &self.policy,
            key: &name,
            burst: self.terms.burst,
            wanted,
        };
        let failure = match timeout(PATIENCE, self.source.take(asked)).await {
            Ok(Ok(grant)) => {
                permit.record(CallOutcome::Success);
                let times = (sent, Instant::now());
                let spend = bucket.lease().take_in(times, wanted, grant, &self.terms);
                return spent(spend)
                    .unwrap_or(Err(SharedRefusal::Exhausted { retry_after: AGAIN }));
            }
            Ok(Err(error)) => error_chain(&*error),
            Err(late) => late.to_string(),
        };
        permit.record(CallOutcome::Failure);
        let policy = self.policy.name();
        tracing::warn!(policy, cause = failure, "a shared limit was not asked for");
        Err(SharedRefusal::Unavailable { retry_after: AGAIN })
    }
}

impl Bucket {
    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be said without asking.
    fn spend(&self) -> Option<Result<Left, SharedRefusal>> {
        spent(self.lease().spend(Instant::now()))
    }
}

const fn spent(spend: Spend) -> Option<Result<Left, SharedRefusal>> {
    match spend {
        Spend::Spent(left) => Some(Ok(left)),
        Spend::Refused(retry_after) => Some(Err(SharedRefusal::Exhausted { retry_after })),
        Spend::Ask => None,
    }
}

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicU32) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl From<Refused> for SharedRefusal {
    fn from(refused: Refused) -> Self {
        Self::Unavailable {
            retry_after: refused.retry_after.unwrap_or(AGAIN),
        }
    }
}
