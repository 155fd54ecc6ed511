//! The read model of accounts: filled by a projector, read by queries.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod projector;
mod queries;
mod rows;

pub use projector::BalancesProjector;
pub use queries::{BalancesQueries, QueryError};
pub use rows::{AccountRow, StatementLine};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The migrations of the read model's tables.
#[must_use]
pub fn migrations() -> folio_postgres::migrate::Migrations {
    folio_postgres::migrate::Migrations::new("ledger_balances", embedded::migrations::runner())
}
