//! Why nothing was replayed.

use chrono::NaiveDate;
use folio_core::event::DecodeError;
use folio_core::{Position, ReadError, StreamId, Version};
use thiserror::Error;

/// Why nothing was replayed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// Neither a stream nor a projection is named.
    #[error("name the stream of an aggregate, or a projection")]
    Nothing,
    /// The app has no such aggregate.
    #[error("there are no streams of category {category}; there is {known}")]
    NoCategory {
        /// The category that was named.
        category: String,
        /// Those that there are, each with what it is.
        known: String,
    },
    /// Nothing was ever recorded on the stream.
    #[error("{stream} has no events in store {store}; look whether its id and the store are right")]
    NoEvents {
        /// The stream.
        stream: StreamId,
        /// The store that was looked at.
        store: folio_core::StoreId,
    },
    /// The stream is not as long.
    #[error("{stream} has come to version {last}, not to {wanted}")]
    VersionNotReached {
        /// The stream.
        stream: StreamId,
        /// Its last version.
        last: Version,
        /// What was asked for.
        wanted: i64,
    },
    /// The store is not as long.
    #[error("the store has come to position {head}, not to {wanted}")]
    PositionNotReached {
        /// Its last position.
        head: Position,
        /// What was asked for.
        wanted: Position,
    },
    /// There was nothing yet.
    #[error("{stream} was not there yet: its first event is at position {first}, recorded {at}")]
    NotYet {
        /// The stream.
        stream: StreamId,
        /// The position of its first event.
        first: Position,
        /// When that was recorded.
        at: String,
    },
    /// Its events take effect when they are recorded.
    #[error(
        "events of {category} name no day on which they take effect, so there is no state as of {day}; \
         ask for what was recorded, by --at-time or --at-position"
    )]
    Undated {
        /// The category.
        category: String,
        /// The day.
        day: NaiveDate,
    },
    /// An event is missing in the middle of the stream.
    #[error(
        "{stream} has version {found} after version {after}; what is between is not in the store"
    )]
    Hole {
        /// The stream.
        stream: StreamId,
        /// The last one that was read.
        after: Version,
        /// The one behind it.
        found: Version,
    },
    /// An event cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The store cannot be read.
    #[error("the event store cannot be read")]
    Read(#[from] ReadError),
}
