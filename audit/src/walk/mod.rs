//! Walks a whole store and proves it against its log.
//!
//! Every row is read once and hashed again from the bytes that are stored. The checkpoints say which rows are which leaves
//! and what they come to; the tiles say what each leaf was when it was sealed. Where a row and its tile differ, the next root
//! that was signed says which of the two was changed. Where both were changed alike, the root shows that they were, and
//! between which leaves. The map of streams is compared at each checkpoint too.
//!
//! * [`ends`] has the checkpoints, those in the database and those that only an anchor has.
//! * [`walker`] goes from one to the next, and [`settle`] judges at each; [`log`], [`streams`] and [`structure`] are what the
//!   rows so far come to.
//! * [`source`] is what is read from: [`stored`] is a database, and [`ahead`] are its pages.
//!
//! What is not sealed yet is compared with itself alone: positions, versions, commands, times. That no command was recorded
//! twice is not looked at; the store's own index sees to that.
//!
//! Memory: the map of streams, 48 bytes a stream and 4 MB, the rows of four pages and the hashes of a seal.

mod ahead;
mod ends;
mod error;
mod finding;
mod log;
mod outcomes;
mod report;
mod sealed;
mod sentences;
mod settle;
mod source;
mod stored;
mod streams;
mod stretch;
mod structure;
mod tell;
#[cfg(test)]
mod tests;
mod verdict;
mod walker;

use std::sync::Arc;

use folio_postgres::{Database, Pool, PoolError, Role};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

pub use error::WalkError;
pub use finding::{Evidence, Finding, Range, RowAt, StructureFault};
pub use report::WalkReport;
pub use tell::Walked;

use crate::anchor::Anchor;
use crate::trusted::TrustedLog;
use ends::{Compared, Ends, Upkeep};
use stored::Stored;
use walker::{Moment, Walker};

/// As whom the store is read.
const ROLE: Role = Role::Auditor;
/// What was found and nobody has heard of yet.
const UNHEARD: usize = 64;

/// Walks a whole store and proves it against its log, beside those who append to it and seal it, or without them.
#[derive(Debug)]
pub struct Walk {
    log: TrustedLog,
    readers: Pool,
    anchors: Vec<(Arc<dyn Anchor>, Upkeep)>,
}

impl Walk {
    /// Connections that it takes at most.
    pub const CONNECTIONS: usize = Stored::CONNECTIONS;

    /// Walks the store in this database, which was sealed as `log`. No connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn open(database: &Database, log: TrustedLog) -> Result<Self, PoolError> {
        Ok(Self {
            log,
            readers: database.pool(ROLE, Self::CONNECTIONS)?,
            anchors: Vec::new(),
        })
    }

    /// The same, and every checkpoint in this anchor must be in the log. The anchor must have what was sealed more than a minute
    /// ago.
    #[must_use]
    pub fn anchored_in(mut self, anchor: Arc<dyn Anchor>) -> Self {
        self.anchors.push((anchor, Upkeep::Live));
        self
    }

    /// The same, and every checkpoint in this copy of an anchor must be in the log. It may be of any time, but not empty.
    #[must_use]
    pub fn anchored_in_copy(mut self, anchor: Arc<dyn Anchor>) -> Self {
        self.anchors.push((anchor, Upkeep::Copy));
        self
    }

    /// Walks all that is there now. Tells how far it is, and the first `most` findings as they are found: those of one seal
    /// together, in the order of their positions.
    ///
    /// # Errors
    ///
    /// [`WalkError`]. What is not as it was sealed is no error but a finding.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the walk.
    pub async fn run(
        &self,
        most: usize,
        mut tell: impl FnMut(Walked),
    ) -> Result<WalkReport, WalkError> {
        // Before the moment that is walked: what is anchored by now is in the database by then.
        let mut anchors = Vec::new();
        for (anchor, upkeep) in &self.anchors {
            let records = anchor.records().await?;
            anchors.push(Compared::new(anchor.place(), *upkeep, records));
        }
        let moment = Moment::read(&self.readers).await?;
        let source = Stored::read(&self.readers, &self.log, &moment);
        let ends = Ends::new(self.log.clone(), anchors, moment.size);
        let (say, mut heard) = mpsc::channel(UNHEARD);
        let say = move |walked| say.blocking_send(walked).map_err(|_| WalkError::Stopped);
        let walking = spawn_blocking(move || Walker::new(source, ends, moment, most, say).run());
        while let Some(walked) = heard.recv().await {
            tell(walked);
        }
        walking.await.map_err(|_| WalkError::Stopped)?
    }
}
