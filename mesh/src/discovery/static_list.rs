//! The instances that a configuration names.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use async_trait::async_trait;

use super::Discovery;
use super::instance::{Incarnation, Instance, NewInstance, Revision, Snapshot, Status};
use super::name::{InstanceId, ServiceName};
use super::registration::{Lease, RegisterError, Registration, RegistrationError};
use super::watch::Watch;

/// Services at addresses that are known beforehand, for development, or until a registry answers.
///
/// All of them serve. Their ids are their places: `static-1`, `static-2` and so on.
#[derive(Debug, Clone, Default)]
pub struct StaticList {
    services: BTreeMap<ServiceName, Vec<SocketAddr>>,
}

/// Nobody is told anything.
#[derive(Debug)]
struct Unlisted;

impl StaticList {
    /// The services at these addresses.
    #[must_use]
    pub const fn new(services: BTreeMap<ServiceName, Vec<SocketAddr>>) -> Self {
        Self { services }
    }

    /// The instances of a service. None of one that is not named.
    #[must_use]
    pub fn snapshot(&self, service: &ServiceName) -> Snapshot {
        let addresses = self.services.get(service).into_iter().flatten();
        let mut instances: Vec<Instance> = (1..)
            .zip(addresses)
            .map(|(place, address)| Instance {
                service: service.clone(),
                id: InstanceId::at_place(place),
                incarnation: Incarnation::NONE,
                address: *address,
                status: Status::Serving,
            })
            .collect();
        instances.sort_by(|one, other| one.id.cmp(&other.id));
        Snapshot {
            revision: Revision::NONE,
            instances,
        }
    }
}

#[async_trait]
impl Discovery for StaticList {
    /// Changes nothing: the list is what it is.
    async fn register(&self, _: NewInstance) -> Result<Registration, RegisterError> {
        Ok(Registration::new(Unlisted))
    }

    fn watch(&self, service: &ServiceName) -> Watch {
        Watch::fixed(self.snapshot(service))
    }
}

#[async_trait]
impl Lease for Unlisted {
    fn incarnation(&self) -> Incarnation {
        Incarnation::NONE
    }

    async fn set_status(&self, _: Status) -> Result<(), RegistrationError> {
        Ok(())
    }

    async fn deregister(&self) -> Result<(), RegistrationError> {
        Ok(())
    }

    async fn lost(&self) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn list(addresses: usize) -> Arc<dyn Discovery> {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = (1..).map(address).take(addresses).collect();
        let services = BTreeMap::from([("accounts".parse().unwrap(), addresses)]);
        Arc::new(StaticList::new(services))
    }

    #[tokio::test(start_paused = true)]
    async fn its_instances_serve_and_have_their_places_for_ids() {
        let mut watch = list(11).watch(&"accounts".parse().unwrap());
        let snapshot = watch.current();
        let port = |id: &str| {
            let of = |it: &&Instance| it.id.as_str() == id && it.status == Status::Serving;
            snapshot.instances.iter().find(of).unwrap().address.port()
        };
        assert_eq!(
            (port("static-1"), port("static-2"), port("static-11")),
            (1, 2, 11)
        );
        assert!(
            snapshot
                .instances
                .is_sorted_by(|one, other| one.id < other.id)
        );
        assert_eq!(watch.age(), Some(Duration::ZERO));
        let waited = timeout(Duration::from_secs(60), watch.changed()).await;
        assert!(waited.is_err());
    }

    #[tokio::test]
    async fn whoever_registers_changes_nothing() {
        let list = list(1);
        let accounts: ServiceName = "accounts".parse().unwrap();
        let before = list.watch(&accounts).current();
        let instance = NewInstance {
            service: accounts.clone(),
            id: "static-1".parse().unwrap(),
            address: SocketAddr::from(([127, 0, 0, 1], 99)),
            status: Status::Starting,
        };
        let registration = list.register(instance).await.unwrap();
        registration.set_status(Status::Draining).await.unwrap();
        assert_eq!(list.watch(&accounts).current(), before);
        registration.deregister().await.unwrap();
        assert_eq!(list.watch(&accounts).current(), before);
        let other = list.watch(&"rails".parse().unwrap());
        assert_eq!(*other.current(), Snapshot::default());
    }
}
