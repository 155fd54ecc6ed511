//! What a store's appender has committed, told as it goes.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use folio_core::store::{AppendError, Outcome};
use folio_core::{Fingerprint, RecordedEvent};

use super::batch::{Answer, Entry};

/// A command that has events, as the store has just recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedCommand {
    /// What it asked for.
    pub fingerprint: Fingerprint,
    /// Its events, in the order of their positions, which follow one upon the other.
    pub events: Vec<RecordedEvent>,
}

/// Hears what the appender of a [`PostgresStore`](crate::PostgresStore) has committed, after those who asked for it were
/// answered.
///
/// Not told is what other processes commit, what was found on record, and what has no events. Calls may come in
/// another order than commits, and more than one at once.
pub trait CommitObserver: fmt::Debug + Send + Sync {
    /// Commands that were committed together, in the appender's `session` of this number.
    ///
    /// A later session of this process has a higher number. What an earlier one has committed may be gone when a later one begins: a server
    /// that loses commits, in a failover or by a restore, ends all sessions.
    ///
    /// The appender waits for this where there was little to answer, so it must not take long, and cannot wait.
    fn committed(&self, session: u64, commands: &[CommittedCommand]);
}

/// Who hears it, if anybody does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed(Arc<RwLock<Option<Arc<dyn CommitObserver>>>>);

/// What a batch comes to if it is recorded, for those that look at the answers.
pub(super) struct Asked(Vec<Fingerprint>);

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

impl Asked {
    pub(super) fn of(entries: &[Entry]) -> Self {
        Self(
            entries
                .iter()
                .map(|entry| entry.append.fingerprint)
                .collect(),
        )
    }

    /// Those of them that this call has recorded with events.
    pub(super) fn committed(
        self,
        answers: &[Result<Answer, AppendError>],
    ) -> Vec<CommittedCommand> {
        let executed = self.0.into_iter().zip(answers);
        executed
            .filter_map(|(fingerprint, answer)| match answer {
                Ok(Answer::Executed(Outcome::Committed(events))) => Some(CommittedCommand {
                    fingerprint,
                    events: events.clone(),
                }),
                _ => None,
            })
            .collect()
    }
}
