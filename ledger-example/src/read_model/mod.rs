//! The read model of accounts: filled by a projector, read by queries.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod projector;
mod queries;
mod rows;

pub use projector::{AccountChange, BalancesProjector};
pub use queries::{Balances, BalancesQueries, Freshness, QueryError};
pub use rows::{AccountRow, StatementLine};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The migrations of the read model's database that are the ledger's own.
#[must_use]
pub fn migrations() -> folio_postgres::migrate::Migrations {
    folio_postgres::migrate::Migrations::new("ledger_balances", embedded::migrations::runner())
}
