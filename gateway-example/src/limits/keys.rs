//! What is known of each key, of a bounded number of them.

use std::hash::BuildHasher as _;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use governor::nanos::Nanos;
use governor::state::StateStore;
use lru::LruCache;

use super::key::LimitKey;

const SHARDS_MAX: usize = 64;
/// From this many keys on a shard is worth its lock.
const KEYS_IN_SHARD: usize = 1_024;
/// How many that were not asked for longest are looked at to find one that can be forgotten.
const LOOKS: usize = 8;

/// For each key the time up to which its tokens are spent: its theoretical arrival time. Clones share it.
///
/// A key is forgotten only when its whole burst has come back, so that forgetting it gives it nothing; those that were
/// not asked for longest are looked at first. Where there is no room and nobody can be forgotten, new keys are counted
/// together, in one bucket for each shard: they share what one of them may have, and no key that is known suffers.
/// So under a flood of keys newcomers are slowed down, and memory stays bounded.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    shards: Arc<[Mutex<Shard>]>,
    in_shard: usize,
    interval: u64,
    hasher: RandomState,
}

#[derive(Debug)]
struct Shard {
    arrivals: LruCache<LimitKey, Nanos, RandomState>,
    /// Of those without a place.
    crowd: Option<Nanos>,
}

impl Keys {
    /// At most so many, of a policy whose tokens come back one in each `interval`.
    pub(super) fn new(most: NonZeroUsize, interval: Duration) -> Self {
        let shards = (most.get() / KEYS_IN_SHARD).clamp(1, SHARDS_MAX);
        let shard = || {
            Mutex::new(Shard {
                arrivals: LruCache::unbounded_with_hasher(RandomState::default()),
                crowd: None,
            })
        };
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            in_shard: most.get() / shards,
            interval: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            hasher: RandomState::default(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.arrivals.len()
        };
        self.shards.iter().map(count).sum()
    }

    fn shard(&self, key: &LimitKey) -> Option<&Mutex<Shard>> {
        let shards = u64::try_from(self.shards.len()).unwrap_or(u64::MAX);
        let number = self.hasher.hash_one(key).checked_rem(shards)?;
        self.shards.get(usize::try_from(number).ok()?)
    }
}

impl Shard {
    /// Makes room if it can, by forgetting one whose tokens are all back.
    fn has_room(&mut self, most: usize, now: u64) -> bool {
        for _ in 0..LOOKS {
            if self.arrivals.len() < most {
                return true;
            }
            let Some((key, arrival)) = self.arrivals.peek_lru() else {
                return false;
            };
            if arrival.as_u64() <= now {
                self.arrivals.pop_lru();
            } else {
                // It stays, and the next look is at another one.
                let key = key.clone();
                self.arrivals.promote(&key);
            }
        }
        self.arrivals.len() < most
    }
}

impl StateStore for Keys {
    type Key = LimitKey;

    fn measure_and_replace<T, F, E>(&self, key: &LimitKey, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Some(shard) = self.shard(key) else {
            return judge(None).map(|(answer, _)| answer);
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrival) = shard.arrivals.get_mut(key) {
            let (answer, next) = judge(Some(*arrival))?;
            *arrival = next;
            return Ok(answer);
        }
        let (answer, next) = judge(None)?;
        // The first request of a key moves it from now on by one interval.
        let now = next.as_u64().saturating_sub(self.interval);
        if shard.has_room(self.in_shard, now) {
            shard.arrivals.put(key.clone(), next);
            return Ok(answer);
        }
        let (answer, next) = judge(shard.crowd)?;
        shard.crowd = Some(next);
        Ok(answer)
    }
}
