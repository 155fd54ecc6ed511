//! An instance of a service, and all of them at one time.

use std::fmt;
use std::net::SocketAddr;

use super::name::{InstanceId, ServiceName};

/// Which of those it is that have had the same id: higher than that of anybody before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(i64);

/// How often it has changed who the instances of a service are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(i64);

/// What an instance is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It is there, and not to be asked yet.
    Starting,
    /// It answers.
    Serving,
    /// It is about to go: it answers what it is asked already, and gets nothing new.
    Draining,
}

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Of which service.
    pub service: ServiceName,
    /// Which of them.
    pub id: InstanceId,
    /// Which of those that have had this id.
    pub incarnation: Incarnation,
    /// Where it is asked.
    pub address: SocketAddr,
    /// What it is ready for.
    pub status: Status,
}

/// An instance that is not listed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstance {
    /// Of which service.
    pub service: ServiceName,
    /// Which of them.
    pub id: InstanceId,
    /// Where it is asked.
    pub address: SocketAddr,
    /// What it is ready for.
    pub status: Status,
}

/// The instances of a service at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Which time that was.
    pub revision: Revision,
    /// The instances, by their ids.
    pub instances: Vec<Instance>,
}

impl Incarnation {
    /// Of what never registers.
    pub const NONE: Self = Self(0);

    /// The incarnation with this number.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl Revision {
    /// Before anybody registered.
    pub const NONE: Self = Self(0);

    /// The revision with this number.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl Status {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
