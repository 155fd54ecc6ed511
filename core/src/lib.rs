//! The pure heart of Folio: aggregates, events, commands, money and the contract of an event store.
//!
//! Nothing here does input or output, spawns a task, reads a clock or draws a random number; what a
//! decision needs is passed in. That is what makes a decision repeatable in an audit years later.
//!
//! # Layout
//!
//! * [`aggregate`]: the [`Aggregate`] trait, two pure functions that define a domain.
//! * [`joint`]: commands that are decided on several aggregates at once.
//! * [`command`]: who asks for what, and the fingerprint that recognises a repeat.
//! * [`event`]: the envelope around every event, before and after it is recorded.
//! * [`stream`]: names, versions and positions, where an event stands.
//! * [`store`]: the [`EventStore`] contract that every store fulfils.
//! * [`filter`]: which events a reader wants.
//! * [`checkpoint`]: how far a reader has come, and whether the store is still the one that it read.
//! * [`snapshot`]: states that were kept to shorten loading.
//! * [`memory`]: the store that keeps everything in memory.
//! * [`breaker`]: the circuit breaker, a state machine that is told what time it is.
//! * [`saga`]: business transactions over several participants, with the way back.
//! * [`money`]: exact amounts, pinned to their currency.
//! * `testing` (feature `testing`): given/when/then, history properties, the contract suite.

pub mod aggregate;
pub mod breaker;
mod chain;
pub mod checkpoint;
pub mod command;
pub mod event;
pub mod filter;
pub mod id;
pub mod joint;
pub mod memory;
pub mod money;
pub mod saga;
pub mod snapshot;
pub mod store;
pub mod stream;
mod tagged;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
mod variant;

pub use aggregate::{Aggregate, Reuse, replay};
pub use chain::error_chain;
pub use checkpoint::{Checkpoint, EventHash, HistoryError};
pub use command::{Actor, Cause, CommandContext, Fingerprint};
pub use event::{Event, Metadata, NewEvent, RecordedEvent};
pub use filter::{Filter, Member, Page};
pub use id::{CausationId, CommandId, CorrelationId, EventId, EventIds, StoreId};
pub use memory::InMemoryStore;
pub use money::{Amount, Currency, Money, MoneyError};
pub use snapshot::{Snapshot, Snapshots};
pub use store::{
    Append, AppendError, AppendStatus, Appended, EventStore, Outcome, ReadError, StreamWrite,
};
pub use stream::{BatchSize, ExpectedVersion, Position, StreamId, Version};
pub use time::Timestamp;
