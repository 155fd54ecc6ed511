//! Which instances of a service there are, and how they look from here.
//!
//! [`Discovery`] is where instances say that they are there, and where callers watch who is. Behind it stands a
//! [`StaticList`], for development, or the `Registry` in PostgreSQL (feature `postgres`), which
//! needs no further server; one in etcd, Consul or DNS would fit behind the same trait.
//!
//! What callers see is a [`Snapshot`] that may be old: it stays when its source is down, and its [age](Watch::age) tells.
//! Whether an instance answers is found out by who calls it.
//!
//! * `name.rs`: names of services and ids of instances.
//! * `instance.rs`: an instance, and all of them at one time.
//! * `watch.rs`: seeing them come and go.
//! * `registration.rs`: being one of them.
//! * `static_list.rs`: those that a configuration names.
//! * `registry/`: those that a database knows.

use async_trait::async_trait;

mod instance;
mod name;
mod registration;
#[cfg(feature = "postgres")]
pub mod registry;
mod static_list;
mod watch;

pub use instance::{Incarnation, Instance, NewInstance, Revision, Snapshot, Status};
pub use name::{InstanceId, InvalidName, ServiceName};
pub use registration::{Lease, RegisterError, Registration, RegistrationError};
#[cfg(feature = "postgres")]
pub use registry::{
    OpenRegistryError, PrepareRegistryError, Registry, RegistrySettings, UnfitSettings,
};
pub use static_list::StaticList;
pub use watch::{Watch, WatchSource};

/// Where services say that they are there, and find each other.
#[async_trait]
pub trait Discovery: Send + Sync {
    /// Lists an instance, for as long as what is answered is kept. Whoever is listed under the same id is taken over.
    ///
    /// # Errors
    ///
    /// [`RegisterError`].
    ///
    /// # Cancel safety
    ///
    /// An instance whose future is dropped may be listed until its lease ends.
    async fn register(&self, instance: NewInstance) -> Result<Registration, RegisterError>;

    /// The instances of a service, as they come and go. Of a service that nobody has heard of there are none yet.
    fn watch(&self, service: &ServiceName) -> Watch;
}
