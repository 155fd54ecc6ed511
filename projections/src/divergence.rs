//! In what a live model differs from a right replay, and since which event.
//!
//! Only the live model as it is now can be looked at, and not how it came to be so. What can be known is told, and no
//! more: a row that is as a right replay once had it has missed what came after; one that is as no right replay ever
//! had it was altered, or computed otherwise. A row that was removed by hand looks as one that was never written.

use std::collections::BTreeMap;

use folio_core::{Position, RecordedEvent, StreamId};
use folio_postgres::Transaction;

use crate::build::{Build, ModelError};
use crate::diff::{Comparison, Key, RowDiff, SNAPSHOT, TableDiff, compare, tables};
use crate::name::BuildName;
use crate::operations::OperationError;
use crate::projection::live;
use crate::seize::{TakenFrom, seize};
use crate::shadow::{Shadow, ShadowError};
use crate::source::verify;
use crate::watch::Watch;

/// In what a live model differs from a right replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The live build.
    pub live: BuildName,
    /// Both were compared as of this position.
    pub position: Position,
    /// How much differs, by table. The row of a [`RowDiff`] that is the build's is the right one here.
    pub tables: Vec<TableDiff>,
    /// The rows that are shown there, each with what can be said of it.
    pub rows: Vec<Diverged>,
    /// The streams that the replay could not take in either, with what their first event failed with.
    pub parked: BTreeMap<StreamId, String>,
}

/// A row that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverged {
    /// Its table.
    pub table: String,
    /// How it is, and how it should be: the build is the replay.
    pub row: RowDiff,
    /// What can be said of it.
    pub verdict: Verdict,
}

/// What can be said of a row that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is not there. In a right replay it is, since this event: that was missed, or the row was removed later.
    Missing {
        /// The event that should have made it.
        since: RecordedEvent,
    },
    /// It is as a right replay had it before this event, which it has missed, and what came after it.
    Behind {
        /// The first event that is not in it.
        missed: RecordedEvent,
    },
    /// It is as no right replay ever had it: it was altered, or computed otherwise. It is not right since this event
    /// at the latest.
    Altered {
        /// The event that wrote it last in a right replay.
        written: RecordedEvent,
    },
    /// It is there, and no event of a right replay ever wrote such a row.
    Unfounded,
    /// Two replays do not make the same row of the same events, so nothing can be said: the projector looks at more
    /// than events.
    Unsteady,
}

impl Verdict {
    /// The event from which on the row is known not to be right.
    #[must_use]
    pub const fn event(&self) -> Option<&RecordedEvent> {
        match self {
            Self::Missing { since: event }
            | Self::Behind { missed: event }
            | Self::Altered { written: event } => Some(event),
            Self::Unfounded | Self::Unsteady => None,
        }
    }

    /// `missing`, `behind`, `altered`, `unfounded` or `unsteady`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Behind { .. } => "behind",
            Self::Altered { .. } => "altered",
            Self::Unfounded => "unfounded",
            Self::Unsteady => "unsteady",
        }
    }
}

impl Divergence {
    /// Whether everything is as it should be, and everything could be compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(TableDiff::is_same)
    }

    /// Whether every row that differs is among those that were looked at.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.tables.iter().all(|table| match &table.comparison {
            Comparison::Compared { differing, rows } => {
                usize::try_from(*differing).is_ok_and(|differing| differing == rows.len())
            }
            Comparison::OnlyInOne | Comparison::NoKey => false,
        })
    }

    /// The first event that some row is known not to be right since, of the rows that were looked at.
    #[must_use]
    pub fn first(&self) -> Option<&RecordedEvent> {
        let events = self.rows.iter().filter_map(|row| row.verdict.event());
        events.min_by_key(|event| event.position)
    }
}

/// How far a comparison is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Everything is replayed, to be compared.
    Comparing,
    /// It is replayed again, event by event, to see how the rows came to be that differ.
    Tracing,
}

impl Shadow {
    /// Compares the live build with a right replay as of one position, row by row, and tells of at most `most` rows
    /// of each table since which event they are not right. Traffic goes on meanwhile; the live build stands still for
    /// the moment in which both are brought to that position.
    ///
    /// Where something differs, the events are replayed a second time, one by one: that takes about a millisecond each.
    ///
    /// # Errors
    ///
    /// [`ShadowError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing but the shadow; the live build may stand still until a lease has run out.
    pub async fn compare(
        &mut self,
        most: u16,
        told: &(dyn Fn(Pass, Position) + Sync),
    ) -> Result<Divergence, ShadowError> {
        let builds = self.projection.builds().await?;
        let live = live(&builds).ok_or(ShadowError::NoLive {
            projection: self.projection.name().name,
        })?;
        let ours = self.projection.name().revision;
        if live.revision != ours {
            let (build, revision) = (live.name.clone(), live.revision);
            return Err(OperationError::OtherRevision { build, revision }.into());
        }
        let comparing = |at: Position| told(Pass::Comparing, at);
        // Most of it before the live build is stopped.
        self.fill_to(live.position(), &comparing).await?;
        let (compared, position) = self.compared(live, most, &comparing).await?;
        let parked = self.parked().clone();
        let mut watch = Watch::new(&compared);
        if !watch.is_empty() {
            self.begin_again().await?;
            let tracing = |at: Position| told(Pass::Tracing, at);
            self.fill_watched(position, &mut watch, &tracing).await?;
        }
        Ok(Divergence {
            live: live.name.clone(),
            position,
            tables: compared.into_iter().map(|(table, _)| table).collect(),
            rows: watch.verdicts(),
            parked,
        })
    }

    /// Brings both to one position, and compares them as of that.
    async fn compared(
        &mut self,
        live: &Build,
        most: u16,
        told: &(dyn Fn(Position) + Sync),
    ) -> Result<(Vec<Compared>, Position), ShadowError> {
        let shared = self.projection.shared.clone();
        let seized = seize(&shared, &live.name, TakenFrom::Anybody).await?;
        let snapshot = async {
            if let Some(at) = self.projection.level(&seized, live).await? {
                verify(at, &*shared.source).await?;
            }
            let position = seized.highest();
            self.fill_to(position, told).await?;
            let client = self.pool.get().await.map_err(ModelError::Pool)?;
            let transaction = Transaction::begin(client, SNAPSHOT).await?;
            // The snapshot is taken with the first question.
            let tables = tables(&transaction, &live.name.schema(), &self.schema).await?;
            Ok::<_, ShadowError>((transaction, tables, position))
        }
        .await;
        seized.release(&shared).await;
        let (transaction, tables, position) = snapshot?;
        let mut compared = Vec::new();
        for (table, key) in tables {
            let (comparison, key) = match key {
                Key::Same(key) => {
                    let schemas = [live.name.schema(), self.schema.clone()];
                    let shown = i64::from(most);
                    let comparison = compare(&transaction, &schemas, &table, &key, shown).await?;
                    (comparison, key)
                }
                Key::Differs => (Comparison::OnlyInOne, Vec::new()),
                Key::None => (Comparison::NoKey, Vec::new()),
            };
            compared.push((TableDiff { table, comparison }, key));
        }
        transaction.rollback().await?;
        Ok((compared, position))
    }
}

/// A table that was compared, and the columns of its key.
pub(crate) type Compared = (TableDiff, Vec<String>);
