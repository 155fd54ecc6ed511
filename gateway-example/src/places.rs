//! Who has requests under way: as many in all as there is room for, and nobody so many that there is none for the others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    by_client: Mutex<HashMap<LimitKey, usize, RandomState>>,
}

/// Requests to a service that are under way. There are few services, and each has its own: no map is looked into.
#[derive(Debug, Default)]
pub(crate) struct OfService(AtomicUsize);

/// The place of a request, which is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    of: Arc<Places>,
    address: LimitKey,
    principal: Option<LimitKey>,
    service: Option<Arc<OfService>>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NoPlace {
    #[error("as many requests are under way as there may be; nothing was done")]
    Full,
    #[error(
        "as many of your requests are under way as there is room for those of others; wait for their answers. Nothing was done"
    )]
    OfClient,
    #[error(
        "as many requests to this service are under way as there is room for all others; nothing was done"
    )]
    OfService,
}

impl Places {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            by_client: Mutex::default(),
        }
    }

    /// A place for whoever asks from an address.
    pub(crate) fn take(self: &Arc<Self>, address: LimitKey) -> Result<Place, NoPlace> {
        let permit = Arc::clone(&self.all).try_acquire_owned();
        let permit = permit.map_err(|_| NoPlace::Full)?;
        self.count(address.clone())?;
        Ok(Place {
            _permit: permit,
            of: Arc::clone(self),
            address,
            principal: None,
            service: None,
        })
    }

    fn count(&self, client: LimitKey) -> Result<(), NoPlace> {
        let mut held = self.by_client();
        let count = held.entry(client).or_default();
        // This one was free until now.
        if *count > self.all.available_permits() {
            return Err(NoPlace::OfClient);
        }
        *count = count.saturating_add(1);
        Ok(())
    }

    fn by_client(&self) -> MutexGuard<'_, HashMap<LimitKey, usize, RandomState>> {
        // Nothing panics under this lock.
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Counts it among those of whoever asks, once that is known.
    pub(crate) fn count_principal(&mut self, principal: LimitKey) -> Result<(), NoPlace> {
        self.of.count(principal.clone())?;
        self.principal = Some(principal);
        Ok(())
    }

    /// Counts it among those of a service that is asked: one that is gone, or slow, does not take the places of the others.
    pub(crate) fn count_service(&mut self, service: &Arc<OfService>) -> Result<(), NoPlace> {
        let before = service.0.fetch_add(1, Ordering::Relaxed);
        self.service = Some(Arc::clone(service));
        match before > self.of.all.available_permits() {
            true => Err(NoPlace::OfService),
            false => Ok(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(service) = &self.service {
            service.0.fetch_sub(1, Ordering::Relaxed);
        }
        let mut held = self.of.by_client();
        for client in [Some(&self.address), self.principal.as_ref()]
            .into_iter()
            .flatten()
        {
            if let Some(count) = held.get_mut(client) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    held.remove(client);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> LimitKey {
        LimitKey::principal(name).unwrap()
    }

    fn all_of(places: &Arc<Places>, name: &str) -> Vec<Place> {
        std::iter::from_fn(|| places.take(client(name)).ok()).collect()
    }

    #[test]
    fn nobody_takes_more_places_than_are_free() {
        let places = Arc::new(Places::new(1_024));
        let first = all_of(&places, "first");
        assert_eq!(first.len(), 512);
        assert_eq!(places.take(client("first")).unwrap_err(), NoPlace::OfClient);
        let second = all_of(&places, "second");
        assert_eq!(second.len(), 256);
        // However many come, somebody who has none gets one, until the last.
        let others: Vec<_> = (0..256)
            .map(|number| places.take(client(&number.to_string())).unwrap())
            .collect();
        assert_eq!(places.take(client("late")).unwrap_err(), NoPlace::Full);
        drop((first, second, others));
        assert!(places.by_client().is_empty());
        assert_eq!(places.all.available_permits(), 1_024);
    }

    #[test]
    fn a_principal_has_its_share_from_however_many_addresses() {
        let places = Arc::new(Places::new(8));
        let mut held = Vec::new();
        for number in 0..4 {
            let mut place = places.take(client(&number.to_string())).unwrap();
            place.count_principal(client("one")).unwrap();
            held.push(place);
        }
        let mut fifth = places.take(client("4")).unwrap();
        let refused = fifth.count_principal(client("one"));
        assert_eq!(refused, Err(NoPlace::OfClient));
        fifth.count_principal(client("another")).unwrap();
        drop((fifth, held));
        assert!(places.by_client().is_empty());
    }

    #[test]
    fn a_service_has_its_share_whoever_asks() {
        let places = Arc::new(Places::new(8));
        let (gone, well) = (Arc::default(), Arc::default());
        let mut held = Vec::new();
        for number in 0..4 {
            let mut place = places.take(client(&number.to_string())).unwrap();
            place.count_service(&gone).unwrap();
            held.push(place);
        }
        let mut fifth = places.take(client("4")).unwrap();
        assert_eq!(fifth.count_service(&gone), Err(NoPlace::OfService));
        drop(fifth);
        let mut sixth = places.take(client("5")).unwrap();
        sixth.count_service(&well).unwrap();
        drop((sixth, held));
        let left = [gone, well].map(|service: Arc<OfService>| service.0.load(Ordering::Relaxed));
        assert_eq!(left, [0, 0]);
        assert!(places.by_client().is_empty());
    }
}
