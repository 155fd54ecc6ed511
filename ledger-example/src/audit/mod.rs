//! Replays the whole store and compares every balance with the read model.

use std::collections::BTreeMap;
use std::time::Instant;

use folio_core::event::DecodeError;
use folio_core::store::ReadError;
use folio_core::{Aggregate, BatchSize, EventStore, Position, Version, replay};
use folio_postgres::Replay;
use thiserror::Error;

use crate::account::{Account, Status};
use crate::read_model::{AccountRow, BalancesProjector, BalancesQueries, QueryError};

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

/// One account on which replay and read model disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The account.
    pub account_id: String,
    /// What is compared.
    pub what: &'static str,
    /// What the events say.
    pub replayed: String,
    /// What the read model says.
    pub projected: String,
}

impl AuditReport {
    /// Events read in a second.
    #[must_use]
    pub fn events_per_second(&self) -> u128 {
        let micros = self.elapsed.as_micros().max(1);
        u128::from(self.events).saturating_mul(1_000_000) / micros
    }
}

/// Replays every account from its events, and compares with the read model at its checkpoint.
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
    let mut accounts: BTreeMap<String, (Option<Account>, Version)> = BTreeMap::new();
    let mut events = 0_u64;
    let mut pages = Replay::new(store.clone(), Position::START, position, PAGE);
    while let Some(batch) = pages.next().await? {
        for event in batch
            .iter()
            .filter(|e| e.stream.category() == Account::CATEGORY)
        {
            let (state, version) = match accounts.get_mut(event.stream.id()) {
                Some(known) => known,
                None => accounts
                    .entry(event.stream.id().to_owned())
                    .or_insert((None, Version::NONE)),
            };
            *state = replay::<Account>(state.take(), [event])?;
            *version = event.version;
        }
        events = events.saturating_add(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        progress(events, total);
    }
    let elapsed = started.elapsed();

    let mut differences = compare(&accounts, &snapshot.accounts);
    differences.extend(compare_lines(&snapshot.accounts, &snapshot.last_lines));
    Ok(AuditReport {
        head,
        position,
        events,
        accounts: accounts.len(),
        elapsed,
        differences,
    })
}

fn compare(
    replayed: &BTreeMap<String, (Option<Account>, Version)>,
    projected: &[AccountRow],
) -> Vec<Difference> {
    let projected: BTreeMap<&str, &AccountRow> = projected
        .iter()
        .map(|row| (row.account_id.as_str(), row))
        .collect();
    let mut differences = Vec::new();
    for (id, (account, version)) in replayed {
        let mut differs = |what, replayed: String, projected: String| {
            if replayed != projected {
                differences.push(Difference {
                    account_id: id.clone(),
                    what,
                    replayed,
                    projected,
                });
            }
        };
        let (Some(account), Some(row)) = (account, projected.get(id.as_str())) else {
            let missing = || "missing".to_owned();
            differs(
                "account",
                account.map_or_else(missing, |_| "present".to_owned()),
                projected
                    .get(id.as_str())
                    .map_or_else(missing, |_| "present".to_owned()),
            );
            continue;
        };
        if account.status() == Status::Inconsistent {
            differs("history", "inconsistent".to_owned(), row.status.clone());
        }
        differs("version", version.to_string(), row.version.to_string());
        differs(
            "status",
            account.status().as_str().to_owned(),
            row.status.clone(),
        );
        differs(
            "balance",
            account.balance().to_string(),
            row.balance.to_string(),
        );
        differs(
            "credits",
            account.credits_posted().to_string(),
            row.credits_posted.to_string(),
        );
        differs(
            "debits",
            account.debits_posted().to_string(),
            row.debits_posted.to_string(),
        );
    }
    let unknown = projected.keys().filter(|id| !replayed.contains_key(**id));
    differences.extend(unknown.map(|id| Difference {
        account_id: (*id).to_owned(),
        what: "account",
        replayed: "missing".to_owned(),
        projected: "present".to_owned(),
    }));
    differences
}

/// The running balance of an account's last statement line must be its balance.
fn compare_lines(
    accounts: &[AccountRow],
    last_lines: &[(String, rust_decimal::Decimal)],
) -> Vec<Difference> {
    let last_lines: BTreeMap<&str, rust_decimal::Decimal> = last_lines
        .iter()
        .map(|(id, balance)| (id.as_str(), *balance))
        .collect();
    accounts
        .iter()
        .filter_map(|row| {
            let line = last_lines
                .get(row.account_id.as_str())
                .copied()
                .unwrap_or_default();
            (line != row.balance.amount()).then(|| Difference {
                account_id: row.account_id.to_string(),
                what: "statement",
                replayed: row.balance.amount_text(),
                projected: line.to_string(),
            })
        })
        .collect()
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
    #[error(
        "the read model of projection {} was filled from store {model}, this is store {store}",
        BalancesProjector::NAME
    )]
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
