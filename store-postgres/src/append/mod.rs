//! Appending: requests queue for the one appender of this store and process.
//!
//! The appender sends what waits as one statement, and gathers the next batch while that one is on
//! its way. Alone, a request is sent at once; under load the cost of the commit is shared. Each
//! request has an outcome of its own. See `appender.rs` for the task, `batch.rs` for the statement,
//! `single.rs` for those of whoever is alone, `answer.rs` for what comes back, `ends.rs` for what need
//! not be looked up, and `committed.rs` for who hears what was committed.

mod answer;
mod appender;
mod batch;
mod committed;
mod ends;
mod session;
mod single;

use std::time::{Duration, Instant};

use folio_core::store::{Append, AppendError, AppendStatus, Appended, Outcome};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use self::answer::Answer;
use self::appender::{Appender, Request};
use self::batch::Entry;
pub(crate) use self::committed::Observed;
pub use self::committed::{CommitObserver, CommittedCommand};
use crate::database::Database;
use crate::pool::Pool;
use crate::read;
use crate::signal::Hints;
use crate::sqlstate::boxed;

/// How a store's appender gathers and waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendSettings {
    /// How many requests may wait. Further callers wait for a place, in the order they came.
    pub queue: usize,
    /// Most requests in one statement.
    pub batch: usize,
    /// Most bytes of payload in one statement; a request that is larger is sent alone.
    pub batch_bytes: usize,
    /// How long one statement may take before its outcome counts as unknown.
    pub statement: Duration,
    /// How long an unknown outcome is looked into before the caller is told that it is unknown.
    pub resolve: Duration,
}

impl Default for AppendSettings {
    fn default() -> Self {
        Self {
            queue: 4_096,
            batch: 1_024,
            batch_bytes: 4 << 20,
            statement: Duration::from_secs(30),
            resolve: Duration::from_secs(10),
        }
    }
}

/// Who hears what was appended.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// How far the store has come.
    pub(crate) hints: Hints,
    /// What exactly was committed.
    pub(crate) observed: Observed,
}

/// The way to the appender. It works until this is dropped.
#[derive(Debug)]
pub(crate) struct Appends {
    queue: mpsc::Sender<Request>,
    readers: Pool,
}

impl Appends {
    /// Starts the appender of `database`.
    pub(crate) fn start(
        database: Database,
        readers: Pool,
        settings: AppendSettings,
        heard: Heard,
    ) -> Self {
        let (queue, requests) = mpsc::channel(settings.queue.max(1));
        tokio::spawn(Appender::new(database, settings, heard).run(requests));
        Self { queue, readers }
    }

    #[tracing::instrument(level = "debug", skip_all, fields(
        command = %append.context.id,
        correlation = %append.context.correlation_id,
        streams = append.writes.len(),
    ))]
    pub(crate) async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        let command = append.context.id;
        let entry = Entry::new(append).map_err(|error| AppendError::Failed(boxed(error)))?;
        let (reply, answer) = oneshot::channel();
        let request = Request {
            entry,
            reply,
            queued: Instant::now(),
            span: Span::current(),
        };
        // The appender ends with the runtime that it was started on.
        let gone = || "the store's appender has ended";
        self.queue
            .send(request)
            .await
            .map_err(|_| AppendError::Unavailable(gone().into()))?;
        let answer = answer.await.map_err(|_| AppendError::OutcomeUnknown {
            command,
            source: gone().into(),
        })??;
        let (status, outcome) = match answer {
            Answer::Executed(outcome) => (AppendStatus::Executed, outcome),
            Answer::RefusedBefore(refusal) => {
                (AppendStatus::AlreadyApplied, Outcome::Refused(refusal))
            }
            Answer::OnRecord {
                first_position,
                event_count,
            } => {
                let outcome = read::recorded_outcome(&self.readers, first_position, event_count)
                    .await
                    // It is on record, so this cannot be the answer that nothing was recorded.
                    .map_err(|error| AppendError::OutcomeUnknown {
                        command,
                        source: boxed(error),
                    })?;
                (AppendStatus::AlreadyApplied, outcome)
            }
        };
        Ok(Appended { status, outcome })
    }
}
