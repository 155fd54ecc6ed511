//! What a store's appender has committed, told as it goes.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use folio_core::store::{AppendError, Outcome};
use folio_core::{Fingerprint, RecordedEvent};

use super::answer::Answer;

/// A command that has events, as the store has just recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedCommand<'a> {
    /// What it asked for.
    pub fingerprint: Fingerprint,
    /// Its events, in the order of their positions, which follow one upon the other.
    pub events: &'a [RecordedEvent],
}

/// Hears what the appender of a [`PostgresStore`](crate::PostgresStore) has committed, before those who asked for it are
/// answered: the events are theirs then, and it would need others of its own.
///
/// Not told is what other processes commit, what was found on record, and what has no events. Calls may come in
/// another order than commits, and more than one at once.
pub trait CommitObserver: fmt::Debug + Send + Sync {
    /// Commands that were committed one upon the other, in the appender's `session` of this number.
    ///
    /// A later session of this process has a higher number. What an earlier one has committed may be gone when a later one begins: a server
    /// that loses commits, in a failover or by a restore, ends all sessions.
    ///
    /// Those who asked wait for this, and the appender too where there is little to answer: it must not take long.
    fn committed(&self, session: u64, commands: &[CommittedCommand<'_>]);
}

/// Who hears it, if anybody does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed(Arc<RwLock<Option<Arc<dyn CommitObserver>>>>);

impl Observed {
    pub(crate) fn by(&self, observer: Option<Arc<dyn CommitObserver>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = observer;
    }

    pub(super) fn observer(&self) -> Option<Arc<dyn CommitObserver>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Those of the commands of these fingerprints that this call has recorded with events.
pub(super) fn committed<'a>(
    fingerprints: &[Fingerprint],
    answers: impl Iterator<Item = &'a Result<Answer, AppendError>>,
) -> Vec<CommittedCommand<'a>> {
    let executed = fingerprints.iter().zip(answers);
    executed
        .filter_map(|(fingerprint, answer)| match answer {
            Ok(Answer::Executed(Outcome::Committed(events))) => Some(CommittedCommand {
                fingerprint: *fingerprint,
                events,
            }),
            _ => None,
        })
        .collect()
}
