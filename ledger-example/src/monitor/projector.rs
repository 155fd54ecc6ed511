//! The monitor as a projection: it goes on where it was, and what it finds is in tables.

use std::collections::BTreeMap;

use async_trait::async_trait;
use folio_core::{Position, RecordedEvent};
use folio_projections::{
    ModelTransaction, ProjectionName, Projector, ProjectorError, Sharing, Wanted,
};

use crate::monitor::content::Content;
use crate::monitor::{Invariant, Violation, rows};

/// Violations that are kept: the first ones tell what went wrong, the others that it still is.
const KEPT: i64 = 1_000;

const COUNT: &str = "SELECT count(*) FROM violations";
const FORGET: &str = "DELETE FROM violations WHERE NOT certain";

/// Watches over a book all the time, in the tables of `sql/tables.sql`: what the
/// [`Monitor`](crate::monitor::Monitor) remembers, as far as a batch is about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct InvariantsProjector;

impl InvariantsProjector {
    /// Its name and revision.
    pub const NAME: ProjectionName = ProjectionName::new("invariants", 1);
}

/// How sure a violation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    Certain,
    /// It is one unless the command goes on in the next batch.
    SoFar,
}

/// By what a violation is told from others.
type Named = (Position, Invariant, String);

#[async_trait]
impl Projector for InvariantsProjector {
    fn name(&self) -> ProjectionName {
        Self::NAME
    }

    fn wants(&self) -> Wanted {
        Wanted::all()
    }

    /// A book balances as a whole, and a command is judged with all of its events.
    fn sharing(&self) -> Sharing {
        Sharing::Undivided
    }

    fn tables(&self) -> &str {
        include_str!("sql/tables.sql")
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let contents: Vec<Content> = events.iter().map(Content::of).collect();
        let mut monitor = rows::load(events, &contents, model).await?;
        let before = monitor.memory.clone();
        let mut found = BTreeMap::new();
        for (event, content) in events.iter().zip(contents) {
            let violations = monitor.take_in_read(event, content);
            put(&mut found, violations, Certainty::Certain);
        }
        // Where a batch ends, an append need not: what is open stays open.
        let place = monitor.place.clone();
        put(&mut found, monitor.end_command(), Certainty::SoFar);
        monitor.place = place;

        rows::save(&before, &monitor, model).await?;
        let forget = model.prepare_cached(FORGET).await?;
        model.execute(&forget, &[]).await?;
        if found.is_empty() {
            return Ok(());
        }
        let known: i64 = model.query_one(COUNT, &[]).await?.try_get(0)?;
        let room = usize::try_from(KEPT.saturating_sub(known)).unwrap_or(0);
        let found: Vec<_> = found.into_values().take(room).collect();
        rows::save_violations(&found, model).await
    }
}

fn put(
    found: &mut BTreeMap<Named, (Violation, Certainty)>,
    violations: Vec<Violation>,
    certainty: Certainty,
) {
    for violation in violations {
        let name = (
            violation.position,
            violation.invariant,
            violation.what.clone(),
        );
        found.entry(name).or_insert((violation, certainty));
    }
}
