//! Watches over what must be so of a book after every command, and names the first event after which
//! it is not.
//!
//! The [`Monitor`] is given the events in the order of their positions and remembers sums alone. It shares
//! no arithmetic with the aggregates but [`Money`](folio_core::Money): it would not notice a mistake
//! that it makes itself. It works in memory for a [check](check()) of a whole store, and in the
//! tables of the [projection](InvariantsProjector) all the time.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod account;
mod content;
mod memory;
mod projector;
mod queries;
mod rows;
mod sentry;
mod watch;

use folio_core::store::ReadError;
use folio_core::{BatchSize, EventStore, Position, StreamId};
use folio_postgres::Replay;

pub use projector::InvariantsProjector;
pub use queries::{FoundViolations, Invariants, InvariantsQueries};
pub(crate) use sentry::Sentry;
pub use watch::Monitor;

/// Events read in one go: large enough that the round trip no longer counts.
const PAGE: BatchSize = match BatchSize::new(5_000) {
    Some(size) => size,
    None => BatchSize::ONE,
};

/// What must be so of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Positions and the versions of each stream count 1, 2, 3 …
    NoGap,
    /// Every event can be read, its amounts in whole minor units of their currency.
    Readable,
    /// Each command is recorded once.
    CommandOnce,
    /// In no stream the time of recording goes back.
    TimeRises,
    /// The debits of each entry are its credits, in each currency.
    EntryBalances,
    /// What entries say was posted to an account is what the account says.
    LegsAgree,
    /// All debits are all credits, in each currency, as the accounts tell them.
    TrialBalance,
    /// No account is below its limit, with all that is held to go out.
    WithinLimit,
    /// What is pending on an account is the sum of the open holds on it.
    HoldsAgree,
    /// A hold is resolved once, and no more captured than is held.
    HoldOnce,
    /// An entry is reversed once, by the entry that says so.
    ReversedOnce,
    /// Nothing happens to an account before it is opened, or after it is closed, which it is when empty.
    Lifecycle,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::NoGap,
        Self::Readable,
        Self::CommandOnce,
        Self::TimeRises,
        Self::EntryBalances,
        Self::LegsAgree,
        Self::TrialBalance,
        Self::WithinLimit,
        Self::HoldsAgree,
        Self::HoldOnce,
        Self::ReversedOnce,
        Self::Lifecycle,
    ];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|invariant| invariant.as_str() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoGap => "no_gap",
            Self::Readable => "readable",
            Self::CommandOnce => "command_once",
            Self::TimeRises => "time_rises",
            Self::EntryBalances => "entry_balances",
            Self::LegsAgree => "legs_agree",
            Self::TrialBalance => "trial_balance",
            Self::WithinLimit => "within_limit",
            Self::HoldsAgree => "holds_agree",
            Self::HoldOnce => "hold_once",
            Self::ReversedOnce => "reversed_once",
            Self::Lifecycle => "lifecycle",
        }
    }
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub invariant: Invariant,
    /// The event after which it is not so; of what concerns a whole command, its last one.
    pub position: Position,
    /// That event's stream.
    pub stream: StreamId,
    /// What was found.
    pub what: String,
}

/// What a check of a whole store came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Up to where the store was checked.
    pub position: Position,
    /// What is not as it must be, in the order of positions; at most as many as were asked for.
    pub violations: Vec<Violation>,
}

/// Checks a whole store, and ends when `most` violations were found.
///
/// `progress` is told how many events have been read, and how many there are.
///
/// # Errors
///
/// [`ReadError`] when the store cannot be read, or lacks events. A violation is not an error but a
/// finding.
pub async fn check(
    store: &(impl EventStore + Clone),
    most: usize,
    mut progress: impl FnMut(u64, u64),
) -> Result<CheckReport, ReadError> {
    let head = store.head().await?;
    let mut monitor = Monitor::default();
    let mut violations = Vec::new();
    let mut pages = Replay::new(store.clone(), Position::START, head, PAGE);
    while let Some(batch) = pages.next().await? {
        for event in &batch {
            violations.extend(monitor.take_in(event));
        }
        progress(
            monitor.position().number().unsigned_abs(),
            head.number().unsigned_abs(),
        );
        if violations.len() >= most {
            break;
        }
    }
    violations.extend(monitor.end_command());
    violations.truncate(most);
    Ok(CheckReport {
        position: monitor.position(),
        violations,
    })
}
