//! What projections, their builds and the parts of a build are called.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use folio_core::filter::Member;

/// Names a projection, and the revision of its code and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionName {
    /// Its name, for example `balances`: lower-case letters, digits and `_`, at most 48 of them.
    pub name: &'static str,
    /// Its revision: 1, 2, 3 … A build is filled by code of one revision.
    pub revision: i32,
}

impl ProjectionName {
    /// The projection `name`, as revision `revision` of its code fills it.
    #[must_use]
    pub const fn new(name: &'static str, revision: i32) -> Self {
        Self { name, revision }
    }

    /// As [`new`](Self::new), with a name that is made up at run time, such as one for each source. Each
    /// name is kept for as long as the process lives, once.
    #[must_use]
    pub fn named(name: &str, revision: i32) -> Self {
        static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        // Nothing panics under this lock.
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let name = match names.get(name) {
            Some(name) => name,
            None => {
                let name: &'static str = Box::leak(name.into());
                names.insert(name);
                name
            }
        };
        Self::new(name, revision)
    }

    /// The name becomes the name of a schema, which statements hold as it is.
    pub(crate) fn is_plain(self) -> bool {
        self.name.len() <= 48
            && self.name.starts_with(|c: char| c.is_ascii_lowercase())
            && self
                .name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }
}

impl fmt::Display for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} revision {}", self.name, self.revision)
    }
}

/// Names a build of a projection: a copy of its model in tables of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildName {
    /// The projection.
    pub projection: String,
    /// The build's number: 1, 2, 3 …
    pub build: i32,
}

impl BuildName {
    /// Build `build` of `projection`.
    #[must_use]
    pub fn new(projection: impl Into<String>, build: i32) -> Self {
        Self {
            projection: projection.into(),
            build,
        }
    }

    /// The schema of its tables.
    #[must_use]
    pub fn schema(&self) -> String {
        format!("{}_{}", self.projection, self.build)
    }
}

impl fmt::Display for BuildName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} build {}", self.projection, self.build)
    }
}

/// Names a part of a build: the streams that one of its runners fills it with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionName {
    /// The build.
    pub build: BuildName,
    /// Which streams.
    pub member: Member,
}

impl PartitionName {
    /// Its number, from 0, as the database holds it.
    pub(crate) fn number(&self) -> i16 {
        i16::try_from(self.member.number()).unwrap_or(i16::MAX)
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.build)?;
        if self.member.of() > 1 {
            let number = self.member.number().saturating_add(1);
            write!(f, ", partition {number} of {}", self.member.of())?;
        }
        Ok(())
    }
}
