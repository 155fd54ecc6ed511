//! How far a reader has come, and the proof that the store is still the one that it read.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::command::Fingerprint;
use crate::event::RecordedEvent;
use crate::id::StoreId;
use crate::store::{EventStore, ReadError};
use crate::stream::{BatchSize, Position};

/// SHA-256 over an event as it is stored: every column, each with its length before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventHash([u8; 32]);

impl EventHash {
    /// The hash before the first event.
    pub const NONE: Self = Self([0; 32]);

    /// The hash of `event`.
    #[must_use]
    pub fn of(event: &RecordedEvent) -> Self {
        let (event_id, command_id) = (event.event_id.as_uuid(), event.command_id.as_uuid());
        let parts: [&[u8]; 11] = [
            &event.position.number().to_be_bytes(),
            event.stream.category().as_bytes(),
            event.stream.id().as_bytes(),
            &event.version.number().to_be_bytes(),
            event_id.as_bytes(),
            event.event_type.as_bytes(),
            &event.schema_version.to_be_bytes(),
            command_id.as_bytes(),
            &event.recorded_at.micros().to_be_bytes(),
            &event.payload,
            &event.metadata,
        ];
        Self(*Fingerprint::of(&parts).as_bytes())
    }

    /// The hash that was stored as `bytes`; none unless there are 32 of them.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventHash(")?;
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

/// How far a reader has come in which store.
///
/// The hash of the event at the position makes it a claim about history and not only about a
/// number: a store that was restored to an earlier moment, or that lost commits in a failover and
/// went on from there, gives the same positions to other events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The store that was read.
    pub store_id: StoreId,
    /// The last event that was read, or [`Position::START`].
    pub position: Position,
    /// That event, or [`EventHash::NONE`].
    pub event: EventHash,
}

impl Checkpoint {
    /// Before the first event of a store.
    #[must_use]
    pub const fn start(store_id: StoreId) -> Self {
        Self {
            store_id,
            position: Position::START,
            event: EventHash::NONE,
        }
    }

    /// Right after `event`, in the same store.
    #[must_use]
    pub fn after(self, event: &RecordedEvent) -> Self {
        Self {
            store_id: self.store_id,
            position: event.position,
            event: EventHash::of(event),
        }
    }

    /// Makes sure that `store` still has the history that this checkpoint was taken in.
    ///
    /// # Errors
    ///
    /// [`HistoryError`], which names both positions.
    pub async fn verify(&self, store: &(impl EventStore + ?Sized)) -> Result<(), HistoryError> {
        if store.store_id() != self.store_id {
            return Err(HistoryError::OtherStore {
                checkpoint: *self,
                store_id: store.store_id(),
            });
        }
        if self.position == Position::START {
            return Ok(());
        }
        let before = Position::START.plus(self.position.number().saturating_sub(1));
        let events = store.read_all(before, BatchSize::ONE).await?;
        match events.first() {
            Some(event) if EventHash::of(event) == self.event => Ok(()),
            Some(_) => Err(HistoryError::Forked { checkpoint: *self }),
            None => Err(HistoryError::WentBack {
                checkpoint: *self,
                head: store.head().await?,
            }),
        }
    }
}

/// Why a reader must not go on from its checkpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// It is another store.
    #[error(
        "the reader has read store {} up to position {}, this is store {store_id}; point it to the \
         right store, or start again from the first event", checkpoint.store_id, checkpoint.position
    )]
    OtherStore {
        /// Where the reader is.
        checkpoint: Checkpoint,
        /// The store that it was to go on in.
        store_id: StoreId,
    },
    /// The store ends before the reader's position: it was restored, or lost commits.
    #[error(
        "the store went back: the reader is at position {}, the store ends at {head}; what was read \
         since then is not in the store any more", checkpoint.position
    )]
    WentBack {
        /// Where the reader is.
        checkpoint: Checkpoint,
        /// The store's last position.
        head: Position,
    },
    /// Another event has the reader's position: the store went back and went on from there.
    #[error(
        "the store was forked: at position {} it has another event than the reader has read there",
        checkpoint.position
    )]
    Forked {
        /// Where the reader is.
        checkpoint: Checkpoint,
    },
    /// The store could not be asked.
    #[error("the reader's checkpoint cannot be compared with the store")]
    Read(#[from] ReadError),
}
