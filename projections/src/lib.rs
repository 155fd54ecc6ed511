//! Read models that cannot lie: each event once, by one writer at a time, rebuilt beside live traffic.
//!
//! A balance of every account, with all that it takes to fill and read it:
//!
//! ```
//! # use std::collections::BTreeMap;
//! use async_trait::async_trait;
//! use folio_core::{Event, RecordedEvent};
//! use folio_projections::{ModelTransaction, ProjectionName, Projector, ProjectorError, Wanted};
//!
//! #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
//! enum AccountEvent {
//!     Deposited { cents: i64 },
//!     Withdrawn { cents: i64 },
//! }
//! impl Event for AccountEvent {}
//!
//! struct Balances;
//!
//! #[async_trait]
//! impl Projector for Balances {
//!     fn name(&self) -> ProjectionName {
//!         ProjectionName::new("balances", 1)
//!     }
//!     fn wants(&self) -> Wanted {
//!         Wanted::category("account")
//!     }
//!     fn tables(&self) -> &str {
//!         "CREATE TABLE balances (account text PRIMARY KEY, cents bigint NOT NULL)"
//!     }
//!     async fn handle(
//!         &self,
//!         events: &[RecordedEvent],
//!         model: &mut ModelTransaction,
//!     ) -> Result<(), ProjectorError> {
//!         let mut changes = BTreeMap::<&str, i64>::new();
//!         for recorded in events {
//!             for event in recorded.decode()? {
//!                 *changes.entry(recorded.stream.id()).or_default() += match event {
//!                     AccountEvent::Deposited { cents } => cents,
//!                     AccountEvent::Withdrawn { cents } => -cents,
//!                 };
//!             }
//!         }
//!         let (accounts, cents) = changes.into_iter().unzip();
//!         model.upsert("balances").key("account", &accounts).add("cents", &cents).execute().await
//!     }
//! }
//!
//! # use std::sync::Arc;
//! # use std::time::Duration;
//! # use folio_core::{Actor, CommandContext, CommandId, EventStore, ExpectedVersion, Fingerprint,
//! #     InMemoryStore, NewEvent, StreamId};
//! # use folio_core::store::{Append, StreamWrite};
//! # use folio_postgres::cluster::{Durability, ThrowawayCluster};
//! # use folio_postgres::{Role, migrate, provision};
//! use folio_projections::{Projection, Settings, StoreSource};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = ThrowawayCluster::start(Durability::UnsafeForTests).await?;
//! # let roles = [Role::Projector, Role::Reader];
//! # let models = provision(&cluster.connection_config(), "models", &roles).await?;
//! # let store = Arc::new(InMemoryStore::default());
//! # let deposit = AccountEvent::Deposited { cents: 500 };
//! # let context = CommandContext::new(CommandId::derived(&["1"]), Actor::anonymous());
//! # store.append(Append::events(context, Fingerprint::of(&[]), vec![StreamWrite {
//! #     stream: StreamId::new("account", "savings")?,
//! #     expected: ExpectedVersion::Any,
//! #     events: vec![NewEvent::encode(&deposit)?],
//! # }])).await?;
//! migrate(&models, folio_projections::migrations()).await?;
//! let source = StoreSource::new(Arc::clone(&store));
//! let balances = Projection::open(Balances, source, &models, Settings::default()).await?;
//! let (stop, stopped) = tokio::sync::watch::channel(false);
//! let running = tokio::spawn({
//!     let balances = balances.clone();
//!     async move { balances.run(stopped).await }
//! });
//! // Whoever has written reads what was written: the model is waited for.
//! let reader = balances.reader(2)?;
//! let reading = reader.read_at(store.head().await?, Duration::from_secs(5)).await?;
//! let cents: i64 = reading.query_one("SELECT cents FROM balances WHERE account = 'savings'", &[])
//!     .await?
//!     .try_get(0)?;
//! assert_eq!(cents, 500);
//! reading.close().await?;
//! stop.send_replace(true);
//! running.await?;
//! # cluster.remove().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! * [`Projector`]: what an app writes; turns events into rows, through a [`ModelTransaction`].
//!   [`Fold`] is its pure half, with scenarios for tests in `testing`, behind the feature of that name.
//! * [`Projection`]: opens a projector on a [`Source`] and runs it; what operators do with it is
//!   there too: rebuild, compare, swap, go back, pause, partition.
//! * [`Shadow`]: the model of any position, for as long as one looks at it; and since which event the live model
//!   is not as a right replay has it.
//! * [`Reader`]: reads the live model as of one moment, at a position.
//! * [`Progress`]: how far it has come, as this process knows; [`Detector`]: how far it is behind, as
//!   the databases know.
//! * `feed`, behind the feature of that name: another service's events as a [`Source`], over HTTP.
//! * [`dead_letters()`]: events that could not be taken in.
//! * [`Projection::prove`]: that a build was given each event once, by the record of it. [`Proof`] is what
//!   that came to.
//! * [`migrations`]: the tables of builds and checkpoints.
//!
//! # Builds
//!
//! A projection has **builds**, copies of its model in schemas of their own, of which one is live. A
//! new revision of a projector, or an operator, has another one filled beside it; a swap makes that one
//! live, for all readers at once. A build is filled in **partitions** by stream, each with its
//! checkpoint and its lease.

mod build;
mod create;
mod dead_letters;
mod diff;
mod divergence;
#[cfg(feature = "feed")]
pub mod feed;
mod fold;
mod given;
mod health;
mod history;
mod lease;
mod model;
mod name;
mod operations;
mod pages;
mod progress;
mod projection;
mod projector;
mod proof;
mod prove;
mod range;
mod reader;
mod reckoning;
mod record;
mod runner;
mod seize;
mod settings;
mod shadow;
mod shared;
mod source;
mod taken;
mod tally;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod upsert;
mod watch;

pub use build::{Build, BuildState, ModelError, Partition, Pause, builds};
pub use create::{Begun, CreateError, Filling};
pub use dead_letters::{DeadLetter, DeadLetterError, dead_letters};
pub use diff::{Comparison, Diff, RowDiff, TableDiff};
pub use divergence::{Diverged, Divergence, Pass, Verdict};
pub use fold::{Fold, Rows};
pub use health::{Alarm, Detector, DetectorSettings, Lag, MeasureError, Measurement};
pub use history::{Operation, operations};
pub use model::ModelTransaction;
pub use name::{BuildName, PartitionName, ProjectionName};
pub use operations::OperationError;
pub use progress::{NotReached, Progress, Status};
pub use projection::{OpenProjectionError, Projection};
pub use projector::{Projector, ProjectorError, Sharing, Wanted};
pub use proof::{Flaw, FlawKind, Proof, Skipped};
pub use prove::ProveError;
pub use reader::{ReadModelError, Reader, Reading};
pub use runner::RunnerError;
pub use settings::{Poison, Settings, Upgrade};
pub use shadow::{RowCount, Shadow, ShadowError};
pub use source::{Source, StoreSource};
pub use upsert::{SqlValue, Upsert};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The migrations of the tables of builds and checkpoints, for the database that holds the models.
#[must_use]
pub fn migrations() -> folio_postgres::migrate::Migrations {
    folio_postgres::migrate::Migrations::new("projections", embedded::migrations::runner())
}
