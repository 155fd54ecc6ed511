//! Shows who is there.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use folio_postgres::Pool;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::answer::{self, Answer, Unreadable};
use super::caution;
use super::settings::RegistrySettings;
use super::within;
use crate::discovery::{ServiceName, Snapshot, StaticList, Watch, WatchSource};

/// The services that somebody watches.
#[derive(Debug)]
pub(super) struct Watching {
    // The std mutex: it is never held across an await.
    services: Mutex<BTreeMap<ServiceName, Followed>>,
    hint: Notify,
    seeds: StaticList,
}

/// A service, as it is shown.
#[derive(Debug)]
struct Followed {
    source: WatchSource,
    shows: Shows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// Nobody that the database has ever named.
    Seeds,
    Instances,
}

/// Why it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It is time.
    Clock,
    /// Somebody comes or goes, or there is somebody new who watches.
    Hint,
}

impl Watching {
    pub(super) const fn new(seeds: StaticList) -> Self {
        Self {
            services: Mutex::new(BTreeMap::new()),
            hint: Notify::const_new(),
            seeds,
        }
    }

    /// Has it looked at once.
    pub(super) const fn hint(&self) -> &Notify {
        &self.hint
    }

    pub(super) fn watch(&self, service: &ServiceName) -> Watch {
        let mut services = self.lock();
        let followed = services.entry(service.clone()).or_insert_with(|| {
            self.hint.notify_one();
            Followed {
                source: WatchSource::new(self.seeds.snapshot(service)),
                shows: Shows::Seeds,
            }
        });
        followed.source.watch()
    }

    /// Looks at each hint and whenever it is time, for ever.
    pub(super) async fn follow(&self, pool: &Pool, settings: RegistrySettings) {
        let began = Instant::now();
        let mut clock = interval(settings.poll);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unreadable = BTreeSet::new();
        let mut answers_no_more = false;
        loop {
            let cause = tokio::select! {
                // However many hints there are.
                biased;
                _ = clock.tick() => Cause::Clock,
                () = self.hint.notified() => Cause::Hint,
            };
            let services: Vec<ServiceName> = self.lock().keys().cloned().collect();
            match within(settings.answer, answer::ask(pool, &services)).await {
                Ok(answers) => {
                    if mem::take(&mut answers_no_more) {
                        tracing::info!("the registry answers again");
                    }
                    warn(
                        &mem::replace(&mut unreadable, answers.unreadable),
                        &unreadable,
                    );
                    for (service, answer) in answers.services {
                        self.show(&service, answer, cause, &settings);
                    }
                    self.sweep(pool, cause, &settings).await;
                }
                Err(error) => {
                    if !mem::replace(&mut answers_no_more, true) {
                        tracing::warn!(
                            error,
                            "the registry does not answer; who was there last stays"
                        );
                    }
                }
            }
            self.publish_age(began);
        }
    }

    async fn sweep(&self, pool: &Pool, cause: Cause, settings: &RegistrySettings) {
        if cause == Cause::Hint {
            return;
        }
        if let Err(error) = within(settings.answer, answer::sweep(pool, settings)).await {
            tracing::warn!(error, "whose lease has ended is not taken off the registry");
        }
    }

    fn show(
        &self,
        service: &ServiceName,
        answer: Answer,
        cause: Cause,
        settings: &RegistrySettings,
    ) {
        let mut services = self.lock();
        let Some(followed) = services.get_mut(service) else {
            return;
        };
        followed.show(service, answer, cause, settings);
        let snapshot = followed.source.current();
        metrics::gauge!("folio_registry_revision", "service" => service.to_string())
            .set(float(snapshot.revision.number()));
        metrics::gauge!("folio_registry_instances", "service" => service.to_string())
            .set(float(snapshot.instances.len()));
    }

    /// That of the service that was confirmed longest ago.
    fn publish_age(&self, began: Instant) {
        let services = self.lock();
        let ages = services.values().map(|followed| followed.source.age());
        let oldest = ages.map(|age| age.unwrap_or_else(|| began.elapsed())).max();
        metrics::gauge!("folio_registry_age_seconds").set(oldest.unwrap_or_default().as_secs_f64());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Followed>> {
        // Nothing panics under this lock.
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    fn show(
        &mut self,
        service: &ServiceName,
        answer: Answer,
        cause: Cause,
        settings: &RegistrySettings,
    ) {
        let shown = self.source.current();
        let mut shown = &*shown.instances;
        if self.shows == Shows::Seeds && !answer.listed.is_empty() {
            // They are the same ones by other names.
            shown = &[];
            self.shows = Shows::Instances;
        }
        let may_vanish = match cause {
            Cause::Clock => settings.removed_at_most(shown.len()),
            // Hints may come quickly one after the other.
            Cause::Hint => 0,
        };
        let revision = answer.revision;
        let next = caution::next(shown, answer, may_vanish);
        if next.kept > 0 {
            tracing::warn!(
                service = service.as_str(),
                kept = next.kept,
                "instances have vanished from the registry at once; they are taken off one after the other"
            );
        }
        self.source.confirm(Snapshot {
            revision,
            instances: next.instances,
        });
    }
}

/// Warns of what was readable before, or was not there.
fn warn(before: &BTreeSet<Unreadable>, now: &BTreeSet<Unreadable>) {
    for unreadable in now.difference(before) {
        tracing::warn!(%unreadable, "a row of the registry is passed over");
    }
}

/// A count, for a gauge.
fn float(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::discovery::{Incarnation, Instance, Status};

    fn accounts() -> ServiceName {
        "accounts".parse().unwrap()
    }

    fn seeded(seeds: u16) -> Watching {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let services = BTreeMap::from([(accounts(), (0..seeds).map(address).collect())]);
        Watching::new(StaticList::new(services))
    }

    fn listing(ids: &[&str]) -> Answer {
        let instance = |id: &&str| Instance {
            service: accounts(),
            id: id.parse().unwrap(),
            incarnation: Incarnation::new(1),
            address: SocketAddr::from(([127, 0, 0, 1], 80)),
            status: Status::Serving,
        };
        let listed = ids.iter().map(instance).map(|it| (it.id.clone(), it));
        Answer {
            listed: listed.collect(),
            ..Answer::default()
        }
    }

    fn shown(watch: &Watch) -> Vec<String> {
        let snapshot = watch.current();
        let ids = snapshot.instances.iter();
        ids.map(|instance| instance.id.to_string()).collect()
    }

    #[test]
    fn seeds_give_way_to_the_first_that_the_registry_names() {
        let watching = seeded(2);
        let watch = watching.watch(&accounts());
        assert_eq!(shown(&watch), ["static-1", "static-2"]);
        watching.show(
            &accounts(),
            listing(&["a"]),
            Cause::Hint,
            &RegistrySettings::default(),
        );
        assert_eq!(shown(&watch), ["a"]);
    }

    #[test]
    fn a_registry_that_knows_nobody_takes_seeds_off_one_after_the_other() {
        let watching = seeded(2);
        let watch = watching.watch(&accounts());
        let settings = RegistrySettings::default();
        watching.show(&accounts(), listing(&[]), Cause::Clock, &settings);
        assert_eq!(shown(&watch), ["static-2"]);
        // Once somebody is named, they go.
        watching.show(&accounts(), listing(&["a"]), Cause::Hint, &settings);
        assert_eq!(shown(&watch), ["a"]);
    }

    #[test]
    fn hints_take_nobody_off_that_has_vanished() {
        let watching = seeded(0);
        let watch = watching.watch(&accounts());
        let settings = RegistrySettings::default();
        watching.show(
            &accounts(),
            listing(&["a", "b", "c"]),
            Cause::Hint,
            &settings,
        );
        for _ in 0..10 {
            watching.show(&accounts(), listing(&[]), Cause::Hint, &settings);
        }
        assert_eq!(shown(&watch), ["a", "b", "c"]);
        for left in [&["b", "c"][..], &["c"], &[]] {
            watching.show(&accounts(), listing(&[]), Cause::Clock, &settings);
            assert_eq!(shown(&watch), left);
        }
    }
}
