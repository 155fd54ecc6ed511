//! Folio's event store on PostgreSQL, and what it takes to have a PostgreSQL.
//!
//! # Layout
//!
//! * [`PostgresStore`]: the [`EventStore`](folio_core::EventStore) on PostgreSQL. Appending is in
//!   `append/`, reading in `read.rs`; `checks.rs` says which server is fit to be opened.
//! * [`Subscription`]: follows a store; `signal.rs` wakes it across processes.
//! * [`Replay`]: reads a store from end to end, one page ahead.
//! * [`Database`]: one database of one service, with its roles and its connection pools, from which
//!   a [`Connection`] comes back only when its use came to an end.
//! * [`provision`](mod@provision): makes databases and roles on a server.
//! * [`migrate`](mod@migrate): brings a database to the level that this program needs.
//! * [`commit`]: the one place that commits an explicit transaction.
//! * [`cluster`]: a private local PostgreSQL, for when there is no server.
//!
//! # Behaviour
//!
//! An append is one statement: no transaction is left open for a lost connection or a dropped
//! future to leave behind. What the connection was told last, the server does or does not do as a
//! whole; which of the two is found out by the command id, on a session that waits until the old one
//! has gone.

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
