//! The read model of a book: filled by a projector, read by queries.
//!
//! * [`BalancesProjector`] fills the tables of `sql/tables.sql`: `account_rows`, `journal_rows` and
//!   `hold_rows` each some of them.
//! * [`Balances`] reads them as of one moment: accounts and holds here, what was posted in `journal`.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod account_rows;
mod hold_rows;
mod journal;
mod journal_rows;
mod projector;
mod queries;
mod rows;

pub use journal::{AsOf, EntryRow, Place, Statement, StatementLine, TrialBalance};
pub use projector::BalancesProjector;
pub(crate) use queries::Snapshot;
pub use queries::{AccountsFilter, Balances, BalancesQueries, Freshness, HoldsFilter, QueryError};
pub use rows::{AccountRow, HeldRow, HoldRow, LegRow, MetadataChangeRow, TotalRow};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The migrations that remove the read model of the ledger's first version, which was in the database of a
/// book's own models.
#[must_use]
pub fn migrations() -> folio_postgres::migrate::Migrations {
    folio_postgres::migrate::Migrations::new("ledger_balances", embedded::migrations::runner())
}
