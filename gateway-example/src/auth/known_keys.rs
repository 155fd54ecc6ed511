//! API keys that were looked up a moment ago.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use lru::LruCache;
use tokio::time::Instant;

use super::api_key::KeyPrefix;
use super::principal::Principal;

/// How long it may take at most until a key that was revoked is refused everywhere.
pub const REVOKED_WITHIN: Duration = Duration::from_secs(5);
/// Most prefixes that are kept of those that there are, and of those that there are not.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// What is on record of a key that is not revoked.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) sha256: [u8; 32],
    pub(super) principal: Principal,
}

/// What was found under a prefix: a key that is good, or none.
pub(super) type Found = Option<Arc<Record>>;

/// What was found under prefixes. What anybody makes up pushes out none that there is.
#[derive(Debug)]
pub(super) struct KnownKeys(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    good: LruCache<KeyPrefix, (Instant, Arc<Record>), RandomState>,
    bad: LruCache<KeyPrefix, Instant, RandomState>,
}

impl Default for KnownKeys {
    fn default() -> Self {
        Self(Mutex::new(Kept {
            good: LruCache::with_hasher(KEPT_MAX, RandomState::default()),
            bad: LruCache::with_hasher(KEPT_MAX, RandomState::default()),
        }))
    }
}

impl KnownKeys {
    /// What was found, if that was asked just now.
    pub(super) fn find(&self, prefix: &KeyPrefix) -> Option<Found> {
        let is_fresh = |asked: &Instant| asked.elapsed() < REVOKED_WITHIN;
        self.with(|kept| {
            let good = kept.good.get(prefix).filter(|(asked, _)| is_fresh(asked));
            if let Some((_, record)) = good {
                return Some(Some(Arc::clone(record)));
            }
            kept.bad
                .get(prefix)
                .filter(|asked| is_fresh(asked))
                .map(|_| None)
        })
    }

    /// Keeps what was found when it was asked for at this time.
    pub(super) fn keep(&self, prefix: &KeyPrefix, found: &Found, asked: Instant) {
        self.with(|kept| match found {
            Some(record) => {
                kept.bad.pop(prefix);
                kept.good.put(prefix.clone(), (asked, Arc::clone(record)));
            }
            None => {
                kept.good.pop(prefix);
                kept.bad.put(prefix.clone(), asked);
            }
        });
    }

    /// Forgets what was found, so that it is looked up again.
    pub(super) fn forget(&self, prefix: &KeyPrefix) {
        self.with(|kept| {
            kept.good.pop(prefix);
            kept.bad.pop(prefix);
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::principal::PrincipalKind;
    use super::*;

    fn record() -> Found {
        let principal = Principal::new(
            "ada".parse().unwrap(),
            BTreeSet::new(),
            PrincipalKind::ApiKey,
        );
        let sha256 = [7; 32];
        Some(Arc::new(Record { sha256, principal }))
    }

    fn prefix(text: &str) -> KeyPrefix {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_revoked_key_is_looked_up_again_within_the_bound() {
        let (keys, key) = (KnownKeys::default(), prefix("abcdefgh"));
        // It was asked for a while before the answer came.
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        keys.keep(&key, &record(), asked);
        assert!(matches!(keys.find(&key), Some(Some(_))));
        tokio::time::advance(Duration::from_millis(2_999)).await;
        assert!(matches!(keys.find(&key), Some(Some(_))));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(keys.find(&key).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn that_there_is_no_key_is_known_as_long() {
        let (keys, key) = (KnownKeys::default(), prefix("abcdefgh"));
        keys.keep(&key, &None, Instant::now());
        assert!(matches!(keys.find(&key), Some(None)));
        tokio::time::advance(REVOKED_WITHIN).await;
        assert!(keys.find(&key).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_last_counts() {
        let (keys, key) = (KnownKeys::default(), prefix("abcdefgh"));
        keys.keep(&key, &record(), Instant::now());
        keys.keep(&key, &None, Instant::now());
        assert!(matches!(keys.find(&key), Some(None)));
        keys.keep(&key, &record(), Instant::now());
        assert!(matches!(keys.find(&key), Some(Some(_))));
        keys.forget(&key);
        assert!(keys.find(&key).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn prefixes_that_are_made_up_push_no_key_out() {
        const DIGITS: [char; 6] = ['2', '3', '4', '5', '6', '7'];
        let (keys, key) = (KnownKeys::default(), prefix("abcdefgh"));
        keys.keep(&key, &record(), Instant::now());
        for number in 0..KEPT_MAX.get() + 1 {
            let digit = |place: u32| DIGITS[number / 6_usize.pow(place) % 6];
            let made_up: String = (0..8).map(digit).collect();
            keys.keep(&prefix(&made_up), &None, Instant::now());
        }
        assert!(matches!(keys.find(&key), Some(Some(_))));
        assert_eq!(keys.with(|kept| kept.bad.len()), KEPT_MAX.get());
    }
}
