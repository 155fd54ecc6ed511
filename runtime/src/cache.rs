//! The states that an executor has in memory, within a bound.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use folio_core::joint::{AnyState, Kind};
use folio_core::{EventId, ExpectedVersion, StreamId, Version};
use lru::LruCache;

/// What an entry takes beside its state and its name: the maps' share, the counters.
const ENTRY_BYTES: usize = 256;

/// The state of an aggregate with everything that has been decided on it, recorded or on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Current {
    pub(crate) state: AnyState,
    pub(crate) version: Version,
    pub(crate) last_event: Option<EventId>,
    /// Which loading from the store it goes back to, or which assumption that nothing is there.
    pub(crate) generation: u64,
}

impl Current {
    /// What the store must find for a decision on this state to be right.
    pub(crate) const fn expected(&self) -> ExpectedVersion {
        match self.last_event {
            Some(event_id) => ExpectedVersion::LastEvent {
                version: self.version,
                event_id,
            },
            None => ExpectedVersion::NoStream,
        }
    }
}

/// Names a state. Two types may fold the same stream, each in its own way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    type_id: TypeId,
    pub(crate) stream: StreamId,
}

impl Key {
    pub(crate) const fn new(kind: Kind, stream: StreamId) -> Self {
        Self {
            type_id: kind.type_id,
            stream,
        }
    }
}

/// The states, most recently used last. The least recently used go when the bound is passed.
#[derive(Debug)]
pub(crate) struct StateCache {
    // The std mutex, not tokio's: it is held while a command is decided, never across an await.
    held: Mutex<Held>,
    /// One loading at a time for each stream; the others wait for it.
    loads: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    bound_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Held {
    entries: LruCache<Key, Entry, RandomState>,
    bytes: usize,
    generations: u64,
}

#[derive(Debug)]
struct Entry {
    current: Current,
    bytes: usize,
}

impl StateCache {
    pub(crate) fn new(bound_bytes: usize) -> Self {
        Self {
            held: Mutex::new(Held {
                entries: LruCache::unbounded_with_hasher(RandomState::default()),
                bytes: 0,
                generations: 0,
            }),
            loads: Mutex::default(),
            bound_bytes,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Held> {
        // What panics under this lock is a decision, and that comes before anything is changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that `key` is to be loaded, for as long as the answer is kept.
    pub(crate) fn loading(&self, key: &Key) -> Loading<'_> {
        let turn = Arc::clone(self.loads().entry(key.clone()).or_default());
        Loading {
            cache: self,
            key: key.clone(),
            turn,
        }
    }

    fn loads(&self) -> MutexGuard<'_, HashMap<Key, Arc<tokio::sync::Mutex<()>>>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in a state that was loaded, and answers it. It takes the place of what a command that
    /// creates may have put in meanwhile: that was assumed, this was read.
    pub(crate) fn put_loaded(&self, key: Key, kind: Kind, mut current: Current) -> Current {
        let mut held = self.lock();
        current.generation = held.next_generation();
        held.put(key, kind, current.clone(), self.bound_bytes);
        current
    }

    /// Puts in a state that was decided, in place of the one that it was decided on.
    pub(crate) fn advance(&self, held: &mut Held, key: Key, kind: Kind, current: Current) {
        held.put(key, kind, current, self.bound_bytes);
    }

    /// Bytes held, by the weights that the aggregates tell.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

/// A caller that loads a state, or waits for one that does.
pub(crate) struct Loading<'a> {
    cache: &'a StateCache,
    key: Key,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Loading<'_> {
    /// The right to load it, which one caller has at a time.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

impl Drop for Loading<'_> {
    /// However it ended: a caller that has gone while it loaded leaves nothing behind.
    fn drop(&mut self) {
        let mut loads = self.cache.loads();
        // The map's and this one. More of them are made under this lock only.
        if Arc::strong_count(&self.turn) == 2 {
            loads.remove(&self.key);
        }
    }
}

impl Held {
    pub(crate) fn get(&mut self, key: &Key) -> Option<&Current> {
        self.entries.get(key).map(|entry| &entry.current)
    }

    /// The state of an aggregate that is taken not to be there yet. It is not put in: that would be
    /// believed by others.
    pub(crate) fn assume_new(&mut self) -> Current {
        Current {
            generation: self.next_generation(),
            ..Current::default()
        }
    }

    /// Names a loading, or an assumption in place of one.
    fn next_generation(&mut self) -> u64 {
        self.generations = self.generations.wrapping_add(1);
        self.generations
    }

    /// Takes out a state that goes back to the loading `generation`, and whatever was decided on it.
    pub(crate) fn drop_generation(&mut self, key: &Key, generation: u64) {
        self.drop_if(key, |held| held.generation == generation);
    }

    /// Takes out this state, unless something was decided on it.
    pub(crate) fn drop_version(&mut self, key: &Key, current: &Current) {
        self.drop_if(key, |held| {
            held.generation == current.generation && held.version == current.version
        });
    }

    fn drop_if(&mut self, key: &Key, is_it: impl Fn(&Current) -> bool) {
        let held = self.entries.peek(key);
        if held.is_some_and(|entry| is_it(&entry.current)) {
            self.remove(key);
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    fn put(&mut self, key: Key, kind: Kind, current: Current, bound_bytes: usize) {
        let bytes = (kind.weight)(&current.state)
            .saturating_add(key.stream.category().len())
            .saturating_add(key.stream.id().len())
            .saturating_add(ENTRY_BYTES);
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(before) = self.entries.put(key, Entry { current, bytes }) {
            self.bytes = self.bytes.saturating_sub(before.bytes);
        }
        while self.bytes > bound_bytes {
            let Some((_, oldest)) = self.entries.pop_lru() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
        }
        metrics::gauge!("folio_state_cache_bytes").set(metric(self.bytes));
    }
}

/// A number of bytes for a gauge, which has floats.
fn metric(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Whoever is called off while another loads, or while it loads itself, is not counted for ever.
    #[test]
    fn loads_that_are_called_off_leave_nothing_behind() {
        let cache = StateCache::new(0);
        let key = Key {
            type_id: TypeId::of::<()>(),
            stream: StreamId::new("counter", "1").unwrap(),
        };
        let first = cache.loading(&key);
        let turn = first.turn().now_or_never().unwrap();
        let second = cache.loading(&key);
        assert!(second.turn().now_or_never().is_none());
        drop(second);
        assert_eq!(cache.loads().len(), 1, "the first one still loads");
        drop(turn);
        drop(first);
        assert_eq!(cache.loads().len(), 0);
    }
}
