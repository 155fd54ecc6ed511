//! Folio's event store on PostgreSQL, and what it takes to have a PostgreSQL.
//!
//! # Layout
//!
//! * [`PostgresStore`]: the [`EventStore`](folio_core::EventStore) on PostgreSQL. Appending is in
//!   `append.rs`, reading in `read.rs`.
//! * [`Database`]: one database of one service, with its roles and its connection pools.
//! * [`provision`](mod@provision): makes databases and roles on a server.
//! * [`migrate`](mod@migrate): brings a database to the level that this program needs.
//! * [`commit`]: the one place that commits an explicit transaction.
//! * [`cluster`]: a private local PostgreSQL, for when there is no server.
//!
//! # Behaviour
//!
//! An append is one statement: no transaction is left open for a lost connection or a dropped
//! future to leave behind. What the connection was told last, the server does or does not do as a
//! whole; which of the two is asked with the command id.

mod append;
mod checks;
pub mod cluster;
pub mod database;
pub mod migrate;
mod pool;
pub mod provision;
mod read;
mod replay;
mod signal;
mod sqlstate;
mod store;
mod subscription;
mod transaction;

pub use append::AppendSettings;
pub use checks::UnfitServer;
pub use database::{Database, PoolError, Role};
pub use migrate::{MigrateError, migrate};
pub use pool::{Connection, Connections, Object, Pool};
pub use provision::{ProvisionError, provision};
pub use replay::Replay;
pub use store::{OpenError, PostgresStore};
pub use subscription::{Subscription, SubscriptionError, SubscriptionSettings};
pub use transaction::{CommitError, commit};
