//! Fills the read model: a few set-based statements a batch, whatever its size.

use async_trait::async_trait;
use folio_core::{Aggregate, RecordedEvent};
use folio_projections::{ModelTransaction, ProjectionName, Projector, ProjectorError, Wanted};

use crate::account::Account;
use crate::balances::BookName;
use crate::hold::Hold;
use crate::journal::Entry;
use crate::read_model::{account_rows, hold_rows, journal_rows};

/// Projects the book into the tables of `sql/tables.sql`: accounts from the events of accounts, entries,
/// legs and totals from those of entries, holds from those of holds.
///
/// It adds up on its own and shares no arithmetic with the aggregates beyond
/// [`Money`](folio_core::Money), so that an audit which compares the two compares two computations.
///
/// Each book has a projection of its own, since each has a store of its own, and fails and comes back by
/// itself.
#[derive(Debug, Clone, Copy)]
pub struct BalancesProjector {
    name: ProjectionName,
}

impl BalancesProjector {
    const REVISION: i32 = 2;

    /// Projects the book of this name.
    #[must_use]
    pub fn of(book: &BookName) -> Self {
        let name = format!("balances_{book}");
        Self {
            name: ProjectionName::named(&name, Self::REVISION),
        }
    }
}

#[async_trait]
impl Projector for BalancesProjector {
    fn name(&self) -> ProjectionName {
        self.name
    }

    fn wants(&self) -> Wanted {
        Wanted::category(Account::CATEGORY)
            .and_category(Entry::CATEGORY)
            .and_category(Hold::CATEGORY)
    }

    fn tables(&self) -> &str {
        include_str!("sql/tables.sql")
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        account_rows::write(&of::<Account>(events), model).await?;
        // The postings of the first version of the ledger are events of accounts.
        journal_rows::write(events, model).await?;
        hold_rows::write(&of::<Hold>(events), model).await
    }
}

fn of<A: Aggregate>(events: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let of_it = |event: &&RecordedEvent| event.stream.category() == A::CATEGORY;
    events.iter().filter(of_it).cloned().collect()
}

/// What cannot be, with the event that says it.
pub(super) fn contradiction(
    recorded: &RecordedEvent,
    what: &dyn std::fmt::Display,
) -> ProjectorError {
    ProjectorError::Contradiction(format!(
        "position {} ({}, version {}, {}): {what}",
        recorded.position, recorded.stream, recorded.version, recorded.event_type
    ))
}

/// Versions count without gaps. One too many or too few is a lost or doubled event.
pub(super) fn check_version(
    recorded: &RecordedEvent,
    held: folio_core::Version,
) -> Result<(), ProjectorError> {
    if recorded.version == held.plus(1) {
        return Ok(());
    }
    let held = format!("the model is at version {held}");
    Err(contradiction(recorded, &held))
}
