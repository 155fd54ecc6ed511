//! Snapshots: states that were kept to shorten loading. They are a cache. Deleting them all changes
//! nothing but time, and one that does not fit its stream is passed over.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::Aggregate;
use crate::checkpoint::EventHash;
use crate::stream::Version;

/// How an aggregate's states are kept.
pub struct Snapshots<A> {
    /// The version of the state's shape and of the code that folds it. Changing either without
    /// raising this number would bring back states that today's code would not arrive at.
    pub state_version: u16,
    /// After how many events a state is kept.
    pub every: u32,
    /// Writes a state.
    pub save: fn(&A) -> Result<Vec<u8>, serde_json::Error>,
    /// Reads one back.
    pub restore: fn(&[u8]) -> Result<A, serde_json::Error>,
}

impl<A: Aggregate + Serialize + DeserializeOwned> Snapshots<A> {
    /// States kept as JSON, one after every `every` events.
    #[must_use]
    pub fn json(state_version: u16, every: u32) -> Self {
        Self {
            state_version,
            every,
            save: |state| serde_json::to_vec(state),
            restore: |bytes| serde_json::from_slice(bytes),
        }
    }
}

impl<A> fmt::Debug for Snapshots<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots")
            .field("state_version", &self.state_version)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// A state as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of its shape; see [`Snapshots::state_version`].
    pub state_version: u16,
    /// The version of the stream that it is the state at.
    pub version: Version,
    /// The event at that version. A stream with another one has another history.
    pub event: EventHash,
    /// The state.
    pub state: Vec<u8>,
}
