//! Picks an instance for each request.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use folio_core::breaker::{BreakerSettings, InvalidSettings, Mode, Phase};
use thiserror::Error;
use tokio::time::{Instant, timeout};

use super::endpoint::{Endpoint, EndpointState, InstanceCall};
use super::load::Load;
use super::rendezvous::weight;
use crate::discovery::{Instance, InstanceId, ServiceName, Snapshot, Status, Watch};

/// What is thought of an instance that nobody has asked yet, where there is none to compare it with.
const UNKNOWN_SECONDS: f64 = 0.03;

/// How instances are picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceSettings {
    /// When the breaker of an instance opens.
    pub breaker: BreakerSettings,
    /// How long an answer counts as that is a failure, at least.
    pub penalty: Duration,
    /// Within which time the average of answers falls by the factor e.
    pub decay: Duration,
    /// How long somebody waits for an instance where there is none.
    pub patience: Duration,
    /// Of a hundred instances, how many may be taken out by their breakers at most. With more than that it is likelier that all of them
    /// have a trouble in common than that those which are left can do the work of all: so all are asked again.
    pub ejected_percent_max: u8,
}

impl Default for BalanceSettings {
    /// Five failures in a row open a breaker; 1 s, 5 s, half a second; two thirds. After one failure an instance whose others answer within
    /// 10 ms is left alone for some 20 s.
    fn default() -> Self {
        Self {
            breaker: BreakerSettings {
                consecutive_failures: Some(5),
                ..BreakerSettings::default()
            },
            penalty: Duration::from_secs(1),
            decay: Duration::from_secs(5),
            patience: Duration::from_millis(500),
            ejected_percent_max: 67,
        }
    }
}

/// By what an instance is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick<'a> {
    /// The less loaded of two.
    Load,
    /// The one where requests of this key meet.
    Key(&'a [u8]),
}

/// There is nobody to ask.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no instance of {service} to ask; {tried} were asked already")]
pub struct NoInstance {
    /// Of which service.
    pub service: ServiceName,
    /// How many were asked already and are not asked again.
    pub tried: usize,
}

/// Picks among the instances of a service. It follows their coming and going whether it is asked or not.
#[derive(Debug)]
pub struct Balancer {
    service: ServiceName,
    watch: Watch,
    settings: BalanceSettings,
    // The std mutex: it is never held across an await.
    known: Mutex<Known>,
    chance: Chance,
}

/// The endpoints that were made of a snapshot.
#[derive(Debug)]
struct Known {
    of: Option<Arc<Snapshot>>,
    endpoints: Arc<[Arc<Endpoint>]>,
    /// What operators have said of instances, whichever incarnation is there. It goes with the process.
    modes: BTreeMap<InstanceId, Mode>,
}

impl Balancer {
    /// Picks among what `watch` sees.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`] of the breakers.
    pub fn new(
        service: ServiceName,
        watch: Watch,
        settings: BalanceSettings,
    ) -> Result<Self, InvalidSettings> {
        settings.breaker.check()?;
        Ok(Self {
            service,
            watch,
            settings,
            known: Mutex::new(Known {
                of: None,
                endpoints: Arc::new([]),
                modes: BTreeMap::new(),
            }),
            chance: Chance::new(),
        })
    }

    /// Whose instances these are.
    #[must_use]
    pub const fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Picks one that was not `tried` yet. Where there is none at all it waits for one, but not for long.
    ///
    /// # Errors
    ///
    /// [`NoInstance`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future picks nobody.
    pub async fn pick(
        &self,
        by: Pick<'_>,
        tried: &[InstanceId],
    ) -> Result<InstanceCall, NoInstance> {
        let none = match self.pick_now(by, tried) {
            Ok(call) => return Ok(call),
            Err(none) => none,
        };
        // Whoever has asked all there are has waited long enough.
        if !tried.is_empty() {
            return Err(none);
        }
        let mut watch = self.watch.clone();
        let comes = async {
            loop {
                watch.changed().await;
                if let Some(call) = self.picked(by, tried) {
                    return call;
                }
            }
        };
        // In a box: it is needed seldom, and everybody would have room for it.
        Box::pin(timeout(self.settings.patience, comes))
            .await
            .map_err(|_| none)
    }

    /// How each instance looks from here.
    #[must_use]
    pub fn states(&self) -> Vec<EndpointState> {
        let endpoints = self.endpoints();
        endpoints.iter().map(|endpoint| endpoint.state()).collect()
    }

    /// Has somebody else decide whether an instance is asked, also when it is started again, until that is left to what becomes of the
    /// calls. Answers whether there is such an instance.
    #[must_use]
    pub fn set_mode(&self, instance: &InstanceId, mode: Mode) -> bool {
        let endpoints = self.endpoints();
        let found = endpoints
            .iter()
            .find(|endpoint| endpoint.instance.id == *instance);
        let Some(endpoint) = found else {
            return false;
        };
        endpoint.breaker.set_mode(mode);
        let modes = &mut self.known().modes;
        match mode {
            Mode::Automatic => modes.remove(instance),
            Mode::Observing | Mode::ForcedOpen | Mode::ForcedClosed => {
                modes.insert(instance.clone(), mode)
            }
        };
        true
    }

    /// The same at once, also where there is nobody.
    ///
    /// # Errors
    ///
    /// [`NoInstance`].
    pub fn pick_now(&self, by: Pick<'_>, tried: &[InstanceId]) -> Result<InstanceCall, NoInstance> {
        self.picked(by, tried).ok_or_else(|| NoInstance {
            service: self.service.clone(),
            tried: tried.len(),
        })
    }

    fn picked(&self, by: Pick<'_>, tried: &[InstanceId]) -> Option<InstanceCall> {
        let endpoints = self.endpoints();
        let mut candidates = askable(&endpoints, tried);
        let now = Instant::now();
        match by {
            Pick::Key(key) => candidates
                .sort_by_key(|endpoint| std::cmp::Reverse(weight(&endpoint.instance.id, key))),
            Pick::Load => self.sort_by_load(&mut candidates, now),
        }
        // Whoever is due for a probe gets it first: else one that was away is never asked again while others are quicker.
        let probed = candidates.iter().find_map(|endpoint| {
            let is_away = matches!(endpoint.breaker.phase(), Phase::Open | Phase::HalfOpen);
            let permit = is_away
                .then(|| endpoint.breaker.ask_at(now).ok())
                .flatten()?;
            Some((endpoint, Some(permit)))
        });
        let too_many = self.too_many_are_out(&candidates);
        let picked = probed.or_else(|| {
            candidates
                .iter()
                .filter(|_| !too_many)
                .find_map(|endpoint| {
                    let permit = endpoint.breaker.ask_at(now).ok()?;
                    Some((endpoint, Some(permit)))
                })
        });
        // All of them are taken out, or too many: then none is, but for what an operator has taken out.
        let picked = picked.or_else(|| {
            let mut candidates = candidates.iter();
            let is_free =
                |endpoint: &&&Arc<Endpoint>| endpoint.breaker.phase() != Phase::ForcedOpen;
            let endpoint = candidates.find(is_free)?;
            Some((endpoint, endpoint.breaker.ask_at(now).ok()))
        });
        picked.map(|(endpoint, permit)| InstanceCall::begin(Arc::clone(endpoint), permit, now))
    }

    fn too_many_are_out(&self, candidates: &[&Arc<Endpoint>]) -> bool {
        let is_out = |endpoint: &&&Arc<Endpoint>| {
            matches!(endpoint.breaker.phase(), Phase::Open | Phase::HalfOpen)
        };
        let out = candidates.iter().filter(is_out).count();
        let most = candidates
            .len()
            .saturating_mul(self.settings.ejected_percent_max.into());
        out.saturating_mul(100) > most
    }

    /// Puts the less loaded of two that are taken at random first.
    fn sort_by_load(&self, candidates: &mut [&Arc<Endpoint>], now: Instant) {
        self.chance.shuffle(candidates);
        if let [first, second, ..] = candidates
            && second.cost(now) < first.cost(now)
        {
            std::mem::swap(first, second);
        }
    }

    fn endpoints(&self) -> Arc<[Arc<Endpoint>]> {
        let snapshot = self.watch.current();
        let mut known = self.known();
        let is_known = known
            .of
            .as_ref()
            .is_some_and(|of| Arc::ptr_eq(of, &snapshot));
        if !is_known {
            known.endpoints = self.follow(&known, &snapshot.instances);
            known.of = Some(snapshot);
        }
        Arc::clone(&known.endpoints)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics under this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is known of who is still there. Who comes is taken for as quick as the others are on average, so
    /// that it is neither spared nor flooded.
    fn follow(&self, before: &Known, instances: &[Instance]) -> Arc<[Arc<Endpoint>]> {
        let by_instance = |endpoint: &Arc<Endpoint>| {
            let Instance {
                id,
                incarnation,
                address,
                ..
            } = &endpoint.instance;
            ((id.clone(), *incarnation, *address), Arc::clone(endpoint))
        };
        let known: BTreeMap<_, _> = before.endpoints.iter().map(by_instance).collect();
        let others = f64::from(u32::try_from(known.len()).unwrap_or(u32::MAX));
        let sum: f64 = known.values().map(|endpoint| endpoint.seconds()).sum();
        let expected = if known.is_empty() {
            UNKNOWN_SECONDS
        } else {
            sum / others
        };
        let endpoints = instances.iter().filter_map(|instance| {
            let key = (instance.id.clone(), instance.incarnation, instance.address);
            match known.get(&key) {
                Some(endpoint) if endpoint.instance == *instance => Some(Arc::clone(endpoint)),
                Some(endpoint) => Some(Arc::new(endpoint.now(instance.clone()))),
                None => {
                    let load = Load::new(expected, self.settings.decay, Instant::now());
                    let Self { settings, .. } = self;
                    // The settings were checked.
                    let endpoint =
                        Endpoint::new(instance.clone(), settings.breaker, load, settings.penalty)
                            .ok()?;
                    // It is another process, and the same place that somebody has taken out.
                    if let Some(mode) = before.modes.get(&instance.id) {
                        endpoint.breaker.set_mode(*mode);
                    }
                    Some(Arc::new(endpoint))
                }
            }
        });
        endpoints.collect()
    }
}

/// Those that serve; where none does, those that are about to go, which still do what they are asked.
fn askable<'a>(endpoints: &'a [Arc<Endpoint>], tried: &[InstanceId]) -> Vec<&'a Arc<Endpoint>> {
    let of = |status| {
        let endpoints = endpoints.iter();
        let is = move |endpoint: &&Arc<Endpoint>| {
            endpoint.instance.status == status && !tried.contains(&endpoint.instance.id)
        };
        endpoints.filter(is).collect::<Vec<_>>()
    };
    let serving = of(Status::Serving);
    if serving.is_empty() {
        of(Status::Draining)
    } else {
        serving
    }
}

/// What looks like chance, without a lock: splitmix64 (G. Steele, D. Lea, C. Flood, 2014).
#[derive(Debug)]
struct Chance(AtomicU64);

impl Chance {
    fn new() -> Self {
        // Keys of hashing are the randomness that the standard library has.
        Self(AtomicU64::new(RandomState::new().hash_one(0)))
    }

    fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .0
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Each order as likely as any other.
    fn shuffle<T>(&self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let bound = u64::try_from(end).unwrap_or(u64::MAX).saturating_add(1);
            let other = usize::try_from(self.next() % bound).unwrap_or(0);
            items.swap(end, other);
        }
    }
}
