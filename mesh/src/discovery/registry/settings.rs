//! How long leases last, and how often it is looked.

use std::num::NonZeroU32;
use std::time::Duration;

use thiserror::Error;

/// How a registry is used. All that use the same one should have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrySettings {
    /// How long an instance is listed that sends no heartbeats.
    pub term: Duration,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Between two looks at who is there, where no hint comes.
    pub poll: Duration,
    /// How long an answer of the database is waited for.
    pub answer: Duration,
    /// Of how many instances of a service that vanish at once one is taken off at a time.
    pub removes_one_in: NonZeroU32,
}

impl Default for RegistrySettings {
    /// A lease of three seconds; a heartbeat, a look, and the wait for an answer each a second; one in three.
    fn default() -> Self {
        Self {
            term: Duration::from_secs(3),
            heartbeat: Duration::from_secs(1),
            poll: Duration::from_secs(1),
            answer: Duration::from_secs(1),
            removes_one_in: NonZeroU32::MIN.saturating_add(2),
        }
    }
}

/// Settings of a registry that do not fit each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnfitSettings {
    /// One heartbeat that is lost would be the end of a lease.
    #[error(
        "a heartbeat each {heartbeat:?} does not keep a lease of {term:?}: let the term be twice that or longer"
    )]
    Term {
        /// Between two heartbeats.
        heartbeat: Duration,
        /// How long a lease lasts.
        term: Duration,
    },
    /// A time of nothing.
    #[error(
        "the heartbeat, the poll and the wait for an answer of a registry must be longer than nothing"
    )]
    Nothing,
}

impl RegistrySettings {
    /// Whether they fit each other.
    ///
    /// # Errors
    ///
    /// [`UnfitSettings`].
    pub fn check(&self) -> Result<(), UnfitSettings> {
        let Self {
            term, heartbeat, ..
        } = *self;
        if [heartbeat, self.poll, self.answer].contains(&Duration::ZERO) {
            return Err(UnfitSettings::Nothing);
        }
        if heartbeat.saturating_mul(2) > term {
            return Err(UnfitSettings::Term { heartbeat, term });
        }
        Ok(())
    }

    /// How long a lease lasts, for a statement.
    pub(super) fn term_ms(&self) -> i64 {
        i64::try_from(self.term.as_millis()).unwrap_or(i64::MAX)
    }

    /// One in how many goes, for a statement.
    pub(super) fn one_in(&self) -> i32 {
        i32::try_from(self.removes_one_in.get()).unwrap_or(i32::MAX)
    }

    /// How many of these may go at a time.
    pub(super) fn removed_at_most(&self, instances: usize) -> usize {
        let one_in = usize::try_from(self.removes_one_in.get()).unwrap_or(usize::MAX);
        (instances / one_in).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_settings_fit() {
        assert_eq!(RegistrySettings::default().check(), Ok(()));
    }

    #[test]
    fn a_lease_that_one_lost_heartbeat_ends_is_refused() {
        let heartbeat = Duration::from_secs(2);
        let settings = RegistrySettings {
            heartbeat,
            ..RegistrySettings::default()
        };
        let term = settings.term;
        assert_eq!(
            settings.check(),
            Err(UnfitSettings::Term { heartbeat, term })
        );
    }

    #[test]
    fn times_of_nothing_are_refused() {
        let usual = RegistrySettings::default();
        let (heartbeat, poll, answer) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for settings in [
            RegistrySettings { heartbeat, ..usual },
            RegistrySettings { poll, ..usual },
            RegistrySettings { answer, ..usual },
        ] {
            assert_eq!(settings.check(), Err(UnfitSettings::Nothing));
        }
    }

    #[test]
    fn a_third_may_go_and_one_always() {
        let at_most =
            [0, 1, 2, 3, 5, 6, 100].map(|it| RegistrySettings::default().removed_at_most(it));
        assert_eq!(at_most, [1, 1, 1, 1, 1, 2, 33]);
    }
}
