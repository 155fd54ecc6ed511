//! Folio's event store on PostgreSQL, and what it takes to have a PostgreSQL.
//!
//! ```
//! use folio_core::store::{Append, StreamWrite};
//! use folio_core::*;
//! use folio_postgres::cluster::{Durability, ThrowawayCluster};
//! use folio_postgres::migrate::store_migrations;
//! use folio_postgres::{PostgresStore, Role, migrate, provision};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A server of its own that is gone afterwards; any PostgreSQL whose settings keep commits will do.
//! let cluster = ThrowawayCluster::start(Durability::Durable).await?;
//! let roles = [Role::Appender, Role::Reader];
//! let database = provision(&cluster.connection_config(), "book", &roles).await?;
//! migrate(&database, store_migrations()).await?;
//! let store = PostgresStore::open(&database, 4).await?;
//!
//! // The executor of `folio-runtime` makes requests out of decisions. This is one by hand.
//! let request = Append::events(
//!     CommandContext::new(CommandId::derived(&["note", "1"]), Actor::anonymous()),
//!     Fingerprint::of(&[b"note"]),
//!     vec![StreamWrite {
//!         stream: StreamId::new("notes", "monday")?,
//!         expected: ExpectedVersion::NoStream,
//!         events: vec![NewEvent {
//!             event_type: "Noted".to_owned(),
//!             schema_version: 1,
//!             payload: br#"{"text":"opened"}"#.to_vec(),
//!         }],
//!     }],
//! );
//! assert_eq!(store.append(request.clone()).await?.status, AppendStatus::Executed);
//! assert_eq!(store.append(request).await?.status, AppendStatus::AlreadyApplied);
//! let history = store.read_all(Position::START, BatchSize::default()).await?;
//! assert_eq!(history.len(), 1);
//! cluster.remove().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! * [`PostgresStore`]: the [`EventStore`](folio_core::EventStore) on PostgreSQL. Appending is in
//!   `append/`, reading in `read.rs` and `rows.rs`; `checks.rs` says which server is fit to be opened.
//! * [`Subscription`]: follows a store; `signal.rs` wakes it across processes.
//! * [`Replay`]: reads a store from end to end, one page ahead.
//! * [`Database`]: one database of one service, with its roles and its connection pools, from which
//!   a [`Connection`] comes back only when its use came to an end.
//! * [`provision`](mod@provision): makes databases and roles on a server.
//! * [`migrate`](mod@migrate): brings a database to the level that this program needs.
//! * [`Wakes`]: for who drives a connection in the task that asks on it, as the appender does.
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
mod rows;
mod signal;
mod sqlstate;
mod store;
mod subscription;
mod transaction;
mod wakes;

pub use append::{AppendSettings, CommitObserver, CommittedCommand};
pub use checks::UnfitServer;
pub use database::{Database, PoolError, Role};
pub use migrate::{MigrateError, migrate};
pub use pool::{Connection, Connections, Object, Pool};
pub use provision::{ProvisionError, database_exists, provision, provision_login};
pub use replay::Replay;
pub use store::{OpenError, PostgresStore};
pub use subscription::{Subscription, SubscriptionError, SubscriptionSettings};
pub use transaction::{CommitError, Transaction, commit};
pub use wakes::Wakes;
