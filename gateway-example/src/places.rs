//! Who has requests under way: as many in all as there is room for, and nobody so many that there is none for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::LimitKey;

/// Room for requests under way.
///
/// Whoever holds as many places as are free gets no more. So one alone may have half of them, two a third each, and however
/// they go about it there is one left for whoever comes with nothing. A fixed share would be too small for the few who have a
/// door for themselves, or too large where there are many: see A. Choudhury, E. Hahne, Dynamic queue length thresholds
/// (1998), with a factor of one.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    // The std mutex: it is held for one look-up.
    held: Mutex<HashMap<Holder, usize, RandomState>>,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// An address or a principal that asks.
    Client(LimitKey),
    /// A service that is asked: one that is gone, or slow, does not take the places of the others.
    Service(Arc<str>),
}

/// The place of a request, which is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    of: Arc<Places>,
    holders: Vec<Holder>,
}

/// Why there is no place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NoPlace {
    #[error("as many requests are under way as there may be; nothing was done")]
    Full,
    #[error(
        "as many of your requests are under way as there is room for those of others; wait for their answers. Nothing was done"
    )]
    OfClient,
    #[error(
        "as many requests to {0} are under way as there is room for all others; nothing was done"
    )]
    OfService(Arc<str>),
}

impl Places {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            held: Mutex::default(),
        }
    }

    /// A place that is nobody's yet.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Place, NoPlace> {
        let permit = Arc::clone(&self.all).try_acquire_owned();
        Ok(Place {
            _permit: permit.map_err(|_| NoPlace::Full)?,
            of: Arc::clone(self),
            holders: Vec::with_capacity(3),
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Holder, usize, RandomState>> {
        // Nothing panics under this lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Counts it among those of `holder`, unless that one has its share.
    pub(crate) fn count(&mut self, holder: Holder) -> Result<(), NoPlace> {
        let mut held = self.of.held();
        let count = held.entry(holder.clone()).or_default();
        // This one was free until now.
        if *count > self.of.all.available_permits() {
            return Err(match holder {
                Holder::Client(_) => NoPlace::OfClient,
                Holder::Service(service) => NoPlace::OfService(service),
            });
        }
        *count = count.saturating_add(1);
        drop(held);
        self.holders.push(holder);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.of.held();
        for holder in &self.holders {
            if let Some(count) = held.get_mut(holder) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    held.remove(holder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> Holder {
        Holder::Client(LimitKey::principal(name).unwrap())
    }

    fn take(places: &Arc<Places>, holder: &Holder) -> Result<Place, NoPlace> {
        let mut place = places.take()?;
        place.count(holder.clone())?;
        Ok(place)
    }

    fn all_of(places: &Arc<Places>, holder: &Holder) -> Vec<Place> {
        std::iter::from_fn(|| take(places, holder).ok()).collect()
    }

    #[test]
    fn nobody_takes_more_places_than_are_free() {
        let places = Arc::new(Places::new(1_024));
        let first = all_of(&places, &client("first"));
        assert_eq!(first.len(), 512);
        assert_eq!(
            take(&places, &client("first")).unwrap_err(),
            NoPlace::OfClient
        );
        let second = all_of(&places, &client("second"));
        assert_eq!(second.len(), 256);
        // However many come, somebody who has none gets one, until the last.
        let others: Vec<_> = (0..256)
            .map(|number| take(&places, &client(&number.to_string())).unwrap())
            .collect();
        assert_eq!(take(&places, &client("late")).unwrap_err(), NoPlace::Full);
        drop((first, second, others));
        assert!(places.held().is_empty());
        assert_eq!(places.all.available_permits(), 1_024);
    }

    #[test]
    fn a_service_has_its_share_whoever_asks() {
        let places = Arc::new(Places::new(8));
        let service = Holder::Service("gone".into());
        let mut held = Vec::new();
        for number in 0..4 {
            let mut place = take(&places, &client(&number.to_string())).unwrap();
            place.count(service.clone()).unwrap();
            held.push(place);
        }
        let mut fifth = take(&places, &client("fifth")).unwrap();
        assert_eq!(
            fifth.count(service).unwrap_err(),
            NoPlace::OfService("gone".into())
        );
        fifth.count(Holder::Service("well".into())).unwrap();
        // Where it was not counted it is not counted off.
        drop((fifth, held));
        assert!(places.held().is_empty());
    }
}
