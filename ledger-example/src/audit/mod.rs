//! Replays the whole store: what entries, accounts and holds say of each other must agree, and the read
//! model with all of them.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod compare;
mod replayed;

use std::time::Instant;

use folio_core::event::DecodeError;
use folio_core::store::ReadError;
use folio_core::{BatchSize, EventStore, Position};
use folio_postgres::Replay;
use thiserror::Error;

use crate::audit::replayed::Replayed;
use crate::read_model::{BalancesQueries, QueryError};

/// Events read in one go: large enough that the round trip no longer counts.
const PAGE: BatchSize = match BatchSize::new(5_000) {
    Some(size) => size,
    None => BatchSize::ONE,
};

/// What an audit found.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditReport {
    /// The store's last position when the audit began.
    pub head: Position,
    /// The read model's checkpoint: both sides were compared as of this position.
    pub position: Position,
    /// Events read.
    pub events: u64,
    /// Accounts compared.
    pub accounts: usize,
    /// How long reading and replaying took.
    pub elapsed: std::time::Duration,
    /// What differs. Empty when all is well.
    pub differences: Vec<Difference>,
}

/// One thing on which events disagree with each other, or the read model with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The account, or the entry or hold with its category.
    pub account_id: String,
    /// What is compared.
    pub what: &'static str,
    /// What the events say.
    pub replayed: String,
    /// What the read model says, or other events.
    pub projected: String,
}

impl AuditReport {
    /// Events read in a second.
    #[must_use]
    pub fn events_per_second(&self) -> u128 {
        let micros = self.elapsed.as_micros().max(1);
        let events = u128::from(self.events).saturating_mul(1_000_000);
        events.checked_div(micros).unwrap_or(events)
    }
}

/// Replays every account, entry and hold from its events, and compares with the read model at its
/// checkpoint.
///
/// The model is read first, as of one moment, and the store is then replayed up to the position
/// that the model had at that moment: traffic may go on.
///
/// `progress` is told how many events have been read, and how many there are.
///
/// # Errors
///
/// [`AuditError`] when either side cannot be read. A difference is not an error but a finding.
pub async fn audit(
    store: &(impl EventStore + Clone),
    queries: &BalancesQueries,
    mut progress: impl FnMut(u64, u64),
) -> Result<AuditReport, AuditError> {
    let head = store.head().await?;
    let model = queries.now().await?;
    let snapshot = model.snapshot().await?;
    model.close().await?;
    let position = snapshot.position;
    if let Some(model) = snapshot.store_id
        && model != store.store_id()
    {
        return Err(AuditError::OtherStore {
            model,
            store: store.store_id(),
        });
    }
    if position > head {
        return Err(AuditError::StoreBehind { head, position });
    }

    let started = Instant::now();
    let total = position.number().unsigned_abs();
    let mut replayed = Replayed::default();
    let mut events = 0_u64;
    let mut pages = Replay::new(store.clone(), Position::START, position, PAGE);
    while let Some(batch) = pages.next().await? {
        for event in &batch {
            replayed.take_in(event)?;
        }
        events = events.saturating_add(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        progress(events, total);
    }
    let elapsed = started.elapsed();
    let accounts = replayed.accounts.len();
    let mut differences = replayed.contradictions();
    differences.extend(compare::with_model(&replayed, &snapshot));
    Ok(AuditReport {
        head,
        position,
        events,
        accounts,
        elapsed,
        differences,
    })
}

/// Why an audit could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The store cannot be read.
    #[error("the event store cannot be read")]
    Read(#[from] ReadError),
    /// An event cannot be decoded.
    #[error("the history cannot be replayed")]
    Decode(#[from] DecodeError),
    /// The read model cannot be read.
    #[error("the read model cannot be read")]
    Query(#[from] QueryError),
    /// The read model belongs to another store.
    #[error("the read model was filled from store {model}, this is store {store}")]
    OtherStore {
        /// The store that the model knows.
        model: folio_core::StoreId,
        /// The store that was to be replayed.
        store: folio_core::StoreId,
    },
    /// The read model knows more events than the store has: the store lost some.
    #[error(
        "the read model is at position {position}, the store ends at {head}: it has lost events or was restored"
    )]
    StoreBehind {
        /// The store's last position.
        head: Position,
        /// The model's position.
        position: Position,
    },
}
