//! Being one of the instances of a service.

use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;
use thiserror::Error;

use super::instance::{Incarnation, Status};
use super::name::{InstanceId, ServiceName};

/// An instance that is listed for as long as this is kept. Whoever drops it is taken off in the background.
#[derive(Debug)]
#[must_use = "an instance whose registration is dropped is taken off"]
pub struct Registration {
    lease: Box<dyn Lease>,
}

/// What keeps an instance listed: the part of a registry. It is given up when it is dropped.
#[async_trait]
pub trait Lease: Debug + Send + Sync {
    /// As [`Registration::incarnation`].
    fn incarnation(&self) -> Incarnation;

    /// As [`Registration::set_status`].
    async fn set_status(&self, status: Status) -> Result<(), RegistrationError>;

    /// As [`Registration::deregister`].
    async fn deregister(&self) -> Result<(), RegistrationError>;

    /// As [`Registration::lost`].
    async fn lost(&self);
}

impl Registration {
    /// One that this keeps.
    pub fn new(lease: impl Lease + 'static) -> Self {
        Self {
            lease: Box::new(lease),
        }
    }

    /// Which of those it is that have had its id. It is another one when it had to register again.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.lease.incarnation()
    }

    /// Says what the instance is ready for.
    ///
    /// # Errors
    ///
    /// [`RegistrationError`]. Where the registry did not answer, it is told as soon as it does.
    ///
    /// # Cancel safety
    ///
    /// The registry is told all the same.
    pub async fn set_status(&self, status: Status) -> Result<(), RegistrationError> {
        self.lease.set_status(status).await
    }

    /// Takes the instance off.
    ///
    /// # Errors
    ///
    /// [`RegistrationError`]. Where the registry did not answer, the instance is listed until its lease ends.
    ///
    /// # Cancel safety
    ///
    /// The registry is told all the same.
    pub async fn deregister(self) -> Result<(), RegistrationError> {
        self.lease.deregister().await
    }

    /// Waits until another instance has its id. It is not listed any more then and never comes back by itself: whoever
    /// it is should stop.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn lost(&self) {
        self.lease.lost().await;
    }
}

/// Why an instance could not be listed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The registry did not answer.
    #[error(
        "instance {id} of {service} is not registered: the registry does not answer; try again, and see that it is up"
    )]
    Unreachable {
        /// Of which service.
        service: ServiceName,
        /// Which.
        id: InstanceId,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Why the registry was not told something of an instance.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The registry did not answer.
    #[error("the registry does not answer for instance {id} of {service}; see that it is up")]
    Unreachable {
        /// Of which service.
        service: ServiceName,
        /// Which.
        id: InstanceId,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another instance has its id.
    #[error(
        "instance {id} of {service} is not listed any more, for another one registered with its id; stop it, or give \
         each an id of its own"
    )]
    Lost {
        /// Of which service.
        service: ServiceName,
        /// Which.
        id: InstanceId,
    },
}
